"""`huren check`, of a server that runs and of what is wrong around it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.store import FolderStore
from gateway.tls import fingerprints
from huren.checks import Finding, run_checks
from huren.keeping.backup import LAST
from huren.migrate import upgrade
from huren.running import FOLDER, STALE
from huren.settings import Settings
from tests.integration.killing import HUREN_PROGRAM, Server, serving
from tests.peers import certificates
from tests.peers.certificates import DAY, Made
from tests.peers.ports import free_port
from tests.world import World, build
from worklist import outbox
from worklist.actions import device_settings
from worklist.actions.installation import bind_store
from worklist.database import Database, sqlite_url
from worklist.people import HUREN

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as started:
        yield started


def found(server: Server, **changed: object) -> dict[str, Finding]:
    settings = Settings(
        data=server.data,
        web_port=server.web_port,
        dimse_port=server.dimse_port,
        mllp_port=server.mllp_port,
        dimse_tls_port=0,
        mllp_tls_port=0,
        reserve=0,
        disk_warning=0,
    )
    return {finding.what: finding for finding in run_checks(replace(settings, **changed))}  # type: ignore[arg-type]


def enter(world: World, made: Made) -> None:
    (mark,) = fingerprints(made.pem)
    world.do(
        device_settings.add_certificate,
        HUREN,
        world.devices["TS01CT"],
        made.pem,
        world.now,
        fingerprint=mark,
        subject=made.subject,
        not_after=made.not_after,
    )


def test_the_command_shows_each_finding_and_fails_where_one_is_bad(server: Server) -> None:
    ran = server.run("check")
    assert "DICOM door" in ran.stdout
    assert "QR codes" in ran.stdout
    assert ran.returncode == 1  # reports without a QR code
    ran = subprocess.run(
        [*HUREN_PROGRAM, "check"],
        env={**os.environ, **server.environment, "HUREN_PUBLIC_URL": "https://huren.county.example"},
        capture_output=True,
        text=True,
        check=False,
    )
    bad = [line.split("│")[2].strip() for line in ran.stdout.splitlines() if line.startswith("│ no")]
    assert bad == ["endpoint HIS of TS02"], ran.stdout  # which has none in the tests' county


def test_what_is_away_is_named(server: Server) -> None:
    checked = found(server, dimse_port=free_port(), broker=f"redis://127.0.0.1:{free_port()}/0")
    bad = {what for what, finding in checked.items() if not finding.ok}
    assert {"queue", "worker processes", "scheduler processes"} <= bad
    assert any(what.startswith("DICOM door") for what in bad)
    assert not any(what.startswith("HL7 door") for what in bad)
    server.his.go_away()
    endpoints = [finding for what, finding in found(server).items() if what.startswith("endpoint ")]
    assert "Connection refused" in {finding.text for finding in endpoints}
    server.his.come_back()


def test_disk_backup_and_processes_that_hang(server: Server) -> None:
    assert found(server)["disk"].ok
    assert not found(server, disk_warning=100_000_000)["disk"].ok
    assert "images are refused" in found(server, reserve=1_000_000)["disk"].text
    assert found(server)["backup"].ok
    note = server.data / LAST
    note.write_text(json.dumps({"at": (datetime.now(UTC) - timedelta(days=3)).isoformat()}))
    assert "too old" in found(server)["backup"].text
    note.write_text(json.dumps({"at": datetime.now(UTC).isoformat()}))
    assert found(server)["backup"].ok
    note.write_text("no note")
    assert found(server)["backup"].ok
    file = server.data / FOLDER / f"worker-{socket.gethostname()}-{os.getpid()}"  # a process that lives and is silent
    for ago, shown in ((0, []), (STALE + 40, [False]), (2 * 3600, [])):
        file.touch()
        os.utime(file, (file.stat().st_mtime - ago,) * 2)
        hung = [finding.ok for what, finding in found(server).items() if what.startswith("worker process")]
        assert hung == shown, ago
    file.unlink()


def test_the_server_as_a_whole_lives(server: Server) -> None:
    ran = server.run("check", "--part", "serve")
    assert (ran.returncode, ran.stdout) == (0, "serve: ready\n")
    assert server.run("check", "--part", "web").returncode == 1


def test_certificates_that_end_soon_and_jobs_that_wait(tmp_path: Path) -> None:
    upgrade(sqlite_url(tmp_path / "huren.sqlite3"))
    database = Database(sqlite_url(tmp_path / "huren.sqlite3"))
    try:
        world = build(database, datetime.now(UTC))
        store = FolderStore(tmp_path / "objects")
        world.do(bind_store, store.marker())
        world.do(outbox.put, "send_delivery", "x", world.now - timedelta(hours=1))
        soon = certificates.make(tmp_path / "soon", "SOON", ends=20 * DAY)
        late = certificates.make(tmp_path / "late", "LATE", ends=300 * DAY)
        enter(world, soon)
        settings = Settings(data=tmp_path, tls_certificate=late.certificate, tls_key=late.key)
        checked = {finding.what: finding for finding in run_checks(settings)}
        assert "due for 36" in checked["jobs that are due"].text
        [device] = [finding for what, finding in checked.items() if what.startswith("certificate of device")]
        assert not device.ok
        assert checked["certificate of our device doors"].ok
        enter(world, late)  # the one that follows it
        assert all(finding.ok for finding in run_checks(settings) if finding.what == device.what)
    finally:
        database.close()


def test_a_database_of_another_revision_is_looked_at_no_further(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "huren.sqlite3"))
    upgrade(database.url, "0001")
    database.close()
    checked = {finding.what: finding for finding in run_checks(Settings(data=tmp_path))}
    assert not checked["database"].ok
    assert "needs" in checked["database"].text
    assert "jobs" not in checked
