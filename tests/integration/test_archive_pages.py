"""What the PACS admin sees and does about the archives, by page and API, and what `huren check` says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from huren import cli
from huren.checks import run_checks
from huren.settings import SettingsWrong, load
from tests.integration.api_desk import text_of
from tests.integration.archive_desk import Archiving, open_archives
from tests.integration.test_archive import nested
from tests.peers.archive import PASSWORD, USER
from worklist.actions import archiving


@pytest.fixture
def county(tmp_path: Path) -> Iterator[Archiving]:
    with open_archives(tmp_path) as opened:
        yield opened


def test_the_page_says_that_the_archive_is_away_and_what_waits(county: Archiving) -> None:
    county.peer.kill()
    county.scanned(county.desk.world.order(), 1)
    county.drain()
    admin = county.desk.browser("admin")
    page = text_of(admin.get("/admin/archive?lang=en"))
    assert "away since" in page
    assert "The archive cannot be reached." in page
    (row,) = admin.get("/api/archives").json()["items"]
    assert (row["waiting"], row["studies"], row["last_error"]) == (1, 0, "archive_away")
    assert row["oldest_waiting_at"]
    county.peer.start()
    county.step()
    county.drain()
    (row,) = admin.get("/api/archives").json()["items"]
    assert (row["waiting"], row["studies"], row["objects"], row["away_since"]) == (0, 1, 1, None)
    assert "away since" not in text_of(admin.get("/admin/archive?lang=en"))


def test_what_is_stuck_or_kept_here_is_shown_and_sent_again(county: Archiving) -> None:
    placed = county.desk.world.order()
    _study, sent = county.scanned(placed, 2)
    path = county.store.path(sent[0].store_key)
    good = path.read_bytes()
    path.write_bytes(nested(60, placed.study_instance_uid, 1))
    county.store.path(sent[1].store_key).rename(path.with_name("elsewhere"))
    county.drain()
    admin = county.desk.browser("admin")
    (stuck,) = admin.get("/api/archivals", params={"status": "stuck"}).json()["items"]
    assert stuck["reason"] == "object_missing"
    assert f"/admin/archivals/{stuck['id']}/again" in text_of(admin.get("/admin/archive?lang=en"))
    path.with_name("elsewhere").rename(county.store.path(sent[1].store_key))
    assert admin.post(f"/admin/archivals/{stuck['id']}/again", follow_redirects=False).status_code == 303
    county.drain()
    (row,) = admin.get("/api/archivals").json()["items"]
    assert (row["state"], row["copies"], row["kept_here"]) == ("archived", 1, 1)
    (kept,) = admin.get("/api/archivals/kept-here").json()["items"]
    assert kept["reason"] == "nested_too_deep"
    page = text_of(admin.get("/admin/archive?lang=en"))
    assert kept["sop_instance_uid"] in page
    path.write_bytes(good)
    assert admin.post(f"/api/archivals/{row['id']}/again").status_code == 202
    county.drain()
    (row,) = admin.get("/api/archivals").json()["items"]
    assert (row["state"], row["copies"], row["kept_here"]) == ("archived", 2, 0)
    assert admin.post(f"/api/archivals/{row['id']}/again").status_code == 409
    assert admin.post("/api/archivals/nothing/again").status_code == 404


def test_nobody_but_the_admin_sees_it(county: Archiving) -> None:
    county.scanned(county.desk.world.order(), 1)
    for login in ("tech1", "reader1", "security"):
        for path in ("/admin/archive", "/api/archives", "/api/archivals", "/api/archivals/kept-here"):
            assert county.desk.browser(login).get(path).status_code == 403
    (row,) = county.archivals()
    assert county.desk.browser("tech1").post(f"/api/archivals/{row.id}/again").status_code == 403


def test_huren_check_asks_the_archives(county: Archiving, tmp_path: Path) -> None:
    said = {
        "HUREN_DATA": str(tmp_path),
        "HUREN_DATABASE": f"sqlite:///{tmp_path / 'huren.db'}",
        "HUREN_ARCHIVE_URL": county.peer.url,
        "HUREN_ARCHIVE_USER": USER,
        "HUREN_ARCHIVE_PASSWORD": PASSWORD,
    }
    found = {f.what: f for f in run_checks(load(said))}
    assert found[f"archive {county.peer.url}"].ok
    assert found["archive: studies"].ok
    wrong = {f.what: f for f in run_checks(load(said | {"HUREN_ARCHIVE_PASSWORD": "other"}))}
    assert wrong[f"archive {county.peer.url}"].text == "archive_refuses_us"
    assert not any(PASSWORD in f.text or PASSWORD in f.what for f in (*found.values(), *wrong.values()))
    county.scanned(county.desk.world.order(), 1)
    (row,) = county.archivals()
    county.desk.world.do(archiving.stick, row.id, "archive_copy_differs", county.desk.now)
    assert not {f.what: f for f in run_checks(load(said))}["archive: studies"].ok


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ({"ARCHIVE_URL": "http://huren:secret@127.0.0.1:8042"}, "archive_url|ARCHIVE_URL"),
        ({"ARCHIVE_URL": "ftp://127.0.0.1"}, "http"),
        ({"ARCHIVE_URL": "http://127.0.0.1:1", "ARCHIVE_REPLICA_URL": "http://127.0.0.1:1"}, "archive_replica_url"),
        ({"ARCHIVE_KEEP_DAYS": "30"}, "archive_keep_days"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(said: dict[str, str], mistake: str) -> None:
    with pytest.raises(SettingsWrong, match=mistake) as refused:
        load({f"HUREN_{name}": value for name, value in said.items()})
    assert "secret" not in str(refused.value)


def test_no_password_is_shown_with_the_settings() -> None:
    settings = load({"HUREN_ARCHIVE_URL": "http://127.0.0.1:1", "HUREN_ARCHIVE_PASSWORD": "a secret"})
    assert "a secret" not in repr(settings.archives)


def test_huren_settings_shows_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUREN_DATA", str(tmp_path))
    monkeypatch.setenv("HUREN_ARCHIVE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HUREN_ARCHIVE_PASSWORD", "sesame")
    shown = CliRunner().invoke(cli.app, ["settings"])
    assert shown.exit_code == 0, shown.output
    assert "archive_url" in shown.output
    assert "sesame" not in shown.output
