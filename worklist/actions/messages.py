"""Taking HL7 messages, and Bundles of results: kept with their answer, and done in the same transaction.

The key of a message is (sending application, sending facility, control id). The same key with the same bytes,
MSH-7 aside, is answered as before. The same key with other bytes is processed and flagged, since some senders put
a constant into MSH-10; a strict sender is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, bindparam, insert, select, update
from sqlalchemy.orm import Session

from worklist.actions import message_work, unchanged
from worklist.actions.message_work import Content, MessageOutcome
from worklist.facts import (
    Caller,
    Finding,
    KnownDevice,
    MessageHeader,
    PatientMessage,
)
from worklist.prepared import Prepared
from worklist.tables import Device, Message, new_id
from worklist.tables.base import table_of

SEEN_EVERY: Final = timedelta(seconds=30)
"""How exactly a device's last contact is known."""


# Statements of every message are made once: to make one takes ten times as long as to run it.
_DEVICE = table_of(Device)
_MESSAGE = table_of(Message)
_ALONE: Final = select(_DEVICE.c.id).where(_DEVICE.c.id == bindparam("device")).with_for_update()
_SEEN: Final = Prepared(
    update(_DEVICE).where(_DEVICE.c.id == bindparam("device")).values(last_seen_at=bindparam("now"))
)
_SAME_KEY: Final = Prepared(
    select(_DEVICE.c.last_seen_at, _MESSAGE.c.id, _MESSAGE.c.fingerprint, _MESSAGE.c.answer, _MESSAGE.c.answer_code)
    .outerjoin(
        _MESSAGE,
        and_(
            _MESSAGE.c.sending_application == bindparam("application"),
            _MESSAGE.c.sending_facility == bindparam("facility"),
            _MESSAGE.c.control_id == bindparam("control"),
            _MESSAGE.c.control_id != "",
            _MESSAGE.c.direction == "in",
            _MESSAGE.c.device_id == _DEVICE.c.id,
        ),
    )
    .where(_DEVICE.c.id == bindparam("device"))
    .order_by(_MESSAGE.c.seq.desc())
    .limit(50)
)
_KEEP: Final = Prepared(insert(_MESSAGE).inline(), [column.name for column in _MESSAGE.c if column.name != "seq"])
_BLANK: Final[dict[str, Any]] = {
    "direction": "in",
    "endpoint_id": None,
    "institution_id": None,
    "outcome": "processed",
    "reason": "",
    "params": {},
    "order_id": None,
    "patient_id": None,
    "delivery_id": None,
}


@dataclass(frozen=True)
class Received:
    """A message as its door took it in. `flags` and `findings` are what was noticed while reading it."""

    raw: bytes
    fingerprint: str
    header: MessageHeader
    content: Content
    flags: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def take_message(
    session: Session,
    device: KnownDevice,
    caller: Caller,
    received: Received,
    now: datetime,
    answered: Callable[[MessageOutcome], bytes],
) -> tuple[MessageOutcome, bytes]:
    """Keep a message, do what it says, and keep the answer that `answered` makes of the outcome.

    Returns the outcome and the answer's bytes, which may be given out once the transaction is durable.
    """
    header = received.header
    same_key = _same_key(session, device, header, now)
    for held in same_key:
        if held.fingerprint == received.fingerprint and held.answer:
            outcome = MessageOutcome(held.id, held.answer_code, stored_answer=held.answer, duplicate=True)
            return outcome, held.answer
    values: dict[str, Any] = _BLANK | {
        "id": new_id(),
        "door": caller.door,
        "device_id": device.id,
        "address": caller.address,
        "sending_application": header.sending_application,
        "sending_facility": header.sending_facility,
        "control_id": header.control_id,
        "kind": f"{header.message_code}^{header.trigger_event}",
        "fingerprint": received.fingerprint,
        "raw": received.raw,
        "flags": [*received.flags, *(["control_id_reused"] if same_key else [])],
        "findings": [asdict(finding) for finding in received.findings],
        "at": now,
    }
    done = _if_unchanged(session, device, values, received.content, now) if not same_key else None
    if done is not None:
        outcome = done
    else:
        message = Message(**values)
        if same_key and device.strict:
            outcome = message_work.refused(message, "AR", "control_id_reused")
        else:
            outcome = message_work.do(session, device, message, received.content, now)
        session.flush()  # what the message names comes before it
        values = {name: getattr(message, name) for name in values}
    values |= {"answer": answered(outcome), "answer_code": outcome.code}
    _KEEP.run(session, values)  # whole, in one statement
    return outcome, values["answer"]


def _same_key(session: Session, device: KnownDevice, header: MessageHeader, now: datetime) -> Sequence[Any]:
    """Messages of the device under this key, the newest first; and note that the device was here.

    One message of a device after the other: one sender may bring the same bytes over two connections at once, and the
    second gets the stored answer. SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_ALONE, {"device": device.id})
    key = {
        "device": device.id,
        "application": header.sending_application,
        "facility": header.sending_facility,
        "control": header.control_id,
    }
    found = _SAME_KEY.rows(session, key)
    if found and (found[0].last_seen_at is None or now - found[0].last_seen_at > SEEN_EVERY):
        _SEEN.run(session, {"device": device.id, "now": now})
    return [row for row in found if row.id is not None]


def _if_unchanged(
    session: Session, device: KnownDevice, values: dict[str, Any], content: Content, now: datetime
) -> MessageOutcome | None:
    """Most news of patients says nothing new and is done with at once; None for all else."""
    if not isinstance(content, tuple) or len(content) != 1 or not isinstance(content[0], PatientMessage):
        return None
    found = unchanged.take(session, device, content[0], now)
    if found is None:
        return None
    values |= {"institution_id": found.institution_id, "patient_id": found.patient_id}
    return MessageOutcome(values["id"], "AA")


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
