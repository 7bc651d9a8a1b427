"""Taking objects in, from whatever door: an object is "stored" when its bytes are durable and its row is committed.

The doors bring a data set and who sent it, and turn what became of it into their own protocol's answer. Nothing that
a sender says becomes a file's name. Every object is kept as the data set exactly as received behind a header of our
own (PS3.10 7.1), so that the same object from two doors is known by its hash and no preamble brings anything along.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gateway.children import children
from gateway.dimse.faults import describe
from gateway.incoming import Incoming
from gateway.store import ObjectStore, mapped
from interfaces.dicom.elements import Buffer
from interfaces.dicom.objects import open_part10, part10, read_object
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


class Arriving:
    """One object of a device that is kept while it still arrives. For one thread at a time.

    Call `write` for each fragment of the data set as it comes, then `finish` (which says what became of it) or
    `discard`; leaving a ``with`` block discards what is not finished. Its hashes are taken on the way, objects up to
    `gateway.incoming.IN_MEMORY` bytes stay in memory until `finish`, and larger ones are written to a file that
    counts against the store's ``spool_bytes``. A limit on the size of one object is the door's (`size`).
    """

    def __init__(
        self, intake: ObjectIntake, incoming: Incoming, sender: KnownDevice, transfer_syntax: str, announced: Announced
    ) -> None:
        """Made by `ObjectIntake.begin`."""
        self._intake, self._incoming = intake, incoming
        self._sender, self._transfer_syntax, self._announced = sender, transfer_syntax, announced

    @property
    def size(self) -> int:
        """Bytes of the data set so far."""
        return self._incoming.size

    def write(self, piece: Buffer) -> None:
        """Take the next fragment; it is copied.

        Raises
        ------
        TryLater, Broken
            The disk is full, busy or failed: go on reading from the peer if you must, and call `discard`.
        """
        self._incoming.write(piece)

    def finish(self) -> Taken:
        """The data set is whole. Errors as `ObjectIntake.take`; nothing is acknowledged then."""
        return self._intake.finish(self._sender, self._incoming, self._transfer_syntax, self._announced)

    def discard(self) -> None:
        """Let go of an object that is not finished; one that is stays. May be called again."""
        self._incoming.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


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
            facts = _facts(sender, data, transfer_syntax, announced)
        except BadInput as error:
            if not sender.id:
                return Taken("refused", error=error)
            with self._open(announced, transfer_syntax) as incoming:
                for piece in _pieces(data):
                    incoming.write(piece)
                return self._put_aside(sender, incoming, transfer_syntax, announced, error)
        if study_uid not in ("", facts.study_instance_uid):
            return Taken("refused", facts, error=BadInput("other_study"))
        head = part10(
            sop_class=facts.sop_class_uid,
            sop_instance=facts.sop_instance_uid,
            transfer_syntax=transfer_syntax,
            calling_ae=announced.calling_ae if announced else "",
        )
        return self._keep(sender, facts, self._store.put(_pieces(data), head), by, origin)

    def take_held(self, sender: KnownDevice, key: str) -> Taken:
        """Take an object that lies in the store already, and that no row refers to, as if `sender` sent it now.

        Raises
        ------
        BadInput
            ``not_a_dicom_object``: it is no Part 10 file; nothing was done.
        TryLater, Broken
            as `take`.
        """
        data = mapped(self._store, key)
        transfer_syntax, dataset = open_part10(data)
        stored = StoredBytes(key, len(data), sha256(data).hexdigest(), sha256(dataset).hexdigest())
        try:
            facts = _facts(sender, dataset, transfer_syntax, None)
        except BadInput as error:
            self._put_row(sender, stored, error)
            return Taken("set aside", error=error)
        return self._keep(sender, facts, stored, None, "own equipment")

    def begin(self, sender: KnownDevice, transfer_syntax: str, announced: Announced) -> Arriving:
        """An object of a device (with an id), to be handed over while it arrives.

        Raises
        ------
        TryLater, Broken
            The store or the database is away or full: refuse the object.
        """
        if self._database_failed:
            self._ask_database()
        return Arriving(self, self._open(announced, transfer_syntax), sender, transfer_syntax, announced)

    def finish(self, sender: KnownDevice, incoming: Incoming, transfer_syntax: str, announced: Announced) -> Taken:
        """What `Arriving.finish` does."""
        with incoming:
            try:
                facts = _facts(sender, incoming.view(), transfer_syntax, announced)
            except BadInput as error:
                return self._put_aside(sender, incoming, transfer_syntax, announced, error)
            return self._keep(sender, facts, incoming.finish(), None, "own equipment")

    def _open(self, announced: Announced | None, transfer_syntax: str) -> Incoming:
        head, kind = _unread(announced, transfer_syntax)
        return self._store.begin(head, kind=kind)

    def _keep(
        self, sender: KnownDevice, facts: ObjectFacts, stored: StoredBytes, by: Actor | None, origin: UploadOrigin
    ) -> Taken:
        try:
            return self._file(sender, facts, stored, by, origin)
        except Refused as error:
            if not sender.id:
                self._delete(stored.key)
                return Taken("refused", facts, error=error)
            self._put_row(sender, stored, error)
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
            self._put_row(sender, stored, missing)
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
            return children().same_objects(self._store, held_key, key)
        except BadInput as error:
            log.warning("objects_not_comparable", held=held_key, new=key, error=error.code)
        except Broken as error:
            # The copy that is shown is gone. The new one must stay, whatever it says, until a person has looked.
            log.critical("held_object_unreadable", held=held_key, new=key, error=error.code)
        return False

    def _put_aside(
        self,
        sender: KnownDevice,
        incoming: Incoming,
        transfer_syntax: str,
        announced: Announced | None,
        error: BadInput,
    ) -> Taken:
        """Keep the bytes of an object that we cannot use; a device that repeats it adds nothing."""
        mark = (sender.id, incoming.dataset_digest())
        taken = Taken("set aside", error=error)
        with self._lock:
            if mark in self._unusable:
                self._unusable.move_to_end(mark)
                return taken
        stored = incoming.finish()
        said = {"transfer_syntax": transfer_syntax} | {
            name: uid if is_valid_uid(uid) else ""
            for name, uid in (
                ("sop_class", announced.sop_class if announced else ""),
                ("sop_instance", announced.sop_instance if announced else ""),
            )
        }
        told = BadInput(error.code, **{**said, **error.params})
        self._put_row(sender, stored, told)
        log.warning("object_set_aside", device=sender.id, key=stored.key, reason=error.code)
        with self._lock:
            self._unusable[mark] = None
            if len(self._unusable) > REMEMBERED:
                self._unusable.popitem(last=False)
        return taken

    def _put_row(self, sender: KnownDevice, stored: StoredBytes, error: HurenError) -> None:
        """Show the admin a kept copy, once: where two associations brought it, the slower one's is not needed."""

        def note(session: Session) -> bool:
            return set_aside_object(
                session, sender, stored.key, error.code, error.params, self._clock(), digest=stored.dataset_sha256
            )

        if not self._write(sender, stored.key, note):
            self._delete(stored.key)

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


