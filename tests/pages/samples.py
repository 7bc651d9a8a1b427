"""Images for the viewer's tests: one card in each transfer syntax, a CT, a radiograph, an ultrasound, a slide.

The card has four quarters of known grey, so that a test sees whether a browser decoded it, and the right way up.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import gdcm  # type: ignore[import-untyped,unused-ignore]
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
    VLWholeSlideMicroscopyImageStorage,
    generate_uid,
)

from tests.pages.site import phantom_values

SIDE: Final = 128
GREYS: Final = (0.1, 0.4, 0.7, 1.0)
"""Of the card's quarters, left to right and top to bottom, as part of the brightest."""

# The card as High-Throughput JPEG 2000 (lossless, 16 bits), made once with OpenJPH: nothing in our wheels writes it.
_HTJ2K: Final = (
    "/0//UQApQAAAAACAAAAAgAAAAAAAAAAAAAAAgAAAAIAAAAAAAAAAAAABDwEB/1AACAACAAAADP9SAAwAAgABAAUEBEAB/1wAEyCQ"
    "mJigmJigmJigmJiYkJCY/2QAFwABT3BlbkpQSCBWZXIgMC4xNS4wLv+QAAoAAAAAA2gAAf+TwAAXTt/8Zv9q/cP/VffMfLl8mn4n"
    "b0dvmx9PD7Vzx33oee8A9ZdCADG4AMAAC0YAAFpA2bOLEZM9uxgxA/6cQgPSeAC1r7322o1pjDHG/D9zGMCnVwDAAAuggAAXSEkk"
    "4e6eRBLuuZdEEu65l0QS7rn3vgOp3U7qcYPSgnwAj/iIRzziEY94xCPEJz7xiU984hOf+P7vBa1nGMB79mMB7L0AwAALu4AAF6KA"
    "1VQDBVVNNVBBVU01UEFVTTVQQVVNNVBBVU01UEFVTTVQQVVNNVBB9ef+Op3U7qd1O6ndTupxg9KCcwGpmZrUpCY1qUlNalKTmtSk"
    "JjWpSU1qRCUqUYlKVKISlahEJSpRiUpUohKVqP7/T8Wta1rWcYwHv2YwHv2YwHv2YwHsuAHAAAvcYAAF9DBFFUWhFFUUJZQUVRQl"
    "lBRVFCWUFFUUJZQUVRQllBRVFCWUFFUUJZQUVRQllBRVFCWUFFUUJZQUVRQllBRVFCWUFFUUJZQUVRQllBRVFCWU/Pn/fDqd1O6n"
    "dTup3U7qd1O6ndTup3U7qd1O6nED0oJxAou6qEUtalGLWtSiFrWoRS1qUYta1KIWtahFLWpRi1rUoha1qEUtalGLWtSiVKISlahE"
    "JSpRiUpUohKVqEQlKlGJSlSiEpWoRCUqUYlKVKISlahEJSpRiUr+/32/Ba1rWta1rWta1nGMB79mMB79mMB79mMB79mMB79mMB79"
    "mMB79mMB7L0CwAAX0DAABfUor7zyyiuvvPLKK6+88sorr7zyyiuvvPLKK6+88sorr7zyyiuvvPLKK6+88sorr7zyyiuvvPLKK6+8"
    "8sorr7zyyiuvvPLKK6+88sorr7zyyiv+v/9//34FOU5TlOU5TlOU5TlOU5TlOU5TlOU5TlOU5TlOU5TlOU5TlOU5TlOCgnEDX/mV"
    "r3zlK1/5yle+8pWvfOUrX/nKV77yla985Stf+cpXvvKVr3zlK1/5yle+8pWvfOUrX/nKV77yla985Stf+cpXvvKVr3zlK1/5yle+"
    "8pWvfOUrX/nKV/7/f/9l/3/AAAAAAAAAAAGMB79mMB79mMB79mMB79mMB79mMB79mMB79mMB79mMB79mMB79mMB79mMB79mMB79m"
    "MB79mMB79mMB7LwE/9k="
)

# The card in JPEG Extended with 12 bits, its values less 400, made once with DCMTK.
_EXTENDED: Final = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMU"
    "FRUVDA8XGBYUGBIUFRT/wQALDACAAIABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAAAAwN/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/a"
    "AAgBAQAAPwDKqgABZAAACN/AAFkAAAI38AAWQAAAjfwABZAAACN/AAFkAAAI38AAWQAAAjfwABZAAACN/AAFkAAALIAAAWQAAAjf"
    "wABZAAACN/AAFkAAAI38AAWQAAAjfwABZAAACN/AAFkAAAI38AAWQAAAjfwABZAAAD///9k="
)

Encoder = Callable[[Dataset], None]


def card(bits: int) -> NDArray[np.uint16]:
    """The card's pixels with `bits` stored, of shape (SIDE, SIDE)."""
    half, top = SIDE // 2, 4000 if bits > 8 else 250
    pixels = np.empty((SIDE, SIDE), np.uint16)
    for quarter, grey in enumerate(GREYS):
        row, column = divmod(quarter, 2)
        pixels[row * half : (row + 1) * half, column * half : (column + 1) * half] = round(top * grey)
    return pixels


