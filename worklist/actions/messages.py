"""Taking HL7 messages: kept with their answer, and done in the same transaction.

The key of a message is (sending application, sending facility, control id). The same key with the same bytes,
MSH-7 aside, is answered as before. The same key with other bytes is processed and flagged, since some senders put
a constant into MSH-10; a strict sender is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import orders, patients
from worklist.actions.devices import known
from worklist.errors import Conflict, HurenError, NotFound, Refused
from worklist.facts import Caller, KnownDevice, MessageHeader, OrderAnswer, OrderMessage, PatientMessage
from worklist.moves import begin, move
from worklist.people import HUREN, Actor, device_actor
from worklist.tables import Device, Institution, Message, Order, SetAside, new_id


@dataclass(frozen=True)
class MessageOutcome:
    """What a door answers: `stored_answer` as it is, or an answer of `code` made from the rest."""

    message_id: str
    code: str  # AA, AE, AR
    reason: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    answers: tuple[OrderAnswer, ...] = ()
    stored_answer: bytes | None = None
    duplicate: bool = False


def take_message(
    session: Session,
    device: KnownDevice,
    caller: Caller,
    raw: bytes,
    fingerprint: str,
    header: MessageHeader,
    content: OrderMessage | PatientMessage | HurenError,
    now: datetime,
    flags: Sequence[str] = (),
) -> MessageOutcome:
    """Keep a message and do what it says.

    `content` is the error if it could not be translated; `flags` are what the door noticed while reading it.
    """
    # One sender may bring the same bytes over two connections at once: one after the other, so that the second gets
    # the stored answer. SQLite has one writer anyway and ignores the lock.
    session.execute(select(Device.id).where(Device.id == device.id).with_for_update())
    same_key = session.scalars(
        select(Message)
        .where(
            Message.direction == "in",
            Message.device_id == device.id,
            Message.sending_application == header.sending_application,
            Message.sending_facility == header.sending_facility,
            Message.control_id == header.control_id,
        )
        .order_by(Message.seq.desc())
        .limit(50)
    ).all()
    for held in same_key if header.control_id else ():
        if held.fingerprint == fingerprint and held.answer:
            return MessageOutcome(held.id, held.answer_code, stored_answer=held.answer, duplicate=True)
    message = Message(
        id=new_id(),
        direction="in",
        device_id=device.id,
        address=caller.address,
        sending_application=header.sending_application,
        sending_facility=header.sending_facility,
        control_id=header.control_id,
        kind=f"{header.message_code}^{header.trigger_event}",
        fingerprint=fingerprint,
        raw=raw,
        outcome="processed",
        flags=[*flags, *(["control_id_reused"] if same_key and header.control_id else [])],
        at=now,
    )
    session.add(message)
    if "control_id_reused" in message.flags and device.strict:
        return _refused(message, "AR", "control_id_reused")
    return _do(session, device, message, content, now)


def take_again(
    session: Session,
    by: Actor,
    message_id: str,
    device: KnownDevice,
    content: OrderMessage | PatientMessage | HurenError,
    now: datetime,
    *,
    sure: bool = False,
) -> MessageOutcome:
    """A PACS admin has mended the cause: do what a kept message says, now.

    `device` may be narrowed to the institution that the admin chose; `sure` says that a contradicting patient is a
    correction. What was set aside for the message is settled if it is processed now.

    Raises
    ------
    Conflict
        ``nothing_to_replay`` if the message was processed before.
    """
    by.require_scope("admin")
    by.require("PACS admin")
    message = session.scalar(select(Message).where(Message.id == message_id, Message.direction == "in"))
    if message is None or message.device_id != device.id:
        raise NotFound("no_such_message")
    if message.outcome not in ("set aside", "refused"):
        raise Conflict("nothing_to_replay")
    waiting = session.scalars(
        select(SetAside).where(SetAside.message_id == message.id, SetAside.state == "waiting")
    ).all()
    message.outcome, message.reason, message.params = "processed", "", {}
    outcome = _do(session, device, message, content, now, sure=sure)
    session.flush()
    for row in waiting:  # what still hinders has made a row of its own
        move(session, "set aside", row, "settle", by, now, "replayed")
    audit.note(
        session, by, "message replayed", now, thing="message", thing_id=message.id, detail={"outcome": message.outcome}
    )
    return outcome


def _do(
    session: Session,
    device: KnownDevice,
    message: Message,
    content: OrderMessage | PatientMessage | HurenError,
    now: datetime,
    *,
    sure: bool = False,
) -> MessageOutcome:
    if isinstance(content, HurenError):
        code = "AR" if content.code in ("message_type_unsupported", "version_unsupported") else "AE"
        return _refused(message, code, content.code, content.params)
    institution = _institution(session, device, content)
    if institution is None:
        return _set_aside(session, message, "institution_unclear", {}, now)
    message.institution_id = institution.id
    facts = patients.with_scope(session, content.patient, institution, device.institutions)
    if isinstance(content, PatientMessage):
        return _take_patient(session, device, message, institution, facts, content, now, sure)
    return _take_orders(session, device, message, institution, facts, content, now, sure)


def record_answer(session: Session, message_id: str, answer: bytes, code: str) -> None:
    """Keep the bytes that the sender is answered with, in the same transaction as the work."""
    message = session.scalar(select(Message).where(Message.id == message_id))
    if message is not None:
        message.answer = answer
        message.answer_code = code


def kept(session: Session, by: Actor, message_id: str) -> tuple[bytes, KnownDevice]:
    """The bytes of a kept message and the device that sent it, for `take_again`.

    Raises
    ------
    NotFound
        ``no_such_message``, or nobody knows the sender.
    """
    by.require_scope("admin")
    by.require("PACS admin")
    message = session.scalar(select(Message).where(Message.id == message_id, Message.direction == "in"))
    device = session.get(Device, message.device_id) if message is not None and message.device_id else None
    if message is None or device is None:
        raise NotFound("no_such_message")
    return message.raw, known(session, device)


def keep_unreadable(
    session: Session,
    device: KnownDevice | None,
    caller: Caller,
    raw: bytes,
    reason: str,
    params: dict[str, Any],
    answer: bytes,
    code: str,
    now: datetime,
) -> None:
    """Keep a frame that is no message, or comes from a stranger, and show it to the admin."""
    message = Message(
        id=new_id(),
        direction="in",
        device_id=device.id if device else None,
        address=caller.address,
        raw=raw,
        answer=answer,
        answer_code=code,
        outcome="refused",
        reason=reason,
        params=params,
        at=now,
    )
    session.add(message)


def _take_patient(
    session: Session,
    device: KnownDevice,
    message: Message,
    institution: Institution,
    facts: Any,
    content: PatientMessage,
    now: datetime,
    sure: bool,
) -> MessageOutcome:
    by = device_actor(device.id, device.name, device.institutions)
    try:
        with session.begin_nested():
            _patient, applied = patients.hear(session, facts, content.event_at, by, institution, now, sure=sure)
    except Refused as error:
        if error.code == "patient_contradicts":  # a correction, or another person under this number: somebody looks
            return _set_aside(session, message, error.code, {}, now)
        return _refused(message, "AE", error.code, error.params)
    if not applied:
        message.flags = [*message.flags, "older_than_known"]
    return MessageOutcome(message.id, "AA")


def _take_orders(
    session: Session,
    device: KnownDevice,
    message: Message,
    institution: Institution,
    facts: Any,
    content: OrderMessage,
    now: datetime,
    sure: bool,
) -> MessageOutcome:
    from worklist.actions import linking

    answers = tuple(
        orders.take_request(session, device, institution, facts, request, now, sure=sure) for request in content.orders
    )
    session.flush()
    for answer in answers:
        if not answer.accession_number:
            continue
        order = session.scalar(select(Order).where(Order.accession_number == answer.accession_number))
        if order is None:
            continue
        message.order_id = message.order_id or order.id
        if answer.waiting:
            _aside(session, message, "procedure_not_mapped", {"code": answer.request.procedure_code}, now)
            message.outcome, message.reason = "set aside", "procedure_not_mapped"
        elif answer.request.control in ("NW", "XO"):
            linking.try_waiting_studies(session, order, now)
    refused = next((a for a in answers if not a.accepted), None)
    if refused is not None:
        message.outcome, message.reason = "refused", refused.reason
        return MessageOutcome(message.id, "AE", refused.reason, answers=answers)
    return MessageOutcome(message.id, "AA", answers=answers)


def _institution(session: Session, device: KnownDevice, content: OrderMessage | PatientMessage) -> Institution | None:
    """The institution that the message speaks for, inside the device's list; None where it is not clear."""
    if len(device.institutions) == 1:
        return session.get(Institution, device.institutions[0])
    code = content.facility_fields.get(device.institution_field, "")
    if not code:
        return None
    return session.scalar(select(Institution).where(Institution.code == code, Institution.id.in_(device.institutions)))


def _refused(message: Message, code: str, reason: str, params: dict[str, Any] | None = None) -> MessageOutcome:
    message.outcome, message.reason, message.params = "refused", reason, {k: str(v) for k, v in (params or {}).items()}
    return MessageOutcome(message.id, code, reason, message.params)


def _set_aside(
    session: Session, message: Message, reason: str, params: dict[str, Any], now: datetime
) -> MessageOutcome:
    """Kept, shown, and ours from now on: the sender gets AA."""
    message.outcome, message.reason, message.params = "set aside", reason, params
    _aside(session, message, reason, params, now)
    return MessageOutcome(message.id, "AA", reason, params)


def _aside(session: Session, message: Message, reason: str, params: dict[str, Any], now: datetime) -> None:
    row = SetAside(
        kind="message",
        device_id=message.device_id,
        institution_id=message.institution_id,
        message_id=message.id,
        reason=reason,
        params=params,
        at=now,
    )
    begin(session, "set aside", row, "set aside", HUREN, now, reason)
