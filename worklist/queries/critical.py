"""Critical results: one with its ladder and telephone numbers, and those of a period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, false, func, or_, select
from sqlalchemy.orm import Session

from worklist.actions import calling, critical
from worklist.errors import NotFound
from worklist.moves import can
from worklist.people import Actor
from worklist.queries import parts
from worklist.queries.views import CriticalView
from worklist.tables import Center, CriticalResult, Institution, Reading, User

DISPOSED_WITHIN: Final = 30  # minutes from the answer to what was done (china.md: disposition within 30)
MOST: Final = 2000


@dataclass(frozen=True)
class Callee:
    """Somebody who may be called."""

    name: str
    phone: str


@dataclass(frozen=True)
class Call:
    """One step of the ladder that was climbed. `at` is ISO 8601, UTC."""

    step: int
    who: str
    at: str
    people: tuple[Callee, ...]


@dataclass(frozen=True)
class CriticalPage:
    """A critical result, its ladder, and what the actor may do about it."""

    row: CriticalView
    center: str
    institution_phone: str
    calls: tuple[Call, ...]
    doctors: tuple[Callee, ...]  # of the institution that must answer
    on_call: tuple[tuple[Callee, ...], ...]  # of the center now, tier by tier
    is_center: bool
    may_verify: bool
    may_record_call: bool
    may_acknowledge: bool
    may_dispose: bool
    may_retract: bool


@dataclass(frozen=True)
class CriticalLine:
    """A critical result of the report. Times are minutes; None where it has not come to that."""

    row: CriticalView
    center: str
    to_notify: float | None
    to_answer: float | None
    to_dispose: float | None
    answer_limit: int
    is_open: bool
    answered_in_time: bool
    disposed_in_time: bool


def visible(by: Actor) -> ColumnElement[bool]:
    """Those of the actor's centers, and those that were announced to the institution where the actor works with orders.

    What waits for a second doctor was not announced yet.
    """
    centers = by.centers()
    at_home = by.has("technician") or by.has("doctor")
    return or_(
        # Looked up for each critical result, of which there are few: a center has read a million cases.
        select(Reading.id)
        .where(Reading.id == CriticalResult.reading_id, Reading.center_id.in_(centers))
        .correlate(CriticalResult)
        .exists(),
        CriticalResult.center_id.in_(centers),
        (CriticalResult.institution_id == by.institution_id) & CriticalResult.notified_at.is_not(None)
        if at_home
        else false(),
    )


def one(session: Session, by: Actor, result_id: str, now: datetime) -> CriticalPage:
    """A critical result with its ladder.

    Raises
    ------
    NotFound
        ``no_such_critical_result``.
    """
    found = parts.criticals(session, visible(by) & (CriticalResult.id == result_id))
    if not found:
        raise NotFound("no_such_critical_result")
    (row,) = found
    result = session.get_one(CriticalResult, result_id)
    center = calling.center_of(session, result)
    home = session.get_one(Institution, result.institution_id)
    tiers = calling.on_call(session, center.id, now)
    doctors = calling.home_doctors(session, result)
    wanted = (
        {id for tier in tiers for id in tier} | set(doctors) | {u for c in result.called for u in c.get("users", ())}
    )
    people = {u.id: Callee(u.name, u.phone) for u in session.scalars(select(User).where(User.id.in_(wanted))).unique()}
    reads = by.has("reader", center.id) or by.has("senior reader", center.id)
    answers = by.has("doctor") and by.institution_id == result.institution_id
    announced = result.state in critical.UNANSWERED
    return CriticalPage(
        row=row,
        center=center.name,
        institution_phone=home.phone,
        calls=tuple(
            Call(c["step"], c["who"], c["at"], tuple(people[u] for u in c.get("users", ()) if u in people))
            for c in result.called
        ),
        doctors=tuple(people[u] for u in doctors if u in people),
        on_call=tuple(tuple(people[u] for u in tier if u in people) for tier in tiers),
        is_center=center.id in by.centers(),
        may_verify=reads
        and result.state == "detected"
        and (result.marked_by != by.id or critical.is_alone(center, now)),
        may_record_call=reads and announced,
        may_acknowledge=answers and announced,
        may_dispose=answers and result.state == "acknowledged",
        may_retract=can("critical result", result, "retract")
        and (reads or (result.is_drill and by.has("manager", center.id))),
    )


def of_period(
    session: Session, by: Actor, since: datetime, until: datetime, *, drills: bool = False
) -> list[CriticalLine]:
    """Critical results that were marked from `since` until before `until`: open ones first, each half the newest first.

    `drills` gives the exercises of that time instead; the two are never in one list.
    """
    meant = (
        visible(by)
        & (CriticalResult.marked_at >= since)
        & (CriticalResult.marked_at < until)
        & CriticalResult.is_drill.is_(drills)
    )
    whose = (
        select(CriticalResult.id, func.coalesce(Reading.center_id, CriticalResult.center_id))
        .outerjoin(Reading, Reading.id == CriticalResult.reading_id)
        .where(meant)
    )
    center_of = dict(session.execute(whose).all())
    centers = {c.id: c for c in session.scalars(select(Center).where(Center.id.in_(set(center_of.values())))).unique()}
    rows = parts.criticals(session, meant, limit=MOST)
    lines = [_line(row, centers[center_of[row.id]]) for row in rows]
    return sorted(lines, key=lambda line: not line.is_open)


def _line(row: CriticalView, center: Center) -> CriticalLine:
    limit = max(calling.ladder(center, row.tier), default=10)
    answer = _minutes(row.notified_at, row.answered_at)
    disposal = _minutes(row.answered_at, row.closed_at) if row.disposition else None
    return CriticalLine(
        row=row,
        center=center.name,
        to_notify=_minutes(row.marked_at, row.notified_at),
        to_answer=answer,
        to_dispose=disposal,
        answer_limit=limit,
        is_open=row.state in critical.OPEN,
        answered_in_time=answer is not None and answer <= limit,
        disposed_in_time=disposal is not None and disposal <= DISPOSED_WITHIN,
    )


def _minutes(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else round((end - start).total_seconds() / 60, 1)
