"""The reader's worklist: which cases, in which order, and the next one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.queries import patients, scope
from worklist.queries.reading_rows import rows
from worklist.queries.views import Page, ReadingRow
from worklist.tables import Center, Institution, Order, Patient, Procedure, Reading, ReadingOrder, ReadingStudy, Study

OPEN: Final = ("unread", "drafted", "in review", "referred", "returned")
PAST: Final = ("signed", "all")
WORK: Final = ("unread", "drafted", "in review")
FAR: Final = datetime(9999, 1, 1, tzinfo=UTC)
DUE: Final = func.coalesce(Reading.review_due_at, Reading.due_at, FAR)

Whose = Literal["", "mine", "assigned", "free"]


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to; ``""`` and False leave it as wide as it is.

    `status`: a state of the reading, ``""`` for all open ones, ``"all"``. `whose`: ``mine`` (held or written by the
    actor), ``assigned`` (to the actor), ``free`` (held by nobody). `q` looks in name, pinyin and its initials, patient
    number and accession number. `center` and `site` (the sending institution) are ids.
    """

    status: str = ""
    discipline: str = ""
    center: str = ""
    site: str = ""
    modality: str = ""
    body_part: str = ""
    priority: str = ""
    whose: Whose = ""
    overdue: bool = False
    q: str = ""


@dataclass(frozen=True)
class Choices:
    """What the filters of an actor's list can be set to."""

    centers: tuple[tuple[str, str], ...]  # (id, name)
    sites: tuple[tuple[str, str, str], ...]  # (id, name, English name)
    disciplines: tuple[str, ...]
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]


def worklist(
    session: Session, by: Actor, now: datetime, filters: Filters | None = None, *, after: str = "", limit: int = 50
) -> Page[ReadingRow]:
    """Readings in the actor's scope, most urgent first: by priority, then what is assigned to the actor, then by due
    time, then by arrival. Lists with cases that are over, for years perhaps, begin with the newest. `after` is the
    `next` of the page before."""
    filters = filters or Filters()
    not_mine = _not_mine(by)
    query = select(Reading.id).where(scope.readings(by), *_conditions(filters, by, now)).limit(limit + 1)
    if filters.status in PAST:
        query = query.order_by(Reading.id.desc())
        if after:
            query = query.where(Reading.id < after)
    else:
        query = query.order_by(Reading.rank, not_mine, DUE, Reading.id)
    if after and filters.status not in PAST:
        last = session.execute(select(Reading.rank, not_mine, DUE).where(Reading.id == after)).first()
        if last is not None:
            query = query.where(_behind((Reading.rank, not_mine, DUE, Reading.id), (*last, after)))
    # Narrow rows are sorted; the wide ones, with their patients and places, are read for those that are shown.
    ids = session.scalars(query).all()
    shown = rows(session, ids[:limit], now)
    return Page(tuple(shown), shown[-1].id if len(ids) > limit else "")


def next_case(
    session: Session, by: Actor, now: datetime, filters: Filters | None = None, *, reviewing: bool = False
) -> str:
    """The most urgent case that waits for this reader, in the list as it is narrowed: held by nobody else and not
    assigned to anybody else; ``""`` if there is none."""
    free = or_(Reading.holder_id.is_(None), Reading.held_until <= now, Reading.holder_id == by.id)
    states = ("in review",) if reviewing else ("unread", "drafted")
    centers = by.centers("senior reader") if reviewing else by.centers("reader", "senior reader")
    found = session.scalar(
        select(Reading.id)
        .where(
            Reading.center_id.in_(centers),
            Reading.state.in_(states),
            free,
            or_(Reading.assigned_id.is_(None), Reading.assigned_id == by.id),
            *_conditions(filters or Filters(), by, now),
        )
        .order_by(Reading.rank, _not_mine(by), DUE, Reading.id)
        .limit(1)
    )
    return found or ""


