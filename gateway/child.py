"""One warm child that decodes strangers' pixels, as its parent sees it: started, asked, watched, ended."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.decoding import MOST_REQUEST
from worklist.errors import BadInput, Broken, TryLater

START_SECONDS: Final = 60.0
TASKS_PER_CHILD: Final = 2000  # codecs leak
_CODE: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the children together and each. Sizes in bytes, times in seconds."""

    children: int = 2
    memory: int = 512 << 20  # of one child; mapped files do not count
    seconds: float = 10.0  # of one task, on the clock and of the processor
    waiting: int = 64  # tasks that wait for a child
    wait_seconds: float = 30.0
    made: int = 2 << 30  # results that are not sent yet, all together


class Child:
    """One child, started again when it has died. One thread at a time uses it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ended = False
        self._begin()

    @property
    def pid(self) -> int:
        """Its process id, as it is now."""
        return self._process.pid

    def ask(self, request: dict[str, Any], descriptors: Sequence[int]) -> list[int]:
        """Let it do one task. Raises as `Children.ask`, busy aside."""
        message = json.dumps(request).encode()
        if len(message) > MOST_REQUEST:
            raise BadInput("decoder_gave_up", reason="size")
        self._wait_until_ready()
        if not self._send(message, descriptors):  # it died while nobody used it: not this task's fault
            self._again()
            self._wait_until_ready()
            if not self._send(message, descriptors):
                raise Broken("decoder_not_started")
        answer = self._receive(self._limits.seconds)
        if answer is None:
            status = self._stop()
            self._again()
            raise BadInput("decoder_gave_up", reason=_why(status))
        if answer.get("params", {}).get("reason") == "memory":
            self._stop()
            self._again()
        numbers = _numbers(answer)
        self._done += 1
        if self._done >= TASKS_PER_CHILD:
            self._stop()
            self._again()
        return numbers

    def end(self) -> None:
        """End it for good."""
        self._ended = True
        self._stop()

    def _begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._channel = ours
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-m", "gateway.decoding", str(self._limits.memory), str(self._limits.seconds)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Nothing of our own environment: settings may hold secrets. More threads would need more memory.
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
            )
        self._ready = False
        self._done = 0

    def _again(self) -> None:
        self._stop()
        if not self._ended:
            self._begin()

    def _wait_until_ready(self) -> None:
        if not self._ready and self._receive(START_SECONDS) is None:
            self._again()
            raise Broken("decoder_not_started")
        self._ready = True

    def _send(self, message: bytes, descriptors: Sequence[int]) -> bool:
        try:
            socket.send_fds(self._channel, [message], descriptors)
        except OSError:
            return False
        return True

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        """The next answer; None where none comes in time or it is none."""
        try:
            poll = select.poll()
            poll.register(self._channel, select.POLLIN)
            if not poll.poll(seconds * 1000):
                return None
            answer = json.loads(self._channel.recv(MOST_REQUEST))
        except (OSError, ValueError):
            return None
        return answer if isinstance(answer, dict) else None

    def _stop(self) -> int:
        """End it; what `subprocess` calls its return code. One that died by itself is asked first."""
        try:
            return self._process.wait(0.05)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._channel.close()


def _why(status: int) -> str:
    """Why a child ended without an answer: we or its own alarms stopped it, or it crashed."""
    return "time" if -status in (9, 14, 24) else "crash"  # SIGKILL, SIGALRM, SIGXCPU


def _numbers(answer: dict[str, Any]) -> list[int]:
    """The numbers of an answer, or its error. A child that a file has taken over could say anything."""
    numbers, code, params = answer.get("numbers"), answer.get("error"), answer.get("params")
    if isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers):
        return numbers
    if code == "out_of_space":
        raise TryLater("out_of_space")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise BadInput("decoder_gave_up", reason="error")
    said = params if isinstance(params, dict) else {}
    raise BadInput(code, **{str(k): v if isinstance(v, int) else str(v)[:64] for k, v in said.items()})
