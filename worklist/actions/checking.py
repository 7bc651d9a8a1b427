"""Before a report leaves its writer's hands: what the checks warn of, and what the writer overruled.

The words come back once with their warnings; sent again as they are, they go, and the version keeps what was
overruled, so that the reviewer reads it beside the report.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import aids, readings
from worklist.actions.late import ISSUED
from worklist.errors import Conflict
from worklist.facts import ReportText
from worklist.people import Actor
from worklist.rules import measurements, report_checks, templates
from worklist.rules.report_checks import Circumstances, PriorText, Warning
from worklist.rules.templates import Words
from worklist.tables import Patient, Reading, ReportTemplate, ReportVersion

MOST_PRIORS = 20


class Warned(Conflict):
    """The report has warnings that nobody has seen yet; saying so again with their keys sends it all the same."""

    def __init__(self, warnings: Collection[Warning]) -> None:
        super().__init__("report_has_warnings", count=len(warnings))
        self.warnings = tuple(warnings)


def warnings_of(session: Session, by: Actor, reading_id: str) -> list[Warning]:
    """What the checks say about the draft as it is held now; nothing where there is none.

    Raises
    ------
    NotFound
        ``no_such_reading``.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    draft = readings.draft_of(session, reading.id)
    return _found(session, reading, draft) if draft is not None else []


def _found(session: Session, reading: Reading, draft: ReportVersion) -> list[Warning]:
    text = ReportText(draft.findings, draft.impression, draft.critical)
    numbers = measurements.doubts(measurements.from_json(draft.measurements))
    return [
        *report_checks.check(text, circumstances(session, reading)),
        *_doubts(session, draft),
        *report_checks.doubtful_measurements(numbers),
    ]


def pass_on(session: Session, by: Actor, reading_id: str, seen: Collection[str] | None, now: datetime) -> list[Warning]:
    """Keep on the draft what the checks warn of, before it is submitted, answered or signed.

    `seen` are the keys of the warnings that the person was shown and overrules; None: nobody was asked, as where a
    program writes. They are kept all the same.

    Raises
    ------
    Warned
        some were not seen.
    Conflict
        ``not_held_by_you``.
    """
    if by.scopes is None or "sign" not in by.scopes:
        by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    draft = readings.draft_of(session, reading.id)
    if draft is None:
        return []
    found = _found(session, reading, draft)
    if seen is not None and any(warning.key not in seen for warning in found):
        raise Warned(found)
    draft.warnings = report_checks.as_json(found)
    session.flush()
    return found


def circumstances(session: Session, reading: Reading) -> Circumstances:
    """What the orders, the patient and the earlier reports say."""
    orders, studies = readings.orders_of(session, reading), readings.studies_of(session, reading)
    patient, zone = reading.patient, ZoneInfo(reading.center.institution.timezone)
    made = min((s.acquired_at for s in studies if s.acquired_at), default=reading.created_at).astimezone(zone).date()
    parts = [o.procedure.body_part for o in orders if o.procedure is not None]
    return Circumstances(
        sex=patient.sex if patient is not None else "",
        age=report_checks.age_at(patient.birth_date, made) if patient is not None else None,
        # One order without a side, or a part that is not said, leaves the whole open.
        sides=tuple(o.laterality for o in orders) if all(o.laterality for o in orders) else (),
        body_parts=tuple(parts) if orders and len(parts) == len(orders) and all(parts) else (),
        critical_terms=tuple(aids.critical_terms(session, reading.center_id)),
        priors=tuple(_priors(session, reading, zone)),
    )


def _priors(session: Session, reading: Reading, zone: ZoneInfo) -> list[PriorText]:
    if reading.patient is None:
        return []
    same_person = select(Patient.id).where(Patient.person_id == reading.patient.person_id)
    rows = session.scalars(
        select(ReportVersion)
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .where(Reading.patient_id.in_(same_person), Reading.id != reading.id, ReportVersion.state.in_(ISSUED))
        .order_by(ReportVersion.signed_at.desc())
        .limit(MOST_PRIORS)
    )
    return [
        PriorText(f"{v.signed_at.astimezone(zone):%Y-%m-%d}", v.findings, v.impression)
        for v in rows
        if v.signed_at is not None
    ]


def _doubts(session: Session, draft: ReportVersion) -> list[Warning]:
    template = session.get(ReportTemplate, draft.template_id) if draft.template_id else None
    if template is None:
        return []
    words = Words(templates.read_fields(template.fields), template.findings, template.impression)
    return report_checks.out_of_range(templates.doubts(words, draft.values))
