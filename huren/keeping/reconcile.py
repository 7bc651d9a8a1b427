"""`huren reconcile`: what the database says and what the store holds, and after a restore what may lie in between."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from gateway.intake import ObjectIntake
from gateway.store import FolderStore
from huren import parts
from huren.keeping.alone import nobody_serves
from huren.keeping.backup import operator, store_of
from huren.keeping.keys import KeyTable
from huren.keeping.repository import CannotKeep
from huren.kinds import Clock, utc_now
from huren.settings import Settings
from interfaces.dicom.objects import calling_ae_of
from worklist.actions.keeping import note_taken_in_again
from worklist.actions.studies import set_aside_object
from worklist.database import Database
from worklist.documents import from_canonical
from worklist.errors import BadInput, Broken, HurenError
from worklist.facts import SignedReport
from worklist.queries.keeping import LastHeard, OpenWork, Restored, device_called, last_heard, open_work, restored
from worklist.queries.stored import Referred, referred

log = structlog.get_logger(__name__)

Tell = Callable[[str], None]
DERIVED = ".lines"  # prepared metadata: made again whenever it is asked for
REPORT = ".json"
DOCUMENTS = (REPORT, ".pdf")
FILE_META = 4096  # bytes that hold the header of ours in front of every object


@dataclass(frozen=True)
class Compared:
    """Rows without bytes, and bytes without rows, by key."""

    missing: Iterator[Referred]
    orphans: Iterator[str]


@contextlib.contextmanager
def compared(settings: Settings, database: Database) -> Iterator[Compared]:
    """Compare the database with the store; a running server may go on meanwhile.

    Raises
    ------
    CannotKeep
    """
    store = store_of(settings)
    with KeyTable(settings.data) as table:
        database.read(lambda s: table.refer(referred(s)))  # before the store: bytes are there before their rows
        table.hold(store.keys())
        table.forget_references()  # what was written or moved meanwhile
        database.read(lambda s: table.refer(referred(s)))
        missing = (row for row in table.missing() if not store.exists(row.key))
        yield Compared(missing, table.orphans())


def describe_orphan(store: FolderStore, key: str) -> str:
    """What an orphan is, without a patient's data: a report by its accession numbers and time, an object by its
    sender."""
    if key.endswith(REPORT):
        report = _report(store, key)
        if report is not None:
            numbers = ", ".join(order.accession_number for order in report.orders)
            return f"report of {numbers}, version {report.version}, {report.signed_at:%Y-%m-%d %H:%M} UTC"
    try:
        return f"object of {_caller(store, key) or 'a person or program'}"
    except (BadInput, Broken):
        return "bytes"


def _caller(store: FolderStore, key: str) -> str:
    """The AE title of whoever sent an object; ``""`` for a person or program. Raises BadInput for what is none."""
    with store.open(key) as file:
        return calling_ae_of(file.read(FILE_META))


def _report(store: FolderStore, key: str) -> SignedReport | None:
    try:
        return from_canonical(store.read(key))
    except Broken:
        return None


def adopt(settings: Settings, *, tell: Tell, clock: Clock = utc_now) -> Counter[str]:
    """Take orphans in again through the ordinary intake; what has no known sender is set aside for a person.

    Returns how many were: stored, duplicate, conflict, set aside, removed (metadata that is made again).

    Raises
    ------
    CannotKeep
        while a server runs.
    """
    done: Counter[str] = Counter()
    with nobody_serves(settings):
        database = Database(settings.database_url)
        try:
            with parts.ground(settings, clock, database) as on:
                intake = ObjectIntake(database, on.store, clock)
                with compared(settings, database) as found:
                    for key in found.orphans:
                        outcome = _adopt_one(database, on.store, intake, key, clock)
                        done[outcome] += 1
                        tell(f"{outcome} {key}")
                if done:
                    said = {**done, "by": operator()}
                    database.write(lambda s: note_taken_in_again(s, clock(), said))
        except parts.CannotServe as error:
            raise CannotKeep(str(error)) from error
    return done


def _adopt_one(database: Database, store: FolderStore, intake: ObjectIntake, key: str, clock: Clock) -> str:
    if key.endswith(DERIVED):
        store.delete(key)
        return "removed"
    reason, params = "object_without_sender", {"key": key}
    try:
        caller = _caller(store, key)
        sender = database.read(lambda s: device_called(s, caller))
        if sender is not None:
            return intake.take_held(sender, key).outcome
        params["calling_ae"] = caller
    except BadInput:
        if key.endswith(DOCUMENTS):
            reason = "document_without_row"
    except HurenError as error:
        log.warning("orphan_not_taken", key=key, error=error.code)
        return "left"
    database.write(lambda s: set_aside_object(s, None, key, reason, params, clock()))
    return "set aside"


def delete_orphans(settings: Settings) -> int:
    """Remove every orphan; how many there were. Raises CannotKeep while a server runs."""
    removed = 0
    with nobody_serves(settings):
        database, store = Database(settings.database_url), store_of(settings)
        try:
            with compared(settings, database) as found:
                for key in found.orphans:
                    store.delete(key)
                    removed += 1
        finally:
            database.close()
    return removed


@dataclass(frozen=True)
class Gap:
    """After a restore: the time that is gone, who was heard last before it, and what was open then."""

    restored: Restored
    heard: list[LastHeard]
    open: list[OpenWork]


def gap(database: Database) -> Gap | None:
    """What lies between the backup and the restore; None where nothing was ever restored."""
    when = database.read(restored)
    if when is None:
        return None
    return Gap(
        when,
        database.read(lambda s: last_heard(s, when.restored_at)),
        database.read(lambda s: list(open_work(s, when.restored_at))),
    )
