"""Which parts of the server run: each process touches a file of its own in the data folder while its work goes on.

A file and not a row: whether a process lives must be known while the database is away too.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = "running"
EVERY: Final = 5.0  # seconds between two signs; a worker gives its own with its leases, every 20
STALE: Final = 60.0  # seconds after which a process that gives no sign counts as gone or hung
FORGOTTEN: Final = 24 * 3600.0  # seconds after which the file of a killed process is removed
PARTS: Final = ("web", "dicom", "mllp", "worker", "scheduler")
WHOLE: Final = "serve"  # all of these in one process


@dataclass(frozen=True)
class Seen:
    """One process, and how many seconds ago it gave its last sign."""

    part: str
    host: str
    pid: int
    seconds: float

    @property
    def is_alive(self) -> bool:
        """Whether the sign is fresh."""
        return self.seconds <= STALE


class Sign:
    """The sign of life of this process. Safe to use from many threads."""

    def __init__(self, data: Path, part: str) -> None:
        self._path = data / FOLDER / f"{part}-{socket.gethostname()}-{os.getpid()}"
        self._given = 0.0

    def give(self) -> None:
        """Say that the work goes on. Raises nothing; a sign that was just given is not given again."""
        now = time.monotonic()
        if self._given and now - self._given < EVERY:
            return
        self._given = now
        with contextlib.suppress(OSError):  # no sign is a sign too
            try:
                os.utime(self._path)
            except FileNotFoundError:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._path.touch(mode=0o600)

    def take_back(self) -> None:
        """The process ends as it was asked to."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def running(data: Path, part: str) -> Iterator[Sign]:
    """A sign of life that is taken back at the end; files of processes that were killed long ago are removed."""
    for seen in processes(data):
        if seen.seconds > FORGOTTEN:
            with contextlib.suppress(OSError):
                (data / FOLDER / f"{seen.part}-{seen.host}-{seen.pid}").unlink()
    sign = Sign(data, part)
    sign.give()
    try:
        yield sign
    finally:
        sign.take_back()


def processes(data: Path) -> list[Seen]:
    """Every process that gave a sign and did not take it back, by part."""
    found, now = [], time.time()
    try:
        files = list(os.scandir(data / FOLDER))
    except OSError:
        return []
    for file in files:
        part, _, rest = file.name.partition("-")
        host, _, pid = rest.rpartition("-")
        if part not in (*PARTS, WHOLE) or not pid.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            found.append(Seen(part, host, int(pid), max(0.0, now - file.stat().st_mtime)))
    return sorted(found, key=lambda seen: (seen.part, seen.host, seen.pid))
