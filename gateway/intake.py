"""Taking objects in, from whatever door: an object is "stored" when its bytes are durable and its row is committed.

The doors bring a data set and who sent it, and turn what became of it into their own protocol's answer. Nothing that
a sender says becomes a file's name. Every object is kept as the data set exactly as received behind a header of our
own (PS3.10 7.1), so that the same object from two doors is known by its hash and no preamble brings anything along.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Literal, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gateway.dimse.faults import describe
from gateway.store import ObjectStore, mapped
from interfaces.dicom.compare import same_content
from interfaces.dicom.elements import Buffer
from interfaces.dicom.objects import part10, read_object
from interfaces.dicom.uids import is_valid_uid
from worklist.actions.studies import Receipt, receive_object, set_aside_object
from worklist.database import Database, ping
from worklist.errors import BadInput, Broken, Conflict, HurenError, Refused, TryLater
from worklist.facts import KnownDevice, ObjectFacts, StoredBytes, UploadOrigin
from worklist.people import Actor

log = structlog.get_logger(__name__)

T = TypeVar("T")
REMEMBERED: Final = 4096  # unusable objects that are recognised when a device sends them again
PIECE: Final = 1024 * 1024  # bytes handed to the store at once

TakenOutcome = Literal["stored", "duplicate", "conflict", "set aside", "refused"]


@dataclass(frozen=True, slots=True)
class Announced:
    """What a sender says of an object beside it. `abstract_syntax` is that of the presentation context."""

    sop_class: str
    sop_instance: str
    abstract_syntax: str
    calling_ae: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one object.

    ``stored`` and ``duplicate``: held and shown. ``conflict``: kept and shown to the admin, since another copy of
    its UID is held. ``set aside``: kept, and of no use. ``refused``: nothing was kept. `error` says why, where the
    object is not held; `facts` is None for what could not be read.
    """

    outcome: TakenOutcome
    facts: ObjectFacts | None = None
    study_id: str = ""
    error: HurenError | None = None

    @property
    def code(self) -> str:
        """The error's code, ``""`` without one."""
        return self.error.code if self.error else ""

    @property
    def params(self) -> Mapping[str, object]:
        """The error's parameters."""
        return self.error.params if self.error else {}


