"""What the demo's modalities make: phantoms as CT and DX objects, and pictures that pydicom's wheel carries.

Real modalities copy the patient and the order from the worklist's answer, byte for byte, since they often cannot even
display it; so do these. Of the wheel's files only pixels and technique are kept: they are public test images without
identities, and get the identity of the demo's invented patient and UIDs of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from io import BytesIO
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    TwelveLeadECGWaveformStorage,
)
from pydicom.valuerep import PersonName as PydicomName

from huren.demo import hearts, phantoms
from interfaces.dicom import charset
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, Fields
from interfaces.dicom.objects import part10
from interfaces.dicom.uids import new_uid
from interfaces.ecg.recording import Subject
from interfaces.ecg.writing import filing_of, write
from worklist.facts import PersonName

ZONE: Final = ZoneInfo("Asia/Shanghai")
MAKER: Final = "Huren demo"
THIN_SLICES: Final = 200  # of 0.75 mm, 105 MB
THICK_SLICES: Final = 30  # of 5 mm
CT_WINDOW: Final = (40, 80)  # Hounsfield units: centre and width for a brain

# Copied from the worklist's answer into every image (PS3.17 annex J), with the VR.
_COPIED: Final = {
    0x00080050: "SH",  # Accession Number
    0x00080090: "PN",  # Referring Physician's Name
    0x00100010: "PN",
    0x00100020: "LO",
    0x00100021: "LO",  # Issuer of Patient ID
    0x00100030: "DA",
    0x00100040: "CS",
    0x0020000D: "UI",  # Study Instance UID
}
_STEP: Final = 0x00400100
# What is kept of a file from pydicom's wheel: technique, pixels and their description.
_KEPT_GROUPS: Final = (0x0018, 0x0028, 0x7FE0)
_KEPT: Final = (0x00080008, 0x00080016, 0x00200032, 0x00200037, 0x00200060)
_NOT_KEPT: Final = (0x00181000, 0x00181016, 0x00181018, 0x00181020, 0x00181030, 0x00280303)


@dataclass(frozen=True)
class Picked:
    """The worklist line that a technician picked, or an identity typed in at the console.

    `common` goes into every image; `request` is the item of Request Attributes Sequence, None without an order.
    """

    common: Dataset
    request: Dataset | None
    study_instance_uid: str
    accession_number: str
    patient_id: str
    step_id: str
    procedure: bytes  # as encoded, in the character set of `common`
    at: datetime  # aware; when the examination begins
    frame_of_reference: str = field(default_factory=new_uid)


def picked_from(answer: Dataset, at: datetime) -> Picked:
    """The line of a worklist `answer`, taken over byte for byte."""
    line = Fields(answer)
    step = next(line.items(_STEP), Fields(Dataset()))
    common = Dataset()
    if line.character_set:
        common.add(DataElement(SPECIFIC_CHARACTER_SET, "CS", list(line.character_set)))
    for tag, vr in _COPIED.items():
        common.add(_element(tag, vr, line.raw(tag)))
    procedure = step.raw(0x00400007) or line.raw(0x00321060)
    common.add(_element(0x00081030, "LO", procedure))  # Study Description
    request = Dataset()
    request.add(_element(0x00080050, "SH", line.raw(0x00080050)))
    request.add(_element(0x0020000D, "UI", line.raw(0x0020000D)))
    request.add(_element(0x00400007, "LO", procedure))
    request.add(_element(0x00400009, "SH", step.raw(0x00400009)))
    request.add(_element(0x00401001, "SH", line.raw(0x00401001)))
    return Picked(
        common=common,
        request=request,
        study_instance_uid=line.plain(0x0020000D),
        accession_number=line.plain(0x00080050),
        patient_id=line.text(0x00100020),
        step_id=step.text(0x00400009),
        procedure=procedure,
        at=at,
    )


def typed_in(name: PersonName, patient_id: str, sex: str, birth_date: str, character_set: str, at: datetime) -> Picked:
    """An identity that the technician typed, without an order; encoded in the device's character set."""
    common = Dataset()
    common.add(DataElement(SPECIFIC_CHARACTER_SET, "CS", list(charset.label(character_set))))
    uid = new_uid()
    values = {
        0x00100010: charset.write_name(name, character_set),
        0x00100020: patient_id.encode("ascii"),
        0x00100030: birth_date.encode("ascii"),
        0x00100040: sex.encode("ascii"),
        0x0020000D: uid.encode("ascii"),
    }
    for tag, vr in _COPIED.items():
        if tag != 0x00100021:
            common.add(_element(tag, vr, values.get(tag, b"")))
    return Picked(common, None, uid, "", patient_id, "", b"", at)


