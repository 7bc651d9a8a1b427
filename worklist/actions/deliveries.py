"""Deliveries: reports and news of orders to each endpoint of the ordering institutions, until acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.actions import order_status, publishing, told_results
from worklist.errors import NotFound, TryLater
from worklist.facts import Addressee, OrderNews, Publication, RecognisedFor
from worklist.moves import begin, can, move
from worklist.numbers import new_control_id
from worklist.people import HUREN, Actor
from worklist.tables import (
    Delivery,
    Endpoint,
    Message,
    Order,
    Reading,
    ReadingOrder,
    Recognition,
    ReportDocument,
    ReportVersion,
    new_id,
)

GIVE_UP: Final = timedelta(hours=72)
"""After three days without an answer a delivery is stuck: a person looks, mends and replays."""


RECOGNISED: Final = "recognised"
"""Kind of a delivery that carries a version to the HIS of an order which it serves."""


MESSAGES: Final = {"mllp": "ORU^R01", "fhir": "FHIR^transaction", "wst500": "WS/T 500"}
"""What carries a report, by the kind of its endpoint, as the message log calls it."""


@dataclass(frozen=True)
class Attempt:
    """What one try needs. The control id is the same at every try. `news` makes it the status of an order."""

    delivery_id: str
    control_id: str
    to: Addressee
    attempt: int
    document_key: str = ""
    pdf_key: str = ""  # where the endpoint wants the report's PDF along
    news: OrderNews | None = None
    recognised: RecognisedFor | None = None  # the version serves this order, under its identity
    publication: Publication | None = None  # of a delivery to a regional platform


@dataclass(frozen=True)
class Outcome:
    """How a try ended; `reason` is an error code, `params` what it is about, `text` what the receiver said.

    `flags` are remarks for the log.
    """

    kind: Literal["acknowledged", "retry", "stuck"]
    reason: str = ""
    text: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def owe(
    session: Session, reading: Reading, version: ReportVersion, by: Actor, now: datetime, *, marked: bool = False
) -> None:
    """An issued version is owed to each endpoint of the institution, to regional platforms (`publishing.platforms`),
    and to everyone who had an earlier one. `marked`: it bears a mark of recognition.

    Deliveries for one order to one endpoint share an order key: no version overtakes or skips another, not even that of
    a new reading after a withdrawal.
    """
    endpoints = set(session.scalars(_of_institution(reading.institution_id)))
    endpoints |= publishing.platforms(session, reading.center_id, version.status, marked=marked)
    first = session.scalar(select(func.min(ReadingOrder.order_id)).where(ReadingOrder.reading_id == reading.id))
    endpoints |= set(session.scalars(select(Delivery.endpoint_id).where(Delivery.reading_id == reading.id)))
    for endpoint_id in sorted(endpoints):
        delivery = Delivery(
            version_id=version.id,
            reading_id=reading.id,
            endpoint_id=endpoint_id,
            institution_id=reading.institution_id,
            control_id=new_control_id(),
            created_at=now,
            next_at=now,
        )
        begin(session, "delivery", delivery, "owe", by, now, order_key=f"{first}>{endpoint_id}")
    serves = select(Recognition.order_id).where(Recognition.reading_id == reading.id, Recognition.state == "accepted")
    # One whose images are read anew has a report of its own.
    for order in session.scalars(
        select(Order).where(Order.id.in_(serves), Order.state == "recognised").order_by(Order.id)
    ).unique():
        owe_recognised(session, order, version, by, now)


def owe_recognised(session: Session, order: Order, version: ReportVersion, by: Actor, now: datetime) -> None:
    """A version that serves a recognised order is owed to the endpoints of that order's institution, too, and to those
    that had an earlier one: they hear of corrections and of a withdrawal.
    """
    endpoints = set(session.scalars(_of_institution(order.institution_id)))
    told = select(Delivery.endpoint_id).where(Delivery.order_id == order.id, Delivery.kind == RECOGNISED)
    for endpoint_id in sorted(endpoints | set(session.scalars(told))):
        delivery = Delivery(
            kind=RECOGNISED,
            version_id=version.id,
            order_id=order.id,
            endpoint_id=endpoint_id,
            institution_id=order.institution_id,
            control_id=new_control_id(),
            created_at=now,
            next_at=now,
        )
        begin(session, "delivery", delivery, "owe", by, now, order_key=f"{order.id}>{endpoint_id}")


def _of_institution(institution_id: str) -> Select[str]:
    """The endpoints where an institution's own systems are."""
    return select(Endpoint.id).where(
        Endpoint.institution_id == institution_id, Endpoint.kind == "mllp", Endpoint.enabled
    )


