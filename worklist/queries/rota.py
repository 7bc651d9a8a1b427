"""Who is on duty, who is away, and a center's week as its manager sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions.calendars import calendar_of, managed
from worklist.actions.rota import READS
from worklist.people import Actor
from worklist.rules import rota
from worklist.rules.due import due_at
from worklist.rules.rota import CALLS, DUTIES, Away, Clash, Duty, Gap
from worklist.rules.working_time import spans_between, written
from worklist.tables import Absence, CalendarDay, Center, Shift, User, UserRole


@dataclass(frozen=True)
class ReaderRow:
    """Somebody who reads in a center."""

    id: str
    name: str
    is_senior: bool
    is_absent: bool  # now


@dataclass(frozen=True)
class ShiftRow:
    """A shift, with the name of whoever has it. Times are aware UTC."""

    id: str
    user_id: str
    name: str
    duty: str
    starts_at: datetime
    ends_at: datetime
    note: str


@dataclass(frozen=True)
class AbsenceRow:
    """An absence. Times are aware UTC."""

    id: str
    user_id: str
    name: str
    starts_at: datetime
    ends_at: datetime
    note: str
    made_by: str


@dataclass(frozen=True)
class RotaWeek:
    """A center's week: seven days from a Monday, in the center's zone."""

    center_id: str
    timezone: str
    days: tuple[date, ...]
    readers: tuple[ReaderRow, ...]
    shifts: tuple[ShiftRow, ...]
    absences: tuple[AbsenceRow, ...]  # that touch the week or come later
    clashes: tuple[Clash, ...]
    gaps: tuple[Gap, ...]
    unmanned: tuple[str, ...]  # duties that nobody has in the whole week, where there is a rota at all


@dataclass(frozen=True)
class DayRow:
    """A day that differs from the week."""

    date: str  # DA
    hours: list[list[str]]
    note: str


@dataclass(frozen=True)
class CalendarView:
    """A center's working time."""

    center_id: str
    center: str
    center_en: str
    timezone: str
    week: list[list[list[str]]]  # Monday first; [] = round the clock
    days: tuple[DayRow, ...]


@dataclass(frozen=True)
class ManagedCenter:
    """A center that the actor manages, or configures."""

    id: str
    name: str
    name_en: str
    timezone: str


def on_duty(session: Session, center_id: str, duty: str, now: datetime) -> tuple[str, ...]:
    """Ids of those who are on a duty of a center now and not away, who came first first."""
    away = select(Absence.user_id).where(Absence.starts_at <= now, Absence.ends_at > now)
    query = (
        select(Shift.user_id)
        .join(User, User.id == Shift.user_id)
        .where(
            Shift.center_id == center_id,
            Shift.ends_at > now,
            Shift.starts_at <= now,
            Shift.duty == duty,
            User.enabled,
            Shift.user_id.not_in(away),
        )
        .order_by(Shift.starts_at, Shift.id)
    )
    return tuple(dict.fromkeys(session.scalars(query)))


def is_absent(session: Session, user_id: str, now: datetime) -> bool:
    """Whether somebody is away now."""
    query = select(Absence.id).where(Absence.user_id == user_id, Absence.ends_at > now, Absence.starts_at <= now)
    return session.scalar(query.limit(1)) is not None


def readers(session: Session, center_id: str, now: datetime) -> list[ReaderRow]:
    """Who reads in a center, by name; who is away is marked."""
    rows = session.execute(
        select(User.id, User.name, UserRole.role)
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.center_id == center_id, UserRole.role.in_(READS), User.enabled)
        .order_by(User.name, User.id)
    )
    found: dict[str, tuple[str, set[str]]] = {}
    for user_id, name, role in rows:
        found.setdefault(user_id, (name, set()))[1].add(role)
    away = set(
        session.scalars(
            select(Absence.user_id).where(
                Absence.user_id.in_(list(found)), Absence.ends_at > now, Absence.starts_at <= now
            )
        )
    )
    return [ReaderRow(id, name, "senior reader" in roles, id in away) for id, (name, roles) in found.items()]


