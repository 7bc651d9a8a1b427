"""What managers ask about refusals of existing results, and what is replied: once, on record."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from worklist.actions import notices, recognising
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor
from worklist.tables import Institution, Order, Recognition


def challenge(session: Session, by: Actor, recognition_id: str, words: str, now: datetime) -> Recognition:
    """A manager asks about a refusal, on record, and whoever declined gets a notice. Asked again before there is a
    reply, the newer question stands.

    Raises
    ------
    Forbidden, NotFound
        ``role_needed``; ``no_such_recognition``.
    BadInput
        ``reason_missing``.
    Conflict
        ``not_a_refusal``; ``refusal_explained`` where there is a reply.
    """
    by.require_scope("admin")
    by.require("manager", "PACS admin")
    row = session.get(Recognition, recognition_id)
    if row is None:
        raise NotFound("no_such_recognition")
    if row.state != "declined":
        raise Conflict("not_a_refusal")
    if row.replied_at is not None:
        raise Conflict("refusal_explained")
    row.challenge, row.challenged_by, row.challenged_at = _words(words), by.shown or by.name, now
    row.challenged_by_id = None if by.is_system else by.id
    recognising.note_answer(session, by, "refusal challenged", row, now)
    notices.tell(session, [row.answered_by_id], "refusal questioned", _says(session, by, row), _page(row), now)
    return row


def reply(session: Session, by: Actor, recognition_id: str, words: str, now: datetime) -> Recognition:
    """Whoever declined, or a colleague of their institution, says to the manager's question why; once, on record.

    Raises
    ------
    Forbidden, NotFound
        ``role_needed``; ``no_such_recognition``.
    BadInput
        ``reason_missing``.
    Conflict
        ``nothing_asked`` where there is no question; ``refusal_explained`` where there is a reply.
    """
    row = recognising.own(session, by, recognition_id)
    if row.challenged_at is None:
        raise Conflict("nothing_asked")
    if row.replied_at is not None:
        raise Conflict("refusal_explained")
    row.reply, row.replied_by, row.replied_at = _words(words), by.shown or by.name, now
    recognising.note_answer(session, by, "refusal explained", row, now)
    notices.settle(session, _page(row), ["refusal questioned"], now)
    day = (
        (row.answered_at or now).astimezone(ZoneInfo(session.get_one(Institution, row.institution_id).timezone)).date()
    )
    there = f"/manager/recognition?period=own&from={day}&to={day}#refusals"
    notices.tell(session, [row.challenged_by_id], "refusal explained", _says(session, by, row), there, now)
    return row


def _words(words: str) -> str:
    words = words.strip()
    if not words:
        raise BadInput("reason_missing")
    if len(words) > recognising.LONGEST_WORDS or not words.replace("\n", " ").isprintable():
        raise BadInput("field_wrong", field="words")
    return words


def _page(row: Recognition) -> str:
    return f"/recognition/{row.id}"


def _says(session: Session, by: Actor, row: Recognition) -> dict[str, str]:
    order = session.get(Order, row.order_id) if row.order_id else None
    return {"accession_number": order.accession_number if order else "", "by": by.shown or by.name}
