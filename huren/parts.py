"""What a running server is made of, each part built from the settings: `embedded` and `processes` put them together.

What one part alone needs is imported where it is built: a process of another part would hold a hundred MiB of libraries
for nothing, and start seconds later.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from gateway import meters
from gateway.archived import ArchivedStore
from gateway.orthanc import Orthanc
from gateway.outgoing import Allowed
from gateway.store import FolderStore
from gateway.tls import Identity, own_identity, server_context
from huren import metrics
from huren.kinds import Archives, Clock, Job, utc_now
from huren.settings import Settings
from worklist.actions import archiving, stamping
from worklist.actions.devices import trusted_certificates
from worklist.actions.installation import bind_store
from worklist.database import Database
from worklist.errors import Broken

if TYPE_CHECKING:
    from gateway.dimse.door import Door
    from gateway.folders import FolderDoor
    from gateway.mllp.door import MllpDoor
    from gateway.stamping import Authority

log = structlog.get_logger(__name__)

UNFINISHED: Final = "restore-unfinished.json"  # in the data folder while `huren restore` is at work
BLANKS: Final = 64  # files made at once for objects that are expected; as many descriptors are open


class CannotServe(RuntimeError):
    """A port is in use, or the folder is not right; `str()` is a sentence for the operator."""


@dataclass(frozen=True)
class Ground:
    """What every part stands on."""

    settings: Settings
    clock: Clock
    database: Database
    store: FolderStore
    identity: Identity | None = None  # our certificate, where TLS is used
    archives: Archives = field(default_factory=Archives)


@contextlib.contextmanager
def ground(settings: Settings, clock: Clock, database: Database, *, decoding: bool = True) -> Iterator[Ground]:
    """Open the store beside a migrated database, with `decoding` the children that read strangers' objects too; close
    it all at the end, the database too.

    Raises
    ------
    CannotServe
        when the store is not the one that the database refers to, or our certificate cannot be used.
    """
    database.tell_waits(meters.WRITE_WAIT.observe)
    meters.CONNECTIONS.set_function(lambda: database.connections)
    with contextlib.ExitStack() as closing:
        closing.callback(database.close)
        archives = {server.name: Orthanc(server) for server in settings.archives}
        for archive in archives.values():
            closing.callback(archive.close)
        store = ArchivedStore(
            settings.store_folder,
            settings.data / "fetched",
            settings.archive_cache << 20,
            database,
            archives,
            reserve_bytes=settings.reserve << 20,
            spool_bytes=max(4 << 30, (settings.largest_object << 20) * 4),
            blanks=BLANKS,
        )
        closing.callback(store.close)
        marker = store.marker()
        try:
            database.write(lambda s: bind_store(s, marker))
        except Broken as error:
            raise CannotServe(
                f"The object store in {settings.store_folder} is not the one that this database refers to "
                f"({error.params['found']}, not {error.params['expected']}). Is its disk mounted?"
            ) from error
        store.sweep()
        spool = settings.data / "spool"
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        if decoding:
            from gateway import children

            children.start(folder=spool, reserve=settings.reserve << 20)
            closing.callback(children.stop)
        yield Ground(
            settings,
            clock,
            database,
            store,
            _identity(settings),
            Archives(archives, settings.largest_object << 20, settings.archive_keep_days),
        )


@contextlib.contextmanager
def dicom_door(on: Ground, *, shared: bool = False) -> Iterator[Door]:
    """The DICOM door, open; with `shared` other processes may listen on the same port."""
    from gateway.dimse.door import Door
    from gateway.dimse.guard import Limits

    settings, largest = on.settings, on.settings.largest_object << 20
    door = Door(
        on.database,
        on.store,
        on.clock,
        ae_title=settings.ae_title,
        host=settings.dimse_host,
        port=settings.dimse_port,
        limits=Limits(
            associations=settings.dimse_associations,
            message=largest,
            unanswered=max(1 << 30, largest * 2) if settings.dimse_stock else max(4 << 30, largest * 4),
        ),
        reuse_port=shared,
        identity=on.identity,
        tls_port=settings.dimse_tls_port or None,
        stock=settings.dimse_stock,
    )
    _listen(door.start, "DICOM", settings.dimse_host, settings.dimse_port)
    try:
        yield door
    finally:
        door.stop()


@contextlib.contextmanager
def folder_door(on: Ground) -> Iterator[FolderDoor | None]:
    """The door for files that carts drop, open; None where no folder is set.

    Raises
    ------
    CannotServe
        where the folder is not there, or cannot be written to.
    """
    root = on.settings.drop_folder
    if root is None:
        yield None
        return
    if not root.is_dir() or not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise CannotServe(f"The folder {root} is not there, or Huren may not write to it. Look at HUREN_DROP_FOLDER.")
    from gateway.folders import FolderDoor

    door = FolderDoor(root, on.database, on.store, on.clock)
    door.start()
    try:
        yield door
    finally:
        door.stop()


@contextlib.contextmanager
def hl7_door(on: Ground, *, shared: bool = False) -> Iterator[MllpDoor]:
    """The HL7 door, open, over TLS too where that is set; yields the plain one."""
    from gateway.mllp.door import Limits, MllpDoor
    from gateway.mllp.intake import Intake

    settings, intake = on.settings, Intake(on.database, on.clock)
    limits = Limits(message=settings.largest_message << 10)
    with contextlib.ExitStack() as closing:
        plain = MllpDoor(intake, settings.mllp_host, settings.mllp_port, limits, reuse_port=shared)
        _listen(plain.start, "HL7", settings.mllp_host, settings.mllp_port)
        closing.callback(plain.stop)
        if on.identity is not None and settings.mllp_tls_port:
            secure = server_context(on.identity, lambda: on.database.read(trusted_certificates))
            tls = MllpDoor(intake, settings.mllp_host, settings.mllp_tls_port, limits, secure, reuse_port=shared)
            _listen(tls.start, "HL7 TLS", settings.mllp_host, settings.mllp_tls_port)
            closing.callback(tls.stop)
        yield plain


def configure_archives(on: Ground) -> None:
    """Write down which archives there are: who does their work knows, and a part without these settings must not say
    that there are none."""
    on.database.write(lambda s: archiving.configure(s, list(on.archives.by_name), on.clock()))


def configure_time_stamps(on: Ground) -> None:
    """Write down whether there is a time stamping authority, as `configure_archives` does."""
    on.database.write(lambda s: stamping.configure(s, on.clock(), wanted=bool(on.settings.tsa_url)))


def jobs_of(on: Ground) -> dict[str, Job]:
    """Every kind of job, as this server does it."""
    from gateway.regional import Platforms
    from huren.jobs import jobs
    from reading_room.platforms import open_token
    from reading_room.telling import Telling

    return jobs(
        on.database,
        on.store,
        on.clock,
        public_url=on.settings.reached_at,
        ae_title=on.settings.ae_title,
        identity=on.identity,
        telling=Telling(on.settings.seals, Allowed.read(on.settings.notice_hosts), on.settings.reached_at),
        archives=on.archives,
        authority=authority(on.settings),
        platforms=Platforms(
            Allowed.read(on.settings.region_hosts),
            partial(open_token, on.settings.seals),
            dict(on.settings.identifier_systems),
        ),
    )


def authority(settings: Settings) -> Authority | None:
    """The time stamping authority of the settings, None without one.

    Raises
    ------
    CannotServe
        when the file of its certificates cannot be read.
    """
    from cryptography import x509

    from gateway.stamping import Authority

    if not settings.tsa_url or settings.tsa_trusted is None:
        return None
    try:
        return Authority(settings.tsa_url, tuple(x509.load_pem_x509_certificates(settings.tsa_trusted.read_bytes())))
    except (OSError, ValueError) as error:
        raise CannotServe(f"{settings.tsa_trusted} holds no certificate: {error}") from error


def ending() -> threading.Event:
    """Set when SIGINT or SIGTERM asks the process to end.

    uvicorn ends by raising the signal that stopped it once more; by default that would kill the process before the
    other doors have finished what they acknowledged.
    """
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: asked.set())
    return asked


def require_restored(settings: Settings) -> None:
    """Raise CannotServe beside a restore that was not finished: rows or objects may be missing."""
    if (settings.data / UNFINISHED).exists():
        raise CannotServe(f"A restore into {settings.data} was not finished: run the same `huren restore` again.")


def take_descriptors() -> None:
    """Every connection and every mapped file is a descriptor; systems give 1024 unless they are asked for more."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def web_listener(settings: Settings, *, shared: bool = False) -> socket.socket:
    """The listening socket of the web door, taken before anything else is opened."""
    family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
    # asyncio turns Nagle's waiting off only where a socket says that it is TCP; else small answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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


