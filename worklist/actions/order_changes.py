"""What becomes of an order that is held: changed, placed again, cancelled, scheduled once its code is mapped."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import anew, expiring, linking
from worklist.actions.order_fields import (
    MUTABLE,
    Asked,
    find,
    is_same,
    lists,
    names_another,
    procedure,
    require_priority,
    scheduled,
)
from worklist.actions.recognition_holds import HELD
from worklist.errors import BadInput, Conflict, NotFound
from worklist.moves import can, move
from worklist.people import Actor
from worklist.rules.kinds import ANEW
from worklist.tables import Order, Reading, ReadingOrder, Study, StudyOrder

WRONG_PATIENT = "cancellation_of_another_patient"
"""A cancellation whose patient is not the order's: it touches nothing, and a person looks at the message."""


def change(session: Session, asked: Asked) -> Order:
    """Do what an XO asks: change an order that nobody has begun, or place one again that had expired.

    Raises
    ------
    NotFound
        ``no_such_order``.
    Refused
        as `change_held`.
    """
    order = find(session, asked)
    if order is None:
        raise NotFound("no_such_order")
    return change_held(session, order, asked)


def change_held(session: Session, order: Order, asked: Asked) -> Order:
    """Change this order, under the numbers that it has.

    One that was closed because nobody came is placed again: its HIS says that somebody does. The same words once
    more say nothing of that.

    Raises
    ------
    Conflict
        ``order_…`` its state, ``order_expired`` where nothing was changed, ``order_is_for_another_patient``,
        ``order_told_newer``, ``procedure_not_mapped`` where that would take it off worklists.
    BadInput
        ``priority_unknown``.
    """
    request, by, now = asked.request, asked.by, asked.now
    has_expired = expiring.has_expired(order)
    if has_expired and is_same(order, asked):
        raise Conflict("order_expired")
    if order.state not in ("placed", "scheduled") and not has_expired:
        raise Conflict("order_already_begun" if order.state == "in progress" else f"order_{order.state}")
    if names_another(order, asked.patient):
        raise Conflict("order_is_for_another_patient")
    require_priority(request)
    _require_newest(order, asked.came_at)
    if has_expired:
        move(session, "order", order, "place again", by, now)
        order.note = ""
    for name in MUTABLE:
        value = getattr(request, name)
        if value:
            setattr(order, name, value)
    for name, said in lists(request).items():
        if said:
            setattr(order, name, said)
    if request.scheduled_at:
        order.scheduled_date, order.scheduled_time = scheduled(request.scheduled_at, order.institution)
    if request.procedure_code:
        order.procedure_id = procedure(session, asked.device.id if asked.device else None, request.procedure_code)
        if order.procedure_id is None and order.state == "scheduled":
            raise Conflict("procedure_not_mapped")
    if order.state == "placed" and (order.note != HELD or order.priority == "STAT"):
        order.note = "" if order.procedure_id is not None else "procedure_not_mapped"
        if order.procedure_id is not None:
            move(session, "order", order, "schedule", by, now)
    order.told_at = asked.came_at or now
    _note(session, by, "order changed", order, now)
    return order


def cancel(session: Session, asked: Asked) -> Order:
    """Do what a CA or DC asks. An order that had expired is its HIS's to cancel too: it is not placed again then.

    Raises
    ------
    NotFound
        ``no_such_order``.
    Conflict
        `WRONG_PATIENT`, ``order_has_images``, ``order_told_newer``.
    """
    order = find(session, asked)
    if order is None:
        raise NotFound("no_such_order")
    if names_another(order, asked.patient):
        raise Conflict(WRONG_PATIENT)
    if order.state == "cancelled" and not expiring.has_expired(order):
        return order
    if order.state != "cancelled" and (not can("order", order, "cancel") or _has_work(session, order)):
        raise Conflict("order_has_images")
    _require_newest(order, asked.came_at)
    if order.state == "cancelled":
        order.note = ""
    else:
        move(session, "order", order, "cancel", asked.by, asked.now)
    order.told_at = asked.came_at or asked.now
    return order


def schedule_waiting(session: Session, by: Actor, device_id: str, code: str, now: datetime) -> int:
    """Put orders that waited for a mapping of `code` from `device_id` onto worklists; return how many.

    Images that came before them may match now.
    """
    procedure_id = procedure(session, device_id, code)
    if procedure_id is None:
        return 0
    waiting = session.scalars(
        select(Order).where(
            Order.state == "placed", Order.device_id == device_id, Order.procedure_code == code, Order.note != HELD
        )
    ).all()
    for order in waiting:
        order.procedure_id = procedure_id
        order.note = ""
        move(session, "order", order, "schedule", by, now)
        linking.try_waiting_studies(session, order, now)
    return len(waiting)


def abandon(session: Session, by: Actor, order_id: str, why: str, now: datetime) -> Order:
    """A person at the ordering institution cancels an order for which work has begun, with a reason."""
    by.require_scope("order")
    by.require("technician", "doctor")
    order = session.get(Order, order_id)
    if order is None or order.institution_id != by.institution_id:
        raise NotFound("no_such_order")
    if not why.strip():
        raise BadInput("reason_missing")
    if can("order", order, "cancel"):
        move(session, "order", order, "cancel", by, now, why)
    elif order.state == "rereading":
        anew.cancel(session, order, by, why, now)
    elif can("order", order, "abandon"):
        if session.scalar(_read(order).limit(1)) is not None:
            raise Conflict("order_is_being_read")
        move(session, "order", order, "abandon", by, now, why)
    else:
        raise Conflict("order_cannot_be_cancelled", state=order.state)
    order.note = ""
    _note(session, by, "order cancelled", order, now, why)
    return order


def _require_newest(order: Order, came_at: datetime | None) -> None:
    """An old request that is done again must not undo what the order was told since."""
    if came_at is not None and came_at < (order.told_at or order.placed_at):
        raise Conflict("order_told_newer")


def _has_work(session: Session, order: Order) -> bool:
    linked = select(StudyOrder.study_id).where(StudyOrder.order_id == order.id)
    # Images that came under the order's own UID count even while they wait in the unmatched bin.
    sent = select(Study.id).where(
        Study.study_instance_uid == order.study_instance_uid, Study.institution_id == order.institution_id
    )
    return any(session.scalar(query.limit(1)) is not None for query in (linked, sent, _read(order)))


def _read(order: Order) -> Select[str]:
    """The cases of an order. One whose existing images did not do is over, and says nothing of its examination."""
    over = and_(Reading.kind == ANEW, Reading.state == "closed without report")
    cases = select(ReadingOrder.reading_id).join(Reading, Reading.id == ReadingOrder.reading_id)
    return cases.where(ReadingOrder.order_id == order.id, ~over)


def _note(session: Session, by: Actor, action: str, order: Order, now: datetime, why: str = "") -> None:
    audit.note(
        session,
        by,
        action,
        now,
        thing="order",
        thing_id=order.id,
        institution_id=order.institution_id,
        patient_id=order.patient_id,
        why=why,
    )