def _facts(sender: KnownDevice, data: Buffer, transfer_syntax: str, announced: Announced | None) -> ObjectFacts:
    """What the object says of itself. Raises BadInput where it cannot be read or is another than was announced."""
    try:
        facts = read_object(data, transfer_syntax, assumed_character_set=sender.character_set_in)
    except BadInput:
        raise
    except Exception as error:  # noqa: BLE001 - a reader that fails on strange bytes must not lose them
        log.warning("object_reader_failed", device=sender.id, error=describe(error))
        raise BadInput("not_a_dicom_object") from None
    if announced is not None:
        said = {(c, announced.sop_instance) for c in (announced.sop_class, announced.abstract_syntax)}
        if said != {(facts.sop_class_uid, facts.sop_instance_uid)}:
            raise BadInput("other_than_announced")
    return facts


def _unread(announced: Announced | None, transfer_syntax: str) -> tuple[bytes, str]:
    """Part 10 header and kind of an object of which we have only what the sender says beside it.

    The header is empty where that cannot stand in one: such bytes are kept as they are, and are no DICOM file.
    """
    if announced is None:
        return b"", "bin"
    try:
        head = part10(
            sop_class=announced.sop_class,
            sop_instance=announced.sop_instance,
            transfer_syntax=transfer_syntax,
            calling_ae=announced.calling_ae,
        )
    except BadInput:
        return b"", "bin"
    return head, "dcm"
