"""Copies in the archives downstream: owed in the transaction that makes them right, sent by a job, read back.

Our own store stays the truth. What an archive holds is written down object by object *before* it is sent, so that
whatever becomes of a study (another patient, another name, rejected) can be replayed there, and nothing lies there
that we do not know of. While an archive is away one job at a time asks for it, and all others wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from worklist import audit, lifecycle, outbox
from worklist.database import take_turn
from worklist.errors import NotFound
from worklist.moves import begin, can, move
from worklist.people import HUREN, Actor
from worklist.queries.imaging import ISSUER, UNLINKED, ShownIdentity, held_instances, identities
from worklist.rules.archive_ids import archive_patient_id, place_in_orthanc
from worklist.tables import Archival, Archive, ArchiveCopy, Instance, OutboxRow, Study

JOB: Final = "archive_study"
UPKEEP: Final = "archive_upkeep"
EVERY: Final = timedelta(hours=6)
LOSSES: Final = 2
"""So often may an archive fall silent while it takes one object; then the object is taken for what silenced it."""


@dataclass(frozen=True)
class Copy:
    """What is written down of one object in one archive. `identity` is a digest of whom the copy says it is about."""

    place: str = ""
    identity: str = ""
    sha256: str = ""
    is_verified: bool = False
    reason: str = ""
    losses: int = 0
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToArchive:
    """One object of a study. `place` is where it belongs under the identity that it has now."""

    instance_id: str
    store_key: str
    size: int
    sha256: str  # of the held bytes
    place: str
    copy: Copy


@dataclass(frozen=True)
class Attempt:
    """What one try needs. `gone` are copies of objects that must not be there any more, by instance id."""

    id: str
    archive: str
    revision: int
    study_instance_uid: str
    identity: ShownIdentity
    objects: tuple[ToArchive, ...]
    gone: Mapping[str, Copy]
    is_probe: bool


@dataclass(frozen=True)
class Noted:
    """What to write down of an object: `place` and `sha256` before it is sent, then that it was read back, or why it
    is kept here only. `forget`: ids that are removed there now."""

    instance_id: str
    place: str = ""
    identity: str = ""
    sha256: str = ""
    is_verified: bool = False
    reason: str = ""
    params: Mapping[str, object] | None = None
    lost: bool = False
    forget: tuple[str, ...] = ()


def configure(session: Session, names: Collection[str], now: datetime) -> None:
    """Write down which archives the settings name, and plan their upkeep. Who does their work does so at its start."""
    take_turn(session, UPKEEP)
    held = {row.name: row for row in session.scalars(select(Archive))}
    for name in names:
        if name not in held:
            session.add(Archive(name=name, enabled=True))
    for name, row in held.items():
        if name in names and not row.enabled:  # what became of studies meanwhile waits to be told there
            open_ones = select(Archival.id).where(Archival.archive == name, Archival.state.in_(("waiting", "sent")))
            for id in session.scalars(open_ones).all():
                outbox.put(session, JOB, id, now)
        if row.enabled != (name in names):
            row.enabled = name in names
    if names:
        stages = session.scalars(select(OutboxRow.stage).where(OutboxRow.kind == UPKEEP, OutboxRow.stage != "done"))
        if not stages.all():
            outbox.put(session, UPKEEP, UPKEEP, now)
        outbox.hasten(session, UPKEEP, UPKEEP, now)


def plan_next(session: Session, now: datetime) -> None:
    """Called by the upkeep at its end: it runs again, as a new row, so that failures are counted anew."""
    later = select(OutboxRow.seq).where(OutboxRow.kind == UPKEEP, OutboxRow.stage == "due", OutboxRow.due_at > now)
    if session.scalar(later.limit(1)) is None:
        outbox.put(session, UPKEEP, UPKEEP, now + EVERY)


def owe(session: Session, study_ids: Iterable[str], now: datetime) -> None:
    """What these studies are has changed: leave the work of every archive, where they are complete.

    One that still arrives is owed when it is complete; its images are not shown as whole before either.
    """
    archives = session.execute(select(Archive.name, Archive.enabled).order_by(Archive.name)).all()
    if not archives:
        return
    session.flush()
    for study_id in dict.fromkeys(study_ids):
        arrival = session.scalar(select(Study.arrival).where(Study.id == study_id))
        rows = session.scalars(select(Archival).where(Archival.study_id == study_id).with_for_update())
        held = {row.archive: row for row in rows}
        for name, enabled in archives:
            row = held.get(name)
            if row is not None:
                _owe_again(session, row, now)
            elif enabled and arrival == "complete":
                new = Archival(study_id=study_id, archive=name, revision=1, owed_at=now, next_at=now)
                begin(session, "archival", new, "owe", HUREN, now)


def owe_of_patient(session: Session, patient_id: str, now: datetime) -> None:
    """A patient is somebody else now, or called otherwise: replay it for all of their studies."""
    if session.scalar(select(Archive.name).limit(1)) is not None:
        session.flush()
        owe(session, list(session.scalars(select(Study.id).where(Study.patient_id == patient_id))), now)


def owe_missing(session: Session, now: datetime, limit: int = 200) -> int:
    """Owe complete studies of which an archive has never heard, the oldest first: it was set up later. Returns how
    many."""
    found = 0
    for name in session.scalars(select(Archive.name).where(Archive.enabled)).all():
        known = exists().where(Archival.study_id == Study.id, Archival.archive == name)
        ids = session.scalars(
            select(Study.id).where(Study.arrival == "complete", ~known).order_by(Study.id).limit(limit)
        ).all()
        for study_id in ids:
            new = Archival(study_id=study_id, archive=name, revision=1, owed_at=now, next_at=now)
            begin(session, "archival", new, "owe", HUREN, now)
        found += len(ids)
    return found


def follow(session: Session, study: Study, step: lifecycle.Move, _by: Actor, now: datetime) -> None:
    """A study arrived wholly, or became another's: told by `moves.move`."""
    if step.verb != "arrive late":
        owe(session, [study.id], now)


