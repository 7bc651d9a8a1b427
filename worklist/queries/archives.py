"""What the PACS admin sees of the archives downstream: how they are, what waits, what is stuck, what stays here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.views import Page
from worklist.tables import Archival, Archive, ArchiveCopy, Instance, Institution, ReleasedObject, Study

UNDER_WAY = ("waiting", "sent")


@dataclass(frozen=True)
class ArchiveRow:
    """An archive. Times are aware UTC; `waiting` and `stuck` count studies; `studies` are those
    that were ever there wholly, `objects` what lies there now, `kept_here` what does not."""

    name: str
    enabled: bool  # the settings name it
    away_since: datetime | None
    next_probe_at: datetime | None
    last_error: str
    answered_at: datetime | None
    waiting: int
    oldest_waiting_at: datetime | None
    stuck: int
    studies: int
    objects: int
    kept_here: int


@dataclass(frozen=True)
class ArchivalRow:
    """A study on its way into an archive. It names no patient."""

    id: str
    state: str
    archive: str
    study_id: str
    institution: str
    modality: str
    study_date: str
    owed_at: datetime
    next_at: datetime | None
    archived_at: datetime | None
    attempts: int
    reason: str
    params: dict[str, Any]
    copies: int
    kept_here: int


@dataclass(frozen=True)
class KeptHereRow:
    """An object that must not or cannot go into an archive, and why."""

    archival_id: str
    archive: str
    study_id: str
    sop_instance_uid: str
    size: int
    reason: str
    params: dict[str, Any]


def archives(session: Session, by: Actor) -> list[ArchiveRow]:
    """All archives that were ever in use, by name. For the PACS admin."""
    scope.require_admin(by)
    counted = session.execute(
        select(Archival.archive, Archival.state, func.count(), func.min(Archival.owed_at))
        .where(Archival.state.in_((*UNDER_WAY, "stuck")))
        .group_by(Archival.archive, Archival.state)
    ).all()
    stays = select(ArchiveCopy.archive, func.count()).where(ArchiveCopy.reason != "").group_by(ArchiveCopy.archive)
    here = dict(session.execute(stays).all())

    def of(name: str, *states: str) -> list[Any]:
        return [row for row in counted if row[0] == name and row[1] in states]

    return [
        ArchiveRow(
            name=row.name,
            enabled=row.enabled,
            away_since=row.away_since,
            next_probe_at=row.next_probe_at,
            last_error=row.last_error,
            answered_at=row.answered_at,
            waiting=sum(one[2] for one in of(row.name, *UNDER_WAY)),
            oldest_waiting_at=min((one[3] for one in of(row.name, *UNDER_WAY)), default=None),
            stuck=sum(one[2] for one in of(row.name, "stuck")),
            studies=row.studies,
            objects=row.objects,
            kept_here=here.get(row.name, 0),
        )
        for row in session.scalars(select(Archive).order_by(Archive.name))
    ]


def away(session: Session) -> dict[str, datetime | None]:
    """The archives in use, by name: since when each does not answer (aware UTC); None where it does."""
    found = select(Archive.name, Archive.away_since).where(Archive.enabled.is_(True)).order_by(Archive.name)
    return {row.name: row.away_since for row in session.execute(found)}


def archivals(
    session: Session, by: Actor, *, state: str = "", study_id: str = "", after: str = "", limit: int = 50
) -> Page[ArchivalRow]:
    """Studies on their way into archives, the oldest first. For the PACS admin."""
    scope.require_admin(by)
    query = (
        select(Archival, Study.modality, Study.study_date, Institution.name)
        .join(Study, Study.id == Archival.study_id)
        .join(Institution, Institution.id == Study.institution_id)
        .where(Archival.id > after)
        .order_by(Archival.id)
        .limit(limit + 1)
    )
    if state:
        query = query.where(Archival.state == state)
    if study_id:
        query = query.where(Archival.study_id == study_id)
    rows = [
        ArchivalRow(
            id=row.id,
            state=row.state,
            archive=row.archive,
            study_id=row.study_id,
            institution=institution,
            modality=modality,
            study_date=study_date,
            owed_at=row.owed_at,
            next_at=row.next_at,
            archived_at=row.archived_at,
            attempts=row.attempts,
            reason=row.reason,
            params=row.params,
            copies=row.copies,
            kept_here=row.kept_here,
        )
        for row, modality, study_date, institution in session.execute(query)
    ]
    return Page(tuple(rows[:limit]), rows[limit - 1].id if len(rows) > limit else "")


def kept_here(session: Session, by: Actor, *, limit: int = 100) -> list[KeptHereRow]:
    """Objects that lie in no archive although it is in use, the newest first. For the PACS admin."""
    scope.require_admin(by)
    rows = session.execute(
        select(ArchiveCopy, Instance.study_id, Instance.sop_instance_uid, Instance.size)
        .join(Instance, Instance.id == ArchiveCopy.instance_id)
        .where(ArchiveCopy.reason != "")
        .order_by(ArchiveCopy.instance_id.desc())
        .limit(limit)
    )
    return [
        KeptHereRow(copy.archival_id, copy.archive, study_id, uid, size, copy.reason, copy.params)
        for copy, study_id, uid, size in rows
    ]


def released(session: Session, by: Actor) -> int:
    """How many objects lie in the archives alone. For the PACS admin."""
    scope.require_admin(by)
    return session.scalar(select(func.count()).select_from(ReleasedObject)) or 0
