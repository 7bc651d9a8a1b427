"""C-STORE (DICOM PS3.4 annex B): success is said when the bytes are durable and the row is committed, not before.

Bytes of a known device that we cannot use are kept as well and set aside for the admin, once each, and the device is
told that it failed. Nothing that the device says becomes a file's name.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gateway.dimse.faults import describe
from gateway.dimse.statuses import (
    NOT_AUTHORISED,
    NOT_UNDERSTOOD,
    OTHER_CLASS,
    OUT_OF_RESOURCES,
    SUCCESS,
    Status,
)
from gateway.store import ObjectStore
from interfaces.dicom.compare import same_content
from interfaces.dicom.objects import part10, read_object
from interfaces.dicom.uids import is_valid_uid
from worklist.actions.studies import Receipt, receive_object, set_aside_object
from worklist.database import Database, ping
from worklist.errors import BadInput, Broken, Forbidden, HurenError, Refused, TryLater
from worklist.facts import KnownDevice, ObjectFacts, StoredBytes

log = structlog.get_logger(__name__)

T = TypeVar("T")
REMEMBERED: Final = 4096  # unusable objects that are recognised when a device sends them again


@dataclass(frozen=True, slots=True)
class Sent:
    """One C-STORE request: what its command says, and the data set as it came."""

    abstract_syntax: str  # of the presentation context
    transfer_syntax: str
    sop_class: str  # Affected SOP Class UID
    sop_instance: str  # Affected SOP Instance UID
    calling_ae: str
    data: bytes


class Storage:
    """Keeps what modalities send. Safe to use from many threads."""

    def __init__(self, database: Database, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._unusable: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._lock = threading.Lock()
        self._database_failed = False

    def take(self, device: KnownDevice, sent: Sent) -> Status:
        """Keep one object; the status is the answer to the device. Raises nothing that a peer can cause."""
        try:
            return self._take(device, sent)
        except (TryLater, Broken) as error:
            log.warning("object_not_taken", device=device.id, error=error.code)
            return OUT_OF_RESOURCES

    def _take(self, device: KnownDevice, sent: Sent) -> Status:
        if self._database_failed:
            self._ask_database()
        try:
            facts = read_object(sent.data, sent.transfer_syntax, assumed_character_set=device.character_set_in)
        except BadInput as error:
            return self._put_aside(device, sent, error, NOT_UNDERSTOOD)
        except Exception as error:  # noqa: BLE001 - a reader that fails on strange bytes must not lose them
            log.warning("object_reader_failed", device=device.id, error=describe(error))
            return self._put_aside(device, sent, BadInput("not_a_dicom_object"), NOT_UNDERSTOOD)
        announced = {(sent.sop_class, sent.sop_instance), (sent.abstract_syntax, sent.sop_instance)}
        if announced != {(facts.sop_class_uid, facts.sop_instance_uid)}:
            return self._put_aside(device, sent, BadInput("other_than_announced"), OTHER_CLASS)
        stored = self._store.put([sent.data], _head(sent))
        try:
            return self._file(device, facts, stored)
        except Refused as error:
            self._write(device, stored.key, partial(self._note_aside, device, stored.key, error))
            return NOT_AUTHORISED if isinstance(error, Forbidden) else NOT_UNDERSTOOD

    def _file(self, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes) -> Status:
        receipt = self._receive(device, facts, stored, None)
        if receipt.outcome == "compare":
            same = self._is_same(receipt.held_key, stored.key)
            receipt = self._receive(device, facts, stored, same)
        if receipt.outcome == "duplicate" and receipt.held_key and not self._store.exists(receipt.held_key):
            # The copy that is shown is gone: these bytes may be the only ones, so a person gets them.
            log.critical("held_object_unreadable", held=receipt.held_key, new=stored.key, error="object_missing")
            missing = Broken("object_missing", sop_instance=facts.sop_instance_uid)
            self._write(device, stored.key, partial(self._note_aside, device, stored.key, missing))
        elif receipt.outcome == "duplicate":
            try:
                self._store.delete(stored.key)
            except HurenError as error:
                log.warning("duplicate_not_deleted", key=stored.key, error=error.code)
        log.info("object_received", device=device.id, outcome=receipt.outcome, study=receipt.study_id)
        return SUCCESS

    def _receive(self, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes, same: bool | None) -> Receipt:
        now = self._clock()

        def receive(session: Session) -> Receipt:
            return receive_object(session, device, facts, stored, now, same_as_held=same)

        try:
            return self._write(device, stored.key, receive)
        except IntegrityError:
            # Two associations brought the first objects of one study at the same moment: now the other's are there.
            return self._write(device, stored.key, receive)

    def _is_same(self, held_key: str, key: str) -> bool:
        try:
            return same_content(self._store.read(held_key), self._store.read(key))
        except BadInput as error:
            log.warning("objects_not_comparable", held=held_key, new=key, error=error.code)
        except Broken as error:
            # The copy that is shown is gone. The new one must stay, whatever it says, until a person has looked.
            log.critical("held_object_unreadable", held=held_key, new=key, error=error.code)
        return False

    def _put_aside(self, device: KnownDevice, sent: Sent, error: BadInput, status: Status) -> Status:
        """Keep the bytes of an object that we cannot use; a device that repeats it adds nothing."""
        mark = (device.id, hashlib.sha256(sent.data).digest())
        with self._lock:
            if mark in self._unusable:
                self._unusable.move_to_end(mark)
                return status
        head = _head(sent)
        stored = self._store.put([sent.data], head, kind="dcm" if head else "bin")
        said = {
            "transfer_syntax": sent.transfer_syntax,
            "sop_class": sent.sop_class if is_valid_uid(sent.sop_class) else "",
            "sop_instance": sent.sop_instance if is_valid_uid(sent.sop_instance) else "",
        }
        told = BadInput(error.code, **{**said, **error.params})
        self._write(device, stored.key, partial(self._note_aside, device, stored.key, told))
        log.warning("object_set_aside", device=device.id, key=stored.key, reason=error.code)
        with self._lock:
            self._unusable[mark] = None
            if len(self._unusable) > REMEMBERED:
                self._unusable.popitem(last=False)
        return status

    def _note_aside(self, device: KnownDevice, key: str, error: HurenError, session: Session) -> None:
        set_aside_object(session, device, key, error.code, error.params, self._clock())

    def _write(self, device: KnownDevice, key: str, work: Callable[[Session], T]) -> T:
        """Run `work`. After a failure the commit may have happened all the same, so the file under `key` stays."""
        try:
            return self._database.write(work)
        except TryLater:
            self._database_failed = True
            log.warning("object_unaccounted", device=device.id, key=key)
            raise

    def _ask_database(self) -> None:
        """While the database is away, refuse before the bytes are written. Raises TryLater."""
        self._database.read(ping)
        self._database_failed = False


def _head(sent: Sent) -> bytes:
    """The Part 10 header of an object, empty where what the device says of it cannot stand in one."""
    try:
        return part10(
            sop_class=sent.sop_class,
            sop_instance=sent.sop_instance,
            transfer_syntax=sent.transfer_syntax,
            calling_ae=sent.calling_ae,
        )
    except BadInput:
        return b""