def choices(session: Session, by: Actor) -> Choices:
    """What the actor can narrow the list to."""
    centers = session.execute(
        select(Center.id, Center.name, Center.discipline).where(Center.id.in_(by.centers())).order_by(Center.name)
    ).all()
    sites = session.execute(
        select(Institution.id, Institution.name, Institution.name_en).order_by(Institution.code)
    ).all()
    disciplines = sorted({c.discipline for c in centers})
    procedures = session.execute(
        select(Procedure.modality, Procedure.body_part).where(Procedure.discipline.in_(disciplines)).distinct()
    ).all()
    return Choices(
        tuple((c.id, c.name) for c in centers),
        tuple((s.id, s.name, s.name_en) for s in sites),
        tuple(disciplines),
        tuple(sorted({p.modality for p in procedures if p.modality})),
        tuple(sorted({p.body_part for p in procedures if p.body_part})),
    )


def _not_mine(by: Actor) -> ColumnElement[int]:
    return case((Reading.assigned_id == by.id, 0), else_=1)


def _behind(columns: Sequence[Any], last: Sequence[Any]) -> ColumnElement[bool]:
    """Rows that come after `last` in the order of `columns`."""
    steps = []
    for n, column in enumerate(columns):
        equal = [c == value for c, value in zip(columns[:n], last[:n], strict=True)]
        steps.append(and_(*equal, column > last[n]))
    return or_(*steps)


def _conditions(filters: Filters, by: Actor, now: datetime) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.status == "":
        found.append(Reading.state.in_(OPEN))
    elif filters.status != "all":
        found.append(Reading.state == filters.status)
    if filters.discipline:
        found.append(Reading.center_id.in_(select(Center.id).where(Center.discipline == filters.discipline)))
    if filters.center:
        found.append(Reading.center_id == filters.center)
    if filters.site:
        found.append(Reading.institution_id == filters.site)
    if filters.priority:
        found.append(Reading.priority == filters.priority)
    if filters.modality:
        found.append(_has_study(Study.modality == filters.modality))
    if filters.body_part:
        found.append(_has_order(Order.procedure.has(Procedure.body_part == filters.body_part)))
    if filters.whose == "mine":
        held = and_(Reading.holder_id == by.id, Reading.held_until > now)
        found.append(or_(held, Reading.writer_id == by.id))
    elif filters.whose == "assigned":
        found.append(Reading.assigned_id == by.id)
    elif filters.whose == "free":
        found.append(or_(Reading.holder_id.is_(None), Reading.held_until <= now))
    if filters.overdue:
        found.append(and_(now > DUE, Reading.state.in_(WORK)))
    if filters.q.strip():
        found.append(_found(filters.q.strip()))
    return found


def _has_study(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    ours = select(ReadingStudy.study_id).where(ReadingStudy.reading_id == Reading.id).correlate(Reading)
    return select(Study.id).where(Study.id.in_(ours), condition).correlate(Reading).exists()


def _has_order(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    ours = select(ReadingOrder.order_id).where(ReadingOrder.reading_id == Reading.id).correlate(Reading)
    return select(Order.id).where(Order.id.in_(ours), condition).correlate(Reading).exists()


def _found(text: str) -> ColumnElement[bool]:
    """Readings whose patient or order has `text` in name, pinyin or number."""
    # Asked for each reading that the other filters leave: those are few, and patients are many.
    of_patient = select(Patient.id).where(Patient.id == Reading.patient_id, patients.matches(text)).correlate(Reading)
    as_sent = _has_study(or_(scope.contains(Study.sent_name, text), scope.contains(Study.sent_patient_id, text)))
    return or_(
        of_patient.exists(),
        _has_order(or_(scope.contains(Order.accession_number, text), scope.contains(Order.patient_value, text))),
        and_(Reading.patient_id.is_(None), as_sent),  # a STAT study that is not linked yet
    )
