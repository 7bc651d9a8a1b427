"""An issued report was given to the patient, on record: who took which version, so that a newer one finds them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Update, select, update
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor
from worklist.queries import reports
from worklist.tables import Reading, ReadingOrder, ReportGiven, ReportVersion

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
    state = session.scalar(select(ReportVersion.state).where(ReportVersion.id == version.id).with_for_update())
    if state == "superseded":
        raise Conflict("report_has_newer_version")
    if session.scalar(select(ReportGiven.id).where(ReportGiven.version_id == version.id)) is not None:
        raise Conflict("report_was_given")
    row = ReportGiven(version_id=version.id, by_id=by.id, at=now, to=to)
    session.add(row)
    # Whatever they held of the same orders, a report that was withdrawn too.
    its_orders = select(ReadingOrder.order_id).where(ReadingOrder.reading_id == report_id)
    about = select(ReadingOrder.reading_id).where(ReadingOrder.order_id.in_(its_orders))
    earlier = select(ReportVersion.id).where(ReportVersion.reading_id.in_(about))
    session.execute(_mark(ReportGiven.version_id.in_(earlier), is_outdated=False))
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


def outdate(session: Session, version: ReportVersion) -> None:
    """A version is superseded: whoever has it is called back."""
    session.execute(_mark(ReportGiven.version_id == version.id, is_outdated=True))


def _mark(whose: ColumnElement[bool], *, is_outdated: bool) -> Update:
    return (
        update(ReportGiven)
        .where(whose, ReportGiven.is_outdated != is_outdated)
        .values(is_outdated=is_outdated)
        .execution_options(synchronize_session=False)
    )
