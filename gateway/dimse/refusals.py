"""Who was sent away, for the admin to see; a flood of callers does not become a flood of writes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

import structlog

from gateway.meters import REFUSED
from worklist.actions.devices import refuse_caller
from worklist.database import Database
from worklist.errors import HurenError
from worklist.facts import Caller

log = structlog.get_logger(__name__)

WINDOW_SECONDS: Final = 10.0
MOST: Final = 100  # different callers noted in one window; the rest only reach the log


class Refusals:
    """Writes each caller and reason at most once in a window."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[tuple[Caller, str], float] = {}
        self._writer = ThreadPoolExecutor(1, "dimse-refusals")  # its thread starts with the first note

    def note(self, caller: Caller, reason: str) -> None:
        """Note that `caller` was sent away. Never raises: the refusal itself must not fail over its note."""
        REFUSED.labels(reason).inc()
        if self._is_news(caller, reason):
            self._write(caller, reason)

    def note_soon(self, caller: Caller, reason: str) -> None:
        """`note` for a thread that must not wait for the database."""
        REFUSED.labels(reason).inc()
        if self._is_news(caller, reason):
            with contextlib.suppress(RuntimeError):  # the door is closing
                self._writer.submit(self._write, caller, reason)

    def close(self) -> None:
        """Write what was noted, and end."""
        self._writer.shutdown()

    def _write(self, caller: Caller, reason: str) -> None:
        log.warning("dimse_caller_refused", address=caller.address, reason=reason)
        try:
            self._database.write(lambda session: refuse_caller(session, caller, reason, self._clock()))
        except HurenError as error:
            log.warning("dimse_refusal_not_noted", address=caller.address, reason=reason, error=error.code)

    def _is_news(self, caller: Caller, reason: str) -> bool:
        now = time.monotonic()
        with self._lock:
            self._noted = {key: at for key, at in self._noted.items() if now - at < WINDOW_SECONDS}
            if (caller, reason) in self._noted or len(self._noted) >= MOST:
                return False
            self._noted[caller, reason] = now
            return True
