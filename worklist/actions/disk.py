"""The disk of the images fills up: the PACS admins are told once for each mark that is crossed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from worklist.actions import notices
from worklist.database import take_turn
from worklist.rules.disk import STATES, state_of
from worklist.tables import Installation

NAME: Final = "disk"
PAGE: Final = "/admin/deliveries"
KINDS: Final = {"low": "disk low", "full": "disk full"}


def disk_now(session: Session) -> tuple[str, datetime | None]:
    """What is on record of the disk (`rules.disk.STATES`), and since when (aware UTC)."""
    held = session.get(Installation, NAME)
    if held is None:
        return STATES[0], None
    state, _, since = held.value.partition(" ")
    return state, datetime.fromisoformat(since)


def note_disk(session: Session, free: int, warning: int, reserve: int, now: datetime) -> str:
    """Put on record how much room there is (all in bytes), and tell the PACS admins where it has become worse; what
    they were told before is settled. Returns the state. Several processes may look at the same time."""
    before, _since = disk_now(session)
    if state_of(free, warning, reserve, before) == before:
        return before
    take_turn(session, NAME)
    session.expire_all()
    before, _since = disk_now(session)
    state = state_of(free, warning, reserve, before)
    if state == before:
        return state
    session.merge(Installation(name=NAME, value=f"{state} {now.isoformat()}"))
    notices.settle(session, PAGE, KINDS.values(), now)
    if STATES.index(state) > STATES.index(before):
        notices.tell(session, notices.holders_of(session, ("PACS admin",)), KINDS[state], {}, PAGE, now)
    return state
