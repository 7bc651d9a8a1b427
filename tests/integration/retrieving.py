"""A county for tests of query and retrieve: two townships with workstations, real objects, and the open door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from gateway.dimse.door import Door
from gateway.store import FolderStore
from gateway.tls import Identity
from tests.integration.api_desk import Desk, open_desk
from tests.integration.dimse_county import ct_slice
from tests.peers.dcmtk import Scu
from tests.peers.ports import LOOPBACK, free_port
from tests.world import Placed
from worklist.actions import device_settings
from worklist.facts import OPERATIONS
from worklist.people import HUREN
from worklist.tables import Order, PatientIdentifier, Study

STUDY = "QueryRetrieveLevel=STUDY"


@dataclass
class Retrieving:
    """The desk of the county, its door, and where TS01's workstation listens once a test starts a peer there."""

    desk: Desk
    door: Door
    folder: Path
    listening: int

    @property
    def store(self) -> FolderStore:
        """The object store."""
        assert isinstance(self.desk.web.store, FolderStore)
        return self.desk.web.store

    def scu(self, calling: str = "TS01WS") -> Scu:
        """DCMTK as a device."""
        return Scu(port=self.door.port, calling=calling)

    def device(self, claimed: str, towns: tuple[str, ...], **settings: Any) -> str:
        """A device on the loopback address; `port` is where it takes images."""
        world = self.desk.world
        port = settings.pop("port", None)
        fields = {
            "name": claimed,
            "institution_ids": [world.institutions[town] for town in towns],
            "addresses": [{"door": "dimse", "address": LOOPBACK, "claimed": claimed, "port": port}],
            "operations": list(OPERATIONS),
            **settings,
        }
        return world.do(device_settings.save_device, HUREN, fields, world.now).id

    def scanned(self, placed: Placed, images: int = 1, **says: Any) -> str:
        """Objects of an order, stored by the township's modality; the Study Instance UID is returned."""
        modality = {"TS01": "TS01CT", "TS02": "TS02DR"}[placed.town]
        uid = placed.study_instance_uid
        folder = self.folder / f"{placed.accession_number}"
        folder.mkdir()
        for number in range(1, images + 1):
            ct_slice(
                folder,
                number,
                patient_id=placed.patient_id,
                **{
                    "StudyInstanceUID": uid,
                    "SeriesInstanceUID": f"{uid}.1",
                    "SOPInstanceUID": f"{uid}.1.{number}",
                    "AccessionNumber": placed.accession_number,
                    "StudyDescription": "头颅CT平扫",
                    "SeriesNumber": 2,
                    "SeriesDescription": "脑窗",
                    **says,
                },
            )
        ran = self.scu(modality).store(folder)
        assert ran.code == 0, ran.output
        return uid

    def study(self, uid: str) -> Study:
        """The only study of this UID."""
        return self.desk.world.one(Study, Study.study_instance_uid == uid)

    def one_patient(self, kept: Placed, other: Placed) -> None:
        """What linking two townships' patients comes to: all of `other`'s belongs to `kept`'s patient."""
        world = self.desk.world
        patient, gone = world.order_now(kept).patient_id, world.order_now(other).patient_id

        def work(session: Session) -> None:
            for table in (PatientIdentifier, Study, Order):
                session.execute(update(table).where(table.patient_id == gone).values(patient_id=patient))

        world.do(work)

    def set_link(self, uid: str, link: str) -> None:
        """Put a study's link into a state, however it came there."""
        world = self.desk.world
        world.do(lambda s: s.execute(update(Study).where(Study.study_instance_uid == uid).values(link=link)))

    def set_state(self, placed: Placed, state: str, **more: Any) -> None:
        """Put an order into a state, however it came there."""
        world = self.desk.world
        world.do(lambda s: s.execute(update(Order).where(Order.id == placed.id).values(state=state, **more)))


@contextmanager
def open_county(folder: Path, identity: Identity | None = None) -> Iterator[Retrieving]:
    """A county in `folder` whose workstations TS01WS and TS02WS may retrieve; with `identity`, its door also listens
    over TLS."""
    with open_desk(folder) as desk:
        door = Door(
            desk.web.database,
            desk.web.store,
            lambda: desk.now,
            host=LOOPBACK,
            port=0,
            identity=identity,
            tls_port=None if identity is None else 0,
        )
        door.start()
        try:
            county = Retrieving(desk, door, folder, free_port())
            county.device("TS01WS", ("TS01",), port=county.listening)
            county.device("TS02WS", ("TS02",))
            yield county
        finally:
            door.stop()
