"""What the modalities of the county send: one picture of noise for each kind, under ever new UIDs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, UltrasoundImageStorage, generate_uid
from pynetdicom.dsutils import encode

from interfaces.ecg.waveforms import TWELVE_LEAD
from interfaces.ecg.writing import filing_of, write
from tests.bench.county import name_of
from tests.ecgs import recording
from tests.soak.day import KINDS, Exam, Kind

CLASSES: Final = {
    "CT": CTImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "US": UltrasoundImageStorage,
    "ECG": TWELVE_LEAD,
}
OWN: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "InstanceNumber",
    "PatientID",
    "PatientName",
    "AccessionNumber",
)
"""What is different in each object."""


@dataclass(frozen=True)
class Picture:
    """One object: its UID, its data set as it is sent (explicit little endian), and that one's SHA-256."""

    uid: str
    data: bytes
    digest: str


class Pictures:
    """Makes the objects of an examination."""

    def __init__(self, chance: random.Random) -> None:
        self._models = {kind.name: _model(kind, chance) for kind in KINDS}

    def of(self, exam: Exam, accession_number: str) -> list[Picture]:
        """All objects of one study, of one series."""
        study, series, made = generate_uid(), generate_uid(), []
        ds = Dataset()
        ds.update(self._models[exam.kind.name])  # its elements are shared; those that are set below are not among them
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.PatientID, ds.PatientName, ds.AccessionNumber = f"{exam.patient:06}", name_of(exam.patient), accession_number
        for number in range(1, exam.kind.images + 1):
            ds.SOPInstanceUID, ds.InstanceNumber = generate_uid(), number
            data = encode(ds, is_implicit_vr=False, is_little_endian=True)
            assert data is not None
            made.append(Picture(str(ds.SOPInstanceUID), data, sha256(data).hexdigest()))
        return made


def _model(kind: Kind, chance: random.Random) -> Dataset:
    if kind.name == "ECG":
        given = recording()
        data = write(given, filing_of(given.subject, "0" * 64), generate_uid()).dataset
        ds = read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=True)
        for name in OWN:
            if name in ds:
                delattr(ds, name)
    else:
        ds = Dataset()
        ds.Modality, ds.StudyDate, ds.StudyTime, ds.SeriesNumber = kind.name, "20260302", "093000", 1
        ds.Rows, ds.Columns, ds.SamplesPerPixel = kind.rows, kind.columns, kind.samples
        ds.PhotometricInterpretation = "RGB" if kind.samples == 3 else "MONOCHROME2"
        if kind.samples == 3:
            ds.PlanarConfiguration = 0
        ds.BitsAllocated = ds.BitsStored = kind.bits
        ds.HighBit, ds.PixelRepresentation = kind.bits - 1, 0
        ds.PixelData = chance.randbytes(kind.rows * kind.columns * kind.samples * kind.bits // 8)
        ds["PixelData"].VR = "OW" if kind.bits > 8 else "OB"
    ds.SOPClassUID = CLASSES[kind.name]
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientSex, ds.PatientBirthDate = "F", "19600102"
    return ds
