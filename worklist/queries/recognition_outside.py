"""Results of other regions that may serve instead of a new examination, each judged by its marks.

Nothing here is scoped, as in `worklist.queries.recognition`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from worklist.facts import OutsideSource
from worklist.queries.outside import lines_of, source_of, state_of
from worklist.rules.mark_scope import mark_of
from worklist.rules.recognition import GRADES, Existing, Member, RuleSet, Verdict, Wanted, judge
from worklist.tables import CodeMapping, Institution, OutsideReport, Procedure


@dataclass(frozen=True)
class Found:
    """A result of another region, the catalogue entry that its code means, and what the rules say of it."""

    row: OutsideReport
    source: OutsideSource
    state: str
    procedure: Procedure
    timezone: str
    existing: Existing
    verdict: Verdict


def judged(
    session: Session,
    patients: Select[Any],
    wanted: Wanted,
    rules: RuleSet,
    now: datetime,
    *,
    since: datetime,
    until: datetime,
    most: int,
    more: Collection[str] = (),
) -> list[Found]:
    """Those of `patients` (a query of ids) that came in between two moments, the newest first; none that was taken
    back or replaced. A code means what the admin mapped it to, else the catalogue entry of the same code. `more`: as in
    `recognition.judged`."""
    mapped = and_(CodeMapping.device_id == OutsideReport.device_id, CodeMapping.code == OutsideReport.code)
    query = (
        select(OutsideReport, Procedure, Institution.timezone)
        .join(Institution, Institution.id == OutsideReport.institution_id)
        .outerjoin(CodeMapping, mapped)
        .join(
            Procedure,
            or_(
                Procedure.id == CodeMapping.procedure_id,
                and_(CodeMapping.procedure_id.is_(None), Procedure.code == OutsideReport.code),
            ),
        )
        .where(
            OutsideReport.patient_id.in_(patients),
            OutsideReport.source.is_not(None),
            OutsideReport.superseded_by_id.is_(None),
            OutsideReport.at > since,
            OutsideReport.at <= until,
            Procedure.code.in_({*rules.equal(wanted.procedure), *more}),
        )
        .order_by(OutsideReport.id.desc())
        .limit(most)
    )
    found = []
    for row, procedure, zone in session.execute(query):
        source, state = source_of(row), state_of(row.status, lines_of(row))
        if source is None or state == "withdrawn":
            continue
        existing = Existing(
            procedure=procedure.code,
            modality=procedure.modality,
            by=Member(
                code=f"outside {source.code or source.name}",  # never one of ours, whatever it calls itself
                grade=source.grade if source.grade in GRADES else "",
                region=source.region,
            ),
            taken_at=row.taken_at,
            taken_on=row.taken_at.astimezone(ZoneInfo(zone)).date() if row.taken_at is not None else None,
            laterality=source.laterality,
            has_report=state in ("final", "corrected"),
            marks=tuple(mark_of(text, source.region) for text in source.marks),
        )
        found.append(Found(row, source, state, procedure, zone, existing, judge(existing, wanted, rules, now)))
    return found
