"""Bringing one study into one archive: the job that the outbox runs for an archival.

Each object goes as the bytes that we hold, said to be about whom we know it is about, under a Patient ID that no other
institution's number can equal (`worklist.rules.archive_ids`). It is read back, and counts as archived when these very
bytes came. What must not go there (Orthanc dies of deep nesting and takes ZIP files apart) stays here, on record, and
holds up nothing. Where something else lies under an object's names it is replaced, and copies under an identity that
is no longer right are removed, after the right ones are there.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from gateway.archived import ArchivedStore
from gateway.orthanc import Away, Lost, Orthanc, Pieces
from gateway.store import ObjectStore, mapped
from interfaces.dicom.coercion import Identity, Piece, coerced
from worklist.actions import archiving
from worklist.actions.archiving import LOSSES, Attempt, Noted, ToArchive
from worklist.database import Database
from worklist.errors import BadInput, Broken, HurenError, TryLater
from worklist.queries.imaging import ShownIdentity

log = structlog.get_logger(__name__)

BATCH: Final = 16  # objects that are written down in one transaction
AT_ONCE: Final = 2  # studies that a process brings to archives side by side: reports and alerts go first
NO_TURN: Final = timedelta(seconds=10)
PREAMBLE: Final = 128  # bytes in front of DICM; ours are zero, and a ZIP file would begin here

_TURNS: Final = threading.BoundedSemaphore(AT_ONCE)
Clock = Callable[[], datetime]
T = TypeVar("T")


def archive_study(
    database: Database,
    store: ObjectStore,
    archives: Mapping[str, Orthanc],
    archival_id: str,
    clock: Clock,
    largest: int = 512 << 20,
) -> datetime | None:
    """Try once to bring a study into an archive as it is now. `largest` is the size in bytes of the largest object
    that goes there.

    Returns
    -------
    When to go on (aware UTC); None when all of it lies there, or it is stuck until a person looks.

    Raises TryLater where the database is away: the job is then run again.
    """
    if not _TURNS.acquire(blocking=False):
        return clock() + NO_TURN
    try:
        attempt = database.write(lambda s: archiving.begin_attempt(s, archival_id, clock()))
        if attempt is None or isinstance(attempt, datetime):
            return attempt
        return _try(database, store, archives, attempt, clock, largest)
    finally:
        _TURNS.release()


def _try(
    database: Database,
    store: ObjectStore,
    archives: Mapping[str, Orthanc],
    attempt: Attempt,
    clock: Clock,
    largest: int,
) -> datetime | None:
    finish = partial(_finish, database, attempt, clock)
    archive = archives.get(attempt.archive)
    if archive is None:  # another process has other settings
        return finish(TryLater("archive_not_configured", archive=attempt.archive))
    try:
        if attempt.is_probe:
            archive.version()
            database.write(lambda s: archiving.note_back(s, attempt.archive, clock()))
        _Bringing(database, store, archive, attempt, clock, largest).run()
    except Away as error:
        code = error.code
        until = database.write(lambda s: archiving.note_away(s, attempt.archive, code, clock()))
        return finish(error, until)
    except HurenError as error:
        return finish(error)
    return finish(None)


def _finish(
    database: Database, attempt: Attempt, clock: Clock, error: HurenError | None, again_at: datetime | None = None
) -> datetime | None:
    code, may_retry = (error.code, isinstance(error, TryLater)) if error else ("", True)
    log.info("study_archived" if error is None else "study_not_archived", archival=attempt.id, reason=code)
    return database.write(
        lambda s: archiving.finish_attempt(
            s,
            attempt,
            clock(),
            error=code,
            params=error.params if error else None,
            may_retry=may_retry,
            again_at=again_at,
        )
    )


class _Bringing:
    """One try. What was written down by earlier ones is gone on from."""

    def __init__(
        self, database: Database, store: ObjectStore, archive: Orthanc, attempt: Attempt, clock: Clock, largest: int
    ) -> None:
        self._database, self._store, self._archive = database, store, archive
        self._attempt, self._clock, self._largest = attempt, clock, largest
        self._identity = as_said(attempt.identity, attempt.study_instance_uid)
        self._said = identity_digest(attempt.identity)
        self._stale = {one.instance_id: list(one.copy.stale) for one in attempt.objects}
        self._is_back = False

    def run(self) -> None:
        """Bring, read back, remove what is not right any more.

        Raises
        ------
        Away
            The archive does not answer.
        TryLater, Broken
            The database or the store is away; ``archive_copy_differs``: it does not give back what it was given.
        """
        sent = [self._as_it_lies(one) for one in self._attempt.objects if self._lies_there(one)]
        for batch in _batches([one for one in self._attempt.objects if self._must_go(one)]):
            sent += self._send(batch)
        self._write(partial(archiving.note_sent, attempt=self._attempt, now=self._clock()))
        for ready in _batches(sent):
            self._note([found for found in map(self._read_back, ready) if found is not None])
        self._remove_gone()

    def _lies_there(self, one: ToArchive) -> bool:
        """Sent before under this very identity, and read back."""
        is_right = one.copy.place == one.place and one.copy.identity == self._said and not one.copy.reason
        return is_right and one.copy.is_verified

    def _must_go(self, one: ToArchive) -> bool:
        if one.copy.reason and one.copy.identity == self._said and not one.copy.stale:
            return False  # kept here only, until a person or another identity says otherwise
        return not self._lies_there(one)

    def _as_it_lies(self, one: ToArchive) -> tuple[ToArchive, Noted]:
        return one, Noted(one.instance_id, one.place, self._said, one.copy.sha256, is_verified=True)

    def _send(self, batch: Sequence[ToArchive]) -> list[tuple[ToArchive, Noted]]:
        """Write down what will lie where, then hand it over. Returns what is to be read back."""
        planned = [(one, self._plan(one)) for one in batch]
        for one, noted in planned:
            old = one.copy.place
            if old and old != noted.place and old not in self._stale[one.instance_id]:
                self._stale[one.instance_id].append(old)
        self._note([noted for _one, noted in planned])
        sent = []
        for one, noted in planned:
            if noted.reason:
                log.warning(
                    "object_kept_here", instance=one.instance_id, archive=self._archive.name, reason=noted.reason
                )
                sent.append((one, noted))
                continue
            try:
                self._put(one)
            except BadInput as error:
                self._stale[one.instance_id].append(one.place)
                refused = Noted(one.instance_id, "", self._said, "", reason=error.code, params=error.params)
                self._note([refused])
                sent.append((one, refused))
                continue
            except Lost:
                self._note([Noted(one.instance_id, noted.place, self._said, noted.sha256, lost=True)])
                raise
            sent.append((one, noted))
        return sent

    def _plan(self, one: ToArchive) -> Noted:
        """What an object will be there, or why it stays here."""
        kept_here = partial(Noted, one.instance_id, "", self._said, "")
        if one.copy.losses >= LOSSES:
            return kept_here(reason="archive_lost_at_object", params={"times": one.copy.losses})
        if one.size > self._largest:
            return kept_here(reason="too_large_for_archive", params={"limit": self._largest >> 20})
        try:
            body = self._body(one)
        except BadInput as error:
            return kept_here(reason=error.code, params=error.params)
        taken = partial(archiving.is_anothers, archive=self._archive.name, place=one.place, instance_id=one.instance_id)
        digest = body.digest()
        if self._database.read(taken) and self._archive.digest(one.place) not in ("", digest):
            return kept_here(reason="archive_place_taken")
        return Noted(one.instance_id, one.place, self._said, digest)

    def _body(self, one: ToArchive) -> Pieces:
        """The coerced file. Raises BadInput for what must not go there, Broken where the bytes held are not there."""
        if isinstance(self._store, ArchivedStore):
            self._store.recall(one.store_key)  # a copy there must never be the only one while it is replaced
        file = mapped(self._store, one.store_key)
        return Pieces(file, archived_form(file, self._identity))

    def _put(self, one: ToArchive) -> None:
        put = self._archive.put(self._body(one))
        if not self._is_back:
            self._write(partial(archiving.note_back, name=self._archive.name, now=self._clock()))
            self._is_back = True
        if put.place != one.place:  # it reads other names in it than we do: then it is not where we look for it
            self._archive.remove(put.place)
            raise BadInput("archive_refused_object", archive=self._archive.name)

    def _read_back(self, sent: tuple[ToArchive, Noted]) -> Noted | None:
        """What to write down of an object after comparing what lies there with what was sent."""
        one, noted = sent
        stale = self._stale[one.instance_id]
        if not noted.reason and not noted.is_verified and (differs := self._compare(one, noted)) is not None:
            return differs
        if noted.is_verified and not stale:
            return None
        for place in stale:
            self._remove(one.instance_id, place)
        done = partial(Noted, one.instance_id, noted.place, self._said, noted.sha256, forget=tuple(stale))
        return done(reason=noted.reason, params=noted.params) if noted.reason else done(is_verified=True)

    def _compare(self, one: ToArchive, noted: Noted) -> Noted | None:
        found = self._archive.digest(one.place)
        if found == noted.sha256:
            return None
        # "Success" or "AlreadyStored", and yet it is something else: an earlier name of this patient, most likely.
        is_anothers = self._database.read(
            partial(archiving.is_anothers, archive=self._archive.name, place=one.place, instance_id=one.instance_id)
        )
        if found and is_anothers:
            return Noted(one.instance_id, "", self._said, "", reason="archive_place_taken")
        log.warning("archive_copy_replaced", instance=one.instance_id, archive=self._archive.name)
        self._archive.remove(one.place)
        self._put(one)
        if self._archive.digest(one.place) != noted.sha256:
            raise Broken("archive_copy_differs", archive=self._archive.name)
        return None

    def _remove_gone(self) -> None:
        """Objects that are not shown any more, or are nobody's: their copies go, the bytes here stay."""
        for instance_id, copy in self._attempt.gone.items():
            key = self._database.read(partial(archiving.key_of, instance_id=instance_id))
            if isinstance(self._store, ArchivedStore) and key:
                self._store.recall(key)
            places = tuple(place for place in (copy.place, *copy.stale) if place)
            for place in places:
                self._remove(instance_id, place)
            self._note([Noted(instance_id, forget=places)])

    def _remove(self, instance_id: str, place: str) -> None:
        is_anothers = partial(archiving.is_anothers, archive=self._archive.name, place=place, instance_id=instance_id)
        if not self._database.read(is_anothers):
            self._archive.remove(place)

    def _note(self, noted: Sequence[Noted]) -> None:
        if noted:
            self._write(partial(archiving.note, attempt=self._attempt, noted=noted, now=self._clock()))

    def _write(self, work: Callable[..., None]) -> None:
        self._database.write(work)


def archived_form(file: memoryview, identity: Identity) -> list[Piece]:
    """The pieces of a stored file as it goes into an archive: about `identity`, and with an empty preamble, in which
    another kind of file may begin that the archive would take apart (PS3.10 7.1). Raises as `coerced`."""
    pieces = coerced(file, identity)
    if not any(file[:PREAMBLE]):
        return pieces
    first = pieces[0]
    if isinstance(first, bytes) or first[0] or first[1] < PREAMBLE:
        raise BadInput("not_a_dicom_object", reason="preamble")
    return [bytes(PREAMBLE), (PREAMBLE, first[1] - PREAMBLE), *pieces[1:]]


def as_said(shown: ShownIdentity, study_instance_uid: str) -> Identity:
    """Whom an archived object says it is about."""
    return Identity(
        shown.patient_id, shown.issuer, shown.name, shown.sex, shown.birth_date, shown.corrected, study_instance_uid
    )


def identity_digest(shown: ShownIdentity) -> str:
    """A short mark of an identity: equal where the coerced bytes are."""
    what = astuple(shown) if shown.corrected else (shown.patient_id, shown.issuer)
    return hashlib.sha256(json.dumps(what, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _batches(objects: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(objects), BATCH):
        yield objects[at : at + BATCH]