def of_card(syntax: str, bits: int = 12) -> Dataset:
    """The card as a secondary capture in a transfer syntax."""
    ds = _image(SecondaryCaptureImageStorage, "OT")
    pixels = card(bits)
    _grey(ds, pixels, bits)
    ds.WindowCenter, ds.WindowWidth = int(pixels.max()) // 2, int(pixels.max())
    ENCODERS[syntax](ds)
    return ds


def part10(ds: Dataset) -> bytes:
    """The file of a data set, in the transfer syntax of its file meta information."""
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _native(syntax: str) -> Encoder:
    def encode(ds: Dataset) -> None:
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        if syntax == ExplicitVRBigEndian:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()

    return encode


def _by_pydicom(syntax: str, **options: Any) -> Encoder:
    def encode(ds: Dataset) -> None:
        ds.compress(syntax, generate_instance_uid=False, **options)

    return encode


def _by_gdcm(syntax: int) -> Encoder:
    def encode(ds: Dataset) -> None:
        with tempfile.TemporaryDirectory() as folder:
            before, after = f"{folder}/before.dcm", f"{folder}/after.dcm"
            Path(before).write_bytes(part10(ds))
            reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
            reader.SetFileName(before)
            assert reader.Read()
            change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
            change.SetInput(reader.GetImage())
            assert change.Change()
            writer.SetFileName(after)
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            assert writer.Write()
            written = dcmread(after)
            ds.PixelData = bytes(written.PixelData)
            ds["PixelData"].is_undefined_length = True
            ds.file_meta.TransferSyntaxUID = written.file_meta.TransferSyntaxUID

    return encode


def _jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling="4:2:2" if pixels.ndim == 3 else -1)
    return out.getvalue()


def _encapsulated(ds: Dataset, syntax: str, frames: list[bytes]) -> None:
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = UID(syntax)


def _baseline(ds: Dataset) -> None:
    pixels = np.frombuffer(ds.PixelData, np.uint8).reshape(ds.Rows, ds.Columns)
    _encapsulated(ds, JPEGBaseline8Bit, [_jpeg(pixels)])


def _htj2k(ds: Dataset) -> None:
    _encapsulated(ds, HTJ2KLossless, [base64.b64decode(_HTJ2K)])


def _extended(ds: Dataset) -> None:
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, 400, "US"
    _encapsulated(ds, JPEGExtended12Bit, [base64.b64decode(_EXTENDED)])


ENCODERS: Final[dict[str, Encoder]] = {
    ImplicitVRLittleEndian: _native(ImplicitVRLittleEndian),
    ExplicitVRLittleEndian: _native(ExplicitVRLittleEndian),
    ExplicitVRBigEndian: _native(ExplicitVRBigEndian),
    DeflatedExplicitVRLittleEndian: _native(DeflatedExplicitVRLittleEndian),
    RLELossless: _by_pydicom(RLELossless),
    JPEGBaseline8Bit: _baseline,
    JPEGExtended12Bit: _extended,
    JPEGLossless: _by_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14),
    JPEGLosslessSV1: _by_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14_1),
    JPEGLSLossless: _by_pydicom(JPEGLSLossless),
    JPEGLSNearLossless: _by_pydicom(JPEGLSNearLossless, jls_error=4),
    JPEG2000Lossless: _by_pydicom(JPEG2000Lossless),
    JPEG2000: _by_pydicom(JPEG2000, j2k_cr=[5]),
    HTJ2KLossless: _htj2k,
}
"""How the card gets into each transfer syntax."""


def bits_of(syntax: str) -> int:
    """How many bits the card has in a transfer syntax: 12 where it can."""
    return {str(JPEGBaseline8Bit): 8, str(HTJ2KLossless): 16}.get(syntax, 12)


def ct(slices: int = 20, side: int = 128) -> Iterator[Dataset]:
    """An axial series with geometry, so that a volume can be made of it (PS3.3 C.7.6.2)."""
    frame_of_reference = generate_uid()
    for number in range(1, slices + 1):
        ds = _image(CTImageStorage, "CT")
        ds.InstanceNumber, ds.FrameOfReferenceUID = number, frame_of_reference
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [200 / side, 200 / side]
        ds.ImagePositionPatient = [-100, -100, number * 5.0]
        ds.SliceThickness = ds.SpacingBetweenSlices = 5
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, 0, "HU"
        ds.WindowCenter, ds.WindowWidth = 40, 120
        _grey(ds, phantom_values(number / slices, side).astype(np.int16), 16)
        yield ds


def radiograph() -> Dataset:
    """A DR of a bright disc, with the values inverted as detectors deliver them (MONOCHROME1)."""
    y, x = np.mgrid[-1:1:800j, -1:1:640j]
    ds = _image(DigitalXRayImageStorageForPresentation, "DX")
    _grey(ds, np.where(x**2 + y**2 < 0.5, 400, 3800).astype(np.uint16), 12)
    ds.PhotometricInterpretation = "MONOCHROME1"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PresentationLUTShape, ds.PixelIntensityRelationship = "INVERSE", "LOG"
    ds.ImagerPixelSpacing = [0.2, 0.2]
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    return ds


