"""Killing the server at one of its system calls, or letting the call fail: `strace` does it as the call begins.

Where chance may miss the few microseconds between a rename and a commit, the sweep goes through every call in turn.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.integration.killing import Server
from tests.peers.process import Process, installed

# fsync of files and folders, the rename of a document, SQLite's writes and its sync of the log, and the answer.
CALLS = ("fsync", "rename", "pwrite64", "fdatasync", "sendto")
CALLS_OF_DATABASE = ("pwrite64", "fdatasync", "sendto")  # an order makes no file


class Trap:
    """`strace`, attached to the running server; it kills at the `when`-th `call` of any one thread from now on."""

    def __init__(self, server: Server, call: str, when: int) -> None:
        """Attach. Raises PeerMissing without strace."""
        self._server = server
        self._log = Path(f"{server.folder}/strace-{call}-{when}-{time.monotonic_ns()}.log")
        self._process = Process(
            [
                installed("strace", "strace"),
                *("-f", "-p", str(server.pid), "-e", f"trace={call}"),
                *("-e", f"inject={call}:signal=KILL:when={when}"),
            ],
            log=self._log,
        )
        self._process.wait_until(lambda: " attached" in self._process.output)

    def sprung(self, seconds: float) -> bool:
        """Whether the server was killed in time; else strace lets it go."""
        try:
            self._server.wait_for_death(seconds)
        except subprocess.TimeoutExpired:
            self._process.stop()
            return False
        self._process.wait(10)
        return True


@contextlib.contextmanager
def failing(server: Server, call: str, error: str) -> Iterator[None]:
    """Every `call` of the running server fails with `error` (an errno's name) until the end of the block."""
    with Process(
        [
            installed("strace", "strace"),
            *("-f", "-p", str(server.pid), "-e", f"trace={call}", "-e", f"inject={call}:error={error}"),
        ],
        log=server.folder / f"strace-{call}-{error}.log",
    ) as process:
        process.wait_until(lambda: " attached" in process.output)
        yield
