"""Messages that were set aside or refused, taken once more after a person has mended the cause."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import message_work
from worklist.actions.devices import known
from worklist.actions.message_work import Content, MessageOutcome
from worklist.errors import Conflict, NotFound
from worklist.facts import Finding, KnownDevice, OrderMessage
from worklist.moves import move
from worklist.people import Actor
from worklist.tables import Device, Message, SetAside

OF_THE_ARRIVAL: Final = "control_id_reused"
"""A flag that says how the message came, and not how it reads."""


def kept(session: Session, by: Actor, message_id: str) -> tuple[bytes, KnownDevice, str]:
    """The bytes of a kept message, the device that sent it and the door it came in by, for `take_again`.

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
    return message.raw, known(session, device), message.door


def take_again(
    session: Session,
    by: Actor,
    message_id: str,
    device: KnownDevice,
    content: Content,
    now: datetime,
    *,
    sure: bool = False,
    flags: tuple[str, ...] = (),
    findings: tuple[Finding, ...] = (),
) -> MessageOutcome:
    """A PACS admin has mended the cause: do what a kept message says, now.

    `device` may be narrowed to the institution that the admin chose; `sure` says that a contradicting patient is a
    correction; `flags` and `findings` are what was noticed while it was read this time. What was set aside for the
    message is settled if it hinders no more; else it goes on waiting, and the try is on record.

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
    message.flags = [*flags, *(flag for flag in message.flags if flag == OF_THE_ARRIVAL)]
    message.findings = [asdict(finding) for finding in findings]
    outcome = message_work.do(session, device, message, content, now, sure=sure, came_at=message.at)
    session.flush()
    for row in waiting:
        if not _hinders(row, message, content, outcome):
            move(session, "set aside", row, "settle", by, now, "replayed")
    audit.note(
        session,
        by,
        "message replayed",
        now,
        thing="message",
        thing_id=message.id,
        detail={"outcome": message.outcome, "reason": message.reason},
    )
    return outcome


def _hinders(row: SetAside, message: Message, content: Content, outcome: MessageOutcome) -> bool:
    """Whether what waited before the message was done again waits still."""
    if message.outcome == "refused" or (row.reason, row.params) == (message.reason, message.params):
        return True
    asked = content.orders if isinstance(content, OrderMessage) else ()
    unmapped = {order.procedure_code for order, answer in zip(asked, outcome.answers, strict=False) if answer.waiting}
    return row.reason == "procedure_not_mapped" and row.params.get("code") in unmapped


def record_answer(session: Session, message_id: str, answer: bytes, code: str) -> None:
    """Keep the bytes that the sender is answered with, in the same transaction as the work."""
    message = session.scalar(select(Message).where(Message.id == message_id))
    if message is not None:
        message.answer = answer
        message.answer_code = code
