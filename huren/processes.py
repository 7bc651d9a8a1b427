"""One part of the server in a process of its own: on PostgreSQL and a folder that all of them share.

Any number of each may run, on any number of machines: doors share a port where they share a machine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import structlog

from huren import clock, disk, parts
from huren.kinds import ARCHIVE, NAMES, TIME_STAMPS
from huren.migrate import current, newest
from huren.parts import CannotServe, Ground
from huren.running import EVERY, Sign, running
from huren.settings import Settings
from worklist.database import Database
from worklist.errors import HurenError

log = structlog.get_logger(__name__)


def web(settings: Settings) -> None:
    """Pages, API, DICOMweb."""
    from huren.web import run_web

    asked_to_end = parts.ending()
    listener = parts.web_listener(settings, shared=True)
    with part(settings) as on, parts.metrics_port(on), running(settings.data, "web") as sign:
        parts.say_that_it_serves(settings.web_port)
        run_web(on, listener, asked_to_end, sign, is_alone=False)


def dicom(settings: Settings) -> None:
    """The DICOM door, and the folder door where one is set."""
    asked_to_end = parts.ending()
    with (
        part(settings) as on,
        parts.metrics_port(on),
        parts.dicom_door(on, shared=True),
        parts.folder_door(on),
        running(settings.data, "dicom") as sign,
    ):
        parts.say_that_it_serves(settings.dimse_port)
        _stay(on, sign, asked_to_end)


def mllp(settings: Settings) -> None:
    """The HL7 door."""
    asked_to_end = parts.ending()
    with (
        part(settings, decoding=False) as on,
        parts.metrics_port(on),
        parts.hl7_door(on, shared=True),
        running(settings.data, "mllp") as sign,
    ):
        parts.say_that_it_serves(settings.mllp_port)
        _stay(on, sign, asked_to_end)


def worker(settings: Settings, queues: Sequence[str] = NAMES) -> None:
    """Jobs of these queues."""
    from huren.queue import work

    _require_broker(settings)
    with part(settings) as on, parts.metrics_port(on), running(settings.data, "worker") as sign:
        if ARCHIVE in queues:
            parts.configure_archives(on)
        if TIME_STAMPS in queues:
            parts.configure_time_stamps(on)
        parts.keep_what_is_loaded()
        work(on, queues, sign)


def scheduler(settings: Settings) -> None:
    """What offers jobs to the workers."""
    from huren.queue import schedule

    _require_broker(settings)
    asked_to_end = parts.ending()
    with (
        part(settings, decoding=False) as on,
        parts.metrics_port(on, is_for_all=True),
        running(settings.data, "scheduler") as sign,
        disk.watched(on),
        clock.watched(on),
    ):
        parts.keep_what_is_loaded()
        schedule(on, asked_to_end, sign)


@contextlib.contextmanager
def part(settings: Settings, *, decoding: bool = True) -> Iterator[Ground]:
    """What one process stands on; `decoding` where it reads objects of others.

    Raises
    ------
    CannotServe
        when the database is SQLite, away, or at another revision than this program needs.
    """
    if settings.database_url.startswith("sqlite"):
        raise CannotServe(
            "One process writes to an SQLite file: run `huren serve`, or set HUREN_DATABASE to a PostgreSQL database "
            "(postgresql://…), the same for every process."
        )
    parts.require_restored(settings)
    parts.take_descriptors()
    database = Database(settings.database_url, pool_size=20)
    try:
        revision = database.read(lambda s: current(s.connection()))
    except HurenError as error:
        database.close()
        raise CannotServe("The database does not answer. Look at HUREN_DATABASE, and whether it runs.") from error
    if revision != newest():
        database.close()
        raise CannotServe(
            f"The database is at revision {revision or 'none'}, this program needs {newest()}: run `huren migrate`, "
            "once, before any of its processes."
        )
    with parts.ground(settings, clock.SettledClock(), database, decoding=decoding) as on:
        yield on
    log.info("closed")


def _stay(on: Ground, sign: Sign, asked_to_end: threading.Event) -> None:
    parts.keep_what_is_loaded()
    while not asked_to_end.wait(EVERY):
        sign.give()
        on.clock()  # which sees a jump while nobody else asks


def _require_broker(settings: Settings) -> None:
    if not settings.broker:
        raise CannotServe("Set HUREN_BROKER to the queue between scheduler and workers: redis://… or amqp://….")