def _owe_again(session: Session, row: Archival, now: datetime) -> None:
    row.revision += 1
    if row.state != "waiting":
        move(session, "archival", row, "owe again", HUREN, now)
        row.attempts, row.reason, row.params = 0, "", {}
        row.owed_at = row.next_at = now


def begin_attempt(session: Session, archival_id: str, now: datetime) -> Attempt | datetime | None:
    """Start a try. None: there is nothing to do (any more). A time: not before then, since the archive is away."""
    row = session.get(Archival, archival_id, with_for_update=True)
    if row is None or row.state not in ("waiting", "sent"):
        return None
    archive = session.get_one(Archive, row.archive, with_for_update=True)
    if not archive.enabled:  # `configure` takes it up again when the settings name it again
        row.next_at = None
        return None
    if archive.next_probe_at is not None and now < archive.next_probe_at:
        row.next_at = archive.next_probe_at
        return archive.next_probe_at
    if archive.away_since is not None:
        archive.next_probe_at = now + outbox.pause(archive.failures + 1)  # nobody else asks meanwhile
    row.attempts += 1
    study = session.get_one(Study, row.study_id)
    said = identities(session, HUREN, [study])[study.id]
    number = archive_patient_id(*((said.issuer, said.patient_id) if said.patient_id else (ISSUER, UNLINKED + study.id)))
    identity = ShownIdentity(number, ISSUER, said.name, said.sex, said.birth_date, said.corrected)
    held = {copy.instance_id: copy for copy in _copies(session, row.id)}
    # What a person says is nobody's is not kept for anybody there; its bytes stay here.
    wanted = [] if study.link == "rejected" else held_instances(session, study.id)
    objects = tuple(
        ToArchive(
            one.id,
            one.store_key,
            one.size,
            one.sha256,
            place_in_orthanc(number, study.study_instance_uid, one.series_instance_uid, one.sop_instance_uid),
            _copy(held.pop(one.id, None)),
        )
        for one in wanted
    )
    gone = {id: _copy(copy) for id, copy in held.items()}
    uid = study.study_instance_uid
    return Attempt(row.id, row.archive, row.revision, uid, identity, objects, gone, archive.away_since is not None)


def note(session: Session, attempt: Attempt, noted: Sequence[Noted], now: datetime) -> None:
    """Write down what is about to be sent, or what came of it. A copy under another id is stale from here on."""
    rows = {copy.instance_id: copy for copy in _copies(session, attempt.id)} if len(noted) > 1 else {}
    for one in noted:
        row = rows.get(one.instance_id) or session.get(ArchiveCopy, (one.instance_id, attempt.archive))
        if row is None:
            row = ArchiveCopy(
                instance_id=one.instance_id, archive=attempt.archive, archival_id=attempt.id, stale=[], losses=0
            )
            row.place = row.sha256 = row.identity = row.reason = ""
            session.add(row)
        if row.place and row.place != one.place:
            row.stale = [*row.stale, row.place]
        row.stale = [id for id in row.stale if id not in one.forget]
        is_same = (row.place, row.sha256) == (one.place, one.sha256)
        row.place, row.identity, row.sha256 = one.place, one.identity, one.sha256
        row.verified_at = ((row.verified_at if is_same else None) or now) if one.is_verified else None
        row.reason, row.params = one.reason, {k: str(v)[:500] for k, v in (one.params or {}).items()}
        row.losses = 0 if one.is_verified else row.losses + one.lost
        if not row.place and not row.reason and not row.stale:
            session.delete(row)


