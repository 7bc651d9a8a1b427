"""The time of day as the parts take it, and somebody who looks whether it jumps.

A clock that is set forward is not believed until what waits has been moved with it (`worklist.actions.clock`), or for a
few seconds where another process moves it: nothing runs out that did not. One that is set back is believed at once,
since what waits only waits a moment longer until it is moved. Each machine needs a clock that is kept (NTP): this is
for the day on which it is not.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from huren.kinds import Clock, utc_now
from huren.parts import Ground
from worklist.actions.clock import TOLERATED, database_clock, follow, is_to_note
from worklist.database import Database

log = structlog.get_logger(__name__)

EVERY: Final = 1.0  # seconds between two looks
DISBELIEF: Final = 5.0  # seconds


def steady() -> float:
    """Seconds since the machine was started; nobody sets this clock, and it runs on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Jumps:
    """How far the time of day moves away from the steady clock."""

    def __init__(self, wall: Clock = utc_now, steady: Callable[[], float] = steady) -> None:
        self._wall, self._steady = wall, steady
        self._apart = self._now()[1]

    def look(self) -> tuple[datetime, timedelta]:
        """The time of day (aware UTC), and how far it jumped since it was followed last; nothing where it drifts."""
        at, apart = self._now()
        jumped = apart - self._apart
        if abs(jumped) < TOLERATED:
            self._apart = apart
            return at, timedelta()
        return at, jumped

    def follow(self, jumped: timedelta) -> None:
        """This jump was dealt with."""
        self._apart += jumped

    def _now(self) -> tuple[datetime, timedelta]:
        at = self._wall()
        return at, timedelta(seconds=at.timestamp() - self._steady())


class SettledClock:
    """The present (aware UTC), which does not follow a jump forward before `DISBELIEF` is over. Safe for threads."""

    def __init__(self, wall: Clock = utc_now, steady: Callable[[], float] = steady) -> None:
        self._wall, self._steady = wall, steady
        self._jumps = self.jumps()
        self._seen: float | None = None
        self._lock = threading.Lock()

    def jumps(self) -> Jumps:
        """Somebody else's eyes on the same two clocks."""
        return Jumps(self._wall, self._steady)

    def __call__(self) -> datetime:
        with self._lock:
            at, jumped = self._jumps.look()
            if jumped > TOLERATED:
                now = self._steady()
                self._seen = now if self._seen is None else self._seen
                if now - self._seen < DISBELIEF:
                    return at - jumped
            self._jumps.follow(jumped)
            self._seen = None
            return at

    def believe(self) -> None:
        """What waits was moved: a jump forward is followed from now on."""
        with self._lock:
            self._jumps.follow(self._jumps.look()[1])
            self._seen = None


@contextlib.contextmanager
def watched(on: Ground) -> Iterator[None]:
    """Somebody looks for the length of the block: for the embedded server, and for the scheduler. A clock that tests
    step is not watched.

    The first look is over when the block begins: a clock that was set back while nobody ran is dealt with.
    """
    if not isinstance(on.clock, SettledClock):
        yield
        return
    jumps, stop = on.clock.jumps(), threading.Event()
    look = partial(_watch, on.database, on.clock, jumps, stop)
    _look(on.database, jumps, is_first=True)
    watcher = threading.Thread(target=look, name="clock-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _watch(database: Database, clock: SettledClock, jumps: Jumps, stop: threading.Event) -> None:
    while not stop.wait(EVERY):
        clock()  # which sees a jump while nobody else asks
        try:
            if _look(database, jumps):
                clock.believe()
        except Exception as error:  # noqa: BLE001 - the next look may find the database again
            log.warning("clock_not_looked_at", error=type(error).__name__)


def _look(database: Database, jumps: Jumps, *, is_first: bool = False) -> bool:
    """Whether what waits was moved."""
    at, jumped = jumps.look()
    if not jumped and not is_first and not database.read(lambda s: is_to_note(s, at)):
        return False
    moved = database.write(lambda s: follow(s, at, jumped, database_clock(s)))
    jumps.follow(jumped)
    if moved:
        log.warning("clock_jumped", seconds=round(moved.total_seconds()))
    return bool(moved)