def managed_centers(session: Session, by: Actor) -> list[ManagedCenter]:
    """Centers whose calendar and rota the actor keeps."""
    query = select(Center).order_by(Center.name, Center.id)
    if not by.has("PACS admin"):
        query = query.where(Center.id.in_(by.centers("manager")))
    return [
        ManagedCenter(c.id, c.name, c.name_en or c.name, c.institution.timezone)
        for c in session.scalars(query).unique()
    ]


def week(session: Session, by: Actor, center_id: str, monday: date, now: datetime) -> RotaWeek:
    """The rota of the seven days from `monday` (local), with what is wrong with it.

    Raises
    ------
    NotFound, Forbidden
        not a center whose rota the actor keeps.
    """
    center = managed(session, by, center_id)
    zone = ZoneInfo(center.institution.timezone)
    days = tuple(monday + timedelta(days=n) for n in range(7))
    starts, ends = midnight(days[0], zone), midnight(days[-1] + timedelta(days=1), zone)
    people = readers(session, center.id, now)
    shifts = [
        ShiftRow(s.id, s.user_id, name, s.duty, s.starts_at, s.ends_at, s.note)
        for s, name in session.execute(
            select(Shift, User.name)
            .join(User, User.id == Shift.user_id)
            .where(Shift.center_id == center.id, Shift.ends_at > starts, Shift.starts_at < ends)
            .order_by(Shift.starts_at, Shift.id)
        )
    ]
    everybody = {p.id for p in people} | {s.user_id for s in shifts}
    absences = [
        AbsenceRow(a.id, a.user_id, name, a.starts_at, a.ends_at, a.note, a.made_by)
        for a, name in session.execute(
            select(Absence, User.name)
            .join(User, User.id == Absence.user_id)
            .where(Absence.user_id.in_(everybody), Absence.ends_at > min(starts, now))
            .order_by(Absence.starts_at, Absence.id)
            .limit(200)
        )
    ]
    duties = [Duty(s.user_id, s.duty, s.starts_at, s.ends_at) for s in shifts]
    aways = [Away(a.user_id, a.starts_at, a.ends_at) for a in absences]
    calendar = calendar_of(session, center, monday)
    open_hours = spans_between(calendar, starts, ends) if calendar.week else [(starts, ends)]
    gaps: list[Gap] = []
    unmanned = []
    for duty in DUTIES if shifts else ():
        if all(s.duty != duty for s in shifts):
            unmanned.append(duty)
            continue
        gaps += rota.gaps(duty, [(starts, ends)] if duty in CALLS else open_hours, duties, aways)
    return RotaWeek(
        center_id=center.id,
        timezone=zone.key,
        days=days,
        readers=tuple(people),
        shifts=tuple(shifts),
        absences=tuple(absences),
        clashes=tuple(rota.clashes(duties, aways)),
        gaps=tuple(sorted(gaps, key=lambda g: (g.starts_at, DUTIES.index(g.duty)))),
        unmanned=tuple(unmanned),
    )


def calendar(session: Session, by: Actor, center_id: str, since: date) -> CalendarView:
    """A center's week and the days from `since` on that differ from it.

    Raises
    ------
    NotFound, Forbidden
        not a center whose calendar the actor keeps.
    """
    center = managed(session, by, center_id)
    rows = session.scalars(
        select(CalendarDay)
        .where(CalendarDay.center_id == center.id, CalendarDay.date >= f"{since:%Y%m%d}")
        .order_by(CalendarDay.date)
    )
    kept = calendar_of(session, center)
    return CalendarView(
        center_id=center.id,
        center=center.name,
        center_en=center.name_en or center.name,
        timezone=center.institution.timezone,
        week=[written(day) for day in kept.week],
        days=tuple(DayRow(row.date, row.hours, row.note) for row in rows),
    )


def would_be_due(
    session: Session, by: Actor, center_id: str, at: datetime, limits: dict[str, Any]
) -> Sequence[tuple[str, datetime]]:
    """When a study that is complete `at` would be due, by priority and `limits` (minutes)."""
    center = managed(session, by, center_id)
    kept = calendar_of(session, center, at.date())
    discipline = center.discipline
    return [(priority, due_at(at, limits, priority, kept, discipline)) for priority in ("STAT", "URGENT", "ROUTINE")]


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The beginning of a local day."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)
