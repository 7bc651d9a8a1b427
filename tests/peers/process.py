"""One started program: it is waited for until it answers, and exactly it is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType


class PeerMissing(Exception):
    """A program that the tests talk to is not installed."""


class PeerFailed(Exception):
    """A program ended, or did not answer in time; the text carries what it printed."""


def installed(program: str, package: str) -> str:
    """Return the path of a program. Raises PeerMissing naming Debian's package when it is absent."""
    path = shutil.which(program)
    if path is None:
        raise PeerMissing(f"The program {program} is missing; `make peers` installs Debian's package {package}.")
    return path


class Process:
    """A running program in its own process group, its output kept in a file."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start the command. `env` is added to this process's own; `user` also names the group to run as."""
        self.name = Path(command[0]).name
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is its group's as well."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        """What it has printed so far, undecodable bytes replaced."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until `ready()` is true. Raises PeerFailed when the program ends first or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if (code := self._popen.poll()) is not None:
                raise PeerFailed(f"{self.name} ended with status {code}:\n{self.output[-4000:]}")
            if time.monotonic() > deadline:
                raise PeerFailed(f"{self.name} did not answer within {seconds} s:\n{self.output[-4000:]}")
            time.sleep(0.05)

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end and return the exit status. Raises subprocess.TimeoutExpired."""
        return self._popen.wait(seconds)

    def stop(self, ask: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """Ask it to end, then end it and what it started; returns the exit status."""
        if self._popen.poll() is None:
            self._popen.send_signal(ask)
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        return self.kill()

    def kill(self) -> int:
        """End it and all that it started at once (SIGKILL to its process group); returns the exit status."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the whole group has ended by itself
        return self._popen.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
