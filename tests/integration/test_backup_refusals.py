"""What `huren backup`, `restore` and `reconcile` refuse, and what they say of damage. No server runs."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from huren.cli import app
from huren.embedded import alone
from huren.keeping.repository import digest_of
from huren.migrate import current, newest, upgrade
from huren.settings import load
from tests.integration.killing import Server, utc_now
from tests.integration.killing_signing import Readers
from tests.integration.restoring import torn_backup
from worklist.actions.keeping import ACCESSION_LEAP, settle_restored
from worklist.database import Database, sqlite_url
from worklist.people import open_session
from worklist.tables import AuditRow, Counter, Instance, OutboxRow, Series, WebSession


@dataclass
class Place:
    """A county with some cases, and where its backups go."""

    server: Server
    repository: Path

    def snapshot(self) -> Path:
        """The folder of its only snapshot."""
        (found,) = (self.repository / "snapshots").iterdir()
        return found

    def lose(self) -> None:
        """The machine."""
        self.server.lose_everything()

    def run(self, *words: str) -> tuple[int, str]:
        """A command of this server: its status, and what it says."""
        ran = CliRunner().invoke(app, words, env=self.server.environment)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran.exit_code, " ".join(ran.output.split())

    def works(self, *words: str) -> str:
        """A command that succeeds; what it says."""
        status, said = self.run(*words)
        assert status == 0, said
        return said

    def fails(self, *words: str) -> str:
        """A command that must be refused; what it says."""
        status, said = self.run(*words)
        assert status == 1, said
        return said

    def change_manifest(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit what the snapshot says of itself."""
        file = self.snapshot() / "manifest.json"
        said = json.loads(file.read_text())
        change(said)
        file.write_text(json.dumps(said))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    server = Server(tmp_path)
    Readers(server, random.Random(1)).make(6)
    yield Place(server, tmp_path / "backup")
    server.close()


def test_a_backup_that_was_cut_off_is_none(place: Place) -> None:
    torn_backup(place.server, place.repository)
    assert not (place.snapshot() / "manifest.json").exists()
    place.lose()
    assert "cut off before its end" in place.fails("restore", str(place.repository))
    assert "cut off before its end" in place.fails(
        "restore", str(place.repository), "--snapshot", place.snapshot().name
    )


def test_the_next_backup_goes_on_after_one_that_was_cut_off(place: Place) -> None:
    torn_backup(place.server, place.repository)
    held = len(list(place.repository.glob("objects/??/??/*")))
    said = place.works("backup", str(place.repository))
    new = len(list(place.repository.glob("objects/??/??/*"))) - held
    assert f"{new} of them new" in said
    assert (place.snapshot() / "manifest.json").exists()
    place.works("backup", str(place.repository), "--verify")


def test_only_an_empty_place_is_restored_into(place: Place) -> None:
    place.works("backup", str(place.repository))
    assert "is not empty" in place.fails("restore", str(place.repository))
    place.server.lose_everything(but_objects=True)
    assert "--beside-objects" in place.fails("restore", str(place.repository))


def test_nothing_is_restored_beside_a_running_server(place: Place) -> None:
    place.works("backup", str(place.repository))
    place.lose()
    with alone(load(place.server.environment)):
        assert "Another Huren server is using" in place.fails("restore", str(place.repository))


def test_a_folder_that_is_something_else_gets_no_backup(place: Place) -> None:
    place.repository.mkdir()
    (place.repository / "photographs").touch()
    assert "is not empty, and is no backup" in place.fails("backup", str(place.repository))
    assert "is no backup of Huren" in place.fails("restore", str(place.repository))
    assert "must not lie in the data folder" in place.fails("backup", str(place.server.data / "backup"))


def test_backups_of_another_installation_are_left_alone(place: Place, tmp_path: Path) -> None:
    place.works("backup", str(place.repository))
    other = Server(tmp_path / "other")
    try:
        assert "another installation" in Place(other, tmp_path).fails("backup", str(place.repository))
    finally:
        other.close()


