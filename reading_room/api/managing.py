"""What managers see and do: figures, the cases behind them, working hours, the rota, giving cases to readers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.api.access import LookingAtCases
from reading_room.api.fields import REFUSALS, After, Body, Id, Limit, Line, Listed, PathId, Remark, Word
from reading_room.api.shapes import WorklistItem
from worklist.actions import assigning, calendars, rota
from worklist.errors import BadInput, NotFound
from worklist.people import Actor
from worklist.queries import administration, figure_cases, figures, to_assign, today
from worklist.queries import rota as queries
from worklist.queries.figure_cases import Behind
from worklist.queries.figure_views import (
    ArrivingRow,
    CriticalRow,
    GradeRow,
    NowRow,
    Period,
    ReturnRow,
    TrendRow,
    TurnaroundRow,
    WorkRow,
)
from worklist.queries.rota import AbsenceRow, CalendarView, RotaWeek, ShiftRow
from worklist.queries.to_assign import Candidate
from worklist.rules.measures import LONGEST_PERIOD

router = APIRouter(tags=["managing"], responses=REFUSALS)

Center = Annotated[str, Query(max_length=64, description="A center's id; empty: all that you manage.")]
Since = Annotated[date, Query(alias="from", description="The first local day.")]
Until = Annotated[date, Query(alias="to", description="The last local day, included.")]
Span = tuple[str, str]


@dataclass(frozen=True)
class NowOut:
    """What is open now, and the studies that are still arriving."""

    rows: list[NowRow]
    arriving: list[ArrivingRow]


@dataclass(frozen=True)
class FiguresOut:
    """How a period went."""

    turnaround: list[TurnaroundRow]
    returns: list[ReturnRow]
    grades: list[GradeRow]
    criticals: list[CriticalRow]
    workload: list[WorkRow]
    trend: list[TrendRow]


@dataclass(frozen=True)
class DueOut:
    """When a study that is complete at a moment would be due."""

    priority: str
    due_at: datetime


@dataclass(frozen=True)
class AssignedOut:
    """What became of the cases."""

    done: list[str]
    refused: dict[str, str]


class WeekIn(Body):
    """The hours of each weekday, Monday first; an empty list means round the clock."""

    week: Annotated[list[Annotated[list[Span], Field(max_length=12)]], Field(max_length=7)]


class DaysIn(Body):
    """Days that differ from the week: no hours is a holiday."""

    first: Word = Field(description="DA, such as 20261001.")
    last: Word = Field("", description="DA, included; empty: the first day only.")
    hours: Annotated[list[Span], Field(max_length=12)] = Field([])
    note: Line = ""


class ShiftIn(Body):
    """Somebody's time of duty."""

    user_id: Id
    duty: Word = Field(description="reading, review, first call or second call.")
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    note: Line = ""


class AbsenceIn(Body):
    """Somebody is away."""

    user_id: Id
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    note: Line = ""


class CopyIn(Body):
    """Copy the shifts of one week into another."""

    since: date = Field(description="The first day of the week that is copied.")
    to: date = Field(description="The first day of the week that it is copied into.")


class AssignIn(Body):
    """Cases and who is to read them."""

    reading_ids: Annotated[list[Id], Field(min_length=1, max_length=assigning.MOST)]
    user_id: Id | None = Field(None, description="Null frees them for anybody.")
    reason: Remark
    take_over: bool = Field(False, description="Also those that somebody is reading now.")


@router.get("/figures/today")
def get_today(web: Served, by: LookingAtCases, center: Center = "") -> NowOut:
    """What is open in your centers, by center and site."""
    now = web.clock()
    return web.database.read(
        lambda s: NowOut(today.today(s, by, now, center), today.arriving_studies(s, by, now, center))
    )


