"""An issued report was given to the patient, on record: who took which version, so that a newer one finds them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor
from worklist.queries import reports
from worklist.tables import Reading, ReportGiven, ReportVersion

LONGEST: Final = 100  # of who took it


def give(session: Session, by: Actor, report_id: str, number: int, to: str, now: datetime) -> ReportGiven:
    """Record that version `number` was handed out at the institution that ordered it; `to` empty: to the patient.

    Raises
    ------
    Forbidden
        ``role_needed``.
    NotFound
        ``no_such_report``, which may be another institution's.
    Conflict
        ``report_has_newer_version``: only the newest is given; ``report_was_given`` already.
    BadInput
        ``field_wrong``.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    versions = reports.versions(session, by, report_id, now)
    reading = session.get_one(Reading, report_id)
    version = next((v for v in versions if v.number == number), None)
    if version is None or reading.institution_id != by.institution_id:
        raise NotFound("no_such_report")
    to = to.strip()
    if len(to) > LONGEST or not to.isprintable():
        raise BadInput("field_wrong", field="to")
    if version.number != versions[0].number:
        raise Conflict("report_has_newer_version")
    # The version's row is locked: of two who press at once, one is told that it was given.
    session.execute(select(ReportVersion.id).where(ReportVersion.id == version.id).with_for_update())
    if session.scalar(select(ReportGiven.id).where(ReportGiven.version_id == version.id)) is not None:
        raise Conflict("report_was_given")
    row = ReportGiven(version_id=version.id, by_id=by.id, at=now, to=to)
    session.add(row)
    audit.note(
        session,
        by,
        "report given",
        now,
        thing="reading",
        thing_id=report_id,
        institution_id=reading.institution_id,
        patient_id=reading.patient_id,
        detail={"version": version.number},
    )
    return row