def test_damage_in_the_backup_is_found_and_said(place: Place) -> None:
    place.works("backup", str(place.repository))
    key = place.server.world.rows(Instance)[0].store_key
    damaged = place.repository / "objects" / key
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert f"object {key} is damaged" in place.fails("backup", str(place.repository), "--verify")
    place.lose()
    assert "--accept-damage" in place.fails("restore", str(place.repository))
    ran = place.server.run("serve")
    assert ran.returncode == 1
    assert "was not finished" in " ".join(ran.stderr.split())
    assert f"MISSING {key}" in place.works("restore", str(place.repository), "--accept-damage")
    assert f"MISSING {key} image" in place.fails("reconcile")


def test_a_damaged_database_is_not_restored(place: Place) -> None:
    place.works("backup", str(place.repository))
    file = place.snapshot() / "database.sqlite3"
    file.write_bytes(file.read_bytes()[:-4096])
    place.lose()
    assert "database.sqlite3 is not what its manifest says" in place.fails("restore", str(place.repository))


def test_a_newer_snapshot_is_refused_and_an_older_one_brought_forward(place: Place, tmp_path: Path) -> None:
    place.works("backup", str(place.repository))
    place.change_manifest(lambda said: said.update(revision="9999"))
    place.lose()
    assert "Install that version" in place.fails("restore", str(place.repository))
    older = tmp_path / "older.sqlite3"
    upgrade(sqlite_url(older), "0005")
    database = Database(sqlite_url(older))
    database.write(lambda s: s.connection().exec_driver_sql("PRAGMA user_version = 1"))
    database.close()
    file = place.snapshot() / "database.sqlite3"
    shutil.copy(older, file)
    place.change_manifest(
        lambda said: said.update(revision="0005", rows={}, files={**said["files"], file.name: digest_of(file)})
    )
    place.works("restore", str(place.repository))
    place.server.look_again()
    assert place.server.database.read(lambda s: current(s.connection())) == newest()


def test_an_object_that_is_gone_is_said_and_the_rest_kept(place: Place) -> None:
    key = place.server.world.rows(Instance)[0].store_key
    place.server.store.delete(key)
    assert f"MISSING {key}" in place.fails("backup", str(place.repository))
    assert json.loads((place.snapshot() / "manifest.json").read_text())["missing"] == [key]


def test_metadata_that_can_be_made_again_may_be_gone(place: Place) -> None:
    def prepare(session: Any) -> None:
        series = session.query(Series).first()
        series.prepared_key, series.prepared_instances = "00/00/" + "0" * 32 + ".lines", 1

    place.server.database.write(prepare)
    place.works("backup", str(place.repository))
    place.lose()
    place.works("restore", str(place.repository))
    place.server.look_again()
    assert {row.prepared_key for row in place.server.world.rows(Series)} == {""}
    assert place.server.world.rows(OutboxRow, OutboxRow.kind == "prepare_series", OutboxRow.stage == "due")
    place.works("reconcile")


def test_secrets_are_kept_and_come_back(place: Place) -> None:
    key = place.server.data / "seals" / "installation.key"
    key.write_bytes(b"secret")
    place.works("backup", str(place.repository))
    kept = place.snapshot() / "secrets" / "seals" / "installation.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    place.lose()
    place.works("restore", str(place.repository))
    assert key.read_bytes() == b"secret"
    assert key.stat().st_mode & 0o777 == 0o600


def test_what_a_restore_changes(place: Place) -> None:
    server, now = place.server, utc_now()
    server.world.do(open_session, server.world.users["tech1"], "password", now)
    server.world.order(at=now)
    before = {row.name: row.value for row in server.world.rows(Counter)}
    server.world.do(settle_restored, now - timedelta(days=2, hours=1), now, {"snapshot": "x"})
    after = {row.name: row.value for row in server.world.rows(Counter)}
    assert after["accession"] >= before["accession"] + ACCESSION_LEAP
    assert after["patient TS02"] > 1000
    assert server.world.rows(WebSession) == []
    assert {row.stage for row in server.world.rows(OutboxRow)} <= {"due", "done", "stuck"}
    assert server.world.one(AuditRow, AuditRow.action == "database restored").detail == {"snapshot": "x"}