def ct_head(picked: Picked, *, bleed: bool, count: int = THIN_SLICES) -> Iterator[Dataset]:
    """A head in `count` slices of 512 by 512 pixels (CT Image IOD, PS3.3 A.3), made one at a time."""
    series = _series(picked, "CT", 2, f"Head {phantoms.HEAD_HEIGHT / count:g} mm H31")
    for number, (z, units) in enumerate(phantoms.head_slices(count, bleed=bleed, seed=_seed(picked)), start=1):
        ds = _image(picked, series, CTImageStorage, number)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.AcquisitionNumber = 1
        ds.KVP = 120
        ds.XRayTubeCurrent = 260
        ds.ExposureTime = 1000
        ds.ConvolutionKernel = "H31"
        ds.PatientPosition = "HFS"
        ds.BodyPartExamined = "HEAD"
        ds.SliceThickness = phantoms.HEAD_HEIGHT / count
        corner = -(phantoms.HEAD_SIDE - 1) / 2 * phantoms.HEAD_PIXEL
        ds.ImagePositionPatient = [round(corner, 4), round(corner, 4), round(z, 4)]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.SliceLocation = round(z, 4)
        ds.FrameOfReferenceUID = picked.frame_of_reference
        ds.PositionReferenceIndicator = ""
        ds.PixelSpacing = [phantoms.HEAD_PIXEL, phantoms.HEAD_PIXEL]
        ds.WindowCenter, ds.WindowWidth = CT_WINDOW
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
        _grey(ds, np.clip(np.rint(units) + 1024, 0, 4095).astype("<u2"))
        yield ds


def chest_dr(picked: Picked, side: int = phantoms.CHEST_SIDE) -> Iterator[Dataset]:
    """A chest in two views, from the front and from the left (Digital X-Ray Image IOD, PS3.3 A.26).

    `side` is that of the pictures in pixels.
    """
    pixel = round(phantoms.CHEST_PIXEL * phantoms.CHEST_SIDE / side, 4)
    for number, (view, position, orientation) in enumerate(
        (("PA", "Chest PA", ["L", "F"]), ("LL", "Chest lateral", ["P", "F"])), start=1
    ):
        series = _series(picked, "DX", number, position)
        series.PresentationIntentType = "FOR PRESENTATION"
        ds = _image(picked, series, DigitalXRayImageStorageForPresentation, number)
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
        ds.BodyPartExamined = "CHEST"
        ds.AnatomicRegionSequence = Sequence([_code("51185008", "SCT", "Chest")])
        ds.ViewPosition = view
        seen = ("399348003", "postero-anterior") if view == "PA" else ("399173006", "left lateral")
        ds.ViewCodeSequence = Sequence([_code(seen[0], "SCT", seen[1])])
        ds.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
        ds.PatientOrientation = orientation
        ds.ImageLaterality = "U"
        ds.KVP = 120
        ds.PositionerType = ""
        ds.DetectorType = "DIRECT"
        ds.DetectorID = "DEMO"
        ds.ImagerPixelSpacing = [pixel, pixel]
        ds.PixelIntensityRelationship = "LOG"
        ds.PixelIntensityRelationshipSign = -1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
        ds.PresentationLUTShape = "IDENTITY"
        ds.LossyImageCompression = "00"
        ds.BurnedInAnnotation = "NO"
        ds.WindowCenter, ds.WindowWidth = 1800, 3600
        ds.AcquisitionContextSequence = Sequence([])
        density = phantoms.chest(view, seed=_seed(picked) + number, side=side)
        _grey(ds, np.rint(density * 4095).astype("<u2"))
        yield ds


def from_wheel(picked: Picked, modality: str, *names: str) -> Iterator[Dataset]:
    """Files of pydicom's wheel as images of `picked`, in the transfer syntax that they have."""
    series = _series(picked, modality, 1, "")
    if modality == "US":
        series.Laterality = ""
    for number, name in enumerate(names, start=1):
        with files("pydicom").joinpath("data", "test_files", name).open("rb") as file:
            source = dcmread(file)
        ds = _image(picked, series, source.SOPClassUID, number)
        for tag in source.keys():  # noqa: SIM118 -- iterating a Dataset converts its elements
            if (tag.group in _KEPT_GROUPS or tag in _KEPT) and tag not in _NOT_KEPT and not tag.is_private:
                ds[tag] = source[tag]
        if modality == "MR":
            ds.FrameOfReferenceUID = picked.frame_of_reference
            ds.PositionReferenceIndicator = ""
            ds.PatientPosition = "HFS"
        ds.file_meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
        yield ds


def ecg(picked: Picked, heart: hearts.Heart) -> Iterator[Dataset]:
    """One recording of twelve leads and ten seconds (12-Lead ECG IOD, PS3.3 A.34.3)."""
    uid = new_uid()
    made = write(hearts.record(heart, picked.at.astimezone(ZONE), _seed(picked)), filing_of(Subject(), uid), uid)
    head = part10(sop_class=TwelveLeadECGWaveformStorage, sop_instance=uid, transfer_syntax=made.transfer_syntax)
    ds = dcmread(BytesIO(head + made.dataset))
    ds.decode()  # its words, before they are written in the cart's character set
    ds.update(_series(picked, "ECG", 1, "Rest ECG"))
    del ds.ImageComments
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    yield ds


