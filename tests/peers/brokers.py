"""Redis and RabbitMQ, as the queue between scheduler and workers. Neither finds again after `kill` what it had on the
disk, so that killing one wipes it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.peers.ports import LOOPBACK, free_port
from tests.peers.process import PeerMissing, Process, installed


class Broker(Protocol):
    """A queue that may be killed."""

    url: str

    def start(self) -> None:
        """Start (again, after `kill`), empty, and wait until it answers."""

    def kill(self) -> None:
        """End it at once; all that it held is gone."""

    def wipe(self) -> None:
        """Forget everything, and run on."""

    def close(self) -> None:
        """End it for good."""


class Redis:
    """A Redis server on a free loopback port."""

    def __init__(self, folder: Path) -> None:
        """Start it. Raises PeerMissing, PeerFailed."""
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self._folder = folder
        self._process: Process | None = None
        self.start()

    def start(self) -> None:
        """Start (again, after `kill`), empty, and wait until it answers."""
        program = installed("redis-server", "redis-server")
        command = [program, "--port", str(self.port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
        self._process = Process([*command, "--dir", self._folder], log=self._folder / "redis.log", cwd=self._folder)
        self._process.wait_until(lambda: self.say("PING") == b"+PONG\r\n")

    def kill(self) -> None:
        """End it at once; all that it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def wipe(self) -> None:
        """Forget everything, and run on."""
        assert self.say("FLUSHALL") == b"+OK\r\n"

    def say(self, command: str) -> bytes:
        """Send an inline command and return the first piece of the answer; b"" where nobody listens."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=5) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(4096)
        except OSError:
            return b""

    def close(self) -> None:
        """End it for good."""
        self.kill()


class RabbitMQ:
    """A RabbitMQ node of its own name, folders and ports on the loopback address, with an epmd of its own."""

    PROGRAMS: Final = Path("/usr/lib/rabbitmq/bin")  # Debian's wrapper in /usr/sbin would take the system's folders

    def __init__(self, folder: Path) -> None:
        """Start it. Raises PeerMissing, PeerFailed."""
        if not (self.PROGRAMS / "rabbitmq-server").exists():
            raise PeerMissing("RabbitMQ is missing; `make peers` installs Debian's package rabbitmq-server.")
        self.port, epmd_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@{LOOPBACK}:{self.port}//"
        self._folder = folder
        self._process: Process | None = None
        (folder / "plugins").write_text("[].\n", "ascii")
        self._environment = {
            "HOME": str(folder),  # of Erlang's cookie
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": f"huren-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
            "LANG": "C.UTF-8",
        }
        self._epmd = Process(
            [installed("epmd", "erlang-base"), "-port", str(epmd_port), "-address", LOOPBACK],
            log=folder / "epmd.log",
            env=self._environment,
        )
        self.start()

    def start(self) -> None:
        """Start (again, after `kill`), empty, and wait until it answers."""
        shutil.rmtree(self._folder / "mnesia", ignore_errors=True)
        command = [self.PROGRAMS / "rabbitmq-server"]
        log = self._folder / "rabbitmq.log"
        self._process = Process(command, log=log, cwd=self._folder, env=self._environment)
        self._process.wait_until(self._answers, 90)

    def kill(self) -> None:
        """End it at once; all that it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def wipe(self) -> None:
        """Forget everything: it is another one that runs on, in its place."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End it for good, and what it was known to."""
        self.kill()
        self._epmd.kill()

    def _answers(self) -> bool:
        """Whether it speaks AMQP: it says first which version it wants, when it is spoken to wrongly."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x00\x00")
                return connection.recv(8) == b"AMQP\x00\x00\x09\x01"
        except OSError:
            return False


BROKERS: Final[dict[str, Callable[[Path], Broker]]] = {"redis": Redis, "rabbitmq": RabbitMQ}


@contextmanager
def broker(kind: str, folder: Path) -> Iterator[Broker]:
    """Run a broker of this kind for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = BROKERS[kind](folder)
    try:
        yield server
    finally:
        server.close()
