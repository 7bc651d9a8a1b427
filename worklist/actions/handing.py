"""Handing cases on: returned to the sender, referred upward and answered, closed, joined, split."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from worklist.actions import late, readings
from worklist.errors import BadInput, Conflict
from worklist.moves import begin, can, move
from worklist.people import Actor
from worklist.tables import Center, Reading, ReadingOrder, ReadingStudy


def return_to_sender(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """Ask the township to repeat the examination: its orders are on the worklist again under their numbers."""
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    move(session, "reading", reading, "return", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = reading.due_at = None
    for order in readings.orders_of(session, reading):
        if can("order", order, "return"):
            move(session, "order", order, "return", by, now, why)
        order.note = "returned"
    readings.note(session, by, "case returned", reading, now, why)
    return reading


def refer(session: Session, by: Actor, reading_id: str, center_id: str, why: str, now: datetime) -> Reading:
    """Refer a case upward: it goes to another center's list until that center answers."""
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    other = session.get(Center, center_id)
    if other is None or other.id == reading.center_id or other.discipline != reading.center.discipline:
        raise BadInput("no_such_center")
    if not why.strip():
        raise BadInput("reason_missing")
    move(session, "reading", reading, "refer", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = None
    consultation = Reading(
        kind="consultation",
        center_id=other.id,
        patient_id=reading.patient_id,
        institution_id=reading.institution_id,
        priority=reading.priority,
        rank=reading.rank,
        due_at=reading.due_at,
        asked_by_id=reading.id,
        note=why,
        created_at=now,
    )
    begin(session, "reading", consultation, "open", by, now, why)
    session.flush()
    for study in readings.studies_of(session, reading):
        session.add(ReadingStudy(reading_id=consultation.id, study_id=study.id))
    for order in readings.orders_of(session, reading):
        session.add(ReadingOrder(reading_id=consultation.id, order_id=order.id))
    readings.note(session, by, "case referred", reading, now, why, {"to": other.id, "consultation": consultation.id})
    return reading


def answer_referral(session: Session, by: Actor, consultation_id: str, now: datetime) -> Reading:
    """Give the opinion written in a consultation back to the case that asked; that case goes on where it was."""
    by.require_scope("report")
    consultation = readings.get(session, by, consultation_id)
    readings.require_lease(consultation, by, now)
    opinion = readings.draft_of(session, consultation.id)
    if consultation.kind != "consultation" or opinion is None or not opinion.impression.strip():
        raise BadInput("impression_missing")
    asked = _asked_by(session, consultation)
    if asked is None:
        raise Conflict("nobody_asks_any_more")
    move(session, "reading", consultation, "close", by, now)
    consultation.holder_id = consultation.held_until = None
    words = "\n".join(part for part in (opinion.findings, opinion.impression) if part)
    _give_back(session, asked, words, by, now)
    readings.note(session, by, "referral answered", asked, now, detail={"consultation": consultation.id})
    return asked


def _asked_by(session: Session, consultation: Reading) -> Reading | None:
    """The referred case that waits for this consultation."""
    asked = session.get(Reading, consultation.asked_by_id) if consultation.asked_by_id else None
    return asked if asked is not None and asked.state == "referred" else None


def _give_back(session: Session, asked: Reading, words: str, by: Actor, now: datetime) -> None:
    move(session, "reading", asked, "answer", by, now)
    asked.note = words
    if readings.draft_of(session, asked.id) is None:
        readings.new_draft(session, asked, by, now)


def close(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """Close a case without a report, with a reason; its orders are no longer waiting.

    Closing a consultation declines it: the case that asked goes on with the reason, and its orders stay as they are.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    by.require("senior reader", center_id=reading.center_id)
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    draft = readings.draft_of(session, reading.id)
    if draft is not None:
        move(session, "report version", draft, "discard", by, now, why)
    move(session, "reading", reading, "close", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = None
    if reading.kind == "consultation":
        asked = _asked_by(session, reading)
        if asked is not None:
            _give_back(session, asked, why, by, now)
    else:
        for order in readings.orders_of(session, reading):
            if can("order", order, "abandon"):
                move(session, "order", order, "abandon", by, now, why)
            order.note = "closed_without_report"
    readings.note(session, by, "case closed without report", reading, now, why)
    return reading


def join(session: Session, by: Actor, reading_id: str, other_id: str, why: str, now: datetime) -> Reading:
    """One examination, two orders: the other reading's orders and studies join this one, which is kept."""
    by.require_scope("report")
    reading, other = readings.get(session, by, reading_id), readings.get(session, by, other_id)
    if reading.id == other.id or reading.patient_id is None or reading.patient_id != other.patient_id:
        raise BadInput("not_the_same_patient")
    # A report goes to one institution, and a consultation to none: the other's orders would never be answered.
    if reading.kind != "primary" or reading.institution_id != other.institution_id:
        raise Conflict("cannot_join")
    if not why.strip():
        raise BadInput("reason_missing")
    if other.state != "unread" or other.kind != "primary" or reading.state not in ("unread", "drafted", "in review"):
        raise Conflict("cannot_join")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    for order in readings.orders_of(session, other):
        if session.get(ReadingOrder, (reading.id, order.id)) is None:
            session.add(ReadingOrder(reading_id=reading.id, order_id=order.id))
    for study in readings.studies_of(session, other):
        if session.get(ReadingStudy, (reading.id, study.id)) is None:
            session.add(ReadingStudy(reading_id=reading.id, study_id=study.id))
    move(session, "reading", other, "close", by, now, why)
    other.note = why
    if other.rank < reading.rank:
        reading.priority, reading.rank = other.priority, other.rank
    if other.due_at is not None:
        reading.due_at = min(reading.due_at or other.due_at, other.due_at)
    readings.note(session, by, "cases joined", reading, now, why, {"joined": other.id})
    return reading


def split(session: Session, by: Actor, reading_id: str, order_id: str, why: str, now: datetime) -> Reading:
    """Give one covered order a reading of its own over the same studies, until something is issued."""
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    row = session.get(ReadingOrder, (reading.id, order_id))
    orders = readings.orders_of(session, reading)
    if row is None or len(orders) < 2 or reading.state not in ("unread", "drafted", "in review"):
        raise Conflict("nothing_to_split")
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    own = Reading(
        center_id=reading.center_id,
        group_id=reading.group_id,
        route_id=reading.route_id,
        patient_id=reading.patient_id,
        institution_id=reading.institution_id,
        priority=reading.priority,
        rank=reading.rank,
        due_at=reading.due_at,
        created_at=now,
    )
    begin(session, "reading", own, "open", by, now, why)
    session.flush()
    session.delete(row)
    session.add(ReadingOrder(reading_id=own.id, order_id=order_id))
    for study in readings.studies_of(session, reading):
        session.add(ReadingStudy(reading_id=own.id, study_id=study.id))
    readings.note(session, by, "case split", reading, now, why, {"order": order_id, "new": own.id})
    return own
