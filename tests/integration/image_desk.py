"""A county whose townships have sent real objects: files put into its store as the DIMSE door does it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom.data
import uvicorn
from fastapi import FastAPI
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from gateway.store import FolderStore
from interfaces.dicom.elements import Buffer
from interfaces.dicom.objects import open_part10, read_object
from tests.integration.api_desk import Desk
from tests.peers.ports import LOOPBACK, free_port
from worklist.errors import BadInput
from worklist.facts import ObjectFacts

SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
"""What the wheel carries; nothing is fetched."""


@dataclass(frozen=True)
class Sent:
    """An object that a township has sent."""

    study_id: str
    facts: ObjectFacts
    store_key: str

    @property
    def path(self) -> str:
        """Its address below a root."""
        facts = self.facts
        return (
            f"/studies/{facts.study_instance_uid}/series/{facts.series_instance_uid}/instances/{facts.sop_instance_uid}"
        )

    @property
    def uids(self) -> tuple[str, str, str]:
        """Study, series and instance, as dicomweb-client takes them."""
        return self.facts.study_instance_uid, self.facts.series_instance_uid, self.facts.sop_instance_uid


def storable() -> list[Path]:
    """The sample files that the DIMSE door would keep: those it can read."""
    found = []
    for path in sorted(SAMPLES.glob("**/*.dcm")):
        try:
            _facts(path.read_bytes())
        except BadInput:
            continue
        found.append(path)
    return found


def send(desk: Desk, file: Buffer, device: str = "TS01CT") -> Sent:
    """A Part 10 file arrives from a device."""
    store = desk.web.store
    assert isinstance(store, FolderStore)
    facts = _facts(file)
    kept = store.put([bytes(file)])
    receipt = desk.world.receive(facts, kept, device=device, at=desk.now)
    assert receipt.outcome == "stored", receipt
    return Sent(receipt.study_id, facts, kept.key)


def renumbered(file: bytes, number: int) -> bytes:
    """The same object under UIDs of its own and equal length, so that many samples with one UID fit into one county."""
    facts = _facts(file)
    for place, uid in enumerate((facts.study_instance_uid, facts.series_instance_uid, facts.sop_instance_uid), 1):
        fresh = f"1.{place}{number:04}".ljust(len(uid), "7")
        if len(uid) >= 8 and not open_part10(file)[0].endswith(".99"):
            file = file.replace(uid.encode(), fresh.encode())
    return file


def phantom(
    number: int = 1, study: str = "1.2.3", *, side: int = 64, name: str = "Wang^XiaoDong=王^小东", **tags: object
) -> bytes:
    """A CT slice of `side` × `side` pixels in Explicit VR Little Endian, UTF-8; `tags` are set last."""
    said = Dataset()
    said.file_meta = FileMetaDataset()
    said.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    said.file_meta.MediaStorageSOPClassUID = said.SOPClassUID = CTImageStorage
    said.file_meta.MediaStorageSOPInstanceUID = said.SOPInstanceUID = UID(f"{study}.1.{number}")
    said.SpecificCharacterSet = "ISO_IR 192"
    said.StudyInstanceUID, said.SeriesInstanceUID = UID(study), UID(f"{study}.1")
    said.PatientID, said.PatientName, said.PatientSex, said.PatientBirthDate = "P1", name, "M", "19600102"
    said.Modality, said.SeriesNumber, said.InstanceNumber = "CT", 1, number
    said.StudyDate, said.StudyTime, said.AccessionNumber = "20260302", "093000", ""
    said.Rows = said.Columns = side
    said.SamplesPerPixel, said.PhotometricInterpretation = 1, "MONOCHROME2"
    said.BitsAllocated, said.BitsStored, said.HighBit, said.PixelRepresentation = 16, 12, 11, 0
    said.ImagePositionPatient, said.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    said.PixelSpacing, said.SliceThickness = [0.5, 0.5], 1
    said.RescaleIntercept, said.RescaleSlope = -1024, 1
    said.WindowCenter, said.WindowWidth = 40, 400
    row, column = np.mgrid[0:side, 0:side]
    said.PixelData = ((row * 31 + column * 7 + number) % 4096).astype("<u2").tobytes()
    for word, value in tags.items():
        setattr(said, word, value)
    out = io.BytesIO()
    dcmwrite(out, said, enforce_file_format=True)
    return out.getvalue()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The app on a free port of its own; yields its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def _facts(file: Buffer) -> ObjectFacts:
    syntax, data = open_part10(file)
    return read_object(data, syntax)
