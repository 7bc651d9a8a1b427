"""Opening a case, order, report or study: the look is on record, with the priors that a lease may open."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import sharing, submissions
from worklist.people import Actor
from worklist.queries import aids, critical, orders, outside, patient_page, readings, reports, timeline
from worklist.queries.aids import PriorWords
from worklist.queries.critical import CriticalPage
from worklist.queries.imaging import OpenStudy
from worklist.queries.patient_views import PatientView
from worklist.queries.views import CaseView, OrderDetail, OutsideView, Story, StudyRow, VersionView
from worklist.tables import CriticalResult, Reading


def open_case(session: Session, by: Actor, reading_id: str, now: datetime) -> CaseView:
    """A reader's case page; its writer has seen then what a review made of their words. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_reading``.
    """
    view = readings.case(session, by, reading_id, now)
    audit.note_look(session, by, now, "case", reading_id, view.row.patient_id)
    for prior in view.priors:
        audit.note_look(session, by, now, "prior report", prior.report_id, view.row.patient_id)
    submissions.note_seen(session, by, reading_id, now)
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


def open_critical(session: Session, by: Actor, result_id: str, now: datetime) -> CriticalPage:
    """A critical result's own page. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_critical_result``.
    """
    page = critical.one(session, by, result_id, now)
    result = session.get_one(CriticalResult, result_id)
    audit.note_look(session, by, now, "critical result", result_id, result.patient_id or "", result.institution_id)
    return page


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


def open_outside(session: Session, by: Actor, outside_id: str, now: datetime) -> OutsideView:
    """The page of a result that another system or region made. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_outside_result``.
    """
    view = outside.one(session, by, outside_id, now)
    audit.note_look(session, by, now, "outside result", view.id, view.patient_id)
    return view


def open_prior_words(session: Session, by: Actor, reading_id: str, report_id: str, now: datetime) -> PriorWords:
    """The words of an earlier report, to be copied into the case. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_reading``, ``no_such_report``.
    """
    words = aids.prior_words(session, by, reading_id, report_id, now)
    reading = session.get_one(Reading, report_id)
    audit.note_look(session, by, now, "prior report", report_id, reading.patient_id or "", reading.institution_id)
    return words


def open_patient(session: Session, by: Actor, patient_id: str, now: datetime) -> PatientView:
    """A patient's page. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_patient``.
    """
    view = patient_page.detail(session, by, patient_id, now)
    audit.note_look(session, by, now, "patient", patient_id, patient_id)
    return view


def open_order_story(session: Session, by: Actor, order_id: str, now: datetime) -> Story:
    """The story of an order. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_order``.
    """
    story = timeline.order_story(session, by, order_id, now)
    audit.note_look(session, by, now, "order", order_id, story.patient_id)
    return story


def open_patient_story(session: Session, by: Actor, patient_id: str, now: datetime) -> Story:
    """The story of a patient. Run in a writing transaction.

    Raises
    ------
    NotFound
        ``no_such_patient``.
    """
    story = timeline.patient_story(session, by, patient_id, now)
    audit.note_look(session, by, now, "patient", patient_id, patient_id)
    return story


def note_study(session: Session, by: Actor, study: StudyRow | OpenStudy, now: datetime) -> None:
    """The page or the images of a study that `by` was allowed to see. Run in a writing transaction."""
    if by.share:
        sharing.note_look(session, by, "shared images opened", now)
        return
    audit.note_look(session, by, now, "study", study.id, study.patient_id, study.institution_id)


def note_image_search(session: Session, by: Actor, now: datetime) -> None:
    """Lists of studies, series or objects that a program or viewer asked for. Run in a writing transaction."""
    audit.note(session, by, "images searched", now, thing="study", institution_id=by.institution_id)


def note_records(session: Session, by: Actor, seen: Iterable[tuple[str, str, str]], now: datetime) -> None:
    """(thing, id, patient id) of what a program was given as records. Run in a writing transaction."""
    for thing, id, patient_id in seen:
        audit.note_look(session, by, now, thing, id, patient_id)


def note_record_search(session: Session, by: Actor, kind: str, now: datetime) -> None:
    """That a program searched for records of a kind, once in ten minutes. Run in a writing transaction."""
    audit.note_once(session, by, "records searched", now, "records", kind, "", by.institution_id)
