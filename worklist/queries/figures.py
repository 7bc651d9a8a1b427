"""Figures for the manager of a center: how a period went. What is open now is in `today`.

Each figure is one statement that walks an index (`ix_reading_signed`, `ix_reading_created`, `ix_case_return_center`,
`ix_critical_result_marked`, `ix_report_version_signed`) and groups in the database: its cost follows the period and
not what lies before it. `figure_cases` lists the cases behind a number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, SQLColumnExpression, case, func, literal, select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries.figure_views import (
    CriticalRow,
    GradeRow,
    Named,
    Period,
    ReturnRow,
    TrendRow,
    TurnaroundRow,
    WorkRow,
)
from worklist.rules.kinds import GOES_HOME, PRIMARY
from worklist.rules.measures import cuts, point
from worklist.tables import (
    CaseReturn,
    Center,
    CriticalResult,
    Institution,
    Order,
    Procedure,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportVersion,
    Study,
    User,
    UserRole,
)

COUNTED_AS_WORK: Final = ("preliminary", "final", "corrected", "addendum")
DISPOSED_WITHIN: Final = timedelta(minutes=30)

Dimension = Literal["procedure", "modality", "site", "priority"]
DIMENSIONS: Final[tuple[Dimension, ...]] = ("site", "modality", "procedure", "priority")


def centers(session: Session, by: Actor, chosen: str = "") -> list[Named]:
    """The centers that the actor manages, or the one of them that is chosen.

    Raises
    ------
    NotFound
        ``no_such_center``: not there, or not theirs.
    """
    by.require_scope("read cases")
    query = select(Center.id, Center.name, Center.name_en).where(Center.id.in_(by.centers("manager")))
    if chosen:
        query = query.where(Center.id == chosen)
    found = [Named(row.id, row.name, row.name_en or row.name) for row in session.execute(query.order_by(Center.name))]
    if chosen and not found:
        raise NotFound("no_such_center")
    return found


def sites(session: Session) -> dict[str, Named]:
    """Names of all institutions, by id."""
    rows = session.execute(select(Institution.id, Institution.name, Institution.name_en))
    return {row.id: Named(row.id, row.name, row.name_en or row.name) for row in rows}


def first_procedure() -> ColumnElement[Any]:
    """The procedure of a case's first order."""
    return (
        select(Order.procedure_id)
        .join(ReadingOrder, ReadingOrder.order_id == Order.id)
        .where(ReadingOrder.reading_id == Reading.id)
        .order_by(Order.id)
        .limit(1)
        .correlate(Reading)
        .scalar_subquery()
    )


def first_modality() -> ColumnElement[Any]:
    """The modality of a case's first study."""
    return (
        select(Study.modality)
        .join(ReadingStudy, ReadingStudy.study_id == Study.id)
        .where(ReadingStudy.reading_id == Reading.id)
        .order_by(Study.id)
        .limit(1)
        .correlate(Reading)
        .scalar_subquery()
    )


def turnaround(
    session: Session, by: Actor, period: Period, center: str = "", dimension: Dimension | None = None
) -> list[TurnaroundRow]:
    """How long the reports took that were first signed in the period, all together or by `dimension`, most first."""
    ours = [c.id for c in centers(session, by, center)]
    key: SQLColumnExpression[Any] = literal("")
    if dimension is not None:
        key = {
            "procedure": first_procedure(),
            "modality": first_modality(),
            "site": Reading.institution_id,
            "priority": Reading.priority,
        }[dimension]
    each = (
        select(
            key.label("key"),
            Reading.turnaround_minutes.label("minutes"),
            case((Reading.due_at.is_not(None), 1), else_=0).label("limited"),
            case((Reading.signed_at <= Reading.due_at, 1), else_=0).label("on_time"),
        )
        .where(*signed_in(ours, period))
        .subquery()
    )
    grouped = select(
        each.c.key, each.c.minutes, func.count(), func.sum(each.c.limited), func.sum(each.c.on_time)
    ).group_by(each.c.key, each.c.minutes)
    minutes: dict[str, dict[int, int]] = defaultdict(dict)
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for value, took, number, limited, on_time in session.execute(grouped):
        about = totals[value or ""]
        about[0], about[1], about[2] = about[0] + number, about[1] + int(limited), about[2] + int(on_time)
        if took is not None:
            minutes[value or ""][took] = number
    names = _names(session, dimension, totals)
    found = [
        TurnaroundRow(
            key=value,
            name=names.get(value, (value, value))[0],
            name_en=names.get(value, (value, value))[1],
            count=number,
            measured=sum(minutes[value].values()),
            median=point(minutes[value], 0.5),
            p90=point(minutes[value], 0.9),
            limited=limited,
            on_time=on_time,
        )
        for value, (number, limited, on_time) in totals.items()
    ]
    return sorted(found, key=lambda r: (-r.count, r.name, r.key))


