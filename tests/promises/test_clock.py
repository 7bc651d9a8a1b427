"""Row 19: the server's clock is set three days forward and back while work goes on: what runs out runs out when it
should, jobs are done in the order of their rows, and nothing waits for the days that there never were."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from huren.clock import DISBELIEF, SettledClock
from huren.embedded import Parts, doors
from huren.settings import Settings
from tests import seals
from tests import world as small_county
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import order_of
from tests.integration.topology import until
from tests.peers.his import His, late
from tests.peers.mllp_client import MllpClient
from tests.promises.scale import SCALE, many, note
from tests.world import World
from worklist import audit, outbox
from worklist.actions import critical
from worklist.queries.watching import longest_due
from worklist.tables import AuditRow, Center, CriticalResult, Delivery, Notice, Order, Reading, Study

DAYS = timedelta(days=3)
JUMPS = (DAYS, -DAYS, timedelta(hours=5), timedelta(minutes=-45), -DAYS, DAYS, -DAYS, -DAYS, DAYS, DAYS)
SOON = 30.0  # seconds in which everything has to go on

pytestmark = pytest.mark.timeout(200 + 400 * SCALE)


class Wall:
    """The machine's clock, which somebody sets."""

    def __init__(self) -> None:
        self.off = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.off


class County:
    """The embedded server, its doors and workers open, beside a HIS; people act on its clock."""

    def __init__(self, parts: Parts, world: World, wall: Wall, folder: Path) -> None:
        self.parts, self.world, self.wall, self.folder = parts, world, wall, folder
        self.store, self.his = parts.store, His()
        self.dimse_port, self.mllp_port = parts.dimse.port, parts.mllp.port
        small_county.point_endpoint(world, "TS01", self.his.port)
        self.modality = Modality(self, random.Random(19))  # type: ignore[arg-type] # all that it needs is here

    def now(self) -> datetime:
        """As the server takes it; the world's actions follow it."""
        self.world.now = self.parts.on.clock()
        return self.world.now

    def settle(self) -> None:
        """Until the server follows the clock on the wall again."""
        until(lambda: abs(self.wall() - self.now()) < timedelta(seconds=5), "the clock to be followed", DISBELIEF + 10)

    def order(self, number: int) -> Order:
        """Place one at the HL7 door."""
        placed, client = order_of(number, f"{number:05}"), MllpClient(self.mllp_port)
        try:
            assert b"MSA|AA" in client.send_message(placed.message)
        finally:
            client.socket.close()
        return self.world.one(Order, Order.placer_number == placed.placer)

    def sign(self) -> str:
        """A report that is signed now; the control id under which it is owed to the HIS."""
        self.now()
        version = self.world.signed(self.world.ready(images=1))
        return self.world.one(Delivery, Delivery.version_id == version.id).control_id

    def at_home(self, control_id: str) -> bool:
        """Whether the HIS has it."""
        return any(f"|{control_id}|" in raw.decode() for raw in list(self.his.raw))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path / "data", dimse_port=0, dimse_tls_port=0, mllp_port=0, mllp_tls_port=0, web_port=0, reserve=0
    )


@contextmanager
def serving(settings: Settings, wall: Wall, folder: Path) -> Iterator[County]:
    """The server on this clock, with the county of `tests.world` in it."""
    with doors(settings, clock=SettledClock(wall)) as parts:
        world = small_county.build(parts.database, wall())
        world.store = parts.store
        seals.prepare(settings.seals, world)
        world.database.write(lambda s: s.execute(update(Center).values(quiet_seconds=2)))
        made = County(parts, world, wall, folder)
        try:
            yield made
        finally:
            made.his.go_away()


@pytest.fixture
def county(settings: Settings, tmp_path: Path) -> Iterator[County]:
    with serving(settings, Wall(), tmp_path) as made:
        yield made


def test_a_clock_that_jumps_makes_nothing_early_and_nothing_late(county: County) -> None:
    world = county.world
    county.now()
    held = world.ready(images=1)
    world.claim("reader1", held)
    calling = world.ready(images=1)
    result = world.do(critical.mark, world.actor("reader1"), calling, "硬膜外血肿", world.now).id
    lease = world.one(Reading, Reading.id == held).held_until - world.now  # type: ignore[operator]
    began, took = time.monotonic(), []
    for turn in range(many(len(JUMPS))):
        number = 100 * (turn + 1)
        county.his.will(late(2))  # one is on its way, leased
        owed = [county.sign(), county.sign()]
        arriving = county.modality.make(2, (32,))
        county.modality.by_pynetdicom(arriving)()
        world.order(placer_number=f"B{number}")
        county.wall.off += JUMPS[turn % len(JUMPS)]
        jumped = time.monotonic()
        placed = county.order(number)
        county.settle()
        owed.append(county.sign())
        until(lambda owed=owed: all(county.at_home(id) for id in owed), f"{owed} at home", SOON)  # type: ignore[misc]
        until(lambda: {row.arrival for row in world.rows(Study)} == {"complete"}, "studies to be complete", SOON)
        took.append(time.monotonic() - jumped)
        assert world.one(Order, Order.id == placed.id).state == "scheduled", turn
        running = world.one(CriticalResult, CriticalResult.id == result)
        assert (running.state, running.step) == ("notified", 0), turn
        left = world.one(Reading, Reading.id == held).held_until - county.now()  # type: ignore[operator]
        gone = timedelta(seconds=time.monotonic() - began)
        assert abs(left - (lease - gone)) < timedelta(seconds=30), turn
        assert world.database.read(lambda s: longest_due(s, county.now() - timedelta(minutes=2))) is None
    controls = {row.control_id for row in world.rows(Delivery)}
    assert {raw.split(b"|")[9].decode() for raw in county.his.raw} == controls
    jumps = [row.detail["seconds"] for row in world.rows(AuditRow, AuditRow.action == "clock jumped")]
    assert len(jumps) == many(len(JUMPS)), jumps
    assert {row.kind for row in world.rows(Notice, Notice.kind == "clock jumped")} == {"clock jumped"}
    until(lambda: world.database.write(audit.seal) == 0, "sealed rows")
    note(19, jumps=len(jumps), reports=len(controls), went_on_s=f"{statistics.median(took):.1f}, {max(took):.1f}")


def test_an_unanswered_result_calls_the_next_one_though_the_clock_was_set_back(county: County) -> None:
    world = county.world
    county.now()
    result = world.do(critical.mark, world.actor("reader1"), world.ready(images=1), "硬膜外血肿", world.now).id
    soon = county.now() + timedelta(seconds=4)

    def bring_near(session: Session) -> None:
        outbox.hasten(session, "escalate_critical", result, soon)
        session.execute(update(CriticalResult).where(CriticalResult.id == result).values(escalate_at=soon))

    world.database.write(bring_near)
    county.wall.off -= DAYS
    until(lambda: world.one(CriticalResult, CriticalResult.id == result).state == "escalated", "the next step", SOON)


def test_a_clock_that_was_set_back_while_nobody_ran(settings: Settings, tmp_path: Path) -> None:
    wall = Wall()
    wall.off += DAYS
    with serving(settings, wall, tmp_path) as county:
        county.his.go_away()
        control_id = county.sign()
        owed = Delivery.control_id == control_id
        until(lambda: county.world.one(Delivery, owed).attempts > 0, "a first try")
        his = county.his
    wall.off -= 2 * DAYS
    his.come_back()
    try:
        with doors(settings, clock=SettledClock(wall)):
            until(lambda: any(f"|{control_id}|" in raw.decode() for raw in list(his.raw)), "the report at home", 90)
    finally:
        his.go_away()
