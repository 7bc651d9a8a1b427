"""Where frames lie, against what pydicom finds in the same files, and against tables that lie."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import pydicom.data
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    MPEG4HP41,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from interfaces.dicom.frames import FrameMap, locate
from worklist.errors import BadInput

SAMPLES = Path(pydicom.data.__file__).parent / "test_files"


UNSOUND = {"badVR.dcm", "nested_priv_SQ.dcm"}  # the header does not say how large a frame is


def pictures() -> list[Path]:
    """The sample files with pixels and a whole header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom on old samples
        files = [path for path in sorted(SAMPLES.glob("*.dcm")) if path.name not in UNSOUND]
        read = [(path, dcmread(path, force=True)) for path in files]
        return [path for path, said in read if "TransferSyntaxUID" in said.file_meta and "PixelData" in said]


def cut(file: bytes, found: FrameMap, frame: int) -> bytes:
    """One frame out of a file that is not deflated."""
    raw = b"".join(file[at : at + length] for at, length in found.frame(frame))
    return found.shift(frame, raw)


def image(syntax: UID, pixels: bytes, frames: int = 1, **tags: object) -> bytes:
    """An object of 4 × 4 pixels with `pixels` as they are."""
    said = Dataset()
    said.file_meta = FileMetaDataset()
    said.file_meta.TransferSyntaxUID = syntax
    said.file_meta.MediaStorageSOPClassUID = said.SOPClassUID = SecondaryCaptureImageStorage
    said.file_meta.MediaStorageSOPInstanceUID = said.SOPInstanceUID = UID("1.2.3")
    said.Rows = said.Columns = 4
    said.NumberOfFrames = frames
    said.SamplesPerPixel, said.PhotometricInterpretation = 1, "MONOCHROME2"
    said.BitsAllocated = said.BitsStored = 8
    said.HighBit, said.PixelRepresentation = 7, 0
    for word, value in tags.items():
        setattr(said, word, value)
    said.PixelData = pixels
    if syntax not in (ExplicitVRLittleEndian, ExplicitVRBigEndian):
        said["PixelData"].is_undefined_length = True
    said["PixelData"].VR = "OB"
    out = io.BytesIO()
    dcmwrite(out, said, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("path", pictures(), ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore")
def test_frames_are_those_that_pydicom_finds(path: Path) -> None:
    said = dcmread(path)
    if said.file_meta.TransferSyntaxUID.is_deflated:
        return  # found in the inflated data set: test_deflated_frames_count_inside
    file = path.read_bytes()
    found = locate(file)
    assert found.count == int(said.get("NumberOfFrames") or 1)
    if said.file_meta.TransferSyntaxUID.is_encapsulated:
        wanted = list(generate_frames(said.PixelData, number_of_frames=found.count))
        assert [cut(file, found, n) for n in range(found.count)] == wanted
    else:
        size = len(said.PixelData) // found.count if found.count > 1 else found.frame_bits // 8
        if found.frame_bits // 8 > len(said.PixelData):  # cut off at its end
            with pytest.raises(BadInput):
                found.frame(0)
            return
        for n in range(found.count):
            assert cut(file, found, n) == said.PixelData[n * size : (n + 1) * size]


def test_deflated_frames_count_inside() -> None:
    found = locate((SAMPLES / "image_dfl.dcm").read_bytes())
    assert found.inflated
    assert found.count == 1


def test_several_fragments_of_a_frame_are_joined_by_the_basic_offset_table() -> None:
    frames = [bytes([n]) * 10 for n in range(3)]
    file = image(RLELossless, encapsulate(frames, fragments_per_frame=2), frames=3)
    found = locate(file)
    assert [cut(file, found, n) for n in range(3)] == frames
    assert {len(spans) for spans in found.spans} == {2}


def test_the_extended_offset_table_leaves_out_the_padding() -> None:
    frames = [b"\x01\x02\x03", b"\x04\x05", b"\x06\x07\x08\x09\x0a"]
    pixels, offsets, _padded = encapsulate_extended(frames)
    lengths = struct.pack("<3Q", *map(len, frames))
    file = image(RLELossless, pixels, 3, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    found = locate(file)
    assert [cut(file, found, n) for n in range(3)] == frames


def test_an_offset_table_that_lies_is_not_believed() -> None:
    frames = [bytes([n]) * 8 for n in range(3)]
    pixels = bytearray(encapsulate(frames))
    pixels[8:20] = struct.pack("<3L", 0, 7, 1 << 30)
    file = image(RLELossless, bytes(pixels), frames=3)
    assert [cut(file, locate(file), n) for n in range(3)] == frames
    lying = struct.pack("<3Q", 0, 1 << 60, 5)
    file = image(RLELossless, encapsulate(frames), 3, ExtendedOffsetTable=lying, ExtendedOffsetTableLengths=lying)
    assert [cut(file, locate(file), n) for n in range(3)] == frames


def test_without_any_table_frames_begin_where_code_streams_begin() -> None:
    frames = [b"\xff\xd8" + bytes([n]) * 8 for n in range(3)]
    file = image(JPEGLSLossless, encapsulate(frames, fragments_per_frame=2, has_bot=False), frames=3)
    assert [cut(file, locate(file), n) for n in range(3)] == frames


def test_frames_that_cannot_be_told_apart_are_refused() -> None:
    file = image(JPEGBaseline8Bit, encapsulate([b"\0" * 8] * 5, has_bot=False), frames=3)
    with pytest.raises(BadInput) as told:
        locate(file)
    assert told.value.params["reason"] == "fragments"


def test_a_video_is_one_stream() -> None:
    file = image(MPEG4HP41, encapsulate([b"abcd", b"efgh"], has_bot=False), frames=250)
    found = locate(file)
    assert found.is_video
    assert found.count == 1
    assert cut(file, found, 0) == b"abcdefgh"


def test_frames_of_single_bits_begin_anywhere_in_a_byte() -> None:
    bits = [[(x * 5 + n) % 3 == 0 for x in range(9)] for n in range(3)]
    stream = [bit for frame in bits for bit in frame]
    packed = bytes(sum(bit << i for i, bit in enumerate(stream[at : at + 8])) for at in range(0, 27, 8))
    file = image(ExplicitVRLittleEndian, packed, 3, Rows=3, Columns=3, BitsAllocated=1, BitsStored=1, HighBit=0)
    found = locate(file)
    for n, frame in enumerate(bits):
        raw = cut(file, found, n)
        assert len(raw) == 2
        assert [bool(raw[i // 8] >> i % 8 & 1) for i in range(9)] == frame


def test_big_endian_stays_as_it_is_stored() -> None:
    file = (SAMPLES / "MR_small_bigendian.dcm").read_bytes()
    found = locate(file)
    assert not found.little
    assert found.word_bytes == 2
    assert cut(file, found, 0) != dcmread(SAMPLES / "MR_small.dcm").PixelData


@pytest.mark.parametrize(("vr", "word"), [("OW", 2), ("OB", 1)])
def test_big_endian_bytes_lie_in_words_where_the_vr_says_so(vr: str, word: int) -> None:
    file = image(ExplicitVRBigEndian, bytes(range(16)))
    assert locate(file.replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10" + vr.encode())).word_bytes == word


@pytest.mark.parametrize("frame", [-1, 3, 1 << 40])
def test_no_frame_beyond_the_last(frame: int) -> None:
    file = image(RLELossless, encapsulate([b"ab"] * 3), frames=3)
    with pytest.raises(BadInput, match="no_such_frame"):
        locate(file).frame(frame)


def test_a_header_that_promises_more_than_there_is_gives_only_what_is_there() -> None:
    file = image(ExplicitVRLittleEndian, bytes(range(32)), frames=1_000_000)
    found = locate(file)
    assert cut(file, found, 1) == bytes(range(16, 32))
    with pytest.raises(BadInput, match="no_such_frame"):
        found.frame(2)


def test_places_survive_being_kept() -> None:
    for name in ("MR_small.dcm", "SC_rgb_rle_2frame.dcm", "image_dfl.dcm"):
        found = locate((SAMPLES / name).read_bytes())
        assert FrameMap.from_json(found.to_json()) == found