def returns(session: Session, by: Actor, period: Period, center: str = "") -> list[ReturnRow]:
    """Returns in the period by site and reason, beside the cases that came from the site in the period."""
    ours = [c.id for c in centers(session, by, center)]
    query = (
        select(CaseReturn.institution_id, CaseReturn.reason, func.count())
        .where(CaseReturn.center_id.in_(ours), CaseReturn.at >= period.since, CaseReturn.at < period.until)
        .group_by(CaseReturn.institution_id, CaseReturn.reason)
    )
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for site, reason, number in session.execute(query):
        reasons[site][reason] = number
    received = {site: sum(grades.values()) for site, grades in _grades(session, ours, period).items()}
    names = sites(session)
    found = [
        ReturnRow(names[site], received.get(site, 0), sum(reasons[site].values()), dict(reasons[site]))
        for site in sorted(received.keys() | reasons.keys())
    ]
    return sorted(found, key=lambda r: (-r.returned, -r.received, r.site.name))


def grades(session: Session, by: Actor, period: Period, center: str = "") -> list[GradeRow]:
    """Image grades by site, of the cases that came in the period."""
    ours = [c.id for c in centers(session, by, center)]
    names = sites(session)
    found = [
        GradeRow(names[site], sum(counts.values()), {grade: n for grade, n in counts.items() if grade})
        for site, counts in _grades(session, ours, period).items()
    ]
    return sorted(found, key=lambda r: (-r.received, r.site.name))


def criticals(session: Session, by: Actor, period: Period, center: str = "") -> list[CriticalRow]:
    """How critical results that were marked in the period were closed, by center."""
    ours = {c.id: c for c in centers(session, by, center)}
    # Whose they are is asked behind the index by time: a planner might begin with all cases of the center.
    query = (
        select(CriticalResult, Reading.center_id)
        .join(Reading, Reading.id == CriticalResult.reading_id)
        .where(
            CriticalResult.marked_at >= period.since,
            CriticalResult.marked_at < period.until,
            ~CriticalResult.is_drill,
            CriticalResult.tier == "critical",  # the figures that are asked for are those of critical results
        )
        .order_by(CriticalResult.marked_at, CriticalResult.id)
    )
    limits: dict[str, list[int]] = dict(
        session.execute(select(Center.id, Center.escalation_minutes).where(Center.id.in_(list(ours)))).all()
    )
    by_center: dict[str, list[CriticalResult]] = defaultdict(list)
    for result, center_id in session.execute(query):
        if center_id in ours:
            by_center[center_id].append(result)
    return [_closure(ours[id], results, max(limits[id], default=10)) for id, results in by_center.items()]


def workload(session: Session, by: Actor, period: Period, center: str = "") -> list[WorkRow]:
    """What each person wrote, reviewed and signed in the period; corrections and addenda count, withdrawals do not."""
    ours = [c.id for c in centers(session, by, center)]
    query = (
        select(Reading.center_id, ReportVersion.writer_id, ReportVersion.signer_id, ReportVersion.status, func.count())
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .where(
            ReportVersion.signed_at >= period.since,
            ReportVersion.signed_at < period.until,
            ReportVersion.status.in_(COUNTED_AS_WORK),
        )
        .group_by(Reading.center_id, ReportVersion.writer_id, ReportVersion.signer_id, ReportVersion.status)
    )
    done: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for center_id, writer, signer, status, number in session.execute(query):
        if center_id not in ours:  # as with critical results
            continue
        if status != "preliminary":  # the final version of the same words counts once
            done[writer][0] += number
        if signer is not None:
            done[signer][1] += number if signer != writer else 0
            done[signer][2] += number
    names = dict(session.execute(select(User.id, User.name).where(User.id.in_(list(done)))).all())
    found = [WorkRow(id, names[id], *counts) for id, counts in done.items()]
    return sorted(found, key=lambda r: (-sum((r.written, r.reviewed)), r.name, r.user_id))


