"""Is it the same object again? Encodings may differ, content may not."""

from __future__ import annotations

import io
from pathlib import Path
from struct import pack
from typing import Literal

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, JPEGLSLossless, RLELossless

from interfaces.dicom.compare import same_content
from interfaces.dicom.objects import part10
from tests.translation.dicom.samples import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    WHEEL,
    element,
    header,
    sequence,
)
from worklist.errors import BadInput

CT = WHEEL / "CT_small.dcm"


def file(data: bytes, syntax: str = EXPLICIT, ae: str = "CT1") -> bytes:
    head = part10(
        sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3.4.5", transfer_syntax=syntax, calling_ae=ae
    )
    return head + data


def saved(ds: Dataset, syntax: str) -> bytes:
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    out = io.BytesIO()
    ds.save_as(out, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN, force_encoding=True)
    return out.getvalue()


def pixels(*values: int, syntax: str = EXPLICIT) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    return element(0x7FE00010, "OW", pack(f"{order}{len(values)}H", *values), syntax)


class TestElements:
    def test_the_file_meta_does_not_count(self) -> None:
        assert same_content(file(header()), file(header(), ae="OTHER"))

    def test_one_changed_value_counts(self) -> None:
        assert not same_content(file(header()), file(header(name=b"Li^Si")))
        assert not same_content(file(header()), file(header(extra=((0x00100030, "DA", b""),))))
        assert not same_content(file(header(without=(0x00100020,))), file(header()))

    def test_group_lengths_and_trailing_padding_do_not_count(self) -> None:
        length = element(0x00080000, "UL", pack("<L", 1234))
        padding = element(0xFFFCFFFC, "OB", bytes(10))
        assert same_content(file(header()), file(length + header() + padding))

    @pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
    def test_the_encoding_does_not_count(self, syntax: str) -> None:
        def whole(syntax: str, *, undefined: bool, first: int = 1) -> bytes:
            item = element(0x00080050, "SH", b"A1", syntax)
            order: Literal["big", "little"] = "big" if syntax == BIG_ENDIAN else "little"
            rows = element(0x00280010, "US", (1).to_bytes(2, order), syntax)
            requests = sequence(0x00400275, item, syntax=syntax, undefined=undefined)
            return file(header(syntax) + rows + requests + pixels(first, 2, syntax=syntax), syntax)

        assert same_content(whole(EXPLICIT, undefined=False), whole(syntax, undefined=True))
        assert not same_content(whole(EXPLICIT, undefined=False), whole(syntax, undefined=True, first=3))

    def test_a_sequence_with_another_item_counts(self) -> None:
        item = element(0x00080050, "SH", b"A1")
        one, two = (file(header() + sequence(0x00400275, *[item] * n)) for n in (1, 2))
        assert not same_content(one, two)

    def test_pixels_that_only_one_has(self) -> None:
        assert not same_content(file(header()), file(header() + pixels(1)))

    def test_what_is_no_file_is_refused(self) -> None:
        with pytest.raises(BadInput, match="not_a_dicom_object"):
            same_content(file(header()), b"x")


class TestPixels:
    @pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, RLELossless, JPEGLSLossless])
    def test_lossless_transcoding_does_not_count(self, syntax: str) -> None:
        original = CT.read_bytes()
        ds = dcmread(io.BytesIO(original))
        if syntax in (RLELossless, JPEGLSLossless):
            ds.compress(syntax, generate_instance_uid=False)
        assert same_content(original, saved(ds, syntax))

    @pytest.mark.parametrize(
        "name",
        ["bigendian", "implicit", "expb", "RLE", "jp2klossless", "jpeg_ls_lossless"],
    )
    def test_one_slice_as_the_wheel_has_it_in_seven_syntaxes(self, name: str) -> None:
        original = (WHEEL / "MR_small.dcm").read_bytes()
        assert same_content(original, (WHEEL / f"MR_small_{name}.dcm").read_bytes())

    @pytest.mark.parametrize("syntax", [EXPLICIT, RLELossless])
    def test_one_changed_pixel_counts(self, syntax: str) -> None:
        ds = dcmread(CT)
        ds.PixelData = ds.PixelData[:-2] + b"\x01\x01"
        if syntax == RLELossless:
            ds.compress(syntax, generate_instance_uid=False)
        assert not same_content(CT.read_bytes(), saved(ds, syntax))

    @pytest.mark.parametrize(
        "name",
        ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "SC_rgb_rle_2frame.dcm"],
    )
    def test_compressed_files_of_the_wheel_equal_themselves_uncompressed(self, name: str) -> None:
        path = WHEEL / name
        ds = dcmread(path)
        ds.decompress(as_rgb=False, generate_instance_uid=False)
        assert same_content(path.read_bytes(), saved(ds, EXPLICIT))

    def test_lossy_pixels_are_equal_only_as_bytes(self) -> None:
        path = WHEEL / "SC_rgb_jpeg_dcmtk.dcm"
        ds = dcmread(path)
        assert same_content(path.read_bytes(), saved(ds, str(ds.file_meta.TransferSyntaxUID)))
        ds.decompress(as_rgb=False, generate_instance_uid=False)
        assert not same_content(path.read_bytes(), saved(ds, EXPLICIT))

    def test_a_header_that_asks_for_too_much_is_not_decoded(self) -> None:
        ds = dcmread(WHEEL / "MR_small_RLE.dcm")
        ds.Rows = ds.Columns = 65535
        one = saved(ds, RLELossless)
        ds.PixelData = ds.PixelData[:-2] + b"\x7f\x7f"
        assert not same_content(one, saved(ds, RLELossless))


@pytest.mark.parametrize("path", sorted(WHEEL.glob("*.dcm")), ids=lambda p: p.name)
def test_every_file_equals_itself_and_not_another(path: Path) -> None:
    raw = path.read_bytes()
    try:
        assert same_content(raw, bytearray(raw))
        assert not same_content(raw, CT.read_bytes()) or path == CT
    except BadInput:
        assert raw[128:132] != b"DICM" or "meta" in path.name
