"""Pictures and PDFs of devices without DICOM as DICOM objects of the order that they were made for.

What is not known is left empty: the times are those that a person or a camera said. UIDs are made from the content
and the order, so that the same file sent twice is the same object.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from interfaces.dicom.elements import Buffer, view, walk
from interfaces.dicom.objects import open_part10
from interfaces.dicom.pictures import PictureFrame
from interfaces.dicom.report_objects import ENCAPSULATED_PDF, as_day, as_name, as_person, as_time, carried
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN
from worklist.errors import BadInput
from worklist.facts import PictureFiling

JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
ULTRASOUND: Final = "1.2.840.10008.5.1.4.1.1.6.1"
ENDOSCOPIC: Final = "1.2.840.10008.5.1.4.1.1.77.1.1"
MICROSCOPIC: Final = "1.2.840.10008.5.1.4.1.1.77.1.2"
PHOTOGRAPHIC: Final = "1.2.840.10008.5.1.4.1.1.77.1.4"
_CLASSES: Final = {"US": ULTRASOUND, "ES": ENDOSCOPIC, "GM": MICROSCOPIC, "XC": PHOTOGRAPHIC, "": PHOTOGRAPHIC}
"""By the procedure's modality; of any other, such as CT or DX, a picture is a secondary capture."""
_PICTURES, _PAPERS = 801, 802  # Series Numbers: behind those of a device, before those of our reports
_LENGTH, _DOCUMENT = 0x00420015, 0x00420011  # of an encapsulated document (PS3.3 C.24.2)
_VISIBLE_LIGHT: Final = (ENDOSCOPIC, MICROSCOPIC, PHOTOGRAPHIC)
_TAKEN: Final = re.compile(r"([0-9]{4}):([0-9]{2}):([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True)
class Wrapped:
    """A data set without preamble and file meta, and its transfer syntax."""

    transfer_syntax: str
    dataset: bytes
    sop_instance_uid: str


def uid_of(filing: PictureFiling, digest: str, page: int = 0) -> str:
    """The SOP Instance UID of page `page` of the file with this SHA-256 in this order (below 2.25, PS3.5 B.2)."""
    return derived("instance", filing.order_id, digest, str(page))


def wrap_picture(
    filing: PictureFiling, frame: PictureFrame, *, sop_instance_uid: str, number: int, name: str
) -> Wrapped:
    """A picture as an Ultrasound, VL or Secondary Capture Image (PS3.3 A.6, A.32, A.8).

    `number` becomes the Instance Number, `name` (the file's, without its folder) the image comment.
    """
    sop_class = _CLASSES.get(filing.modality, SECONDARY_CAPTURE)
    if frame.bits == 16 or (sop_class in _VISIBLE_LIGHT and frame.samples == 1):
        sop_class = SECONDARY_CAPTURE  # visible light has colours of eight bits
    ds = identity_of(filing, sop_class, sop_instance_uid, number)
    ds.Modality = filing.modality or ("XC" if sop_class == PHOTOGRAPHIC else "OT")
    ds.SeriesInstanceUID = derived("pictures", filing.order_id, filing.upload_id, sop_class)
    ds.ImageType = ["ORIGINAL", "PRIMARY"] + ([""] if sop_class == ULTRASOUND else [])
    if sop_class == SECONDARY_CAPTURE:
        ds.ImageType = ["DERIVED", "SECONDARY"]
        ds.ConversionType = "DI"
    if sop_class in _VISIBLE_LIGHT:
        ds.AcquisitionContextSequence = Sequence()
    if sop_class == ULTRASOUND:
        ds.UltrasoundColorDataPresent = int(frame.samples == 3)
    if remark := carried(name, 1024):
        ds.ImageComments = remark
    if taken := _TAKEN.fullmatch(frame.taken):
        day, time = as_day("".join(taken.groups()[:3])), as_time("".join(taken.groups()[3:]))
        if day and time:
            ds.ContentDate, ds.ContentTime = day, time
            ds.AcquisitionDateTime = day + time
    _pixels(ds, frame)
    return encoded(ds, JPEG_BASELINE if frame.is_jpeg else EXPLICIT_LITTLE_ENDIAN)


def wrap_pdf(
    filing: PictureFiling, pdf: bytes | memoryview, *, sop_instance_uid: str, number: int, name: str
) -> Wrapped:
    """A PDF as an Encapsulated PDF (PS3.3 A.45.1), its bytes untouched. `name` becomes the document's title."""
    ds = identity_of(filing, ENCAPSULATED_PDF, sop_instance_uid, number)
    ds.Modality = "DOC"
    ds.SeriesInstanceUID = derived("papers", filing.order_id, filing.upload_id)
    ds.ConversionType = "DI"
    ds.ContentDate = ds.ContentTime = ds.AcquisitionDateTime = ""
    ds.BurnedInAnnotation = "YES"  # nobody has looked: what a device prints usually names the patient
    ds.DocumentTitle = carried(name, 1024)
    ds.ConceptNameCodeSequence = Sequence()
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(pdf)
    ds.EncapsulatedDocument = bytes(pdf)
    return encoded(ds, EXPLICIT_LITTLE_ENDIAN)


def read_pdf(part10: Buffer) -> memoryview:
    """The PDF of an Encapsulated PDF, without the byte that makes its value even.

    Raises
    ------
    BadInput
        ``no_document``; as `open_part10` and `walk`.
    """
    syntax, whole = open_part10(part10)
    data, length, found = view(whole, syntax), -1, None
    for token in walk(data, syntax):
        if token.depth == 0 and token.tag == _LENGTH and token.end - token.start == 4:
            length = int.from_bytes(data[token.start : token.end], "little" if token.little else "big")
        elif token.depth == 0 and token.tag == _DOCUMENT and token.kind == "value":
            found = data[token.start : token.end]
    if found is None:
        raise BadInput("no_document")
    return found[:length] if 0 <= length <= len(found) else found


def identity_of(filing: PictureFiling, sop_class: str, sop_instance_uid: str, number: int) -> Dataset:
    """Patient, General Study, General Series and SOP Common (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.12.1)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, sop_instance_uid
    ds.PatientName = as_name(filing.name)
    ds.PatientID = carried(filing.patient_id, 64)
    if issuer := carried(filing.issuer, 64):
        ds.IssuerOfPatientID = issuer
    ds.PatientBirthDate = as_day(filing.birth_date)
    ds.PatientSex = filing.sex if filing.sex in ("M", "F", "O") else ""
    ds.StudyInstanceUID = filing.study_instance_uid
    ds.StudyDate, ds.StudyTime = as_day(filing.study_date), as_time(filing.study_time)
    ds.StudyID = ""
    ds.AccessionNumber = carried(filing.accession_number, 16)
    ds.ReferringPhysicianName = as_person(filing.ordering_doctor)
    if description := carried(filing.description, 64):
        ds.StudyDescription = description
    if place := carried(filing.institution_name, 64):
        ds.InstitutionName = place
    if filing.body_part.isascii() and (part := carried(filing.body_part, 16).upper()):
        ds.BodyPartExamined = part
    ds.SeriesNumber = _PAPERS if sop_class == ENCAPSULATED_PDF else _PICTURES
    ds.InstanceNumber = number
    ds.Manufacturer = ""
    if ds.AccessionNumber:
        request = Dataset()
        request.AccessionNumber = ds.AccessionNumber
        request.StudyInstanceUID = filing.study_instance_uid
        request.RequestedProcedureID = carried(filing.accession_number, 16)
        if description:
            request.RequestedProcedureDescription = description
        ds.RequestAttributesSequence = Sequence([request])
    return ds


def _pixels(ds: Dataset, frame: PictureFrame) -> None:
    """Image Pixel, General Image, lossy compression and ICC profile (PS3.3 C.7.6.3, C.7.6.1.1.5, C.11.15)."""
    ds.PatientOrientation = ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = frame.samples, frame.photometric
    if frame.samples == 3:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = frame.rows, frame.columns
    ds.BitsAllocated = ds.BitsStored = frame.bits
    ds.HighBit, ds.PixelRepresentation = frame.bits - 1, 0
    ds.LossyImageCompression = "01" if frame.was_lossy else "00"
    if frame.is_jpeg:
        ratio = frame.rows * frame.columns * frame.samples / len(frame.pixels)
        ds.LossyImageCompressionRatio, ds.LossyImageCompressionMethod = f"{ratio:.2f}", "ISO_10918_1"
    if frame.profile:
        ds.ICCProfile = frame.profile + b"\0" * (len(frame.profile) % 2)
    ds.PixelData = encapsulate([frame.pixels]) if frame.is_jpeg else frame.pixels + b"\0" * (len(frame.pixels) % 2)
    ds["PixelData"].VR = "OW" if frame.bits == 16 else "OB"
    ds["PixelData"].is_undefined_length = frame.is_jpeg


def encoded(ds: Dataset, syntax: str) -> Wrapped:
    """The data set in the little endian syntax with explicit VRs; `syntax` says how its pixels are encoded."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, ds, parent_encoding="utf-8")
    return Wrapped(syntax, out.getvalue(), str(ds.SOPInstanceUID))


def derived(*words: str) -> str:
    """A UID that is made of these words, the same each time (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(("huren", *words)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
