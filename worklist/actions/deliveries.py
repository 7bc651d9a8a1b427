"""Deliveries: each issued version to each endpoint of the ordering institutions, in order, until acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.errors import NotFound, TryLater
from worklist.facts import Addressee
from worklist.moves import begin, can, move
from worklist.numbers import new_control_id
from worklist.people import HUREN, Actor
from worklist.tables import Delivery, Endpoint, Message, Reading, ReadingOrder, ReportDocument, ReportVersion, new_id

GIVE_UP: Final = timedelta(hours=72)
"""After three days without an answer a delivery is stuck: a person looks, mends and replays."""


@dataclass(frozen=True)
class Attempt:
    """What one try needs. The control id is the same at every try."""

    delivery_id: str
    control_id: str
    to: Addressee
    document_key: str
    attempt: int
    pdf_key: str = ""  # where the endpoint wants the report's PDF along


@dataclass(frozen=True)
class Outcome:
    """How a try ended; `reason` is an error code, `text` what the receiver said."""

    kind: Literal["acknowledged", "retry", "stuck"]
    reason: str = ""
    text: str = ""


def owe(session: Session, reading: Reading, version: ReportVersion, by: Actor, now: datetime) -> None:
    """An issued version is owed to each endpoint of the institution, and to everyone who had an earlier one.

    Deliveries for one order to one endpoint share an order key: no version overtakes or skips another, not even that of
    a new reading after a withdrawal.
    """
    endpoints = set(
        session.scalars(select(Endpoint.id).where(Endpoint.institution_id == reading.institution_id, Endpoint.enabled))
    )
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


def begin_attempt(session: Session, delivery_id: str, now: datetime) -> Attempt | None:
    """Start a try. None: there is nothing to send any more."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.state not in ("due", "retrying", "sent"):
        return None
    endpoint = delivery.endpoint
    if not endpoint.enabled:
        raise TryLater("endpoint_disabled")
    version = session.get_one(ReportVersion, delivery.version_id)
    move(session, "delivery", delivery, "send", HUREN, now)
    delivery.attempts += 1
    delivery.sent_at = now
    to = Addressee(
        endpoint_id=endpoint.id,
        host=endpoint.host,
        port=endpoint.port,
        receiving_application=endpoint.receiving_application,
        receiving_facility=endpoint.receiving_facility,
        character_set=endpoint.character_set,
        version=endpoint.version,
        answer_seconds=float(endpoint.answer_seconds),
        pdf=endpoint.pdf,  # type: ignore[arg-type]  # `configuration.save_endpoint` allows no other
    )
    pdf = select(ReportDocument.store_key).where(ReportDocument.version_id == version.id, ReportDocument.kind == "pdf")
    pdf_key = (session.scalar(pdf) or "") if endpoint.pdf == "embedded" else ""
    return Attempt(delivery.id, delivery.control_id, to, version.document_key, delivery.attempts, pdf_key)


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
    if outcome.kind == "acknowledged":
        move(session, "delivery", delivery, "acknowledge", HUREN, now)
        delivery.acknowledged_at, delivery.next_at, delivery.last_error = now, None, ""
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
        delivery.last_error, delivery.next_at = reason, None


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


def _log(session: Session, delivery: Delivery, sent: bytes, answer: bytes, outcome: Outcome, now: datetime) -> None:
    session.add(
        Message(
            id=new_id(),
            direction="out",
            endpoint_id=delivery.endpoint_id,
            institution_id=delivery.institution_id,
            address=f"{delivery.endpoint.host}:{delivery.endpoint.port}",
            control_id=delivery.control_id,
            kind="ORU^R01",
            raw=sent,
            answer=answer,
            outcome={"acknowledged": "acknowledged", "retry": "failed", "stuck": "rejected"}[outcome.kind],
            reason=outcome.reason,
            params={"text": outcome.text} if outcome.text else {},
            delivery_id=delivery.id,
            at=now,
        )
    )
