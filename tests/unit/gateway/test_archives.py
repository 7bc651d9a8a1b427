"""ZIPs of strangers: bounded in every direction, names never paths."""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO

import pytest

from gateway import archives
from gateway.archives import Packed, open_archive
from tests import discs
from worklist.errors import BadInput


def names(data: bytes) -> list[str]:
    with open_archive(BytesIO(data), 1 << 20) as packed:
        return [file.name for file in packed]


def content(file: Packed) -> bytes:
    return b"".join(file.pieces())


def refusal(data: bytes, largest: int = 1 << 30) -> str:
    """The code with which the archive, or its first file, is refused."""
    with pytest.raises(BadInput) as refused, open_archive(BytesIO(data), largest) as packed:
        content(packed[0])
    return refused.value.code


def test_files_come_out_and_folders_are_left_out() -> None:
    data = discs.zipped({"a/": b"", "a/b.dcm": b"one", "../../etc/passwd": b"two", "C:\\x\\y": b"three"})
    with open_archive(BytesIO(data), 1 << 20) as packed:
        assert [(file.name, content(file)) for file in packed] == [
            ("a/b.dcm", b"one"),
            ("../../etc/passwd", b"two"),
            ("C:\\x\\y", b"three"),
        ]


def test_names_of_chinese_windows_are_read_as_they_were_meant() -> None:
    data = discs.zipped({"aaaa/bb.dcm": b"x"})
    told = "影像".encode("gbk")
    assert len(told) == 4
    assert names(data.replace(b"aaaa", told)) == ["影像/bb.dcm"]
    assert names(discs.zipped({"影像/䶮.dcm": b"x"})) == ["影像/䶮.dcm"]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(10), b"no zip at all" * 9])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    assert refusal(data) == "not_a_zip"


def test_an_archive_cut_anywhere_is_refused_or_damaged_but_never_worse() -> None:
    data = discs.zipped({"a.dcm": b"one" * 100, "b.dcm": b"two" * 100})
    for at in range(len(data)):
        assert refusal(data[:at]) in ("not_a_zip", "zip_damaged"), at


def test_one_flipped_byte_is_found() -> None:
    data = bytearray(discs.zipped({"a.dcm": bytes(range(256)) * 4}))
    data[data.index(b"a.dcm") + 20] ^= 0x55
    assert refusal(bytes(data)) == "zip_damaged"


def test_a_file_grows_no_further_than_an_object_may(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = discs.zipped({"a.dcm": bytes(4 << 20)})
    assert refusal(zeros, largest=1 << 20) == "object_too_large"
    monkeypatch.setattr(archives, "FLAT", 1 << 20)
    assert refusal(zeros) == "zip_grows_too_far"
    monkeypatch.setattr(archives, "FLAT", 1 << 30)
    monkeypatch.setattr(archives, "MOST_UNPACKED", 3 << 20)
    assert refusal(zeros) == "zip_grows_too_far"


def test_the_list_of_files_is_bounded_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = discs.zipped({f"{n}": b"" for n in range(20)})
    assert len(names(data)) == 20
    monkeypatch.setattr(archives, "MOST_FILES", 19)
    assert refusal(data) == "zip_has_too_many_files"
    monkeypatch.setattr(archives, "MOST_FILES", 20)
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 100)
    assert refusal(data) == "zip_has_too_many_files"


def test_the_list_of_a_large_archive_is_bounded_too() -> None:
    """ZIP64 says the true numbers in a record of its own, in front of the old one."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 46, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert refusal(record + locator + end) == "zip_has_too_many_files"
    for comment in (0, 0xFFFF):  # behind a long comment the record is as true
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, comment) + b"x" * comment
        assert refusal(record + locator + end) == "zip_has_too_many_files"


def test_a_small_record_elsewhere_does_not_hide_the_large_one() -> None:
    small, large = (
        struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, n, n, n, 0) for n in (0, archives.MOST_UNPACKED)
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)  # points at the small one
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert refusal(small + large + locator + end) == "not_a_zip"


def test_files_are_counted_and_not_only_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(discs.zipped({f"{n}": b"" for n in range(20)}))
    struct.pack_into("<2H", data, len(data) - 14, 1, 1)
    monkeypatch.setattr(archives, "MOST_FILES", 19)
    assert refusal(bytes(data)) == "zip_has_too_many_files"


def test_a_password_or_an_unknown_packing_is_named() -> None:
    data = bytearray(discs.zipped({"a.dcm": b"x" * 50}))
    directory = data.rindex(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    assert refusal(bytes(data)) == "zip_encrypted"
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.dcm", b"x" * 50)
    assert refusal(out.getvalue()) == "zip_method"
