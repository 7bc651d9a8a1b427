"""Which of the files on a disc are objects, and what a file is called when it is shown."""

from __future__ import annotations

import asyncio
import mmap
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from gateway import uploads
from gateway.archives import open_archive
from gateway.spool import IN_MEMORY, Spool
from gateway.uploads import reason_to_ignore, shown_name
from interfaces.dicom.files import looks_like_dicom, open_file
from interfaces.dicom.objects import open_part10, read_object
from tests import discs, ecgs
from tests.translation.dicom.samples import WHEEL, element
from worklist.actions.uploads import LONGEST_NAME, FileFate
from worklist.errors import BadInput, TryLater

DIRECTORY = bytes(128) + b"DICM" + element(0x00020002, "UI", b"1.2.840.10008.1.3.10") + bytes(20)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("DICOM/IM1", discs.image(), ""),
        ("IM1", discs.bare(), ""),
        ("IM1", discs.bare(implicit=False), ""),
        ("IM1", discs.image()[132:], ""),  # neither preamble nor prefix, but file meta
        ("bad.dcm", b"rubbish", ""),  # refused with a reason when it is opened, not passed over
        ("BAD.DCM", b"", ""),
        ("CD/DICOMDIR", b"anything", "dicomdir"),
        ("E:\\dicomdir", b"anything", "dicomdir"),
        ("viewer.exe", discs.VIEWER, "no_dicom_file"),
        ("autorun.inf", b"[autorun]", "no_dicom_file"),
        ("nothing", b"", "file_empty"),
        ("in.zip", discs.zipped({"a": b"b"}), "zip_inside"),
        ("viewer.jar", discs.zipped({"a": b"b"}), "no_dicom_file"),
        ("cart/0001.scp", ecgs.scp(ecgs.recording()), ""),
        ("cart/0002.XML", ecgs.aecg(ecgs.recording()), ""),
        ("readme.pdf", b"%PDF-1.7", "picture_without_order"),
    ],
)
def test_files_are_told_apart(name: str, data: bytes, reason: str) -> None:
    assert reason_to_ignore(name, data) == reason


@pytest.mark.parametrize(
    "file", [discs.image(), discs.bare(), discs.bare(implicit=False), discs.image()[132:], memoryview(discs.image())]
)
def test_every_kind_of_file_is_opened(file: bytes) -> None:
    syntax, data = open_file(file)
    assert read_object(data, syntax).sop_instance_uid == "1.2.826.0.9.1.1"
    assert looks_like_dicom(file)


def test_a_file_is_opened_as_part_10_says() -> None:
    for path in sorted(WHEEL.glob("*.dcm")):
        data = path.read_bytes()
        try:
            expected = open_part10(data)
        except BadInput:
            continue
        assert open_file(data) == expected, path.name


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (DIRECTORY, "dicomdir"),
        (b"", "not_a_dicom_object"),
        (discs.VIEWER, "not_a_dicom_object"),
        (bytes(128) + b"DICM", "not_a_dicom_object"),
        (discs.image()[:200], "not_a_dicom_object"),
        (bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\xff\xff1.2", "not_a_dicom_object"),
    ],
)
def test_what_is_none_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        open_file(data)
    assert refused.value.code == code


def test_a_name_is_one_short_line() -> None:
    assert shown_name("影像/䶮.dcm") == "影像/䶮.dcm"
    assert shown_name("a\x00b\nc\u202ed\ud800") == "a\ufffdb\ufffdc\ufffdd\ufffd"
    long = shown_name("x" * 5000 + "/the end.dcm")
    assert len(long) == LONGEST_NAME
    assert long.endswith("/the end.dcm")


def fill(spool: Spool, *pieces: bytes) -> Spool:
    """A body that comes in pieces."""

    async def add() -> None:
        for piece in pieces:
            await spool.add(piece)

    asyncio.run(add())
    return spool


def test_a_body_waits_whole_in_memory_or_in_a_file_without_a_name(tmp_path: Path) -> None:
    for pieces in ((b"small",), (b"a" * IN_MEMORY, b"b" * 10), (os.urandom(IN_MEMORY),) * 3, ()):
        spool = fill(Spool(tmp_path, 1 << 30, lambda: True), *pieces)
        whole = b"".join(pieces)
        with spool.view() as data:
            assert data == whole
        assert spool.opened().read() == whole
        assert (spool.size, spool.too_large) == (len(whole), False)
        assert list(tmp_path.iterdir()) == []
        spool.close()


def test_a_file_of_an_archive_is_unpacked_to_the_disk(tmp_path: Path) -> None:
    seen: list[tuple[type, int]] = []

    def take(name: str, data: Any) -> FileFate:
        seen.append((type(data.obj), len(data)))
        return FileFate(name, len(data), "stored")

    large = discs.image(PixelData=os.urandom(2 * IN_MEMORY))
    with open_archive(BytesIO(discs.zipped({"IM1": large})), 1 << 30) as packed:
        spool = Spool(tmp_path, 1 << 30, lambda: True)
        fate = uploads.take_packed(take, packed[0], "a.zip", spool)
    assert seen == [(mmap.mmap, len(large))]
    assert fate.name == "a.zip/IM1"


def test_what_is_too_large_is_let_go(tmp_path: Path) -> None:
    spool = fill(Spool(tmp_path, 10, lambda: True), b"12345", b"67890", b"1")
    assert spool.too_large
    with spool.view() as data:
        assert len(data) == 0
    spool.close()


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 30, lambda: False)
    with pytest.raises(TryLater) as refused:
        fill(spool, b"a" * IN_MEMORY)
    spool.close()
    assert refused.value.code == "out_of_space"
