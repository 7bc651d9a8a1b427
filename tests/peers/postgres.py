"""PostgreSQL: a server of our own in a temporary folder, and a fresh database for each test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.peers.ports import LOOPBACK, free_port
from tests.peers.process import PeerFailed, PeerMissing, Process

# PostgreSQL refuses to run as root; Debian's package makes this user.
USER = "postgres"


def program_folder() -> Path:
    """Return the folder of the newest installed server. Raises PeerMissing."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    if not found:
        raise PeerMissing("PostgreSQL is missing; `make peers` installs Debian's package postgresql.")
    return found[0].parent


class Postgres:
    """A running server with durability as in production (fsync on)."""

    def __init__(self, folder: Path) -> None:
        """Make a new cluster in `folder` and start it. Raises PeerMissing, PeerFailed."""
        self.folder = folder
        self.port = free_port()
        self._programs = program_folder()
        self._user = USER if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user, self._user)
        options = "--username postgres --auth trust --encoding UTF8 --locale C.UTF-8 --no-sync"
        made = subprocess.run(
            [self._programs / "initdb", "--pgdata", folder / "data", *options.split()],
            cwd=folder,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise PeerFailed(f"initdb ended with status {made.returncode}:\n{made.stdout}{made.stderr}")
        self.start()

    def start(self) -> None:
        """Start the server (again, after `kill`) and wait until it answers queries."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on",
            "synchronous_commit": "on",
        }
        command: list[str | Path] = [self._programs / "postgres", "-D", self.folder / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.process = Process(command, log=self.folder / "log", cwd=self.folder, user=self._user)
        try:
            self.process.wait_until(self._answers)
        except PeerFailed:
            self.process.kill()
            raise

    def stop(self) -> None:
        """Shut the server down, ending open connections (PostgreSQL's "fast" mode)."""
        self.process.stop(signal.SIGINT)

    def kill(self) -> None:
        """End the server and all its workers at once, as a power cut would.

        Each worker is a process group of its own; one that lives on keeps the shared memory that the next start needs.
        """
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()]
        self.process.kill()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def url(self, database: str) -> str:
        """Return SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://{USER}@{LOOPBACK}:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database, yield its SQLAlchemy URL and drop it afterwards."""
        name = f"test_{uuid4().hex}"
        with self._admin() as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            with self._admin() as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _admin(self) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK, port=self.port, user=USER, dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _answers(self) -> bool:
        try:
            self._admin().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running() -> Iterator[Postgres]:
    """Run a server for the length of the block and remove its folder afterwards.

    Not under pytest's own temporary folder, which the user postgres may not enter.
    """
    with tempfile.TemporaryDirectory(prefix="huren-postgres-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        try:
            yield server
        finally:
            server.stop()
