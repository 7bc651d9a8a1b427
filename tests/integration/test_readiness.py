"""`/readyz` says what a process can do now, and what it lacks, in words; `/healthz` only that it lives."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from gateway.http import Web
from gateway.store import INCOMING, MARKER, FolderStore
from huren.app import create_app
from huren.broker import answers
from huren.migrate import upgrade
from huren.running import running
from huren.settings import Settings
from tests.peers.brokers import broker
from tests.peers.ports import LOOPBACK, free_port
from tests.world import build
from worklist import outbox
from worklist.actions import archiving
from worklist.actions.installation import bind_store
from worklist.database import Database, sqlite_url

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


class Server:
    """A web process's application over a migrated database and a store of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        upgrade(url)
        self.database = Database(url)
        build(self.database, NOW)
        self.settings = Settings(data=folder, reserve=0, disk_warning=0)
        self.store = FolderStore(self.settings.store_folder)
        self.database.write(lambda s: bind_store(s, self.store.marker()))

    def ask(self, **changed: Any) -> tuple[int, dict[str, Any]]:
        """The status and what is said, with some settings changed."""
        web = Web(self.database, self.store, lambda: NOW, secure_cookies=False, seals=self.settings.seals)
        app = create_app(web, replace(self.settings, **changed))
        assert TestClient(app).get("/healthz").json() == {"status": "alive"}
        answer = TestClient(app).get("/readyz")
        said = answer.json()
        assert said["ready"] == (answer.status_code == 200)
        assert said["reasons"] == [f"{c['name']}: {c['text']}" for c in said["checks"] if not c["ok"]]
        return answer.status_code, said


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    is_sqlite = request.param == "sqlite"
    url = sqlite_url(tmp_path / "huren.db") if is_sqlite else request.getfixturevalue("postgres_url")
    made = Server(tmp_path, url)
    yield made
    made.database.close()


def test_it_is_ready_and_says_what_it_looked_at(server: Server) -> None:
    status, said = server.ask()
    assert (status, said["status"], said["reasons"]) == (200, "ready", [])
    assert [check["name"] for check in said["checks"]] == ["database", "revision", "object store", "disk", "jobs"]


def test_another_revision_is_said(server: Server) -> None:
    server.database.write(lambda s: s.execute(text("UPDATE alembic_version SET version_num = '0001'")))
    status, said = server.ask()
    assert (status, said["status"]) == (503, "not ready")
    assert "run `huren migrate`" in said["reasons"][0]


def test_a_store_that_is_not_there_or_another_s_is_said(server: Server) -> None:
    marker = server.settings.store_folder / MARKER
    kept = marker.read_text()
    marker.write_text("another")
    assert server.ask()[0] == 503
    marker.unlink()
    status, said = server.ask()
    assert (status, said["reasons"]) == (503, ["object store: not readable: is its disk mounted?"])
    marker.write_text(kept)
    assert server.ask()[0] == 200


def test_a_store_that_cannot_be_written_is_said(server: Server) -> None:
    shutil.rmtree(server.settings.store_folder / INCOMING)
    (server.settings.store_folder / INCOMING).write_text("in the way")
    status, said = server.ask()
    assert status == 503
    assert said["reasons"] == [f"object store: cannot be written: {os.strerror(20)}"]


def test_a_disk_that_fills_up_is_degraded_and_serves_on(server: Server) -> None:
    status, said = server.ask(disk_warning=100_000_000)
    assert (status, said["status"]) == (200, "degraded")
    assert said["reasons"] == ["disk: less than 100000000 MiB is free"]
    status, said = server.ask(disk_warning=100_000_000, reserve=100_000_000)
    assert status == 200
    assert "images are refused" in said["reasons"][0]


def test_a_job_that_nobody_does_is_degraded(server: Server) -> None:
    server.database.write(lambda s: outbox.put(s, "send_delivery", "x", NOW - timedelta(minutes=10)))
    status, said = server.ask()
    assert (status, said["status"], said["reasons"]) == (200, "degraded", ["jobs: one has been due for 600 s"])


def test_an_archive_that_is_away_is_degraded(server: Server) -> None:
    server.database.write(lambda s: archiving.configure(s, ["archive", "replica"], NOW))
    assert server.ask()[1]["status"] == "ready"
    server.database.write(lambda s: archiving.note_away(s, "replica", "archive_away", NOW - timedelta(minutes=7)))
    status, said = server.ask()
    assert (status, said["status"]) == (200, "degraded")
    assert said["reasons"] == ["archive replica: has not answered for 7 minutes: studies wait here"]
    assert said["checks"][-2]["name"] == "archive archive"


def test_a_queue_and_parts_that_are_away_are_degraded(server: Server, tmp_path: Path) -> None:
    with broker("redis", tmp_path / "redis") as queue:
        status, said = server.ask(broker=queue.url)
        assert (status, said["status"]) == (200, "degraded")
        assert said["reasons"] == [
            "scheduler: none gives a sign: jobs wait",
            "worker: none gives a sign: jobs wait",
        ]
        with running(tmp_path, "scheduler"), running(tmp_path, "worker"):
            assert server.ask(broker=queue.url)[1]["status"] == "ready"
            queue.kill()
            assert server.ask(broker=queue.url)[1]["reasons"] == ["queue: does not answer: jobs wait"]


def test_a_rabbit_that_is_away_is_known_at_once() -> None:
    assert not answers(f"amqp://guest:guest@{LOOPBACK}:{free_port()}//")


def test_a_database_that_is_away_is_said(server: Server) -> None:
    away = Database(f"postgresql+psycopg://nobody@{LOOPBACK}:1/none")
    whole, server.database = server.database, away
    try:
        status, said = server.ask()
    finally:
        server.database = whole
        away.close()
    assert (status, said["reasons"]) == (503, ["database: does not answer (database_away)"])
