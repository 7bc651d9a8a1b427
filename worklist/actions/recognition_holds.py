"""New orders of a HIS that an existing result serves: the sender is told, or the order is held until somebody answers.

Which of the two, if any, is a setting of the sender. An emergency is never held.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import Conflict, NotFound
from worklist.facts import KnownDevice, Serving
from worklist.moves import move
from worklist.people import Actor
from worklist.queries import recognition
from worklist.queries.recognition import Judged
from worklist.tables import Order, Procedure

HELD: Final = "result_serves"
"""The note of an order that is held."""


def hold(session: Session, device: KnownDevice | None, order: Order, now: datetime) -> bool:
    """Whether a new order is held, which its note says then: it is on no device's worklist."""
    if device is None or device.recognition != "hold" or order.priority == "STAT" or not serving(session, order, now):
        return False
    order.note = HELD
    return True


def told(session: Session, by: Actor, device: KnownDevice, order: Order, now: datetime) -> tuple[Serving, ...]:
    """What the answer to a new order says of results that serve it, on record."""
    if device.recognition == "off" or order.state not in ("placed", "scheduled"):
        return ()
    found = serving(session, order, now)
    if found:
        audit.note(
            session,
            by,
            "results offered",
            now,
            thing="order",
            thing_id=order.id,
            institution_id=order.institution_id,
            patient_id=order.patient_id,
            detail={"reports": [r.reading_id or r.outside_id for r in found]},
        )
    return tuple(
        Serving(
            r.institution,
            r.procedure,
            r.taken_at.astimezone(ZoneInfo(r.timezone)),
            r.verdict.until.astimezone(ZoneInfo(r.timezone)),
        )
        for r in found
        if r.taken_at is not None and r.verdict.until is not None
    )


def serving(session: Session, order: Order, now: datetime) -> list[Judged]:
    """Results that serve instead of this order."""
    if order.procedure_id is None:
        return []
    session.flush()
    code = session.get_one(Procedure, order.procedure_id).code
    rules = recognition.rules_at(session, now).rules
    home = order.institution_id
    found = recognition.judged(session, order.patient, code, order.laterality, home, rules, now)
    return [result for result in found if result.verdict.recognised]


def release(session: Session, by: Actor, order_id: str, now: datetime) -> Order:
    """Put a held order onto worklists after all, once nothing serves any more: what serves is answered instead.

    Raises
    ------
    NotFound, Forbidden
        ``no_such_order``, ``role_needed``.
    Conflict
        ``recognition_unanswered``; ``cannot_move`` where it is not held.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    order = session.get(Order, order_id)
    if order is None or order.institution_id != by.institution_id:
        raise NotFound("no_such_order")
    if order.note != HELD or order.state != "placed":
        raise Conflict("cannot_move", machine="order", state=order.state, verb="schedule")
    if serving(session, order, now):
        raise Conflict("recognition_unanswered")
    go_on(session, by, order, now)
    return order


def go_on(session: Session, by: Actor, order: Order, now: datetime) -> None:
    """A held order is examined after all. The caller has checked that it may be."""
    if order.note == HELD and order.state == "placed":
        order.note = ""
        move(session, "order", order, "schedule", by, now)
        audit.note(
            session,
            by,
            "held order released",
            now,
            thing="order",
            thing_id=order.id,
            institution_id=order.institution_id,
            patient_id=order.patient_id,
        )
