"""Explicit VR Little Endian for those who cannot take what is stored, against pydicom's readings of both."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from interfaces.dicom.frames import locate
from interfaces.dicom.metadata import attributes
from interfaces.dicom.transcode import explicit_little, native_frame
from worklist.errors import BadInput

SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
LOSSLESS = [
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
]
SAME_MEANING = {"00083002", "00080005", "7FE00010", "00020010"}


@pytest.mark.parametrize("name", LOSSLESS)
def test_pixels_of_every_lossless_encoding_are_the_same(name: str) -> None:
    wanted = dcmread(SAMPLES / "MR_small.dcm").PixelData
    file = (SAMPLES / name).read_bytes()
    said = dcmread(io.BytesIO(b"".join(explicit_little(file))))
    assert said.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert said.PixelData == wanted
    assert native_frame(file, 0) == wanted


@pytest.mark.parametrize(
    "name", ["MR_small_bigendian.dcm", "rtplan.dcm", "image_dfl.dcm", "rtdose_rle.dcm", "SC_rgb_rle_2frame.dcm"]
)
def test_all_other_elements_say_what_they_said(name: str) -> None:
    file = (SAMPLES / name).read_bytes()
    before, after = attributes(file), attributes(b"".join(explicit_little(file)))
    assert {tag for tag in before | after if before.get(tag) != after.get(tag)} <= SAME_MEANING


def test_colours_and_several_frames() -> None:
    file = (SAMPLES / "SC_rgb_rle_2frame.dcm").read_bytes()
    said = dcmread(io.BytesIO(b"".join(explicit_little(file))))
    assert np.array_equal(said.pixel_array, dcmread(SAMPLES / "SC_rgb_rle_2frame.dcm").pixel_array)
    assert said.PlanarConfiguration == 0
    assert locate(b"".join(explicit_little(file))).count == 2


def test_what_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(BadInput):
        explicit_little((SAMPLES / "JPEG2000-embedded-sequence-delimiter.dcm").read_bytes())
    with pytest.raises(BadInput, match="no_such_frame"):
        native_frame((SAMPLES / "MR_small_RLE.dcm").read_bytes(), 1)


def test_a_report_has_no_pixels_and_stays_whole() -> None:
    file = (SAMPLES / "test-SR.dcm").read_bytes()
    assert attributes(b"".join(explicit_little(file))) == attributes(file)