Images = Callable[[Picked], Iterator[Dataset]]


def ecg_sinus(picked: Picked) -> Iterator[Dataset]:
    """A heart with nothing to find."""
    return ecg(picked, hearts.SINUS)


def ecg_fibrillating(picked: Picked) -> Iterator[Dataset]:
    """Atria that fibrillate."""
    return ecg(picked, hearts.FIBRILLATING)


def ecg_infarct(picked: Picked) -> Iterator[Dataset]:
    """An infarct of the inferior wall, some hours old."""
    return ecg(picked, hearts.INFARCT)


def ct_head_bleeding(picked: Picked) -> Iterator[Dataset]:
    """A head with fresh blood on the left."""
    return ct_head(picked, bleed=True)


def ct_head_plain(picked: Picked) -> Iterator[Dataset]:
    """A head with nothing to find."""
    return ct_head(picked, bleed=False)


def ct_head_bleeding_thick(picked: Picked) -> Iterator[Dataset]:
    """The same in thick slices, a seventh of the bytes."""
    return ct_head(picked, bleed=True, count=THICK_SLICES)


def ct_head_plain_thick(picked: Picked) -> Iterator[Dataset]:
    """A head with nothing to find, in thick slices."""
    return ct_head(picked, bleed=False, count=THICK_SLICES)


def heart_us(picked: Picked) -> Iterator[Dataset]:
    """A multi-frame ultrasound of a heart, JPEG-compressed."""
    return from_wheel(picked, "US", "examples_ybr_color.dcm")


def node_us(picked: Picked) -> Iterator[Dataset]:
    """Two ultrasound pictures of a lymph node: one uncompressed, one in JPEG 2000."""
    return from_wheel(picked, "US", "examples_rgb_color.dcm", "examples_jpeg2k.dcm")


def abdomen_mr(picked: Picked) -> Iterator[Dataset]:
    """One MR slice of an upper abdomen."""
    return from_wheel(picked, "MR", "examples_overlay.dcm")


def _element(tag: int, vr: str, raw: bytes) -> DataElement:
    """An element whose value is already encoded; pydicom writes such bytes as they are."""
    value: Any = raw or None
    if raw and vr == "PN":
        value = PydicomName(raw.rstrip(b" "), validation_mode=0)
    elif vr in ("UI", "DA", "CS"):
        value = raw.decode("ascii").strip(" \0") or None
    return DataElement(tag, vr, value, already_converted=vr in ("PN", "LO", "SH"))


def _series(picked: Picked, modality: str, number: int, description: str) -> Dataset:
    """What the images of one series share."""
    local = picked.at.astimezone(ZONE)
    ds = Dataset()
    ds.update(picked.common)
    ds.Modality = modality
    ds.Manufacturer = MAKER
    ds.ManufacturerModelName = "Phantom"
    ds.ImageComments = "Demo: a phantom or a public test image, of no real person"
    ds.StudyDate = ds.SeriesDate = f"{local:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = f"{local:%H%M%S}"
    ds.TimezoneOffsetFromUTC = f"{local:%z}"
    ds.StudyID = picked.accession_number
    ds.SeriesInstanceUID = new_uid()
    ds.SeriesNumber = number
    if description:
        ds.SeriesDescription = description
    if picked.request is not None:
        ds.RequestAttributesSequence = Sequence([picked.request])
    ds.PerformedProcedureStepStartDate = ds.StudyDate
    ds.PerformedProcedureStepStartTime = ds.StudyTime
    ds.PerformedProcedureStepID = picked.step_id or picked.study_instance_uid[-16:]
    return ds


def _image(picked: Picked, series: Dataset, sop_class: str, number: int) -> Dataset:
    """A new image of `series`, without pixels."""
    ds = Dataset()
    ds.update(series)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = new_uid()
    ds.InstanceNumber = number
    ds.PatientOrientation = ""
    ds.AcquisitionDate = ds.ContentDate = ds.StudyDate
    ds.AcquisitionTime = ds.ContentTime = ds.StudyTime
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _grey(ds: Dataset, pixels: np.ndarray[Any, np.dtype[np.uint16]]) -> None:
    """Pixels of 12 bits in 16, unsigned (PS3.3 C.7.6.3)."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds[BaseTag(0x7FE00010)] = DataElement(0x7FE00010, "OW", pixels.tobytes())


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def _seed(picked: Picked) -> int:
    """Another noise for each study."""
    return int(picked.study_instance_uid.rpartition(".")[2]) % (1 << 32)
