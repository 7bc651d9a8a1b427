"""Bytes that are let go here, since every archive holds them and gave them back unchanged; and fetched again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from worklist.actions.linking import LINKED
from worklist.database import take_turn
from worklist.people import HUREN
from worklist.queries.imaging import ISSUER, ShownIdentity, identities
from worklist.rules.archive_ids import archive_patient_id
from worklist.tables import (
    Archival,
    Archive,
    ArchiveCopy,
    Instance,
    LateImages,
    Reading,
    ReadingStudy,
    ReleasedObject,
    Study,
)

RELEASE: Final = "release"
OVER: Final = ("signed", "closed without report", "withdrawn")
"""States of a case that nobody works on."""


@dataclass(frozen=True)
class Releasable:
    """An object that may be let go here. `places` are (archive, id there) of its copies, `archived_sha256` theirs."""

    instance_id: str
    store_key: str
    size: int
    sha256: str
    archived_sha256: str
    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReleasableStudy:
    """The objects of one study, and whom their copies are about."""

    study_id: str
    study_instance_uid: str
    identity: ShownIdentity
    objects: tuple[Releasable, ...]


@dataclass(frozen=True)
class Released:
    """Where bytes lie that are not here: (archive, id there), and how the held ones are made of those."""

    size: int
    sha256: str
    archived_sha256: str
    undo: bytes
    places: tuple[tuple[str, str], ...]


def releasable(session: Session, before: datetime, after: str = "", limit: int = 50) -> list[ReleasableStudy]:
    """Studies whose images may be let go here, by id from `after` on: linked, with a finished case and none that
    somebody works on, and read back from every archive that is in use since before `before`. Our own documents stay.
    """
    archives = session.scalar(select(func.count()).select_from(Archive).where(Archive.enabled)) or 0
    if not archives:
        return []
    ready = select(func.count()).where(
        Archival.study_id == Study.id,
        Archival.archive == Archive.name,
        Archive.enabled,
        Archival.state == "archived",
        Archival.archived_at < before,
    )
    cases = select(Reading.id).join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
    cases = cases.where(ReadingStudy.study_id == Study.id).correlate(Study)
    held = exists().where(
        Instance.study_id == Study.id,
        Instance.version_id.is_(None),
        ~exists().where(ReleasedObject.store_key == Instance.store_key),
    )
    studies = session.scalars(
        select(Study)
        .where(
            Study.id > after,
            Study.arrival == "complete",
            Study.link.in_(LINKED),
            ready.correlate(Study).scalar_subquery() == archives,
            cases.where(Reading.state == "signed").exists(),
            ~cases.where(Reading.state.not_in(OVER)).exists(),
            ~exists().where(LateImages.study_id == Study.id, LateImages.state == "open"),
            held,
        )
        .order_by(Study.id)
        .limit(limit)
    ).all()
    shown = identities(session, HUREN, studies) if studies else {}
    return [_study(session, study, shown[study.id], archives) for study in studies]


def _study(session: Session, study: Study, said: ShownIdentity, archives: int) -> ReleasableStudy:
    rows = session.execute(
        select(Instance, ArchiveCopy)
        .join(ArchiveCopy, ArchiveCopy.instance_id == Instance.id)
        .join(Archive, Archive.name == ArchiveCopy.archive)
        .where(
            Instance.study_id == study.id,
            Instance.version_id.is_(None),
            Archive.enabled,
            ArchiveCopy.verified_at.is_not(None),
            ~exists().where(ReleasedObject.store_key == Instance.store_key),
        )
        .order_by(Instance.id, ArchiveCopy.archive)
    )
    copies: dict[str, tuple[Instance, list[ArchiveCopy]]] = {}
    for instance, copy in rows:
        copies.setdefault(instance.id, (instance, []))[1].append(copy)
    objects = [
        Releasable(
            instance.id,
            instance.store_key,
            instance.size,
            instance.sha256,
            held[0].sha256,
            tuple((copy.archive, copy.place) for copy in held),
        )
        for instance, held in copies.values()
        if len(held) == archives and len({copy.sha256 for copy in held}) == 1
    ]
    number = archive_patient_id(said.issuer, said.patient_id) if said.patient_id else ""
    identity = ShownIdentity(number, ISSUER, said.name, said.sex, said.birth_date, said.corrected)
    return ReleasableStudy(study.id, study.study_instance_uid, identity, tuple(objects))


def note_released(session: Session, study_id: str, one: Releasable, undo: bytes, now: datetime) -> bool:
    """Write down that these bytes lie in the archives alone from here on. False: something changed meanwhile."""
    rows = session.scalars(
        select(Archival)
        .join(Archive, Archive.name == Archival.archive)
        .where(Archival.study_id == study_id, Archive.enabled)
        .with_for_update(of=Archival)
    ).all()
    copies = session.scalars(select(ArchiveCopy).where(ArchiveCopy.instance_id == one.instance_id)).all()
    good = {(copy.archive, copy.place) for copy in copies if copy.sha256 == one.archived_sha256 and copy.verified_at}
    if any(row.state != "archived" for row in rows) or not set(one.places) <= good:
        return False
    if session.get(ReleasedObject, one.store_key) is None:
        session.add(
            ReleasedObject(
                store_key=one.store_key,
                instance_id=one.instance_id,
                size=one.size,
                sha256=one.sha256,
                archived_sha256=one.archived_sha256,
                undo=undo,
                released_at=now,
            )
        )
    return True


def remove_released(session: Session, store_key: str, remove: Callable[[], None]) -> None:
    """Remove the bytes here if they are still released: nobody fetches them for good at the same moment."""
    take_turn(session, RELEASE, store_key)
    if session.get(ReleasedObject, store_key) is not None:
        remove()


def note_recalled(session: Session, store_key: str, is_here: Callable[[], bool]) -> bool:
    """The bytes are here again, for good. False: they were removed meanwhile, fetch them once more."""
    take_turn(session, RELEASE, store_key)
    row = session.get(ReleasedObject, store_key)
    if row is None:
        return True
    if not is_here():
        return False
    session.delete(row)
    return True


def find_released(session: Session, store_key: str) -> Released | None:
    """Where the bytes under a key lie, if not here."""
    row = session.get(ReleasedObject, store_key)
    if row is None:
        return None
    copies = session.scalars(
        select(ArchiveCopy)
        .where(
            ArchiveCopy.instance_id == row.instance_id,
            ArchiveCopy.verified_at.is_not(None),
            ArchiveCopy.sha256 == row.archived_sha256,
        )
        .order_by(ArchiveCopy.archive)
    )
    return Released(
        row.size, row.sha256, row.archived_sha256, row.undo, tuple((copy.archive, copy.place) for copy in copies)
    )
