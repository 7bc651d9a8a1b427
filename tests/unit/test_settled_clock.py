"""The clock that disbelieves a jump forward for a moment, follows one back at once, and drifts along."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from huren.clock import DISBELIEF, Jumps, SettledClock

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


class Machine:
    """Its two clocks."""

    def __init__(self) -> None:
        self.up, self.off = 1000.0, timedelta()

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.up - 1000.0) + self.off

    def steady(self) -> float:
        return self.up


def test_drift_is_no_jump() -> None:
    machine = Machine()
    jumps, clock = Jumps(machine.wall, machine.steady), SettledClock(machine.wall, machine.steady)
    for _ in range(20):
        machine.up += 60
        machine.off += timedelta(seconds=10)
        assert jumps.look() == (machine.wall(), timedelta())
        assert clock() == machine.wall()


def test_a_jump_is_seen_until_it_is_followed() -> None:
    machine = Machine()
    jumps = Jumps(machine.wall, machine.steady)
    machine.off = timedelta(days=-3)
    machine.up += 2
    assert jumps.look() == jumps.look() == (machine.wall(), timedelta(days=-3))
    jumps.follow(timedelta(days=-3))
    assert jumps.look() == (machine.wall(), timedelta())


def test_forward_is_not_believed_at_once_and_back_is() -> None:
    machine = Machine()
    clock = SettledClock(machine.wall, machine.steady)
    machine.off = timedelta(days=3)
    before = machine.up
    while machine.up < before + DISBELIEF:
        assert clock() == NOON + timedelta(seconds=machine.up - 1000.0)
        machine.up += 1
    assert clock() == machine.wall()
    machine.off = timedelta()
    assert clock() == machine.wall()


def test_a_jump_that_was_taken_back_leaves_nothing_behind() -> None:
    machine = Machine()
    clock = SettledClock(machine.wall, machine.steady)
    machine.off = timedelta(days=3)
    clock()
    machine.off = timedelta()
    machine.up += 60
    assert clock() == machine.wall()
    machine.off = timedelta(days=3)
    assert clock() == NOON + timedelta(seconds=60)


def test_forward_is_believed_as_soon_as_what_waits_was_moved() -> None:
    machine = Machine()
    clock = SettledClock(machine.wall, machine.steady)
    machine.off = timedelta(days=3)
    assert clock() == NOON
    clock.believe()
    assert clock() == machine.wall()
    machine.off = timedelta()
    assert clock() == machine.wall()
    clock.believe()  # back is believed already
    assert clock() == machine.wall()
