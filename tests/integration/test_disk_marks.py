"""A disk that fills up is told of once for each mark, on both databases, and by the running server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.killing import Server
from tests.world import World
from worklist.actions.disk import PAGE, disk_now, note_disk
from worklist.queries import ledger
from worklist.rules.disk import state_of
from worklist.tables import Notice

GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "before", "state"),
    [
        (11, "enough", "enough"),
        (9, "enough", "low"),
        (10.2, "low", "low"),  # not far enough above the mark
        (10.6, "low", "enough"),
        (0.9, "low", "full"),
        (1.02, "full", "full"),
        (1.1, "full", "low"),
        (20, "full", "enough"),
    ],
)
def test_a_mark_is_left_only_well_above_it(free: float, before: str, state: str) -> None:
    assert state_of(int(free * GIB), 10 * GIB, GIB, before) == state


def test_no_marks_ring_never() -> None:
    assert state_of(0, 0, 0) == "enough"


def test_the_admins_are_told_once_for_each_crossing(world: World) -> None:
    def look(free: float) -> str:
        return world.do(note_disk, int(free * GIB), 10 * GIB, GIB, world.now)

    def unread() -> list[tuple[str, str]]:
        return [(n.kind, n.user_id) for n in world.rows(Notice, Notice.read_at.is_(None))]

    admin = world.users["admin"]
    assert look(50) == "enough"
    assert unread() == []
    for _again in range(3):
        assert look(5) == "low"
    assert unread() == [("disk low", admin)]
    assert world.one(Notice).address == PAGE
    assert look(0.5) == "full"
    assert unread() == [("disk full", admin)], "what was said before is settled"
    waiting = world.ask(ledger.queues, world.actor("admin"))
    assert [(queue.kind, queue.oldest) for queue in waiting] == [("disk full", world.now)]
    assert look(5) == "low"
    assert unread() == [], "it became better"
    assert look(50) == "enough"
    assert look(5) == "low"
    assert unread() == [("disk low", admin)], "a new crossing"
    assert world.ask(disk_now) == ("low", world.now)


@pytest.mark.timeout(120)
def test_the_running_server_looks_at_its_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUREN_DISK_WARNING", "100000000")
    server = Server(tmp_path)
    try:
        admin = server.client("admin")
        server.start()
        with admin:
            deadline = time.monotonic() + 30
            while not (waiting := admin.get("/api/waiting").json()["items"]) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert [queue["kind"] for queue in waiting] == ["disk low"]
            assert [n["kind"] for n in admin.get("/api/notices").json()["items"]] == ["disk low"]
            assert admin.get("/readyz").json()["status"] == "degraded"
    finally:
        server.close()
