"""A county for tests of the DIMSE door: a database with a township's CT, an object store, and the open door."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.dimse.door import Door
from gateway.dimse.guard import Limits
from gateway.store import FolderStore
from gateway.tls import Identity
from tests.peers.dcmtk import Scu
from tests.peers.ports import LOOPBACK
from worklist.database import Database, sqlite_url
from worklist.tables import Base, Device, DeviceAddress, DeviceInstitution, Institution

T = TypeVar("T", bound=Base)
NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


def now() -> datetime:
    """The clock of the tests."""
    return NOW


@dataclass
class County:
    """What a test looks at and plays with."""

    database: Database
    store: FolderStore
    door: Door
    device_id: str
    institution_id: str

    def scu(self, calling: str = "CT1", called: str = "HUREN") -> Scu:
        """DCMTK as a modality."""
        return Scu(port=self.door.port, calling=calling, called=called)

    def rows(self, table: type[T]) -> list[T]:
        """Every row of a table."""

        def work(session: Session) -> list[T]:
            rows = list(session.scalars(select(table)))
            session.expunge_all()
            return rows

        return self.database.read(work)

    def add(self, *rows: Base) -> None:
        """Write rows."""

        def work(session: Session) -> None:
            for row in rows:
                session.add(row)
                session.flush()

        self.database.write(work)


@contextmanager
def county(
    folder: Path,
    *,
    limits: Limits | None = None,
    character_set_out: str = "GB18030",
    identity: Identity | None = None,
    stock: bool = False,
    **settings: Any,
) -> Iterator[County]:
    """Run a county in `folder`: one township, whose CT1 calls from the loopback address. `settings` are its columns.

    With `identity`, the door also listens over TLS; with `stock`, pynetdicom receives the objects.
    """
    database = Database(sqlite_url(folder / "huren.db"))
    Base.metadata.create_all(database.engine)
    store = FolderStore(folder / "objects")
    door = Door(
        database,
        store,
        now,
        host=LOOPBACK,
        port=0,
        limits=limits,
        identity=identity,
        tls_port=None if identity is None else 0,
        stock=stock,
    )
    institution = Institution(code="TOWN", name="河西乡卫生院", created_at=NOW)
    device = Device(
        name="河西 CT",
        modality="CT",
        character_set_in="GB18030",
        character_set_out=character_set_out,
        created_at=NOW,
        **settings,
    )

    def seed(session: Session) -> tuple[str, str]:
        session.add_all([institution, device])
        session.flush()
        session.add(DeviceAddress(door="dimse", address=LOOPBACK, claimed="CT1", device_id=device.id))
        session.add(DeviceInstitution(device_id=device.id, institution_id=institution.id))
        return device.id, institution.id

    device_id, institution_id = database.write(seed)
    door.start()
    try:
        yield County(database, store, door, device_id, institution_id)
    finally:
        door.stop()
        database.close()


def wait_for(happened: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `happened()`; fails when the time is over."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def ct_slice(folder: Path, number: int = 1, *, patient_id: str = "7", **other: object) -> Path:
    """A small CT slice of our own making, as a file; `other` sets or replaces attributes."""
    ds = Dataset()
    ds.SpecificCharacterSet = "GB18030"
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"1.2.3.4.{number}"
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = "1.2.3.4"
    ds.PatientID = patient_id
    ds.PatientName = "Wang^XiaoDong=王^小东"
    ds.PatientBirthDate = "19600102"
    ds.PatientSex = "M"
    ds.Modality = "CT"
    ds.AccessionNumber = ""
    ds.StudyDate = "20260302"
    ds.StudyTime = "093000"
    ds.InstanceNumber = number
    ds.Rows = ds.Columns = 8
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.PixelData = bytes(range(128))
    for keyword, value in other.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"{number}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path
