"""The cases behind a number of the figures, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from worklist.errors import BadInput
from worklist.people import Actor
from worklist.queries import figures, reading_rows, today
from worklist.queries.figure_views import Period
from worklist.queries.views import Page, ReadingRow
from worklist.tables import CaseReturn, CriticalResult, Reading, ReportVersion

NOW: Final = ("waiting", "being read", "in review", "referred", "overdue", "returned", "open")
"""What is so now; the rest is about a period."""

SIGNED: Final = ("signed", "on time", "late", "without limit")
RECEIVED: Final = ("received", "graded")
KINDS: Final = (*NOW, *SIGNED, *RECEIVED, "returns", "critical", "written", "reviewed", "signed by")


@dataclass(frozen=True)
class Behind:
    """Which cases: a kind, narrowed down. Empty means any."""

    kind: str
    center: str = ""
    site: str = ""
    procedure: str = ""
    modality: str = ""
    priority: str = ""
    reason: str = ""  # of returns
    grade: str = ""  # of images; "none": not graded
    person: str = ""
    period: Period | None = None  # needed for all but `NOW`


def cases(
    session: Session, by: Actor, behind: Behind, now: datetime, *, after: str = "", limit: int = 50
) -> Page[ReadingRow]:
    """The cases, in the order of time (the newest first for a period). `after` is the `next` of the page before.

    Raises
    ------
    BadInput
        ``field_wrong`` for a kind that is none, or a period that is missing.
    """
    if behind.kind not in KINDS:
        raise BadInput("field_wrong", field="kind")
    ours = [c.id for c in figures.centers(session, by, behind.center)]
    column: InstrumentedAttribute[Any] = Reading.created_at
    if behind.kind in SIGNED:
        column = Reading.signed_at
    query = select(Reading.id).where(Reading.center_id.in_(ours), *_conditions(behind, ours, now), *_narrowed(behind))
    last = session.get(Reading, after) if after else None
    at = getattr(last, column.key) if last is not None else None
    if behind.kind in NOW:
        query = query.order_by(column, Reading.id)
        if last is not None:
            query = query.where(or_(column > at, and_(column == at, Reading.id > last.id)))
    else:
        query = query.order_by(column.desc(), Reading.id.desc())
        if last is not None:
            query = query.where(or_(column < at, and_(column == at, Reading.id < last.id)))
    ids = session.scalars(query.limit(limit + 1)).all()
    shown = reading_rows.rows(session, ids[:limit], now)
    return Page(tuple(shown), shown[-1].id if len(ids) > limit else "")


def _conditions(behind: Behind, ours: list[str], now: datetime) -> tuple[ColumnElement[bool], ...]:
    """What makes a case one of its kind."""
    held = today.is_held(now)
    if behind.kind in NOW:
        return {
            "waiting": (
                Reading.state.in_(("unread", "drafted")),
                or_(Reading.holder_id.is_(None), Reading.held_until.is_(None), Reading.held_until <= now),
            ),
            "being read": (Reading.state.in_(("unread", "drafted")), held),
            "in review": (Reading.state == "in review",),
            "referred": (Reading.state == "referred",),
            "overdue": (today.is_overdue(now),),
            "returned": (Reading.state == "returned",),
            "open": (Reading.state.in_(today.OPEN),),
        }[behind.kind]
    period = behind.period
    if period is None:
        raise BadInput("field_missing", field="period")
    if behind.kind in SIGNED:
        also = {
            "signed": (),
            "on time": (Reading.signed_at <= Reading.due_at,),
            "late": (Reading.signed_at > Reading.due_at,),
            "without limit": (Reading.due_at.is_(None),),
        }[behind.kind]
        return (*figures.signed_in(ours, period), *also)
    if behind.kind in RECEIVED:
        return figures.received_in(ours, period)
    if behind.kind == "returns":
        returned = select(CaseReturn.reading_id).where(
            CaseReturn.center_id.in_(ours), CaseReturn.at >= period.since, CaseReturn.at < period.until
        )
        if behind.reason:
            returned = returned.where(CaseReturn.reason == behind.reason)
        return (Reading.id.in_(returned),)
    if behind.kind == "critical":
        marked = select(CriticalResult.reading_id).where(
            CriticalResult.marked_at >= period.since,
            CriticalResult.marked_at < period.until,
            ~CriticalResult.is_drill,
        )
        return (Reading.id.in_(marked),)
    done = select(ReportVersion.reading_id).where(
        ReportVersion.signed_at >= period.since,
        ReportVersion.signed_at < period.until,
        ReportVersion.status.in_(figures.COUNTED_AS_WORK),
    )
    if behind.kind == "written":
        done = done.where(ReportVersion.writer_id == behind.person, ReportVersion.status != "preliminary")
    else:
        done = done.where(ReportVersion.signer_id == behind.person)
    if behind.kind == "reviewed":
        done = done.where(ReportVersion.writer_id != behind.person)
    return (Reading.id.in_(done),)


def _narrowed(behind: Behind) -> tuple[ColumnElement[bool], ...]:
    found: list[ColumnElement[bool]] = []
    if behind.site:
        found.append(Reading.institution_id == behind.site)
    if behind.priority:
        found.append(Reading.priority == behind.priority)
    if behind.procedure:
        found.append(figures.first_procedure() == behind.procedure)
    if behind.modality:
        found.append(figures.first_modality() == behind.modality)
    if behind.grade:
        found.append(Reading.image_grade == ("" if behind.grade == "none" else behind.grade))
    return tuple(found)
