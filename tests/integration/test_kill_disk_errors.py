"""A disk that fails under the running server: never success, and everything goes on once it works again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hl7
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.integration.killing import Server, orphan_faults, storage_faults
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import Orderer
from tests.integration.killing_points import failing
from tests.integration.killing_signing import SIGNER, WRITER, Readers
from tests.peers.mllp_client import MllpClient
from worklist.database import Database, sqlite_url
from worklist.errors import TryLater
from worklist.tables import Instance, ReportVersion

# The sync of a file and its folder, the sync of the database's log, and a write that finds no room.
FAILURES = (("fsync", "EIO"), ("fdatasync", "EIO"), ("write", "ENOSPC"), ("rename", "EIO"), ("pwrite64", "ENOSPC"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    try:
        for login in (WRITER, SIGNER):
            running.token(login)
        yield running
    finally:
        running.close()


def test_work_that_sqlite_took_back_with_its_neighbours_is_not_acknowledged(tmp_path: Path) -> None:
    """After an I/O error SQLite rolls the whole transaction back by itself, and a COMMIT then succeeds without it."""
    database = Database(sqlite_url(tmp_path / "x.sqlite3"))
    database.write(lambda s: s.execute(text("CREATE TABLE t (n INTEGER)")))
    go_on, outcomes = threading.Event(), dict[str, object]()

    def insert(session: Session) -> str:
        session.execute(text("INSERT INTO t VALUES (1)"))
        return "acknowledged"

    def fail(session: Session) -> str:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        driver.execute("ROLLBACK")  # as SQLite does
        return str(session.execute(text("SELECT n FROM not_there")))

    def submit(name: str, work: Callable[[Session], str]) -> None:
        try:
            outcomes[name] = database.write(work)
        except TryLater as error:
            outcomes[name] = error.code

    first = threading.Thread(target=database.write, args=(lambda _session: go_on.wait(20),))
    batch = [threading.Thread(target=submit, args=job) for job in (("a", insert), ("b", fail), ("c", insert))]
    try:
        for thread in (first, *batch):
            thread.start()
            time.sleep(0.1)  # while the first one works, the others become one batch
        go_on.set()
        for thread in (first, *batch):
            thread.join(20)
        kept = database.read(lambda s: s.execute(text("SELECT n FROM t")).all())
        assert outcomes["b"] == "database_away"
        assert list(outcomes.values()).count("acknowledged") == len(kept)
    finally:
        database.close()


def test_nothing_is_acknowledged_while_the_disk_fails(server: Server) -> None:
    readers = Readers(server, random.Random(1))
    readers.make(len(FAILURES))
    server.start()
    modality, orderer = Modality(server, random.Random(2)), Orderer(server, random.Random(3))
    for (call, error), case in zip(FAILURES, readers.cases, strict=True):
        readers.play_until(case, "review")
        (made,), (placed,) = modality.make(1), orderer.make(1)
        touches_database = call in ("fdatasync", "pwrite64")
        with failing(server, call, error):
            modality.by_pynetdicom([made])()
            if touches_database:
                client = MllpClient(server.mllp_port)
                answer = hl7.parse(client.send_message(placed.message).decode())
                client.socket.close()
                assert str(answer.segment("MSA")[1]) == "AE"
            with server.client(SIGNER) as signer:
                answered = signer.post(f"/api/readings/{case.reading_id}/sign")
        # An image gets its name before it comes, and no rename.
        assert (made.uid in modality.acknowledged) == (call == "rename"), (call, error)
        # Busy for now, out of resources, or broken until a person looks; never 200.
        assert answered.status_code in (500, 503), (call, error, answered.text)
        assert server.world.one(ReportVersion, ReportVersion.reading_id == case.reading_id).state == "draft"
        assert storage_faults(server) == []
    assert set(modality.refused) <= {"A700"}
    modality.refused.clear()
    # It works again, without a restart.
    modality.send_everything_again()
    orderer.send_what_is_open()
    readers.play(readers.cases)
    assert modality.faults() == []
    assert orderer.faults() == []
    assert len(orderer.answers) == len(orderer.placed)
    assert readers.faults() == []
    assert readers.undelivered(60) == []
    assert len(server.world.rows(Instance, Instance.sop_instance_uid.in_([m.uid for m in modality.made]))) == len(
        FAILURES
    )
    assert orphan_faults(server) == []
    server.kill()
    server.start()
    assert storage_faults(server) + modality.faults() + orderer.faults() + readers.faults() == []
