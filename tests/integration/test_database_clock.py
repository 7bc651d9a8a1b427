"""What waits for a time moves with a clock that jumped, on both databases; facts stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from tests.world import World
from worklist import outbox
from worklist.actions import clock, critical
from worklist.tables import CriticalResult, Notice, OutboxRow, Reading, Study, User

DAYS = timedelta(days=3)


def waiting(world: World) -> list[datetime]:
    """Every time that something waits for."""
    jobs = [row.due_at for row in world.rows(OutboxRow, OutboxRow.stage == "due")]
    held = [row.held_until for row in world.rows(Reading) if row.held_until is not None]
    calls = [row.escalate_at for row in world.rows(CriticalResult) if row.escalate_at is not None]
    arriving = [row.last_at for row in world.rows(Study, Study.arrival == "arriving")]
    locked = [row.locked_until for row in world.rows(User) if row.locked_until is not None]
    assert all((jobs, held, calls, arriving, locked))
    return [*sorted(jobs), *held, *calls, *arriving, *locked]


def facts(world: World) -> list[datetime]:
    """Times at which something happened, or is owed."""
    readings = [at for row in world.rows(Reading) for at in (row.ready_at, row.due_at, row.claimed_at) if at]
    return sorted(readings + [row.last_at for row in world.rows(Study, Study.arrival == "complete")])


def at_work(world: World) -> None:
    """A case that is held, one with an unanswered critical result, images that arrive, and somebody locked out."""
    world.claim("reader1", world.ready(images=1))
    world.do(critical.mark, world.actor("reader1"), world.ready(images=1), "硬膜外血肿", world.now)
    world.scan(world.order())
    until = world.now + timedelta(minutes=15)
    world.database.write(lambda s: s.execute(update(User).where(User.login == "tech2").values(locked_until=until)))


def test_what_waits_moves_by_as_much_as_the_clock(world: World) -> None:
    at_work(world)
    world.do(clock.follow, world.now)
    for jump in (DAYS, -DAYS):
        before, stayed = waiting(world), facts(world)
        world.now += jump + timedelta(seconds=1)
        assert world.do(clock.follow, world.now, jump) == jump
        assert waiting(world) == [at + jump for at in before]
        assert facts(world) == stayed
        # Another scheduler saw the same jump a moment later.
        assert world.do(clock.follow, world.now + timedelta(seconds=1), jump) == timedelta()
        assert waiting(world) == [at + jump for at in before]
    admins = {row.user_id for row in world.rows(Notice, Notice.kind == "clock jumped")}
    assert admins == {world.users["admin"]}


def test_a_clock_behind_the_last_note_jumped_whoever_saw_it(world: World) -> None:
    at_work(world)
    world.do(clock.follow, world.now)
    before = waiting(world)
    world.now -= DAYS
    assert world.do(clock.follow, world.now) == -DAYS
    assert waiting(world) == [at - DAYS for at in before]


@pytest.mark.parametrize("back", [DAYS, timedelta(minutes=45)])
def test_what_a_clock_that_is_set_back_wrote_already_stays(world: World, back: timedelta) -> None:
    """It is believed a moment before what waits is moved."""
    world.do(clock.follow, world.now)
    world.now -= back
    world.do(outbox.put, "x", "1", world.now - timedelta(seconds=1))
    (row,) = world.do(outbox.claim, "w", world.now)
    reading = world.ready(images=1)
    world.claim("reader1", reading)
    result = world.do(critical.mark, world.actor("reader1"), reading, "硬膜外血肿", world.now)
    calls_at = world.one(CriticalResult, CriticalResult.id == result.id).escalate_at
    assert world.do(clock.follow, world.now + timedelta(seconds=1), -back) == -back
    assert world.one(OutboxRow, OutboxRow.seq == row.seq).leased_until == world.now + outbox.LEASE
    assert world.one(CriticalResult, CriticalResult.id == result.id).escalate_at == calls_at
    assert row.seq not in {one.seq for one in world.do(outbox.claim, "v", world.now + timedelta(seconds=5))}


def test_a_server_that_was_off_for_days_did_not_jump(world: World) -> None:
    at_work(world)
    world.do(clock.follow, world.now)
    before = waiting(world)
    assert world.do(clock.follow, world.now + DAYS) == timedelta()
    assert world.do(clock.follow, world.now + DAYS - timedelta(seconds=20)) == timedelta()  # less than is tolerated
    assert waiting(world) == before
    assert world.database.read(lambda s: clock.is_to_note(s, world.now + DAYS + clock.EVERY))
    assert not world.database.read(lambda s: clock.is_to_note(s, world.now + DAYS - timedelta(seconds=10)))


def test_a_machine_that_is_wrong_by_itself_moves_nothing(world: World) -> None:
    """Several machines: what one of them says counts only where the database's machine says the same."""
    at_work(world)
    world.do(clock.follow, world.now)
    before = waiting(world)
    for off in (DAYS, -DAYS):
        assert world.do(clock.follow, world.now + off, off, world.now) == timedelta()
    assert waiting(world) == before
    assert world.ask(clock.noted) == world.now
    assert world.do(clock.follow, world.now + DAYS, DAYS, world.now + DAYS) == DAYS


def test_the_database_s_clock_is_asked_where_it_has_one(world: World) -> None:
    said = world.ask(clock.database_clock)
    assert (said is None) == world.database.is_sqlite
    assert said is None or abs(said - datetime.now(UTC)) < timedelta(minutes=1)
