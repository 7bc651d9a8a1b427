"""Row 6: a HIS that is dead, silent, slow, in error or unwilling, behind a bad line: every report arrives at least
once, in the order of its versions, under one control id."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hl7
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from gateway.store import FolderStore
from huren.workers import Worker
from tests.peers.faults import FINE, BadLine, Fault, Way
from tests.peers.his import ACCEPT, ERROR, REJECT, SILENCE, Answer, His, late
from tests.promises.scale import SCALE, many, note
from tests.working import worker_of
from tests.world import TEXT, World, build, point_endpoint
from worklist.actions import deliveries
from worklist.database import Database, sqlite_url
from worklist.tables import Delivery, Endpoint, OutboxRow

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
AT_ONCE = 4


class MoodyHis(His):
    """It answers as chance has it, until it is told to be good."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.good = False
        self.log: list[tuple[str, str]] = []  # control id, MSA-1 or what happened instead
        super().__init__()

    def take(self, raw: bytes) -> Answer:
        """Keep the message; choose an answer."""
        super().take(raw)
        answer, name = ACCEPT, "AA"
        if not self.good:
            answer, name = self.chance.choices(
                (
                    (ACCEPT, "AA"),
                    (ERROR, "AE"),
                    (REJECT, "AR"),
                    (SILENCE, "silence"),
                    (late(0.3), "AA"),
                    (late(1.5), "too late"),
                    (Answer(control_id="OTHER"), "for another"),
                    (Answer(None, hang_up=True), "hung up"),
                ),
                (50, 12, 3, 4, 6, 3, 4, 6),
            )[0]
        self.log.append((str(hl7.parse(raw.decode()).segment("MSH")[10]), name))
        return answer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(sqlite_url(tmp_path / "huren.db"), pool_size=20)
    yield build(database, NOW)
    database.close()


def test_every_report_arrives_in_order_under_one_control_id(world: World, tmp_path: Path) -> None:
    chance, store, began = random.Random(6), FolderStore(tmp_path / "store"), time.monotonic()
    world.store = store
    _sign(world, many(100))
    owed = world.rows(Delivery)
    assert len(owed) == many(100) * 2
    his = MoodyHis(chance)
    cuts: Counter[str] = Counter()

    def plan(_number: int) -> Fault:
        if his.good or chance.random() < 0.8:
            return FINE
        fault = chance.choice(
            (
                Fault("answer lost", down=Way(cut_at=0)),
                Fault("answer cut", down=Way(cut_at=chance.randrange(1, 120), reset=True)),
                Fault("message cut", up=Way(cut_at=chance.randrange(1, 900))),
                Fault("answer flipped", down=Way(flip_at=chance.randrange(1, 120))),
                Fault("slow", up=Way(piece=64, latency=0.002)),
            )
        )
        cuts[fault.name] += 1
        return fault

    try:
        with BadLine(his.port, plan) as line:
            point_endpoint(world, "TS01", line.port)
            world.database.write(lambda s: s.execute(update(Endpoint).values(answer_seconds=1)))
            worker = worker_of(world.database, store, lambda: world.now)
            for turn in range(60):
                if turn % 7 == 3:
                    his.go_away()
                _drain(worker)
                his.come_back()
                his.good = his.good or turn > 25
                _replay_stuck(world)
                if not _step(world):
                    break
    finally:
        his.go_away()
    after = {row.id: row for row in world.rows(Delivery)}
    assert Counter(row.state for row in after.values()) == {"acknowledged": len(owed)}
    assert {row.id: row.control_id for row in owed} == {row.id: row.control_id for row in after.values()}
    accepted = [control for control, name in his.log if name == "AA"]
    assert set(accepted) == {row.control_id for row in owed}  # at least once, none lost, nothing else
    first = {control: place for place, control in reversed(list(enumerate(accepted)))}
    sent = {control: place for place, (control, _) in reversed(list(enumerate(his.log)))}
    for one, two in _versions(owed):
        assert first[one.control_id] < first[two.control_id]
        last_of_one = max(i for i, (c, name) in enumerate(his.log) if c == one.control_id and name == "AA")
        assert sent[two.control_id] > last_of_one  # the correction leaves when the report before it is acknowledged
    names = Counter(name for _, name in his.log)
    assert SCALE < 1 or min(names[name] for name in ("AE", "AR", "silence", "too late", "for another", "hung up")) > 0
    note(6, owed=len(owed), sent=len(his.log), answers=dict(names), lines=dict(cuts), s=round(time.monotonic() - began))


def _sign(world: World, number: int) -> None:
    """Reports, each of them signed, then corrected and signed again."""
    for n in range(number):
        world.now += timedelta(minutes=1)
        reading = world.ready(images=1, patient=world.patient(f"{n:05}", "王小东"))
        world.signed(reading)
        world.now += timedelta(minutes=1)
        world.correct("reader1", reading, replace(TEXT, impression=f"第二版 {n}"))
        world.submit("reader1", reading)
        world.claim("senior1", reading)
        world.sign("senior1", reading)


def _drain(worker: Worker) -> None:
    """Run what is due, several at once, until nothing is."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while any(threads.map(lambda _: worker.run_due(1), range(AT_ONCE))):
            pass


def _replay_stuck(world: World) -> None:
    """A person looks at what the receiver rejected, and sends it again."""
    admin = world.actor("admin")
    for row in world.rows(Delivery, Delivery.state == "stuck"):
        world.database.write(lambda s, id=row.id: deliveries.replay(s, admin, id, world.now))  # type: ignore[misc]


def _step(world: World) -> bool:
    """Let the clock run until something of the deliveries is due; False when there is nothing left."""

    def due(session: Session) -> datetime | None:
        return session.scalar(
            select(func.min(OutboxRow.due_at)).where(OutboxRow.kind == "send_delivery", OutboxRow.stage.in_(OPEN))
        )

    at = world.database.read(due)
    if at is None:
        return False
    world.now = max(world.now, at) + timedelta(minutes=15)
    return True


OPEN = ("due", "leased")


def _versions(owed: list[Delivery]) -> list[tuple[Delivery, Delivery]]:
    """First and second version of each report."""
    ordered = sorted(owed, key=lambda row: (row.reading_id or "", row.created_at))
    return list(zip(ordered[::2], ordered[1::2], strict=True))
