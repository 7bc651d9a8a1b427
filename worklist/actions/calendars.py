"""A center's working time: its week, its holidays, and the days that are worked instead.

What is open keeps its promise by the new calendar: the due times of open cases are counted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, Forbidden, NotFound
from worklist.people import Actor
from worklist.rules.due import due_at
from worklist.rules.kinds import GOES_HOME
from worklist.rules.working_time import Calendar, calendar_from, day_of, read_hours, written
from worklist.tables import CalendarDay, Center, Order, Procedure, Reading, ReadingOrder
from worklist.tables.base import UtcDateTime, table_of

LONGEST_RANGE: Final = 366  # days that are entered in one go
LONGEST_NOTE: Final = 200
COUNTED: Final = ("unread", "drafted", "in review", "referred")
"""States in which a case's time runs."""

_READING: Final = table_of(Reading)
_WRITE_DUE: Final = (
    update(_READING).where(_READING.c.id == bindparam("reading")).values(due_at=bindparam("at", type_=UtcDateTime()))
)


def managed(session: Session, by: Actor, center_id: str) -> Center:
    """A center whose rota and calendar the actor keeps: its manager, or the PACS admin.

    Raises
    ------
    NotFound, Forbidden
    """
    by.require_scope("admin")
    center = session.get(Center, center_id)
    if center is None:
        raise NotFound("no_such_center")
    if not (by.is_system or by.has("PACS admin") or center_id in by.centers("manager")):
        if center_id in by.centers():
            raise Forbidden("role_needed", roles="manager, PACS admin")
        raise NotFound("no_such_center")
    return center


def calendar_of(session: Session, center: Center, since: date | None = None) -> Calendar:
    """The calendar of a center as the rules count with it; days before `since` are left out."""
    if not center.working_hours:
        return calendar_from((), {}, center.institution.timezone)
    query = select(CalendarDay.date, CalendarDay.hours).where(CalendarDay.center_id == center.id)
    if since is not None:
        query = query.where(CalendarDay.date >= f"{since - timedelta(days=2):%Y%m%d}")
    days = {row.date: row.hours for row in session.execute(query)}
    return calendar_from(center.working_hours, days, center.institution.timezone)


def save_week(session: Session, by: Actor, center_id: str, week: Sequence[Any], now: datetime) -> Center:
    """Set the hours of each weekday, Monday first: ``[[["08:00", "12:00"]], …]``; ``[]`` means round the clock.

    Raises
    ------
    BadInput
        ``working_hours_wrong``; ``week_never_works`` where no day has hours.
    """
    center = managed(session, by, center_id)
    if week and len(week) != 7:
        raise BadInput("working_hours_wrong")
    try:
        hours = [read_hours(day) for day in week]
    except (TypeError, ValueError) as error:
        raise BadInput("working_hours_wrong") from error
    if week and not any(hours):
        raise BadInput("week_never_works")
    center.working_hours = [written(day) for day in hours]
    session.flush()
    _count_again(session, center, now)
    audit.note_center(session, by, "working hours saved", center, now)
    return center


def set_days(
    session: Session,
    by: Actor,
    center_id: str,
    first: str,
    last: str,
    hours: Sequence[Any],
    note: str,
    now: datetime,
) -> int:
    """Let the days `first` to `last` (DA, both included) differ from the week: no `hours` is a holiday.

    Days that differed already are overwritten. Returns how many days were set.

    Raises
    ------
    BadInput
        ``days_wrong``, ``range_too_long``, ``working_hours_wrong``.
    """
    center = managed(session, by, center_id)
    days = _days(first, last)
    try:
        kept = written(read_hours(hours))
    except (TypeError, ValueError) as error:
        raise BadInput("working_hours_wrong") from error
    if len(note) > LONGEST_NOTE or "\x00" in note:
        raise BadInput("field_wrong", field="note")
    _remove(session, center.id, days)
    session.add_all([CalendarDay(center_id=center.id, date=day, hours=kept, note=note.strip()) for day in days])
    session.flush()
    _count_again(session, center, now)
    audit.note_center(
        session, by, "calendar days set", center, now, {"first": days[0], "last": days[-1], "worked": bool(kept)}
    )
    return len(days)


def remove_days(session: Session, by: Actor, center_id: str, first: str, last: str, now: datetime) -> int:
    """The days `first` to `last` (DA) are like any of the week again. Returns how many had differed."""
    center = managed(session, by, center_id)
    days = _days(first, last)
    removed = _remove(session, center.id, days)
    if removed:
        _count_again(session, center, now)
        audit.note_center(session, by, "calendar days removed", center, now, {"first": days[0], "last": days[-1]})
    return removed


def _days(first: str, last: str) -> list[str]:
    try:
        begins, ends = day_of(first), day_of(last or first)
    except ValueError as error:
        raise BadInput("days_wrong") from error
    count = (ends - begins).days + 1
    if count < 1:
        raise BadInput("days_wrong")
    if count > LONGEST_RANGE:
        raise BadInput("range_too_long", most=LONGEST_RANGE)
    return [f"{begins + timedelta(days=n):%Y%m%d}" for n in range(count)]


def _remove(session: Session, center_id: str, days: Sequence[str]) -> int:
    rows = session.execute(
        delete(CalendarDay)
        .where(CalendarDay.center_id == center_id, CalendarDay.date >= days[0], CalendarDay.date <= days[-1])
        .returning(CalendarDay.date)
        .execution_options(synchronize_session=False)
    ).all()
    session.expire_all()
    return len(rows)


def _count_again(session: Session, center: Center, now: datetime) -> None:
    """Due times of the center's open cases by the calendar as it is now. STAT counts by the clock and is left."""
    calendar = calendar_of(session, center)
    rows = session.execute(
        select(Reading.id, Reading.ready_at, Reading.priority, Reading.due_at, Procedure.limits)
        .outerjoin(ReadingOrder, ReadingOrder.reading_id == Reading.id)
        .outerjoin(Order, Order.id == ReadingOrder.order_id)
        .outerjoin(Procedure, Procedure.id == Order.procedure_id)
        .where(
            Reading.center_id == center.id,
            Reading.state.in_(COUNTED),
            Reading.priority != "STAT",
            Reading.kind.in_(GOES_HOME),
            Reading.ready_at.is_not(None),
            Reading.signed_at.is_(None),
        )
    )
    limits: dict[str, list[dict[str, Any]]] = {}
    about = {}
    for row in rows:
        about[row.id] = row
        limits.setdefault(row.id, []).extend([] if row.limits is None else [row.limits])
    due = {
        id: min(due_at(row.ready_at, limit, row.priority, calendar, center.discipline) for limit in limits[id] or [{}])
        for id, row in about.items()
    }
    changed = [{"reading": id, "at": at} for id, at in due.items() if at != about[id].due_at]
    if changed:
        session.connection().execute(_WRITE_DUE, changed)
        session.expire_all()
