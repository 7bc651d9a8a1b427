"""What becomes of an order, told to the HIS that sent it: one delivery for each piece of news and endpoint.

A status only says how things stand, so newer news takes the place of news that has not arrived: a HIS that was away
hears the present state and no history. It waits while reports of its order are on their way, and no report ever waits
for a status: a HIS that cannot take these messages still gets its reports.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist import outbox
from worklist.actions.patients import facts_of
from worklist.errors import TryLater
from worklist.facts import CoveredOrder, OrderNews, RecognisedFor
from worklist.lifecycle import Move
from worklist.moves import begin, can, move
from worklist.numbers import new_control_id
from worklist.people import HUREN, Actor
from worklist.prepared import Prepared
from worklist.tables import Delivery, Endpoint, Order, ReadingOrder, Recognition
from worklist.tables.base import table_of

NEWS: Final = {
    "scheduled": "scheduled",
    "in progress": "in progress",
    "performed": "in progress",
    "completed": "completed",
    "cancelled": "cancelled",
    "recognised": "cancelled",
    "rereading": "in progress",  # its report comes, though nobody is examined
}
"""What each state of an order is to its HIS. Nothing is told of an order that waits for a mapping."""

KIND: Final = "order status"

_ENDPOINT = table_of(Endpoint).c
_TOLD: Final = Prepared(  # who is told, asked with every order
    select(_ENDPOINT.id)
    .where(_ENDPOINT.institution_id == bindparam("institution"), _ENDPOINT.enabled, _ENDPOINT.order_status)
    .order_by(_ENDPOINT.id)
)


def follow(session: Session, order: Order, step: Move, by: Actor, now: datetime) -> None:
    """An order moved: owe its HIS the news. Orders from pages are nobody's news, since no HIS knows them."""
    news = NEWS.get(step.target)
    if news is None or order.device_id is None:
        return
    if step.verb == "cancel" and by.id == order.device_id:
        _supersede(session, order, None, by, now)  # its own word, answered already: it must not hear of older news
        return
    owe(session, order, news, by, now)


def owe(session: Session, order: Order, news: str, by: Actor, now: datetime, *, again: bool = False) -> None:
    """Owe `news` of an order to each enabled endpoint of its institution that wants them, once. `again`: what is said
    with it has changed, though the state is what was told."""
    for endpoint_id in [row.id for row in _TOLD.rows(session, {"institution": order.institution_id})]:
        newest = session.scalar(
            select(Delivery.order_state)
            .where(Delivery.order_id == order.id, Delivery.endpoint_id == endpoint_id, Delivery.kind == KIND)
            .order_by(Delivery.id.desc())
            .limit(1)
        )
        if newest == news and not again:
            continue
        _supersede(session, order, endpoint_id, by, now)
        delivery = Delivery(
            kind=KIND,
            order_id=order.id,
            order_state=news,
            endpoint_id=endpoint_id,
            institution_id=order.institution_id,
            control_id=new_control_id(),
            created_at=now,
            next_at=now,
        )
        begin(session, "delivery", delivery, "owe", by, now, order_key=f"{order.id}>{endpoint_id}>status")
        session.flush()


def is_to_be_sent(session: Session, delivery: Delivery, now: datetime) -> bool:
    """Whether this status is still news; one that is not is superseded.

    Raises
    ------
    TryLater
        ``report_goes_first`` while a report of the order is on its way there.
    """
    newer = select(Delivery.id).where(
        Delivery.order_id == delivery.order_id,
        Delivery.endpoint_id == delivery.endpoint_id,
        Delivery.kind == KIND,
        Delivery.id > delivery.id,
    )
    if session.scalar(newer.limit(1)) is not None:
        move(session, "delivery", delivery, "supersede", HUREN, now)
        delivery.next_at = None
        return False
    reports = select(Delivery.id).where(
        Delivery.reading_id.in_(select(ReadingOrder.reading_id).where(ReadingOrder.order_id == delivery.order_id)),
        Delivery.endpoint_id == delivery.endpoint_id,
        Delivery.state != "acknowledged",
    )
    if session.scalar(reports.limit(1)) is not None:
        raise TryLater("report_goes_first")
    return True


def news_of(session: Session, delivery: Delivery, remarks: tuple[str, ...] = ()) -> OrderNews:
    """What a delivery tells. The reason is what the order's requester was last told."""
    order = session.get_one(Order, delivery.order_id)
    return OrderNews(
        order=_covered(order),
        patient=facts_of(order.patient),
        patient_id=order.patient_value,
        patient_issuer=order.patient_issuer,
        state=delivery.order_state,
        at=delivery.created_at,
        timezone=order.institution.timezone,
        remarks=remarks,
    )


def recognised_for(session: Session, delivery: Delivery) -> RecognisedFor:
    """The order that a recognised version serves, as its HIS knows it."""
    order = session.get_one(Order, delivery.order_id)
    adopted = session.scalar(
        select(Recognition.adopted).where(Recognition.order_id == order.id, Recognition.state == "accepted").limit(1)
    )
    return RecognisedFor(
        order=_covered(order),
        patient=facts_of(order.patient),
        patient_id=order.patient_value,
        patient_issuer=order.patient_issuer,
        report_adopted=adopted == "report",
    )


def _covered(order: Order) -> CoveredOrder:
    return CoveredOrder(
        order_id=order.id,
        accession_number=order.accession_number,
        placer_number=order.placer_number,
        placer_namespace=order.placer_issuer.partition("/")[2],
        procedure_code=order.procedure_code,
        procedure_name=order.procedure.name if order.procedure else order.procedure_text,
        ordering_doctor=order.ordering_doctor,
        ordering_doctor_id=order.ordering_doctor_id,
        study_instance_uid=order.study_instance_uid,
        patient_class=order.patient_class,
        visit_number=order.visit_number,
        location=order.location,
    )


def _supersede(session: Session, order: Order, endpoint_id: str | None, by: Actor, now: datetime) -> None:
    """Older news that has not arrived is told no more; what is on the wire now is looked at again after its try."""
    waiting = select(Delivery).where(
        Delivery.order_id == order.id, Delivery.kind == KIND, Delivery.state.in_(("due", "retrying", "stuck"))
    )
    if endpoint_id is not None:
        waiting = waiting.where(Delivery.endpoint_id == endpoint_id)
    for row in session.scalars(waiting).unique().all():
        if can("delivery", row, "supersede"):
            move(session, "delivery", row, "supersede", by, now)
            row.next_at = None
            # Its job runs once more at once and finds nothing to send: until then it holds the newer one back.
            outbox.release_stuck(session, "send_delivery", row.id, now)
            outbox.hasten(session, "send_delivery", row.id, now)
