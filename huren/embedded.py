"""The embedded server: every door, the pages and the workers in one process, on SQLite and a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import structlog
import uvicorn

from gateway.dimse.door import Door
from gateway.dimse.guard import Limits as DimseLimits
from gateway.http import Web
from gateway.mllp.door import Limits as MllpLimits
from gateway.mllp.door import MllpDoor
from gateway.mllp.intake import Intake
from gateway.store import FolderStore
from huren.app import create_app
from huren.jobs import Clock, Worker, utc_now
from huren.migrate import upgrade
from huren.settings import Settings
from worklist import outbox
from worklist.actions.installation import bind_store
from worklist.database import Database
from worklist.errors import Broken

log = structlog.get_logger(__name__)


class CannotServe(RuntimeError):
    """A port is in use, or the folder is not right; `str()` is a sentence for the operator."""


@dataclass(frozen=True)
class Parts:
    """What a running server is made of; tests reach in here, nothing else does."""

    database: Database
    store: FolderStore
    dimse: Door
    mllp: MllpDoor
    worker: Worker


@contextlib.contextmanager
def doors(settings: Settings, *, clock: Clock = utc_now) -> Iterator[Parts]:
    """Migrate, open the store and both device doors, start the workers; close all of it in order at the end.

    Raises
    ------
    CannotServe
        when a door cannot listen, or when another server uses the same data folder.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(settings):
        upgrade(settings.database_url)
        database = Database(settings.database_url, pool_size=20)
        if database.is_sqlite:  # which is ours alone, by the lock; another database may have other servers
            database.write(outbox.release_leases)
        store = FolderStore(settings.store_folder, reserve_bytes=settings.reserve << 20)
        marker = store.marker()
        try:
            database.write(lambda s: bind_store(s, marker))
        except Broken as error:
            database.close()
            raise CannotServe(
                f"The object store in {settings.store_folder} is not the one that this database refers to "
                f"({error.params['found']}, not {error.params['expected']}). Is its disk mounted?"
            ) from error
        store.sweep()
        dimse = Door(
            database,
            store,
            clock,
            ae_title=settings.ae_title,
            host=settings.dimse_host,
            port=settings.dimse_port,
            limits=DimseLimits(
                associations=settings.dimse_associations,
                message=settings.largest_object << 20,
                unanswered=max(1 << 30, settings.largest_object << 21),
            ),
        )
        mllp = MllpDoor(
            Intake(database, clock),
            settings.mllp_host,
            settings.mllp_port,
            MllpLimits(message=settings.largest_message << 10),
        )
        worker = Worker(
            database,
            store,
            clock,
            threads=settings.workers,
            public_url=settings.reached_at,
            ae_title=settings.ae_title,
        )
        with contextlib.ExitStack() as closing:
            closing.callback(database.close)
            _listen(dimse.start, "DICOM", settings.dimse_host, settings.dimse_port)
            closing.callback(dimse.stop)
            _listen(mllp.start, "HL7", settings.mllp_host, settings.mllp_port)
            closing.callback(mllp.stop)
            worker.start()
            closing.callback(worker.stop)
            yield Parts(database, store, dimse, mllp, worker)


def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM; then finish what was acknowledged and close."""
    # uvicorn ends by raising the signal that stopped it once more; by default that would kill the process before
    # the other doors have finished what they acknowledged.
    asked_to_end = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda _number, _frame: asked_to_end.set())
    web_socket = _web_socket(settings)
    with doors(settings) as parts:
        web = Web(
            database=parts.database,
            store=parts.store,
            clock=utc_now,
            secure_cookies=settings.secure_cookies,
            seals=settings.seals,
            public_url=settings.reached_at,
            largest_object=settings.largest_object << 20,
            spool=settings.data / "spool",
            reserve=settings.reserve << 20,
        )
        config = uvicorn.Config(
            create_app(web),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
            h11_max_incomplete_event_size=64 << 10,
        )
        log.info("serving", pid=os.getpid(), port=settings.web_port)
        if not asked_to_end.is_set():  # while the doors were opened
            uvicorn.Server(config).run(sockets=[web_socket])
        log.info("closing", pid=os.getpid())
    log.info("closed", pid=os.getpid())


def _web_socket(settings: Settings) -> socket.socket:
    """The listening socket of the web door, taken before anything else is opened."""
    family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
    # asyncio turns Nagle's waiting off only where a socket says that it is TCP; else small answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.web_host, settings.web_port))
    except OSError as error:
        listener.close()
        hint = " Orthanc uses 8042 by default: is one running here?" if settings.web_port == 8042 else ""
        raise CannotServe(
            f"The web door cannot listen on {settings.web_host}:{settings.web_port}: {error.strerror}.{hint} "
            "Set HUREN_WEB_PORT to another port."
        ) from error
    listener.listen(512)
    listener.set_inheritable(True)
    return listener


def _listen(start: Callable[[], None], door: str, host: str, port: int) -> None:
    try:
        start()
    except OSError as error:
        name = {"DICOM": "HUREN_DIMSE_PORT", "HL7": "HUREN_MLLP_PORT"}[door]
        raise CannotServe(
            f"The {door} door cannot listen on {host}:{port}: {error.strerror}. Set {name} to another port."
        ) from error


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
