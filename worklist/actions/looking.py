"""Opening a case, order, report or study: the look is on record, with the priors that a lease may open."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from worklist import audit
from worklist.people import Actor
from worklist.queries import orders, readings, reports
from worklist.queries.imaging import OpenStudy
from worklist.queries.views import CaseView, OrderDetail, StudyRow, VersionView
from worklist.tables import Reading


def open_case(session: Session, by: Actor, reading_id: str, now: datetime) -> CaseView:
    """A reader's case page. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_reading``.
    """
    view = readings.case(session, by, reading_id, now)
    audit.note_look(session, by, now, "case", reading_id, view.row.patient_id)
    for prior in view.priors:
        audit.note_look(session, by, now, "prior report", prior.report_id, view.row.patient_id)
    return view


def open_order(session: Session, by: Actor, order_id: str, now: datetime) -> OrderDetail:
    """A township's order page. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_order``.
    """
    view = orders.detail(session, by, order_id, now)
    audit.note_look(session, by, now, "order", order_id, view.row.patient_id)
    return view


def open_report(session: Session, by: Actor, report_id: str, now: datetime) -> list[VersionView]:
    """The page of an issued report. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_report``.
    """
    versions = reports.versions(session, by, report_id, now)
    reading = session.get_one(Reading, report_id)
    audit.note_look(session, by, now, "report", report_id, reading.patient_id or "", reading.institution_id)
    return versions


def note_study(session: Session, by: Actor, study: StudyRow | OpenStudy, now: datetime) -> None:
    """The page or the images of a study that `by` was allowed to see. Run in a writing transaction."""
    audit.note_look(session, by, now, "study", study.id, study.patient_id, study.institution_id)


def note_image_search(session: Session, by: Actor, now: datetime) -> None:
    """Lists of studies, series or objects that a program or viewer asked for. Run in a writing transaction."""
    audit.note(session, by, "images searched", now, thing="study", institution_id=by.institution_id)