class ObjectIntake:
    """Keeps what devices, people and programs send. Safe to use from many threads."""

    def __init__(self, database: Database, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._unusable: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._lock = threading.Lock()
        self._database_failed = False

    def take(
        self,
        sender: KnownDevice,
        data: Buffer,
        transfer_syntax: str,
        *,
        announced: Announced | None = None,
        by: Actor | None = None,
        origin: UploadOrigin = "own equipment",
        study_uid: str = "",
    ) -> Taken:
        """Keep one object.

        Parameters
        ----------
        sender
            A device, whose unusable bytes are kept and set aside as well; or, with an empty id, a person or program
            `by`, who is told at once and still has the file.
        data
            The data set as it came, without preamble and file meta.
        transfer_syntax
            The UID of its encoding.
        origin
            Whose patient numbers it carries.
        study_uid
            The only Study Instance UID that a person's object may have; ``""`` for any.

        Raises
        ------
        TryLater, Broken
            Nothing is acknowledged: the store or the database failed. A file may be left without a row.
        """
        if self._database_failed:
            self._ask_database()
        try:
            facts = read_object(data, transfer_syntax, assumed_character_set=sender.character_set_in)
        except BadInput as error:
            return self._put_aside(sender, data, transfer_syntax, announced, error)
        except Exception as error:  # noqa: BLE001 - a reader that fails on strange bytes must not lose them
            log.warning("object_reader_failed", device=sender.id, error=describe(error))
            return self._put_aside(sender, data, transfer_syntax, announced, BadInput("not_a_dicom_object"))
        if announced is not None:
            said = {(c, announced.sop_instance) for c in (announced.sop_class, announced.abstract_syntax)}
            if said != {(facts.sop_class_uid, facts.sop_instance_uid)}:
                other = BadInput("other_than_announced")
                return self._put_aside(sender, data, transfer_syntax, announced, other)
        if study_uid not in ("", facts.study_instance_uid):
            return Taken("refused", facts, error=BadInput("other_study"))
        head = part10(
            sop_class=facts.sop_class_uid,
            sop_instance=facts.sop_instance_uid,
            transfer_syntax=transfer_syntax,
            calling_ae=announced.calling_ae if announced else "",
        )
        stored = self._store.put(_pieces(data), head)
        try:
            return self._file(sender, facts, stored, by, origin)
        except Refused as error:
            if not sender.id:
                self._delete(stored.key)
                return Taken("refused", facts, error=error)
            self._write(sender, stored.key, partial(self._note_aside, sender, stored.key, error))
            return Taken("set aside", facts, error=error)

    def _file(
        self, sender: KnownDevice, facts: ObjectFacts, stored: StoredBytes, by: Actor | None, origin: UploadOrigin
    ) -> Taken:
        receive = partial(self._receive, sender, facts, stored, by, origin)
        receipt = receive(None)
        if receipt.outcome == "compare":
            receipt = receive(self._is_same(receipt.held_key, stored.key))
        if receipt.outcome == "duplicate" and receipt.held_key and not self._store.exists(receipt.held_key):
            # The copy that is shown is gone: these bytes may be the only ones, so a person gets them.
            log.critical("held_object_unreadable", held=receipt.held_key, new=stored.key, error="object_missing")
            missing = Broken("object_missing", sop_instance=facts.sop_instance_uid)
            self._write(sender, stored.key, partial(self._note_aside, sender, stored.key, missing))
        elif receipt.outcome == "duplicate":
            self._delete(stored.key)
        log.info("object_received", device=sender.id, outcome=receipt.outcome, study=receipt.study_id)
        if receipt.outcome == "stored":
            return Taken("stored", facts, receipt.study_id)
        if receipt.reason:  # also when this very copy was set aside before: it is no more held than the first time
            return Taken("conflict", facts, receipt.study_id, Conflict(receipt.reason, **receipt.params))
        return Taken("duplicate", facts, receipt.study_id)

    def _receive(
        self,
        sender: KnownDevice,
        facts: ObjectFacts,
        stored: StoredBytes,
        by: Actor | None,
        origin: UploadOrigin,
        same: bool | None,
    ) -> Receipt:
        now = self._clock()

        def receive(session: Session) -> Receipt:
            return receive_object(session, sender, facts, stored, now, same_as_held=same, by=by, origin=origin)

        try:
            return self._write(sender, stored.key, receive)
        except IntegrityError:
            # Two associations brought the first objects of one study at the same moment: now the other's are there.
            return self._write(sender, stored.key, receive)

    def _is_same(self, held_key: str, key: str) -> bool:
        try:
            return same_content(mapped(self._store, held_key), mapped(self._store, key))
        except BadInput as error:
            log.warning("objects_not_comparable", held=held_key, new=key, error=error.code)
        except Broken as error:
            # The copy that is shown is gone. The new one must stay, whatever it says, until a person has looked.
            log.critical("held_object_unreadable", held=held_key, new=key, error=error.code)
        return False

    def _put_aside(
        self, sender: KnownDevice, data: Buffer, transfer_syntax: str, announced: Announced | None, error: BadInput
    ) -> Taken:
        """Keep the bytes of an object that we cannot use; a device that repeats it adds nothing."""
        if not sender.id:
            return Taken("refused", error=error)
        mark = (sender.id, hashlib.sha256(data).digest())
        taken = Taken("set aside", error=error)
        with self._lock:
            if mark in self._unusable:
                self._unusable.move_to_end(mark)
                return taken
        head = _announced_head(announced, transfer_syntax)
        stored = self._store.put(_pieces(data), head, kind="dcm" if head else "bin")
        said = {"transfer_syntax": transfer_syntax} | {
            name: uid if is_valid_uid(uid) else ""
            for name, uid in (
                ("sop_class", announced.sop_class if announced else ""),
                ("sop_instance", announced.sop_instance if announced else ""),
            )
        }
        told = BadInput(error.code, **{**said, **error.params})
        self._write(sender, stored.key, partial(self._note_aside, sender, stored.key, told))
        log.warning("object_set_aside", device=sender.id, key=stored.key, reason=error.code)
        with self._lock:
            self._unusable[mark] = None
            if len(self._unusable) > REMEMBERED:
                self._unusable.popitem(last=False)
        return taken

    def _note_aside(self, sender: KnownDevice, key: str, error: HurenError, session: Session) -> None:
        set_aside_object(session, sender, key, error.code, error.params, self._clock())

    def _delete(self, key: str) -> None:
        try:
            self._store.delete(key)
        except HurenError as error:
            log.warning("duplicate_not_deleted", key=key, error=error.code)

    def _write(self, sender: KnownDevice, key: str, work: Callable[[Session], T]) -> T:
        """Run `work`. After a failure the commit may have happened all the same, so the file under `key` stays."""
        try:
            return self._database.write(work)
        except TryLater:
            self._database_failed = True
            log.warning("object_unaccounted", device=sender.id, key=key)
            raise

    def _ask_database(self) -> None:
        """While the database is away, refuse before the bytes are written. Raises TryLater."""
        self._database.read(ping)
        self._database_failed = False


def _pieces(data: Buffer) -> Iterator[bytes]:
    """The object in pieces, so that a large file that is only mapped into memory is not copied as a whole."""
    if isinstance(data, bytes) and len(data) <= PIECE:
        yield data
        return
    whole = memoryview(data)
    for at in range(0, len(whole), PIECE):
        yield bytes(whole[at : at + PIECE])


def _announced_head(announced: Announced | None, transfer_syntax: str) -> bytes:
    """The Part 10 header of an object, empty where what the sender says of it cannot stand in one."""
    if announced is None:
        return b""
    try:
        return part10(
            sop_class=announced.sop_class,
            sop_instance=announced.sop_instance,
            transfer_syntax=transfer_syntax,
            calling_ae=announced.calling_ae,
        )
    except BadInput:
        return b""