def ultrasound(frames: int = 12, height: int = 240, width: int = 320) -> Dataset:
    """A multi-frame ultrasound in JPEG: a red bar wanders over a grey fan."""
    ds = _image(UltrasoundMultiFrameImageStorage, "US")
    y, x = np.mgrid[0:height, 0:width]
    fan = (np.abs(x - width / 2) < y * 0.6) & (y > 20)
    pictures = []
    for number in range(frames):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[fan] = 120
        at = 40 + number * (height - 80) // frames
        picture[at : at + 16, width // 2 - 40 : width // 2 + 40] = (220, 20, 20)
        pictures.append(_jpeg(picture))
    ds.Rows, ds.Columns, ds.NumberOfFrames = height, width, frames
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL_422", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.FrameTime = 50
    ds.FrameIncrementPointer = 0x00181063
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    _encapsulated(ds, JPEGBaseline8Bit, pictures)
    return ds


def slide(tile: int = 256) -> Iterator[Dataset]:
    """A small slide of two levels in JPEG tiles: pink tissue with dark nuclei on white (PS3.3 A.32.8)."""
    frame_of_reference, container = generate_uid(), "S-1"
    rng = np.random.default_rng(3)
    side = tile * 4
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    whole = np.full((side, side, 3), 245, np.uint8)
    whole[(x / 0.8) ** 2 + (y / 0.6) ** 2 < 1] = (226, 160, 196)
    for centre in rng.integers(side // 5, side * 4 // 5, (250, 2)):
        if whole[centre[0], centre[1], 1] == 160:
            whole[centre[0] - 4 : centre[0] + 4, centre[1] - 4 : centre[1] + 4] = (86, 40, 130)
    for number, scale in ((1, 1), (2, 4)):
        level = np.ascontiguousarray(whole[::scale, ::scale])
        tiles = [
            _jpeg(np.ascontiguousarray(level[top : top + tile, left : left + tile]))
            for top in range(0, level.shape[0], tile)
            for left in range(0, level.shape[1], tile)
        ]
        yield _level(level.shape[0], tile, tiles, number, scale, frame_of_reference, container)


def _level(
    side: int, tile: int, tiles: list[bytes], number: int, scale: int, frame_of_reference: str, container: str
) -> Dataset:
    millimetres = 2.0
    ds = _image(VLWholeSlideMicroscopyImageStorage, "SM")
    ds.InstanceNumber, ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = (
        number,
        frame_of_reference,
        "SLIDE_CORNER",
    )
    ds.ImageType = ["ORIGINAL" if scale == 1 else "DERIVED", "PRIMARY", "VOLUME", "NONE" if scale == 1 else "RESAMPLED"]
    ds.Rows = ds.Columns = tile
    ds.NumberOfFrames = len(tiles)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL_422", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    ds.LossyImageCompressionRatio = "10"
    ds.TotalPixelMatrixColumns = ds.TotalPixelMatrixRows = side
    ds.TotalPixelMatrixFocalPlanes = 1
    ds.ImagedVolumeWidth = ds.ImagedVolumeHeight = millimetres
    ds.ImagedVolumeDepth = 0.005
    ds.DimensionOrganizationType = "TILED_FULL"
    ds.ContainerIdentifier, ds.SpecimenLabelInImage, ds.BurnedInAnnotation = container, "NO", "NO"
    ds.FocusMethod, ds.ExtendedDepthOfField, ds.VolumetricProperties = "AUTO", "NO", "VOLUME"
    ds.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    ds.AcquisitionDateTime = "20260302093000"
    origin, measures, shared, path = Dataset(), Dataset(), Dataset(), Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20, 40
    ds.TotalPixelMatrixOriginSequence = [origin]
    measures.PixelSpacing, measures.SliceThickness = [millimetres / side, millimetres / side], 0.005
    shared.PixelMeasuresSequence = [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence = [_code("111744", "DCM", "Brightfield illumination")]
    path.IlluminationColorCodeSequence = [_code("414298005", "SCT", "Full Spectrum")]
    ds.OpticalPathSequence = [path]
    ds.NumberOfOpticalPaths = 1
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = container, generate_uid()
    specimen.SpecimenPreparationSequence = []
    ds.SpecimenDescriptionSequence = [specimen]
    _encapsulated(ds, JPEGBaseline8Bit, tiles)
    return ds


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def _image(sop_class: str, modality: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, generate_uid(), modality
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20260302"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "093000"
    ds.SeriesNumber = ds.InstanceNumber = 1
    ds.PatientOrientation = ""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _grey(ds: Dataset, pixels: NDArray[np.uint16] | NDArray[np.int16], bits: int) -> None:
    """Native pixels of one sample; 8 bits in bytes, more in words (PS3.3 C.7.6.3)."""
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = 8 if bits == 8 else 16
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.astype(np.uint8 if bits == 8 else pixels.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
