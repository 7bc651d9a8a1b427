"""Pictures of frames, against values worked out by hand and over every image that the wheel carries."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from gateway.child import Limits
from gateway.children import Children
from interfaces.dicom.objects import part10
from interfaces.dicom.preview import frame_png
from tests.translation.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT, WHEEL, element, header, sequence
from worklist.errors import BadInput


def image(
    values: list[int],
    *,
    syntax: str = EXPLICIT,
    rows: int = 1,
    columns: int | None = None,
    bits: int = 16,
    stored: int | None = None,
    signed: bool = False,
    photometric: bytes = b"MONOCHROME2",
    samples: int = 1,
    frames: int = 1,
    extra: bytes = b"",
    after: bytes = b"",
    pixels: bytes | None = None,
) -> bytes:
    """A small image; `extra` and `after` are elements behind the image pixel module."""
    order = ">" if syntax == BIG_ENDIAN else "<"

    def us(tag: int, value: int) -> bytes:
        return element(tag, "US", pack(order + "H", value), syntax)

    code = {8: "b", 16: "h", 32: "i"}[bits]
    code = code if signed else code.upper()
    data = (
        header(syntax)
        + us(0x00280002, samples)
        + element(0x00280004, "CS", photometric, syntax)
        + (us(0x00280006, 0) if samples > 1 else b"")
        + element(0x00280008, "IS", str(frames).encode(), syntax)
        + us(0x00280010, rows)
        + us(0x00280011, columns if columns is not None else len(values) // (rows * samples * frames))
        + us(0x00280100, bits)
        + us(0x00280101, stored or bits)
        + us(0x00280102, (stored or bits) - 1)
        + us(0x00280103, int(signed))
        + extra
        + after
    )
    raw = pixels if pixels is not None else pack(f"{order}{len(values)}{code}", *values)
    head = part10(sop_class="1.2.840.10008.5.1.4.1.1.2", sop_instance="1.2.3.4.5", transfer_syntax=syntax)
    return head + data + element(0x7FE00010, "OW", raw, syntax)


def shades(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened)


WINDOW = element(0x00281050, "DS", b"40") + element(0x00281051, "DS", b"400")
RESCALE = element(0x00281052, "DS", b"-1024") + element(0x00281053, "DS", b"1")


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_ct_window_by_hand(syntax: str) -> None:
    """C.11.2.1.2.1 with c=40, w=400: below -160 black, above 239 white, y = ((x - 39.5) / 399 + 0.5) * 255."""
    extra = b"".join(
        element(tag, "DS", value, syntax)
        for tag, value in ((0x00281050, b"40"), (0x00281051, b"400"), (0x00281052, b"-1024"), (0x00281053, b"1"))
    )
    hounsfield = [-1024, -160, -60, 39, 40, 140, 239, 1000]
    png = frame_png(image([v + 1024 for v in hounsfield], syntax=syntax, extra=extra))
    expected = [0, 0, 64, 127, 128, 192, 255, 255]
    assert shades(png).tolist() == [expected]


def test_the_caller_s_window_wins() -> None:
    png = frame_png(image([0, 100, 200], extra=WINDOW), window=(100.0, 201.0))
    assert shades(png).tolist() == [[1, 128, 255]]


def test_monochrome1_is_inverted() -> None:
    png = frame_png(image([0, 255], bits=8, photometric=b"MONOCHROME1"))
    assert shades(png).tolist() == [[255, 0]]


def test_eight_bits_without_a_window_stay_as_they_are() -> None:
    assert shades(frame_png(image([0, 17, 200, 255], bits=8))).tolist() == [[0, 17, 200, 255]]


def test_signed_values_without_a_window_span_the_percentiles() -> None:
    found = shades(frame_png(image(list(range(-500, 500)), signed=True, rows=10)))
    assert (found[0, 0], found[-1, -1]) == (0, 255)
    assert abs(int(found[5, 0]) - 128) <= 1


def test_a_constant_image_is_no_error() -> None:
    assert len(set(shades(frame_png(image([7] * 16, rows=4))).ravel().tolist())) == 1


def test_a_voi_lut_is_used() -> None:
    lut = sequence(
        0x00283010,
        element(0x00283002, "US", pack("<3H", 4, 10, 8)) + element(0x00283006, "OW", pack("<4H", 0, 50, 150, 255)),
    )
    assert shades(frame_png(image([0, 10, 11, 12, 13, 99], after=lut))).tolist() == [[0, 0, 50, 150, 255, 255]]


def test_a_modality_lut_comes_first() -> None:
    lut = sequence(
        0x00283000,
        element(0x00283002, "US", pack("<3H", 3, 0, 16)) + element(0x00283006, "OW", pack("<3H", 0, 100, 200)),
    )
    assert shades(frame_png(image([0, 1, 2], after=lut), window=(100.0, 201.0))).tolist() == [[1, 128, 255]]


def test_windows_of_an_enhanced_object_are_its_frames() -> None:
    def frame(centre: bytes) -> bytes:
        window = element(0x00281050, "DS", centre) + element(0x00281051, "DS", b"201")
        return sequence(0x00289132, window)

    shared = element(0x00281052, "DS", b"0") + element(0x00281053, "DS", b"2")
    groups = sequence(0x52009229, sequence(0x00289145, shared)) + sequence(0x52009230, frame(b"100"), frame(b"200"))
    file = image([0, 50, 100, 50, 100, 150], frames=2, after=groups)
    assert shades(frame_png(file, 0)).tolist() == [[1, 128, 255]]
    assert shades(frame_png(file, 1)).tolist() == [[1, 128, 255]]


def test_rgb() -> None:
    found = shades(frame_png(image([255, 0, 0, 1, 2, 3], bits=8, samples=3, photometric=b"RGB")))
    assert found.tolist() == [[[255, 0, 0], [1, 2, 3]]]


def test_palette() -> None:
    tables = b""
    for tag in (0x00281101, 0x00281102, 0x00281103):
        tables += element(tag, "US", pack("<3H", 2, 0, 16))
    for tag, entries in ((0x00281201, (0xFF00, 0)), (0x00281202, (0, 0x8000)), (0x00281203, (0x0100, 0))):
        tables += element(tag, "OW", pack("<2H", *entries))
    found = shades(frame_png(image([0, 1], bits=8, photometric=b"PALETTE COLOR", after=tables)))
    assert found.tolist() == [[[255, 0, 1], [0, 128, 0]]]


def test_large_images_are_made_small() -> None:
    assert shades(frame_png(image([0] * 40_000, rows=100), max_side=50)).shape == (13, 50)


def test_open_files_and_views_are_taken() -> None:
    file = image([0, 255], bits=8)
    assert frame_png(io.BytesIO(file)) == frame_png(memoryview(file)) == frame_png(file)


@pytest.mark.parametrize("frame", [-1, 2, 10**9])
def test_a_frame_that_is_not_there(frame: int) -> None:
    with pytest.raises(BadInput, match="no_such_frame"):
        frame_png(image([0, 1], frames=2, bits=8), frame)


def test_headers_that_ask_for_too_much() -> None:
    for file in (
        image([0], rows=65535, columns=65535),
        image([0], frames=10**9),
        image([0], rows=0, columns=0),
        image([0], rows=4, columns=4),
        image([0], samples=200, columns=1),
    ):
        with pytest.raises(BadInput, match="no_preview"):
            frame_png(file)


def test_a_code_stream_that_asks_for_more_than_the_header() -> None:
    jpeg = bytearray((WHEEL / "SC_rgb_jpeg_dcmtk.dcm").read_bytes())
    at = jpeg.index(b"\xff\xc0", 1000)
    jpeg[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(BadInput, match="no_preview") as refused:
        frame_png(bytes(jpeg))
    assert refused.value.params["reason"] == "size"


def test_what_has_no_pixels() -> None:
    for name in ("test-SR.dcm", "waveform_ecg.dcm", "rtplan.dcm"):
        with pytest.raises(BadInput, match="no_preview") as refused:
            frame_png((WHEEL / name).read_bytes())
        assert refused.value.params["reason"] == "no pixels"


# Files of the wheel whose pixels cannot be shown, and the reason given.
NOT_SHOWN = {
    "ExplVR_BigEndNoMeta.dcm": "preamble",
    "ExplVR_LitEndNoMeta.dcm": "preamble",
    "JPEG-lossy.dcm": "decoder",  # 12-bit JPEG: no decoder here
    "JPEG2000-embedded-sequence-delimiter.dcm": "size",  # its code stream claims 3.7 billion columns
    "JPGExtended.dcm": "decoder",
    "MR_truncated.dcm": "decoder",
    "UN_sequence.dcm": "no pixels",
    "empty_charset_LEI.dcm": "no pixels",
    "meta_missing_tsyntax.dcm": "file meta",
    "nested_priv_SQ.dcm": "header",
    "no_meta.dcm": "preamble",
    "no_meta_group_length.dcm": "no pixels",
    "priv_SQ.dcm": "no pixels",
    "reportsi.dcm": "no pixels",
    "reportsi_with_empty_number_tags.dcm": "no pixels",
    "rtplan.dcm": "no pixels",
    "rtplan_truncated.dcm": "length",
    "rtstruct.dcm": "preamble",
    "test-SR.dcm": "no pixels",
    "waveform_ecg.dcm": "no pixels",
}


@pytest.mark.parametrize("path", sorted(WHEEL.glob("*.dcm")), ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore")  # pydicom's, about these files
def test_files_of_the_wheel(path: Path) -> None:
    raw = path.read_bytes()
    if path.name in NOT_SHOWN:
        with pytest.raises(BadInput) as refused:
            frame_png(raw)
        assert refused.value.code in ("no_preview", "not_a_dicom_object")
        assert refused.value.params["reason"] == NOT_SHOWN[path.name]
        return
    found = shades(frame_png(raw))
    assert found.dtype == np.uint8
    assert found.ndim in (2, 3)


@pytest.fixture(scope="module")
def pool() -> Iterator[Children]:
    """Where broken files are decoded: some of them crash a codec, and with it the process."""
    made = Children(Limits(children=1, seconds=5))
    yield made
    made.close()


@settings(max_examples=150)
@given(st.data(), st.sampled_from(["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_small_odd_jpeg.dcm"]))
def test_broken_files_are_shown_or_refused(pool: Children, data: st.DataObject, name: str) -> None:
    raw = bytearray((WHEEL / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(132, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as out:
        file.write(raw)
        file.flush()
        try:
            pool.ask("png", [file], out, most=1 << 24, frame=0, side=1024)
        except BadInput:
            return