@router.get("/figures")
def get_figures(
    web: Served,
    by: LookingAtCases,
    since: Since,
    until: Until,
    center: Center = "",
    dimension: Annotated[figures.Dimension, Query(alias="by")] = "site",
) -> FiguresOut:
    """How a period went: turnaround by a dimension, returns, image grades, critical results, workload, trend."""

    def work(session: Session) -> FiguresOut:
        period = _period(session, by, since, until)
        return FiguresOut(
            turnaround=figures.turnaround(session, by, period, center, dimension),
            returns=figures.returns(session, by, period, center),
            grades=figures.grades(session, by, period, center),
            criticals=figures.criticals(session, by, period, center),
            workload=figures.workload(session, by, period, center),
            trend=figures.trend(session, by, period, center),
        )

    return web.database.read(work)


@router.get("/figures/cases")
def get_cases(
    web: Served,
    by: LookingAtCases,
    kind: Annotated[str, Query(max_length=20, description=f"One of: {', '.join(figure_cases.KINDS)}.")],
    since: Annotated[date | None, Query(alias="from")] = None,
    until: Annotated[date | None, Query(alias="to")] = None,
    center: Center = "",
    site: Annotated[str, Query(max_length=64)] = "",
    priority: Annotated[str, Query(max_length=64)] = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[WorklistItem]:
    """The cases behind a number."""
    now = web.clock()

    def work(session: Session) -> Listed[WorklistItem]:
        period = _period(session, by, since, until) if since is not None and until is not None else None
        wanted = Behind(kind, center=center, site=site, priority=priority, period=period)
        page = figure_cases.cases(session, by, wanted, now, after=after, limit=limit)
        return Listed([WorklistItem.of(row) for row in page.items], page.next)

    return web.database.read(work)


@router.get("/centers/{id}/calendar")
def get_calendar(web: Served, by: Acting, id: PathId, since: Since) -> CalendarView:
    """A center's week, and the days that differ from it."""
    return web.database.read(lambda s: queries.calendar(s, by, id, since))


@router.put("/centers/{id}/working-hours")
def set_working_hours(web: Served, by: Acting, id: PathId, body: WeekIn) -> CalendarView:
    """Set a center's week. The due times of its open cases are counted again."""
    now = web.clock()

    def work(session: Session) -> CalendarView:
        calendars.save_week(session, by, id, body.week, now)
        return queries.calendar(session, by, id, now.date())

    return web.database.write(work)


@router.post("/centers/{id}/calendar-days", status_code=201)
def set_calendar_days(web: Served, by: Acting, id: PathId, body: DaysIn) -> CalendarView:
    """Let days differ from the week: a holiday, or a day worked instead."""
    now = web.clock()

    def work(session: Session) -> CalendarView:
        calendars.set_days(session, by, id, body.first, body.last, body.hours, body.note, now)
        return queries.calendar(session, by, id, now.date())

    return web.database.write(work)


@router.delete("/centers/{id}/calendar-days", status_code=204)
def remove_calendar_days(
    web: Served,
    by: Acting,
    id: PathId,
    first: Annotated[str, Query(max_length=8)],
    last: Annotated[str, Query(max_length=8)] = "",
) -> None:
    """Let days be like any of the week again."""
    now = web.clock()
    web.database.write(lambda s: calendars.remove_days(s, by, id, first, last, now))


@router.get("/centers/{id}/due")
def get_due(
    web: Served,
    by: Acting,
    id: PathId,
    at: Annotated[AwareDatetime, Query(description="When all images are there.")],
    procedure_id: Annotated[str, Query(max_length=64)] = "",
) -> list[DueOut]:
    """When a case would be due, by priority."""

    def work(session: Session) -> list[DueOut]:
        limits: dict[str, Any] = {}
        if procedure_id:
            listed = administration.procedures(session, by)
            found = next((p for p in listed if p.id == procedure_id), None)
            if found is None:
                raise NotFound("no_such_procedure")
            limits = dict(found.limits)
        return [DueOut(*pair) for pair in queries.would_be_due(session, by, id, _in_range(at), limits)]

    return web.database.read(work)


@router.get("/centers/{id}/rota")
def get_rota(web: Served, by: Acting, id: PathId, week: date) -> RotaWeek:
    """The rota of the seven days from `week`, with its gaps and clashes."""
    now = web.clock()
    return web.database.read(lambda s: queries.week(s, by, id, _day(week), now))


@router.post("/centers/{id}/shifts", status_code=201)
def add_shift(web: Served, by: Acting, id: PathId, body: ShiftIn) -> ShiftRow:
    """Put somebody on a duty."""
    now = web.clock()
    starts, ends = _in_range(body.starts_at), _in_range(body.ends_at)

    def work(session: Session) -> ShiftRow:
        made = rota.add_shift(session, by, id, body.user_id, body.duty, starts, ends, now, note=body.note)
        return ShiftRow(
            made.id, made.user_id, _name(session, id, made.user_id, now), made.duty, starts, ends, made.note
        )

    return web.database.write(work)


@router.delete("/shifts/{id}", status_code=204)
def remove_shift(web: Served, by: Acting, id: PathId) -> None:
    """Take a shift off the rota."""
    now = web.clock()
    web.database.write(lambda s: rota.remove_shift(s, by, id, now))


@router.post("/centers/{id}/rota/copy")
def copy_rota(web: Served, by: Acting, id: PathId, body: CopyIn) -> RotaWeek:
    """Copy a week's shifts; what is there already is left."""
    now = web.clock()

    def work(session: Session) -> RotaWeek:
        zone = ZoneInfo(calendars.managed(session, by, id).institution.timezone)
        since, to = queries.midnight(_day(body.since), zone), queries.midnight(_day(body.to), zone)
        rota.copy_week(session, by, id, since, to, now)
        return queries.week(session, by, id, body.to, now)

    return web.database.write(work)


@router.post("/centers/{id}/absences", status_code=201)
def add_absence(web: Served, by: Acting, id: PathId, body: AbsenceIn) -> AbsenceRow:
    """Note that somebody is away: on no duty, and given no case."""
    now = web.clock()
    starts, ends = _in_range(body.starts_at), _in_range(body.ends_at)

    def work(session: Session) -> AbsenceRow:
        made = rota.add_absence(session, by, id, body.user_id, starts, ends, now, note=body.note)
        name = _name(session, id, made.user_id, now)
        return AbsenceRow(made.id, made.user_id, name, starts, ends, made.note, made.made_by)

    return web.database.write(work)


@router.delete("/centers/{id}/absences/{absence_id}", status_code=204)
def remove_absence(web: Served, by: Acting, id: PathId, absence_id: PathId) -> None:
    """Take an absence back."""
    now = web.clock()
    web.database.write(lambda s: rota.remove_absence(s, by, id, absence_id, now))


@router.get("/centers/{id}/candidates")
def get_candidates(web: Served, by: LookingAtCases, id: PathId) -> list[Candidate]:
    """Who may be given cases of a center that you manage, and what they have already."""
    now = web.clock()
    return web.database.read(lambda s: to_assign.readers(s, by, id, now))


@router.post("/readings/assign")
def assign(web: Served, by: Acting, body: AssignIn) -> AssignedOut:
    """Give cases to a reader, or free them. What cannot be given is told by its code; the others are done."""
    now = web.clock()
    made = web.database.write(
        lambda s: assigning.assign(s, by, body.reading_ids, body.user_id, body.reason, now, take_over=body.take_over)
    )
    return AssignedOut(list(made.done), dict(made.refused))


def _period(session: Session, by: Actor, since: date, until: date) -> Period:
    _day(since), _day(until)
    if until < since:
        raise BadInput("days_wrong")
    if (until - since).days >= LONGEST_PERIOD:
        raise BadInput("range_too_long", most=LONGEST_PERIOD)
    home = administration.institution(session, by)
    return Period(since, until, ZoneInfo(home.timezone if home else "UTC"))


def _day(day: date) -> date:
    if not 2000 <= day.year < 2200:
        raise BadInput("days_wrong")
    return day


def _in_range(at: datetime) -> datetime:
    if not 2000 <= at.year < 2200:
        raise BadInput("times_wrong")
    return at.astimezone(UTC)


def _name(session: Session, center_id: str, user_id: str, now: datetime) -> str:
    return next((r.name for r in queries.readers(session, center_id, now) if r.id == user_id), "")
