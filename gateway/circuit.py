"""Who does not answer is not asked by everybody: the next one is told at once, and one at a time looks whether it is
back. For threads of one process; how a queue of work waits for an archive stands in its rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.orthanc import Away

FIRST_PAUSE: Final = 1.0  # seconds after it was silent once; doubled each time
LONGEST_PAUSE: Final = 30.0


class Circuit:
    """The way to one archive. Safe to use from many threads."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._name, self._clock = name, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next = 0.0  # when somebody may ask again
        self._is_asked = False  # somebody looks whether it is back

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask within the block.

        Raises
        ------
        Away
            At once: it was silent lately, or somebody else is asking whether it is back.
        """
        with self._lock:
            is_probe = self._failures > 0
            if is_probe and (self._is_asked or self._clock() < self._next):
                raise Away("archive_away", archive=self._name)
            self._is_asked = is_probe
        is_away = None
        try:
            yield
            is_away = False
        except Away:
            is_away = True
            raise
        finally:
            self._note(is_probe, is_away)

    def _note(self, is_probe: bool, is_away: bool | None) -> None:
        """What became of it; None: something else went wrong, which says nothing of the archive."""
        with self._lock:
            if is_probe:
                self._is_asked = False
            if is_away is False:
                self._failures = 0
            elif is_away and (is_probe or not self._failures):  # those who asked together count once
                self._failures += 1
                pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE)
                self._next = self._clock() + pause