def trend(session: Session, by: Actor, period: Period, center: str = "") -> list[TrendRow]:
    """Cases that came and reports that were signed, by day or (in long periods) by week."""
    ours = [c.id for c in centers(session, by, center)]
    spans = cuts(period.first, period.last, period.zone)
    came = select(_span(Reading.created_at, spans), func.count()).where(*received_in(ours, period)).group_by("span")
    received: dict[int, int] = dict(session.execute(came).all())
    each = (
        select(
            _span(Reading.signed_at, spans),
            Reading.turnaround_minutes.label("minutes"),
            case((Reading.due_at.is_not(None), 1), else_=0).label("limited"),
            case((Reading.signed_at <= Reading.due_at, 1), else_=0).label("on_time"),
        )
        .where(*signed_in(ours, period))
        .subquery()
    )
    query = select(
        each.c.span, each.c.minutes, func.count(), func.sum(each.c.limited), func.sum(each.c.on_time)
    ).group_by(each.c.span, each.c.minutes)
    signed: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    took: dict[int, dict[int, int]] = defaultdict(dict)
    for number, minutes, count, limited, on_time in session.execute(query):
        so_far = signed[number]
        signed[number] = [so_far[0] + count, so_far[1] + int(limited), so_far[2] + int(on_time)]
        if minutes is not None:
            took[number][minutes] = count
    return [
        TrendRow(
            first=first,
            last=(until - timedelta(hours=1)).astimezone(period.zone).date(),
            received=received.get(number, 0),
            signed=signed[number][0],
            limited=signed[number][1],
            on_time=signed[number][2],
            median=point(took[number], 0.5),
        )
        for number, (first, _since, until) in enumerate(spans)
    ]


def procedure_name(session: Session, procedure_id: str) -> str:
    """What the catalogue calls a procedure."""
    return session.scalar(select(Procedure.name).where(Procedure.id == procedure_id)) or ""


def person_name(session: Session, by: Actor, user_id: str) -> str:
    """The name of somebody who has worked in the actor's centers; empty for anybody else."""
    found = session.scalar(
        select(User.name)
        .join(UserRole, UserRole.user_id == User.id)
        .where(User.id == user_id, UserRole.center_id.in_(by.centers("manager")))
        .limit(1)
    )
    return found or ""


def signed_in(ours: Iterable[str], period: Period) -> tuple[ColumnElement[bool], ...]:
    """Cases of centers whose first final report was signed in a period."""
    return (
        Reading.center_id.in_(list(ours)),
        Reading.signed_at >= period.since,
        Reading.signed_at < period.until,
        Reading.kind.in_(GOES_HOME),
    )


def received_in(ours: Iterable[str], period: Period) -> tuple[ColumnElement[bool], ...]:
    """Cases of centers that were opened in a period."""
    return (
        Reading.center_id.in_(list(ours)),
        Reading.created_at >= period.since,
        Reading.created_at < period.until,
        Reading.kind.in_(GOES_HOME),
    )


def count_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows of a group meet a condition."""
    return func.sum(case((condition, 1), else_=0))


def _span(column: Any, spans: list[tuple[date, datetime, datetime]]) -> ColumnElement[int]:
    """Into which of the spans an instant falls, by number."""
    return case(
        *((column < until, number) for number, (_first, _since, until) in enumerate(spans)), else_=len(spans)
    ).label("span")


def _grades(session: Session, ours: list[str], period: Period) -> dict[str, dict[str, int]]:
    query = (
        select(Reading.institution_id, Reading.image_grade, func.count())
        .where(*received_in(ours, period), Reading.kind == PRIMARY)  # those of a reading anew are not of who ordered it
        .group_by(Reading.institution_id, Reading.image_grade)
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for site, grade, number in session.execute(query):
        found[site][grade] = number
    return found


def _names(session: Session, dimension: Dimension | None, keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    if dimension == "site":
        return {id: (site.name, site.name_en) for id, site in sites(session).items()}
    if dimension == "procedure":
        rows = session.execute(
            select(Procedure.id, Procedure.name, Procedure.name_en).where(Procedure.id.in_([k for k in keys if k]))
        )
        return {row.id: (row.name, row.name_en or row.name) for row in rows}
    return {}


def _closure(center: Named, results: list[CriticalResult], limit: int) -> CriticalRow:
    kept = [r for r in results if r.state not in ("retracted", "superseded")]
    notify = [_minutes(r.marked_at, r.notified_at) for r in kept]
    answer = [_minutes(r.notified_at or r.marked_at, r.answered_at) for r in kept]
    dispose = [_minutes(r.marked_at, r.closed_at) for r in kept]
    return CriticalRow(
        center=center,
        marked=len(kept),
        retracted=len(results) - len(kept),
        notified=sum(m is not None for m in notify),
        answered=sum(m is not None for m in answer),
        disposed=sum(m is not None for m in dispose),
        to_notify=_median(notify),
        to_answer=_median(answer),
        to_dispose=_median(dispose),
        answered_in_time=sum(m is not None and m <= limit for m in answer),
        disposed_in_time=sum(m is not None and m <= DISPOSED_WITHIN.seconds // 60 for m in dispose),
        answer_limit=limit,
    )


def _minutes(start: datetime, end: datetime | None) -> int | None:
    return None if end is None else max(0, int((end - start) // timedelta(minutes=1)))


def _median(values: Iterable[int | None]) -> int | None:
    counted: dict[int, int] = defaultdict(int)
    for value in values:
        if value is not None:
            counted[value] += 1
    return point(counted, 0.5)