def is_anothers(session: Session, archive: str, place: str, instance_id: str) -> bool:
    """Whether this place in an archive is that of another object of ours too: two institutions' objects may have all
    four names in common."""
    other = select(ArchiveCopy.instance_id).where(
        ArchiveCopy.archive == archive, ArchiveCopy.place == place, ArchiveCopy.instance_id != instance_id
    )
    return session.scalar(other.limit(1)) is not None


def key_of(session: Session, instance_id: str) -> str:
    """The store key of an object; ``""`` for none."""
    return session.scalar(select(Instance.store_key).where(Instance.id == instance_id)) or ""


def note_sent(session: Session, attempt: Attempt, now: datetime) -> None:
    """Everything was handed over; it is read back next."""
    row = session.get_one(Archival, attempt.id)
    if row.state == "waiting":
        move(session, "archival", row, "send", HUREN, now)


def finish_attempt(
    session: Session,
    attempt: Attempt,
    now: datetime,
    *,
    error: str = "",
    params: Mapping[str, object] | None = None,
    may_retry: bool = True,
    again_at: datetime | None = None,
) -> datetime | None:
    """Note how a try ended: without `error` everything was read back. Returns when to go on (aware UTC; `again_at`, or
    after a growing pause); None: the job is over."""
    row = session.get_one(Archival, attempt.id, with_for_update=True)
    if row.state not in ("waiting", "sent"):
        return None
    row.reason, row.params = error, {k: str(v)[:500] for k, v in (params or {}).items()}
    if error and may_retry:
        row.next_at = again_at or now + outbox.pause(row.attempts)
        return row.next_at
    if error:
        move(session, "archival", row, "stick", HUREN, now, error)
        row.next_at = None
        return None
    count = select(func.count()).where(ArchiveCopy.archival_id == row.id)
    archive, before = session.get_one(Archive, row.archive, with_for_update=True), row.copies
    row.copies = session.scalar(count.where(ArchiveCopy.verified_at.is_not(None))) or 0
    row.kept_here = session.scalar(count.where(ArchiveCopy.reason != "")) or 0
    archive.objects += row.copies - before
    if row.revision != attempt.revision:  # it became something else meanwhile
        row.next_at = now
        return now
    note_sent(session, attempt, now)
    move(session, "archival", row, "verify", HUREN, now)
    archive.studies += row.archived_at is None
    row.attempts, row.next_at, row.archived_at = 0, None, now
    return None


def note_away(session: Session, name: str, error: str, now: datetime) -> datetime:
    """An archive does not answer. Returns when it is asked again."""
    row = session.get_one(Archive, name, with_for_update=True)
    row.failures += 1
    row.away_since = row.away_since or now
    row.last_error = error
    row.next_probe_at = now + outbox.pause(row.failures)
    return row.next_probe_at


def note_back(session: Session, name: str, now: datetime) -> None:
    """An archive answers: whoever waits for it goes on at once."""
    row = session.get_one(Archive, name, with_for_update=True)
    row.answered_at = now
    if row.away_since is not None or row.next_probe_at is not None:
        row.failures, row.away_since, row.next_probe_at, row.last_error = 0, None, None, ""
        outbox.hasten_all(session, JOB, now)


def stick(session: Session, archival_id: str, reason: str, now: datetime) -> None:
    """The job failed again and again in a way nobody foresaw: a person looks at it."""
    row = session.get(Archival, archival_id)
    if row is not None and can("archival", row, "stick"):
        move(session, "archival", row, "stick", HUREN, now, reason)
        row.reason, row.params, row.next_at = reason, {}, None


def send_again(session: Session, by: Actor, archival_id: str, now: datetime) -> None:
    """A person mended the cause: what is stuck is tried again, objects that are kept here only too.

    Raises
    ------
    NotFound
        ``no_such_archival``.
    Conflict
        ``cannot_move`` where nothing of it is stuck or kept here.
    """
    by.require_scope("admin")
    by.require("PACS admin")
    row = session.get(Archival, archival_id, with_for_update=True)
    if row is None:
        raise NotFound("no_such_archival")
    verb = "owe again" if row.state == "archived" and row.kept_here else "send again"
    move(session, "archival", row, verb, by, now)
    row.revision, row.attempts, row.reason, row.params = row.revision + 1, 0, "", {}
    row.owed_at = row.next_at = now
    session.execute(
        update(ArchiveCopy)
        .where(ArchiveCopy.archival_id == row.id)
        .values(reason="", losses=0)
        .execution_options(synchronize_session=False)
    )
    audit.note(session, by, "study archived again", now, thing="study", thing_id=row.study_id)


def _copies(session: Session, archival_id: str) -> list[ArchiveCopy]:
    return list(session.scalars(select(ArchiveCopy).where(ArchiveCopy.archival_id == archival_id)))


def _copy(row: ArchiveCopy | None) -> Copy:
    if row is None:
        return Copy()
    verified = row.verified_at is not None
    return Copy(
        row.place, row.identity, row.sha256, verified, row.reason, row.losses, tuple(str(id) for id in row.stale)
    )
