"""Stays and visits, as an institution's HIS tells them (HL7 v2 chapter 3.4.3, PV1)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.errors import BadInput
from worklist.facts import VisitSaid
from worklist.moves import begin, can, move
from worklist.people import Actor
from worklist.rules.stamps import believable, is_before, newest
from worklist.tables import Institution, Order, Patient, Visit

OPENS = ("A01", "A04")
CLOSES = "A03"
CANCELS = "A11"
MOVES = "A02"
OF_VISITS = (*OPENS, CLOSES, CANCELS, MOVES)

OPEN_ORDERS = ("placed", "scheduled", "in progress")


def hear(
    session: Session,
    by: Actor,
    institution: Institution,
    patient: Patient,
    event: str,
    said: VisitSaid,
    told_at: str,
    now: datetime,
) -> bool:
    """Apply what a message says of a visit; False where something newer is known of it, which then stands.

    A visit nobody told us of is made, whatever the event: its end or its cancellation must not be lost to an earlier
    message that comes later. Without a visit number (PV1-19) there is nothing to keep.

    Raises
    ------
    BadInput
        ``visit_of_another_patient`` where the number is a visit of somebody else and the event is about the visit.
    """
    if not said.number or event not in (*OF_VISITS, "A08"):
        return True
    told_at = believable(told_at, now)
    visit = session.scalar(
        select(Visit).where(Visit.institution_id == institution.id, Visit.number == said.number).with_for_update()
    )
    if visit is None:
        if event == "A08":
            return True  # it tells of a patient; whether the visit is open it does not say
        visit = Visit(institution_id=institution.id, patient_id=patient.id, number=said.number, told_at="")
        begin(session, "visit", visit, "open", by, now, event)
    elif visit.patient_id != patient.id:
        if event == "A08":
            return True
        raise BadInput("visit_of_another_patient", visit=said.number)
    elif is_before(told_at, visit.told_at):
        return False
    _write(visit, said, told_at)
    if event in OPENS and can("visit", visit, "reopen"):
        move(session, "visit", visit, "reopen", by, now, event)
        visit.closed_at = ""
    elif event == CLOSES and can("visit", visit, "close"):
        move(session, "visit", visit, "close", by, now, event)
    elif event == CANCELS and can("visit", visit, "cancel"):
        move(session, "visit", visit, "cancel", by, now, event)
    if event == CLOSES:
        visit.closed_at = said.discharged_at or told_at
    session.flush()
    if said.location and event in (*OPENS, MOVES, "A08"):
        _take_along(session, visit)
    return True


def _write(visit: Visit, said: VisitSaid, told_at: str) -> None:
    for column in ("patient_class", "location", "doctor"):
        if value := getattr(said, column):
            setattr(visit, column, value)
    if said.admitted_at:
        visit.opened_at = said.admitted_at
    visit.opened_at = visit.opened_at or told_at
    visit.told_at = newest(told_at, visit.told_at)


def _take_along(session: Session, visit: Visit) -> None:
    """Open orders of the visit are where the patient is: the porter and the report go there."""
    orders = session.scalars(
        select(Order).where(
            Order.patient_id == visit.patient_id,
            Order.institution_id == visit.institution_id,
            Order.visit_number == visit.number,
            Order.state.in_(OPEN_ORDERS),
        )
    ).unique()
    for order in orders:
        order.location = visit.location