@contextlib.contextmanager
def metrics_port(on: Ground, *, is_for_all: bool = False) -> Iterator[None]:
    """The port for metrics, where one is set; with `is_for_all` it also tells what waits in the whole county."""
    settings = on.settings
    collectors = [metrics.Waiting(settings, on.database, on.clock, metrics.WATCHER)] if is_for_all else []
    with contextlib.ExitStack() as closing:
        try:
            closing.enter_context(metrics.port(settings, *collectors))
        except OSError as error:
            raise CannotServe(
                f"The port for metrics cannot listen on {settings.metrics_host}:{settings.metrics_port}: "
                f"{error.strerror}. Set HUREN_METRICS_PORT to another port; processes of one machine need one each."
            ) from error
        yield


def say_that_it_serves(port: int) -> None:
    """One line of the log when everything is open."""
    log.info("serving", pid=os.getpid(), port=port)


def keep_what_is_loaded() -> None:
    """Spare the garbage collector what was imported and built so far, which stays until the process ends.

    A full round over all of it holds every thread for a third of a second, again and again. Where the collector rested
    while the server was loaded, it begins here.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def _listen(start: Callable[[], None], door: str, host: str, port: int) -> None:
    try:
        start()
    except OSError as error:
        name = {"DICOM": "HUREN_DIMSE_PORT", "HL7": "HUREN_MLLP_PORT", "HL7 TLS": "HUREN_MLLP_TLS_PORT"}[door]
        where = error.filename or f"{host}:{port}"
        if where != f"{host}:{port}":
            name = name.replace("_PORT", "_TLS_PORT")
        raise CannotServe(
            f"The {door} door cannot listen on {where}: {error.strerror}. Set {name} to another port."
        ) from error


def _identity(settings: Settings) -> Identity | None:
    """Our certificate, None where nothing of us speaks TLS."""
    if not (settings.dimse_tls_port or settings.mllp_tls_port or settings.tls_certificate):
        return None
    try:  # TLS goes by the real time, also where a test's clock stands still
        return own_identity(
            settings.tls_certificate, settings.tls_key, settings.tls_folder, settings.ae_title, utc_now()
        )
    except Broken as error:
        raise CannotServe(
            f"The certificate and key of the device doors cannot be used ({error.params.get('file', '')}). "
            "Look at HUREN_TLS_CERTIFICATE and HUREN_TLS_KEY."
        ) from error
