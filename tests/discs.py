"""What people hand in: images as files of discs, made here, and the other things that lie on discs."""

from __future__ import annotations

import zipfile
from io import BytesIO

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from interfaces.dicom.objects import open_part10

VIEWER = b"MZ" + bytes(range(256)) * 8
"""Begins like a program."""


def dataset(number: int = 1, *, study: str = "1.2.826.0.9", side: int = 8, **says: object) -> Dataset:
    """A small CT slice; `says` sets or replaces attributes by keyword."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"{study}.1.{number}"
    ds.StudyInstanceUID = study
    ds.SeriesInstanceUID = f"{study}.1"
    ds.PatientID = "10001"
    ds.PatientName = "Wang^XiaoDong=王^小东"
    ds.PatientBirthDate, ds.PatientSex = "19600102", "M"
    ds.Modality, ds.StudyDescription = "CT", "头颅平扫"
    ds.AccessionNumber = ""
    ds.StudyDate, ds.StudyTime = "20260302", "093000"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = bytes((number + n) % 251 for n in range(side * side * 2))
    for keyword, value in says.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def image(number: int = 1, **says: object) -> bytes:
    """`dataset` as a Part 10 file."""
    return encoded(dataset(number, **says))  # type: ignore[arg-type]


def encoded(ds: Dataset) -> bytes:
    """A data set as a Part 10 file."""
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def bare(number: int = 1, *, implicit: bool = True) -> bytes:
    """`image` as programs before Part 10 wrote it: the data set alone."""
    ds = dataset(number)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return bytes(open_part10(encoded(ds))[1])


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP of files by name."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()
