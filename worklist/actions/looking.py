"""Opening a case or an order: the look is on record, with the patient's priors that a lease may open."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from worklist import audit
from worklist.people import Actor
from worklist.queries import orders, readings
from worklist.queries.views import CaseView, OrderDetail


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
