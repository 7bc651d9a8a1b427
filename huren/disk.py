"""Looks at the disk of the images every minute, so that somebody is told before images must be refused."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import structlog

from huren.parts import Ground
from worklist.actions.disk import note_disk

log = structlog.get_logger(__name__)

EVERY: Final = 60.0  # seconds
MIB: Final = 1 << 20


@contextlib.contextmanager
def watched(on: Ground) -> Iterator[None]:
    """Somebody looks for the length of the block."""
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(on, stop), name="disk-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def watch(on: Ground, stop: threading.Event) -> None:
    """Look at once, and again every minute until `stop` is set."""
    known = "enough"
    while True:
        try:
            state = look(on)
            if state != known:
                log.warning("disk", state=state)
            known = state
        except Exception as error:  # noqa: BLE001 - the next look may find the database again
            log.warning("disk_not_looked_at", error=type(error).__name__)
        if stop.wait(EVERY):
            return


def look(on: Ground) -> str:
    """Look once; the state, see `worklist.rules.disk`. Raises what the store and the database raise."""
    free = on.store.free_bytes()
    warning, reserve = on.settings.disk_warning * MIB, on.settings.reserve * MIB
    return on.database.write(lambda s: note_disk(s, free, warning, reserve, on.clock()))
