"""Who works on a case now, for a page that stays open, and for the window that shows the case's images."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries.reading_rows import rows
from worklist.queries.views import ReadingRow
from worklist.tables import AuditRow, Reading, User


@dataclass(frozen=True)
class Lease:
    """A case's lease as the actor's page needs it."""

    row: ReadingRow
    mine: bool  # held by the actor, or last held by them and taken by nobody since
    has_ended: bool  # the time is over; the words may still be saved while nobody takes the case
    ends_at: datetime | None
    taken_by: str = ""  # who took it over from the actor, by force
    taken_at: datetime | None = None
    taken_why: str = ""


def of_case(session: Session, by: Actor, reading_id: str, now: datetime) -> Lease:
    """The lease of a case of the actor's centers.

    Raises
    ------
    NotFound
        ``no_such_reading``.
    """
    reading = session.scalar(select(Reading).where(Reading.id == reading_id, Reading.center_id.in_(by.centers())))
    if reading is None:
        raise NotFound("no_such_reading")
    line = rows(session, [reading.id], now)[0]
    mine = reading.holder_id == by.id
    has_ended = mine and reading.held_until is not None and reading.held_until <= now
    if mine:
        return Lease(line, True, has_ended, reading.held_until)
    taken = session.execute(
        select(AuditRow.at, AuditRow.why, AuditRow.detail, User.name)
        .join(User, User.id == AuditRow.actor_id)
        .where(AuditRow.thing_id == reading.id, AuditRow.action == "case taken over")
        .order_by(AuditRow.seq.desc())
        .limit(1)
    ).first()
    if taken is None or taken.detail.get("from") != by.id:
        return Lease(line, False, False, reading.held_until)
    return Lease(line, False, False, reading.held_until, taken.name, taken.at, taken.why)
