"""The embedded server: every door, the pages and the workers in one process, on SQLite and a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import structlog

from gateway.dimse.door import Door
from gateway.mllp.door import MllpDoor
from gateway.store import FolderStore
from gateway.tls import Identity
from huren import disk, parts
from huren.clock import SettledClock, watched
from huren.kinds import Clock
from huren.migrate import upgrade
from huren.parts import CannotServe, Ground
from huren.running import WHOLE, running
from huren.settings import Settings
from huren.web import run_web
from huren.workers import Worker
from worklist import outbox
from worklist.actions import expiring
from worklist.database import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a running server is made of; tests reach in here, nothing else does."""

    on: Ground
    dimse: Door
    mllp: MllpDoor
    worker: Worker

    @property
    def database(self) -> Database:
        """The database."""
        return self.on.database

    @property
    def store(self) -> FolderStore:
        """The object store."""
        return self.on.store

    @property
    def identity(self) -> Identity | None:
        """Our certificate, where TLS is used."""
        return self.on.identity


@contextlib.contextmanager
def doors(settings: Settings, *, clock: Clock | None = None) -> Iterator[Parts]:
    """Migrate, open the store and both device doors, start the workers; close all of it in order at the end.

    `clock`: another one than the machine's; a plain one is not watched for jumps.

    Raises
    ------
    CannotServe
        when a door cannot listen, or when another server uses the same data folder.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.ExitStack() as closing:
        closing.enter_context(alone(settings))
        parts.require_restored(settings)
        upgrade(settings.database_url)
        database = Database(settings.database_url, pool_size=20)
        if database.is_sqlite:  # which is ours alone, by the lock; another database may have other servers
            database.write(outbox.release_leases)
        on = closing.enter_context(parts.ground(settings, clock or SettledClock(), database))
        closing.enter_context(watched(on))
        database.write(lambda s: expiring.plan(s, on.clock()))
        parts.configure_archives(on)
        parts.configure_time_stamps(on)
        dimse = closing.enter_context(parts.dicom_door(on))
        mllp = closing.enter_context(parts.hl7_door(on))
        closing.enter_context(parts.folder_door(on))
        worker = Worker(database, on.clock, parts.jobs_of(on), threads=settings.workers)
        worker.start()
        closing.callback(worker.stop)
        closing.enter_context(disk.watched(on))
        yield Parts(on, dimse, mllp, worker)


def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM; then finish what was acknowledged and close."""
    asked_to_end = parts.ending()
    parts.take_descriptors()
    listener = parts.web_listener(settings)
    with (
        doors(settings) as opened,
        parts.metrics_port(opened.on, is_for_all=True),
        running(settings.data, WHOLE) as sign,
    ):
        parts.say_that_it_serves(settings.web_port)
        run_web(opened.on, listener, asked_to_end, sign, is_alone=True)
        log.info("closing", pid=os.getpid())
    log.info("closed", pid=os.getpid())


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the data folder for this process: two servers on one SQLite file would starve each other."""
    lock: IO[str] = (settings.data / "server.lock").open("w")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotServe(f"Another Huren server is using the folder {settings.data}.") from error
        yield
    finally:
        lock.close()
