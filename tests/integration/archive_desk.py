"""A county whose studies go on into one or two Orthancs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.archived import ArchivedStore
from huren.app import create_app
from huren.jobs import jobs
from huren.kinds import Archives
from huren.workers import Worker
from tests.integration.api_desk import Desk, open_desk
from tests.integration.image_desk import Sent, phantom, send
from tests.peers.archive import ArchivePeer, archive_peer
from tests.world import Placed
from worklist.actions import archiving
from worklist.tables import Archival, ArchiveCopy, OutboxRow, Study


@dataclass
class Archiving:
    """The desk, its archives, and a worker whose clock is the desk's."""

    desk: Desk
    store: ArchivedStore
    peers: dict[str, ArchivePeer]
    worker: Worker

    @property
    def peer(self) -> ArchivePeer:
        """The first archive."""
        return self.peers["archive"]

    def scanned(self, placed: Placed, images: int = 2, *, listed: bool = False, **tags: Any) -> tuple[str, list[Sent]]:
        """A complete study of an order: its id, and what was sent. It is complete since the device `listed` all of it
        at once, or after the quiet time."""
        device, world = {"TS01": "TS01CT", "TS02": "TS02DR"}[placed.town], self.desk.world
        said = {"AccessionNumber": placed.accession_number, "PatientID": placed.patient_id, "side": 8, **tags}
        world.now = self.desk.now
        step = world.begin_step(placed, device=device) if listed else ""
        uid = placed.study_instance_uid
        sent = [send(self.desk, phantom(number, uid, **said), device) for number in range(1, images + 1)]
        if listed:
            world.end_step(step, [one.facts.sop_instance_uid for one in sent], device=device)
        else:
            self.complete(sent[0].study_id)
        return sent[0].study_id, sent

    def complete(self, study_id: str) -> None:
        """The quiet time is over."""
        self.desk.later(hours=3)
        self.desk.world.now = self.desk.now
        assert self.desk.world.check_arrival(study_id, self.desk.now) is None
        assert self.desk.world.one(Study, Study.id == study_id).arrival == "complete"

    def drain(self) -> None:
        """Run what is due now."""
        while self.worker.run_due(50):
            pass

    def step(self, **least: float) -> bool:
        """Let the clock run until a job of the archives is due; False when there is none left."""

        def due(session: Session) -> Any:
            return session.scalar(
                select(func.min(OutboxRow.due_at)).where(OutboxRow.kind == archiving.JOB, OutboxRow.stage != "done")
            )

        at = self.desk.world.ask(due)
        if at is None:
            return False
        self.desk.now = max(self.desk.now, at) + timedelta(**(least or {"seconds": 1}))
        self.desk.world.now = self.desk.now
        return True

    def archivals(self, **where: str) -> list[Archival]:
        """The rows of studies."""
        return self.desk.world.rows(Archival, *(getattr(Archival, name) == value for name, value in where.items()))

    def copies(self, study_id: str = "") -> list[ArchiveCopy]:
        """The rows of objects, of one study or of all."""
        rows = select(Archival.id)
        if study_id:
            rows = rows.where(Archival.study_id == study_id)
        return self.desk.world.rows(ArchiveCopy, ArchiveCopy.archival_id.in_(rows))

    def require_equal(self) -> int:
        """Every object that counts as archived is read back from its archive once more, by another client."""
        good = [copy for copy in self.copies() if copy.verified_at is not None]
        for copy in good:
            assert self.peers[copy.archive].client.digest(copy.place) == copy.sha256
        return len(good)


@contextmanager
def open_archives(
    folder: Path, *, replica: bool = False, keep_days: int = 0, cache_bytes: int = 1 << 30
) -> Iterator[Archiving]:
    """A county in `folder` with an archive, and with a second one if asked."""
    names = ("archive", "replica") if replica else ("archive",)
    with ExitStack() as closing:
        desk = closing.enter_context(open_desk(folder))
        peers = {name: closing.enter_context(archive_peer(folder / name, name)) for name in names}
        clients = {name: peer.client for name, peer in peers.items()}
        database = desk.web.database
        store = ArchivedStore(folder / "objects", folder / "fetched", cache_bytes, database, clients)
        desk.web = replace(desk.web, store=store)
        desk.app = create_app(desk.web)
        desk.world.do(archiving.configure, names, desk.now)
        found = jobs(database, store, lambda: desk.now, archives=Archives(clients, keep_days=keep_days))
        yield Archiving(desk, store, peers, Worker(database, lambda: desk.now, found))