def begin_attempt(session: Session, delivery_id: str, now: datetime) -> Attempt | None:
    """Start a try. None: there is nothing to send any more.

    Raises
    ------
    TryLater
        ``endpoint_disabled``, or as `order_status.is_to_be_sent`.
    """
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.state not in ("due", "retrying", "sent"):
        return None
    if delivery.kind == order_status.KIND and not order_status.is_to_be_sent(session, delivery, now):
        return None
    if not delivery.endpoint.enabled:
        raise TryLater("endpoint_disabled")
    move(session, "delivery", delivery, "send", HUREN, now)
    delivery.attempts += 1
    delivery.sent_at = now
    to = _addressee(delivery.endpoint)
    if delivery.kind == order_status.KIND:
        remarks = told_results.lines(session, session.get_one(Order, delivery.order_id))
        news = order_status.news_of(session, delivery, remarks)
        return Attempt(delivery.id, delivery.control_id, to, delivery.attempts, news=news)
    version = session.get_one(ReportVersion, delivery.version_id)
    pdf = select(ReportDocument.store_key).where(ReportDocument.version_id == version.id, ReportDocument.kind == "pdf")
    pdf_key = (session.scalar(pdf) or "") if to.pdf == "embedded" else ""
    serves = order_status.recognised_for(session, delivery) if delivery.kind == RECOGNISED else None
    return Attempt(
        delivery.id,
        delivery.control_id,
        to,
        delivery.attempts,
        version.document_key,
        pdf_key,
        recognised=serves,
        publication=publishing.publication(session, version) if to.kind != "mllp" else None,
    )


def _addressee(endpoint: Endpoint) -> Addressee:
    return Addressee(
        endpoint_id=endpoint.id,
        host=endpoint.host,
        port=endpoint.port,
        receiving_application=endpoint.receiving_application,
        receiving_facility=endpoint.receiving_facility,
        character_set=endpoint.character_set,
        version=endpoint.version,
        answer_seconds=float(endpoint.answer_seconds),
        pdf=endpoint.pdf,  # type: ignore[arg-type]  # `configuration.save_endpoint` allows no other
        tls=endpoint.tls,
        trusted=endpoint.trusted,
        kind=endpoint.kind,  # type: ignore[arg-type]  # as `pdf`
        path=endpoint.path,
        secret=endpoint.secret,
    )


def finish_attempt(
    session: Session, delivery_id: str, sent: bytes, answer: bytes, outcome: Outcome, now: datetime
) -> datetime | None:
    """Note how a try ended. Returns when to try again; None when it is acknowledged or stuck."""
    delivery = session.get_one(Delivery, delivery_id)
    if sent:  # a receiver that is away makes no row at every try: the delivery itself counts them
        _log(session, delivery, sent, answer, outcome, now)
    if delivery.state != "sent":
        return None  # somebody else's try has ended it meanwhile
    delivery.last_error = outcome.reason
    delivery.error_params = _params(outcome)
    if outcome.kind == "acknowledged":
        move(session, "delivery", delivery, "acknowledge", HUREN, now)
        delivery.acknowledged_at, delivery.next_at, delivery.last_error, delivery.error_params = now, None, "", {}
        return None
    if outcome.kind == "stuck" or now - delivery.created_at > GIVE_UP:
        move(session, "delivery", delivery, "stick", HUREN, now, outcome.reason)
        delivery.next_at = None
        return None
    move(session, "delivery", delivery, "retry", HUREN, now, outcome.reason)
    delivery.next_at = now + outbox.pause(delivery.attempts)
    return delivery.next_at


