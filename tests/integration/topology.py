"""The server in several processes, as in production: PostgreSQL, Redis or RabbitMQ, any number of each part on shared
ports."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from sqlalchemy import update

from gateway.store import FolderStore
from tests import seals
from tests import world as small_county
from tests.integration.killing import HUREN_PROGRAM, utc_now
from tests.peers.brokers import Broker, broker
from tests.peers.his import His
from tests.peers.mllp_client import MllpClient
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.postgres import Postgres
from tests.peers.process import Process
from worklist.database import Database
from worklist.people import SCOPES, create_token
from worklist.tables import Center

EVERYTHING = ("web", "web", "dicom", "dicom", "mllp", "mllp", "worker", "worker", "scheduler", "scheduler")


def until(look: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


class Topology:
    """The county of `tests.world` on a database that is migrated already; nothing is started yet."""

    def __init__(
        self, folder: Path, database_url: str, broker: Broker, settings: Mapping[str, str] | None = None
    ) -> None:
        """`settings` are added to those of every process."""
        self.folder, self.broker = folder, broker
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.database = Database(database_url)
        self.world = small_county.build(self.database, utc_now())
        self.database.write(lambda s: s.execute(update(Center).values(quiet_seconds=2)))  # nobody steps this clock
        seals.prepare(self.data / "seals", self.world)
        self.store = FolderStore(self.data / "objects")
        self.his = His()
        small_county.point_endpoint(self.world, "TS01", self.his.port)
        self.web_port, self.dimse_port, self.mllp_port = free_port(), free_port(), free_port()
        self.processes: list[tuple[str, Process]] = []
        self.killed: list[Process] = []
        self._tokens: dict[str, str] = {}
        self._apis: dict[str, httpx.Client] = {}
        self.environment = {
            "HUREN_DATA": str(self.data),
            "HUREN_DATABASE": database_url,
            "HUREN_BROKER": broker.url,
            "HUREN_WEB_PORT": str(self.web_port),
            "HUREN_DIMSE_PORT": str(self.dimse_port),
            "HUREN_MLLP_PORT": str(self.mllp_port),
            "HUREN_DIMSE_TLS_PORT": "0",
            "HUREN_MLLP_TLS_PORT": "0",
            "HUREN_RESERVE": "0",
            "HUREN_WORKERS": "2",
            **(settings or {}),
        }

    def launch(self, part: str) -> Process:
        """Start this part, whatever becomes of it."""
        log = self.folder / f"{part}-{len(self.processes)}.log"
        process = Process([*HUREN_PROGRAM, part], log=log, cwd=self.folder, env=self.environment)
        self.processes.append((part, process))
        return process

    def start(self, *parts: str) -> list[Process]:
        """Start these parts, and wait until each of them serves."""
        started = [self.launch(part) for part in parts]
        ports = {"web": self.web_port, "dicom": self.dimse_port, "mllp": self.mllp_port}
        for part, process in zip(parts, started, strict=True):
            process.wait_until(lambda process=process: _says(process, "serving"), 90)  # type: ignore[misc]
            assert part not in ports or answers(ports[part])
        return started

    def token(self, login: str) -> str:
        """An API token with every scope."""
        user = self.world.users[login]
        return self.database.write(lambda s: create_token(s, user, "topology", SCOPES, utc_now()))

    def client(self, login: str) -> httpx.Client:
        """The HTTP API as this person, over connections of its own."""
        if login not in self._tokens:
            self._tokens[login] = self.token(login)
        headers = {"Authorization": f"Bearer {self._tokens[login]}"}
        return httpx.Client(base_url=f"http://{LOOPBACK}:{self.web_port}", headers=headers, timeout=60)

    def api(self, login: str) -> httpx.Client:
        """The HTTP API with this person's token."""
        if login not in self._apis:
            self._apis[login] = self.client(login)
        return self._apis[login]

    def tell(self, message: str) -> str:
        """Send an HL7 message over a connection of its own; the code of MSA-1."""
        client = MllpClient(self.mllp_port)
        try:
            return str(client.ask(message.encode()).segment("MSA")[1])
        finally:
            client.socket.close()

    def printed(self) -> str:
        """What all processes have printed."""
        return "".join(log.read_text("utf-8", errors="replace") for log in sorted(self.folder.glob("*-*.log")))

    def stop(self) -> list[tuple[str, int, Process]]:
        """Ask every process to end, all at once; each part, its exit status, and the process."""
        with ThreadPoolExecutor(len(self.processes) or 1) as pool:
            codes = list(pool.map(lambda one: one[1].stop(), self.processes))
        return [(part, code, process) for (part, process), code in zip(self.processes, codes, strict=True)]

    def close(self) -> None:
        """Stop everything."""
        for client in self._apis.values():
            client.close()
        self.stop()
        self.his.go_away()
        self.database.close()


def _says(process: Process, word: str) -> bool:
    return f'"event": "{word}"' in process.output


@contextlib.contextmanager
def topology(
    folder: Path, server: Postgres, queue: str = "redis", settings: Mapping[str, str] | None = None
) -> Iterator[Topology]:
    """A migrated, empty production county, on PostgreSQL and a broker (`tests.peers.brokers`) of its own."""
    from huren.migrate import upgrade

    with broker(queue, folder / "broker") as running, server.database() as url:
        upgrade(url)
        made = Topology(folder, url, running, settings)
        try:
            yield made
        finally:
            made.close()
