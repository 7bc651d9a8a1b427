"""The outbox: each job once at a time, none lost, in order where order matters, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.world import World
from worklist import outbox
from worklist.tables import OutboxRow


def _put(world: World, *things: str, order_key: str = "", due: datetime | None = None) -> None:
    for thing in things:
        world.do(outbox.put, "job", thing, due or world.now, order_key=order_key)


def _claim(world: World, worker: str = "w1", after: timedelta = timedelta(0), limit: int = 10) -> list[outbox.Claimed]:
    return world.do(outbox.claim, worker, world.now + after, limit=limit, kinds=("job",))


def _things(rows: list[outbox.Claimed]) -> list[str]:
    return [row.thing_id for row in rows]


def test_due_rows_are_claimed_once_and_done(world: World) -> None:
    _put(world, "a", "b")
    first = _claim(world)
    assert _things(first) == ["a", "b"]
    assert _claim(world, "w2") == []
    assert all(world.do(outbox.finish, row.seq, "w1") for row in first)
    assert {row.stage for row in world.rows(OutboxRow)} == {"done"}


def test_what_is_not_due_waits(world: World) -> None:
    _put(world, "a", due=world.now + timedelta(minutes=1))
    assert _claim(world) == []
    assert _things(_claim(world, after=timedelta(minutes=1))) == ["a"]


def test_again_later_counts_the_attempts(world: World) -> None:
    _put(world, "a")
    row = _claim(world)[0]
    later = world.now + timedelta(seconds=30)
    assert world.do(outbox.again, row.seq, "w1", later, "peer away")
    assert _claim(world) == []
    second = _claim(world, after=timedelta(seconds=30))[0]
    assert second.attempts == 2
    assert world.one(OutboxRow).last_error == "peer away"


def test_a_lease_that_ran_out_is_claimed_by_another_and_the_first_worker_is_told(world: World) -> None:
    _put(world, "a")
    row = _claim(world, "w1")[0]
    assert _claim(world, "w2", outbox.LEASE) == []
    stolen = _claim(world, "w2", outbox.LEASE + timedelta(seconds=1))
    assert _things(stolen) == ["a"]
    assert not world.do(outbox.finish, row.seq, "w1")
    assert not world.do(outbox.stick, row.seq, "w1", "late")
    assert world.do(outbox.finish, row.seq, "w2")


def test_rows_of_one_order_key_run_one_after_the_other(world: World) -> None:
    _put(world, "a1", "a2", "a3", order_key="a")
    _put(world, "b1", order_key="b")
    first = _claim(world)
    assert _things(first) == ["a1", "b1"]
    assert _claim(world) == []
    world.do(outbox.finish, first[0].seq, "w1")
    assert _things(_claim(world)) == ["a2"]


def test_a_retry_is_not_overtaken_by_its_successor(world: World) -> None:
    _put(world, "a1", "a2", order_key="a")
    row = _claim(world)[0]
    later = world.now + timedelta(hours=1)
    world.do(outbox.again, row.seq, "w1", later)
    assert _claim(world, after=timedelta(minutes=30)) == []
    assert _things(_claim(world, after=timedelta(hours=1))) == ["a1"]


def test_a_stuck_row_holds_only_its_own_key_until_it_is_released(world: World) -> None:
    _put(world, "a1", "a2", order_key="a")
    _put(world, "b1", order_key="b")
    first = _claim(world)
    world.do(outbox.stick, first[0].seq, "w1", "rejected")
    world.do(outbox.finish, first[1].seq, "w1")
    assert _claim(world, after=timedelta(days=1)) == []
    world.do(outbox.release_stuck, "job", "a1", world.now)
    assert _things(_claim(world)) == ["a1"]


def test_the_limit_is_kept_and_the_oldest_due_come_first(world: World) -> None:
    _put(world, "late", due=world.now)
    _put(world, "early", due=world.now - timedelta(minutes=1))
    assert _things(_claim(world, limit=1)) == ["early"]


def test_a_job_of_a_transaction_that_failed_does_not_exist(world: World) -> None:
    def work(session: object) -> None:
        outbox.put(session, "job", "a", world.now)  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.database.write(work)
    assert world.rows(OutboxRow, OutboxRow.kind == "job") == []


def test_pauses_grow_and_are_capped() -> None:
    pauses = [outbox.pause(n).total_seconds() for n in range(1, 12)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 600
    assert outbox.pause(10_000).total_seconds() == 600


def _offer(world: World, after: timedelta = timedelta(0)) -> list[int]:
    return [o.seq for o in world.do(outbox.offer, world.now + after, ("job",), limit=10)]


def test_an_offered_row_is_taken_once(world: World) -> None:
    _put(world, "a")
    (seq,) = _offer(world)
    assert _offer(world) == []
    assert _claim(world) == []
    taken = world.do(outbox.take, seq, "w1", world.now)
    assert taken is not None
    assert (taken.thing_id, taken.attempts) == ("a", 1)
    assert world.do(outbox.take, seq, "w2", world.now) is None  # the queue told it twice
    assert world.do(outbox.finish, seq, "w1")
    assert world.do(outbox.take, seq, "w2", world.now) is None


def test_an_offer_that_was_lost_is_made_again(world: World) -> None:
    _put(world, "a")
    first = _offer(world)
    assert _offer(world, outbox.OFFER) == []
    assert _offer(world, outbox.OFFER + timedelta(seconds=1)) == first
    world.do(outbox.withdraw_offers, first)
    assert _offer(world) == first


def test_offers_keep_the_order_of_a_key(world: World) -> None:
    _put(world, "a", "b", order_key="k")
    (seq,) = _offer(world)
    assert _offer(world) == []  # b waits for a
    assert world.do(outbox.take, seq, "w1", world.now) is not None
    assert _offer(world) == []
    world.do(outbox.finish, seq, "w1")
    (second,) = _offer(world)
    assert second > seq


def test_a_queue_has_room_for_so_many_offers(world: World) -> None:
    assert world.ask(outbox.room_for, world.now, ("job",), 3) == 0  # nothing is due
    _put(world, "a", "b", "c", "d", "e")
    assert world.ask(outbox.room_for, world.now, ("job",), 3) == 3
    assert len(world.do(outbox.offer, world.now, ("job",), limit=2)) == 2
    assert world.ask(outbox.room_for, world.now, ("job",), 3) == 1
    assert world.ask(outbox.room_for, world.now, ("another",), 3) == 0
    later = world.now + outbox.OFFER + timedelta(seconds=1)
    assert world.ask(outbox.room_for, later, ("job",), 3) == 3


def test_a_renewed_lease_lasts(world: World) -> None:
    _put(world, "a")
    row = _claim(world)[0]
    half = outbox.LEASE / 2
    assert world.do(outbox.renew, row.seq, "w1", world.now + half)
    assert not world.do(outbox.renew, row.seq, "w2", world.now + half)
    assert _claim(world, "w2", outbox.LEASE + half / 2) == []
    assert world.do(outbox.finish, row.seq, "w1")
    assert not world.do(outbox.renew, row.seq, "w1", world.now + half)
