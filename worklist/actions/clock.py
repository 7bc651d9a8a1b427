"""The server's clock jumped: what waits for a time is moved with it, so that nothing comes due too early or too late.

Facts keep the times that were written. A lease, a session or a limit of a critical result that was running has as many
minutes left as before; order among jobs is by row, never by clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, and_, bindparam, func, select, true, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from worklist import audit
from worklist.actions import notices
from worklist.database import take_turn
from worklist.people import HUREN
from worklist.tables import CriticalResult, Installation, OutboxRow, Reading, Study, User, WebSession
from worklist.tables.base import Base, UtcDateTime, table_of

NAME: Final = "clock"
PAGE: Final = "/admin/deliveries"
TOLERATED: Final = timedelta(seconds=30)  # less is drift, or a machine that was busy
EVERY: Final = timedelta(seconds=20)  # between two notes of the time

_IS_OPEN: Final = OutboxRow.stage.in_(("due", "offered", "leased"))
_SHORT, _LONG = timedelta(minutes=2), timedelta(hours=1)
_RUNNING: Final[tuple[tuple[InstrumentedAttribute[Any], ColumnElement[bool], timedelta], ...]] = (
    (OutboxRow.due_at, _IS_OPEN, _SHORT),
    (OutboxRow.leased_until, _IS_OPEN, _SHORT),
    (Reading.held_until, true(), timedelta()),
    (Study.last_at, Study.arrival == "arriving", _SHORT),
    (CriticalResult.escalate_at, CriticalResult.closed_at.is_(None), _LONG),
    (WebSession.seen_at, true(), timedelta()),
    (WebSession.expires_at, true(), timedelta()),
    (User.locked_until, true(), timedelta()),
)
"""What is moved, and how far ahead of a clock that was just set back it may be written by that clock already: a lease,
a job that is due, a limit. Set back, the clock is believed a second before everything is moved."""


def follow(session: Session, now: datetime, jumped: timedelta = timedelta(), said: datetime | None = None) -> timedelta:
    """Note that it is `now` (aware UTC), and move what waits where the clock jumped; returns by how much.

    `jumped` is what the caller saw: how much further than a steady clock the time of day went since its last look. A
    clock that is behind the last note jumped back, whoever saw it. Several processes may look at once: the first one
    to see a jump moves, and the others find it done. `said` is what `database_clock` says: where it says otherwise, the
    caller's machine is wrong by itself, and neither noted nor followed.
    """
    if said is not None and abs(said - now) > TOLERATED:
        return timedelta()
    take_turn(session, NAME)
    session.expire_all()
    last = noted(session)
    session.merge(Installation(name=NAME, value=now.isoformat()))
    by = _by(last, now, jumped) if last is not None else timedelta()
    if not by:
        return by
    for column, condition, ahead in _RUNNING:
        if ahead and by < timedelta():  # the old present was `now - by`: well before it nothing was waiting
            condition = and_(condition, column > now + min(ahead, -by / 2))
        _move(session, column, condition, by)
    audit.note(session, HUREN, "clock jumped", now, detail={"seconds": round(by.total_seconds())})
    notices.tell(session, notices.holders_of(session, ("PACS admin",)), "clock jumped", {}, PAGE, now)
    return by


def is_to_note(session: Session, now: datetime) -> bool:
    """Whether the last note is old."""
    last = noted(session)
    return last is None or now >= last + EVERY


def database_clock(session: Session) -> datetime | None:
    """The time of day (aware UTC) of the database's machine; None where the database is a file on ours."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    return session.scalar(select(func.clock_timestamp(type_=UtcDateTime())))


def noted(session: Session) -> datetime | None:
    """The last time that was noted (aware UTC); None before the first."""
    held = session.get(Installation, NAME)
    return datetime.fromisoformat(held.value) if held is not None else None


def _move(session: Session, column: InstrumentedAttribute[Any], condition: ColumnElement[bool], by: timedelta) -> None:
    table = table_of(cast(type[Base], column.class_))
    (key,) = table.primary_key
    rows = session.execute(select(key, column).where(column.is_not(None), condition)).all()
    if rows:
        at = bindparam("at", type_=UtcDateTime())
        change = update(table).where(key == bindparam("row")).values({column.key: at})
        session.connection().execute(change, [{"row": id, "at": value + by} for id, value in rows])


def _by(last: datetime, now: datetime, jumped: timedelta) -> timedelta:
    if now < last - TOLERATED:
        return jumped if jumped < -TOLERATED else now - last
    return jumped if jumped > TOLERATED and now - last >= jumped else timedelta()