def release_job(session: Session, by: Actor, seq: int, now: datetime) -> None:
    """A person mended what made a job fail again and again: it is due now."""
    by.require_scope("admin")
    by.require("PACS admin")
    if not outbox.release(session, seq, now):
        raise NotFound("no_such_job")
    audit.note(session, by, "job released", now, thing="job", thing_id=str(seq))


def give_up(session: Session, delivery_id: str, reason: str, now: datetime) -> None:
    """The job failed again and again in a way nobody foresaw: a person looks at the delivery."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is not None and can("delivery", delivery, "stick"):
        move(session, "delivery", delivery, "stick", HUREN, now, reason)
        delivery.last_error, delivery.error_params, delivery.next_at = reason, {}, None


def is_stuck(session: Session, delivery_id: str) -> bool:
    """Whether a person has to look at this delivery."""
    delivery = session.get(Delivery, delivery_id)
    return delivery is not None and delivery.state == "stuck"


def replay(session: Session, by: Actor, delivery_id: str, now: datetime) -> Delivery:
    """A person mended the cause: send it again, before any later version of the same report."""
    by.require_scope("admin")
    by.require("PACS admin")
    delivery = session.get(Delivery, delivery_id)
    if delivery is None:
        raise NotFound("no_such_delivery")
    move(session, "delivery", delivery, "replay", by, now)
    outbox.release_stuck(session, "send_delivery", delivery.id, now)
    delivery.attempts, delivery.next_at, delivery.created_at = 0, now, now
    audit.note(
        session,
        by,
        "delivery replayed",
        now,
        thing="delivery",
        thing_id=delivery.id,
        institution_id=delivery.institution_id,
    )
    return delivery


def _params(outcome: Outcome) -> dict[str, Any]:
    """What an outcome is about, as it is kept: codes, and the receiver's own words."""
    said = {"text": outcome.text[:500]} if outcome.text else {}
    return {name: str(value) for name, value in outcome.params.items()} | said


def _log(session: Session, delivery: Delivery, sent: bytes, answer: bytes, outcome: Outcome, now: datetime) -> None:
    order_id, patient_id = _about(session, delivery)
    session.add(
        Message(
            id=new_id(),
            direction="out",
            endpoint_id=delivery.endpoint_id,
            institution_id=delivery.institution_id,
            address=f"{delivery.endpoint.host}:{delivery.endpoint.port}",
            control_id=delivery.control_id,
            kind="ORM^O01" if delivery.kind == order_status.KIND else MESSAGES[delivery.endpoint.kind],
            raw=sent,
            answer=answer,
            outcome={"acknowledged": "acknowledged", "retry": "failed", "stuck": "rejected"}[outcome.kind],
            reason=outcome.reason,
            params=_params(outcome),
            flags=list(outcome.flags),
            order_id=order_id,
            patient_id=patient_id,
            delivery_id=delivery.id,
            at=now,
        )
    )


def _about(session: Session, delivery: Delivery) -> tuple[str | None, str | None]:
    """The (first) order and the patient that a delivery is about, for whoever looks for them in the log."""
    order_id = delivery.order_id or session.scalar(
        select(func.min(ReadingOrder.order_id)).where(ReadingOrder.reading_id == delivery.reading_id)
    )
    order = session.get(Order, order_id) if order_id else None
    if order is not None:
        return order.id, order.patient_id
    return None, session.scalar(select(Reading.patient_id).where(Reading.id == delivery.reading_id))
