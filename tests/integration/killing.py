"""A whole server in a process of its own, that can be killed and started again, and what must hold afterwards.

The server is `huren serve`, nothing of it is replaced. The county is made in its data folder before the first
start, and looked at through a database of our own that only reads.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import httpx

from gateway.store import INCOMING, FolderStore
from tests import seals
from tests import world as small_county
from tests.peers.his import His
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import Process
from worklist.database import Database, sqlite_url
from worklist.people import SCOPES, create_token
from worklist.queries.stored import store_keys
from worklist.tables import Instance

HUREN_PROGRAM = (sys.executable, "-m", "huren.cli")


def utc_now() -> datetime:
    """The server's clock is the real one, so ours is too."""
    return datetime.now(UTC)


class Doors(Protocol):
    """A server whose doors are open, in however many processes: what those who play against it need."""

    folder: Path
    world: small_county.World
    store: FolderStore
    his: His
    dimse_port: int
    mllp_port: int

    def token(self, login: str) -> str:
        """An API token with every scope."""

    def client(self, login: str) -> httpx.Client:
        """The HTTP API as this person."""


class Server:
    """`huren serve` on a data folder of its own, with the county of `tests.world` and a HIS for TS01."""

    def __init__(self, folder: Path, password_hash: str = "", database_url: str = "", *, reserve: int = 0) -> None:
        """Make the county, everybody with the same password; nothing is started yet. `database_url`: a PostgreSQL
        database instead of the SQLite file in the data folder; `reserve`: room for reports, in MiB."""
        self.folder = folder
        self.reserve = reserve
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.database_url = database_url
        self.database = self._open()
        self.world = small_county.build(self.database, utc_now(), password_hash=password_hash)
        seals.prepare(self.data / "seals", self.world)
        self.store = FolderStore(self.data / "objects")
        self.his = His()
        small_county.point_endpoint(self.world, "TS01", self.his.port)
        self.web_port, self.dimse_port, self.mllp_port = free_port(), free_port(), free_port()
        self.starts: list[float] = []  # seconds that each start took until all doors answered
        self._tokens: dict[str, str] = {}
        self._process: Process | None = None

    def _open(self) -> Database:
        return Database(self.database_url or sqlite_url(self.data / "huren.sqlite3"))

    def lose_everything(self, database_url: str = "", *, but_objects: bool = False) -> None:
        """The machine is gone: data folder and database; `database_url` is the new, empty one."""
        assert not self.is_running
        self.database.close()
        for path in self.data.iterdir():
            if path.is_dir() and not (but_objects and path.name == "objects"):
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()
        self.database_url = database_url

    def look_again(self) -> None:
        """Look at the database that was restored."""
        self.database = self.world.database = self._open()

    @property
    def address(self) -> str:
        """Base URL of the web door."""
        return f"http://{LOOPBACK}:{self.web_port}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and neither killed nor ended since."""
        return self._process is not None and self._process.is_running

    @property
    def output(self) -> str:
        """What it has printed so far, over all starts."""
        return (self.folder / "server.log").read_text("utf-8", errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        """The settings of this server, for its own commands too."""
        return {
            "HUREN_DATA": str(self.data),
            "HUREN_WEB_PORT": str(self.web_port),
            "HUREN_DIMSE_PORT": str(self.dimse_port),
            "HUREN_DIMSE_TLS_PORT": "0",
            "HUREN_MLLP_TLS_PORT": "0",
            "HUREN_MLLP_PORT": str(self.mllp_port),
            "HUREN_RESERVE": str(self.reserve),
            **({"HUREN_DATABASE": self.database_url} if self.database_url else {}),
        }

    def start(self) -> float:
        """Start, and wait until every door answers; returns the seconds that took."""
        began = time.monotonic()
        self._process = Process(
            [*HUREN_PROGRAM, "serve"], log=self.folder / "server.log", cwd=self.folder, env=self.environment
        )
        self._process.wait_until(self._is_ready, 60)
        self.starts.append(time.monotonic() - began)
        return self.starts[-1]

    def _is_ready(self) -> bool:
        if not (answers(self.web_port) and answers(self.mllp_port) and answers(self.dimse_port)):
            return False
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.address}/readyz", timeout=10).status_code == 200
        return False

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()

    def wait_for_death(self, seconds: float = 60) -> None:
        """Wait until something else has killed it. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        self._process.wait(seconds)

    def close(self) -> None:
        """Stop everything."""
        if self._process is not None:
            self._process.stop()
        self.his.go_away()
        self.database.close()

    def token(self, login: str) -> str:
        """An API token with every scope. Made before the start only, since the server alone writes then."""
        if login not in self._tokens:
            assert self._process is None, "tokens are made before the server is started"
            user = self.world.users[login]
            self._tokens[login] = self.database.write(lambda s: create_token(s, user, "test", SCOPES, utc_now()))
        return self._tokens[login]

    def client(self, login: str) -> httpx.Client:
        """The HTTP API as this person."""
        headers = {"Authorization": f"Bearer {self.token(login)}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=60)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another of `huren`'s commands with this server's settings."""
        return subprocess.run(
            [*HUREN_PROGRAM, *words],
            env={**os.environ, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@contextlib.contextmanager
def serving(folder: Path, *, logins: tuple[str, ...] = (), password_hash: str = "") -> Iterator[Server]:
    """A server that is running; `logins` get tokens, and everybody the password."""
    server = Server(folder, password_hash)
    try:
        for login in logins:
            server.token(login)
        server.start()
        yield server
    finally:
        server.close()


class Count:
    """Counts what was acknowledged, over all threads, and lets the killer wait for a number."""

    def __init__(self) -> None:
        self.value = 0
        self._changed = threading.Condition()

    def up(self) -> None:
        """One more."""
        with self._changed:
            self.value += 1
            self._changed.notify_all()

    def wait_for(self, number: int, seconds: float = 60) -> bool:
        """Whether the number was reached in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.value >= number, seconds)


def kill_under(server: Server, load: list[Callable[[], None]], progress: Count, chance: random.Random) -> int:
    """Run every piece of `load` in a thread of its own, kill the server in the middle, start it again.

    The moment is a number of acknowledgements drawn by chance, and up to 30 ms more. Returns how many
    acknowledgements came in this round.
    """
    failures: list[BaseException] = []

    def run(piece: Callable[[], None]) -> None:
        try:
            piece()
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    before = progress.value
    threads = [threading.Thread(target=run, args=(piece,), daemon=True) for piece in load]
    for thread in threads:
        thread.start()
    is_under_way = progress.wait_for(before + chance.randrange(1, 40), 30)
    time.sleep(chance.random() * 0.03)
    server.kill()
    for thread in threads:
        thread.join(60)
    assert not failures, failures
    assert not any(thread.is_alive() for thread in threads)
    assert is_under_way or progress.value > before, "nothing was acknowledged before the kill"
    server.start()
    return progress.value - before


def storage_faults(server: Server) -> list[str]:
    """What is wrong with database and store, one line each: nothing may be, whatever was killed.

    A running server may be at work: what it is writing at this moment is not left, so this looks again for a while.
    """
    return _until_none(lambda: _storage_faults(server))


def orphan_faults(server: Server) -> list[str]:
    """Whether `huren reconcile` names exactly the objects that no row refers to, and misses nothing."""
    return _until_none(lambda: _orphan_faults(server))


def _until_none(look: Callable[[], list[str]], seconds: float = 20) -> list[str]:
    deadline = time.monotonic() + seconds
    while (faults := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return faults


def _storage_faults(server: Server) -> list[str]:
    faults = []
    if not server.database_url:
        with contextlib.closing(sqlite3.connect(_database_file(server))) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            faults += [f"integrity_check: {line}" for line in found if line != "ok"]
            faults += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
    known = server.database.read(store_keys)  # first: bytes are there before their row
    held = set(server.store.keys())
    faults += [f"a row without bytes: {key}" for key in sorted(known - held)]
    for row in server.world.rows(Instance):
        if row.store_key in held and sha256(server.store.read(row.store_key)).hexdigest() != row.sha256:
            faults.append(f"other bytes than its row says: {row.store_key}")
    left = [path.name for path in (server.store.root / INCOMING).iterdir()]
    return faults + [f"left half-written: {name}" for name in left]


def _orphan_faults(server: Server) -> list[str]:
    expected = set(server.store.keys()) - server.database.read(store_keys)
    ran = server.run("reconcile")
    listed = {line.split(" ")[1] for line in ran.stdout.splitlines() if line.startswith("orphan ")}
    if ran.returncode == 0 and listed == expected:
        return []
    return [f"huren reconcile said {ran.stdout!r} {ran.stderr!r}, not {sorted(expected)}"]


def _database_file(server: Server) -> Path:
    """The database file."""
    return server.data / "huren.sqlite3"
