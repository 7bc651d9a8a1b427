"""What would these route rules have done? They are tried on the readings of the last days, and nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import routes
from worklist.errors import BadInput
from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.views import GoesTo, Tried, TriedRow
from worklist.rules import routing
from worklist.rules.kinds import GOES_HOME
from worklist.rules.routing import Warned
from worklist.tables import (
    Center,
    Institution,
    Order,
    Procedure,
    ReaderGroup,
    Reading,
    ReadingOrder,
    ReadingStudy,
    Route,
    Study,
)

MOST_READINGS: Final = 2000
MOST_DAYS: Final = 31
AT_ONCE: Final = 400  # readings of one look-up


def try_routes(session: Session, by: Actor, rules: Sequence[Mapping[str, Any]], days: int, now: datetime) -> Tried:
    """Where the readings of the last `days` days would have gone, beside where they went.

    At most the newest `MOST_READINGS` are tried. A reading counts with its present priority and covered orders, at the
    moment when it was opened.

    Raises
    ------
    BadInput, NotFound
        a rule is wrong, or `days` is not in 1 to `MOST_DAYS`.
    """
    scope.require_admin(by)
    if not 1 <= days <= MOST_DAYS:
        raise BadInput("field_wrong", field="days")
    tried_rules = routes.as_rules(session, routes.checked_all(session, rules))
    catching = routes.catching_centers(session)
    # The newest by their key, which grows with time: there is no index by time.
    newest = session.scalars(
        select(Reading).where(Reading.kind.in_(GOES_HOME)).order_by(Reading.id.desc()).limit(MOST_READINGS)
    ).all()
    readings = [reading for reading in newest if reading.created_at >= now - timedelta(days=days)]
    studies = _first_studies(session, [reading.id for reading in readings])
    procedures = _procedures(session, [reading.id for reading in readings])
    institutions = {row.id: row for row in session.scalars(select(Institution))}
    centers: dict[str, str] = dict(session.execute(select(Center.id, Center.name)).all())
    groups: dict[str, str] = dict(session.execute(select(ReaderGroup.id, ReaderGroup.name)).all())
    took = {reading.route_id for reading in readings if reading.route_id}
    names: dict[str, str] = dict(session.execute(select(Route.id, Route.name).where(Route.id.in_(took))).all())

    changed = unmatched = 0
    rows = []
    for reading in readings:
        study_id, modality, body_part, accession = studies.get(reading.id, ("", "", "", ""))
        institution, procedure = institutions[reading.institution_id], procedures.get(reading.id)
        case = routes.case_of(institution, procedure, modality, body_part, reading.priority, reading.created_at)
        rule = routing.first_match(tried_rules, case)
        center_id = rule.center_id if rule else catching.get(case.discipline, "")
        group_id = (rule.group_id if rule else None) or ""
        differs = (center_id, group_id) != (reading.center_id, reading.group_id or "")
        changed += differs
        unmatched += rule is None
        if differs or rule is None:
            before = GoesTo(
                reading.center_id,
                centers[reading.center_id],
                reading.group_id or "",
                groups.get(reading.group_id or "", ""),
                names.get(reading.route_id or "", ""),
            )
            after = GoesTo(
                center_id, centers.get(center_id, ""), group_id, groups.get(group_id, ""), rule.name if rule else ""
            )
            rows.append(
                TriedRow(
                    reading_id=reading.id,
                    study_id=study_id,
                    accession_number=accession,
                    at=reading.created_at,
                    institution=institution.name,
                    procedure=procedure.name if procedure else "",
                    procedure_en=procedure.name_en if procedure else "",
                    discipline=case.discipline,
                    modality=case.modality,
                    body_part=case.body_part,
                    priority=reading.priority,
                    before=before,
                    after=after,
                    changed=differs,
                    matched=rule is not None,
                )
            )
    return Tried(
        days=days,
        tried=len(readings),
        is_all=len(readings) < MOST_READINGS,
        changed=changed,
        unmatched=unmatched,
        rows=tuple(rows),
    )


def doubts(session: Session, by: Actor, rules: Sequence[Mapping[str, Any]]) -> list[Warned]:
    """What is hardly meant in these rules; each is checked first."""
    scope.require_admin(by)
    disciplines = session.scalars(select(Center.discipline).order_by(Center.id)).all()
    return routing.doubts(routes.ordered(session, routes.checked_all(session, rules)), disciplines)


def _first_studies(session: Session, ids: Sequence[str]) -> dict[str, tuple[str, str, str, str]]:
    """By reading, its first study: id, modality, body part, accession number as sent."""
    found: dict[str, tuple[str, str, str, str]] = {}
    for start in range(0, len(ids), AT_ONCE):
        rows = session.execute(
            select(ReadingStudy.reading_id, Study.id, Study.modality, Study.body_part, Study.sent_accession_number)
            .join(Study, Study.id == ReadingStudy.study_id)
            .where(ReadingStudy.reading_id.in_(ids[start : start + AT_ONCE]))
            .order_by(Study.id)
        )
        for reading_id, *first in rows:
            found.setdefault(reading_id, tuple(first))  # type: ignore[arg-type]
    return found


def _procedures(session: Session, ids: Sequence[str]) -> dict[str, Procedure]:
    """By reading, the procedure of its first order that has one."""
    found: dict[str, Procedure] = {}
    for start in range(0, len(ids), AT_ONCE):
        rows = session.execute(
            select(ReadingOrder.reading_id, Procedure)
            .join(Order, Order.id == ReadingOrder.order_id)
            .join(Procedure, Procedure.id == Order.procedure_id)
            .where(ReadingOrder.reading_id.in_(ids[start : start + AT_ONCE]))
            .order_by(Order.id)
        )
        for reading_id, procedure in rows:
            found.setdefault(reading_id, procedure)
    return found
