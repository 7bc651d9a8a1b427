"""Giving cases to readers by hand: the manager's way to spread work, with a reason on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from worklist.actions import notices, readings
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor
from worklist.queries import rota
from worklist.tables import Reading, User, UserRole

MOST: Final = 200  # cases of one go
LONGEST_REASON: Final = 500
WAITING: Final = ("unread", "drafted", "in review")


@dataclass(frozen=True)
class Assigned:
    """What became of the cases: those that changed hands, and why each of the others did not."""

    done: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]  # (reading id, code)


def assign(
    session: Session,
    by: Actor,
    reading_ids: Sequence[str],
    user_id: str | None,
    why: str,
    now: datetime,
    *,
    take_over: bool = False,
) -> Assigned:
    """Give cases to a reader of their center, or to nobody (None). The words that were written stay.

    A case that somebody else is working on is left to them, unless the lease is taken over as well; that is recorded
    as such. What one case cannot do does not hold up the others.

    Raises
    ------
    NotFound
        ``no_such_reading``: one of them is not in a center that the actor manages.
    BadInput
        ``reason_missing``, ``nothing_chosen``, ``too_many_chosen``, ``not_a_reader_here``.
    Conflict
        ``reader_is_absent``.
    """
    by.require_scope("report")
    ids = list(dict.fromkeys(reading_ids))
    if not ids:
        raise BadInput("nothing_chosen")
    if len(ids) > MOST:
        raise BadInput("too_many_chosen", most=MOST)
    if not why.strip():
        raise BadInput("reason_missing")
    if len(why) > LONGEST_REASON or "\x00" in why:
        raise BadInput("field_wrong", field="reason")
    found = session.scalars(
        select(Reading).where(Reading.id.in_(ids), Reading.center_id.in_(by.centers("manager"))).order_by(Reading.id)
    ).unique()
    cases = {reading.id: reading for reading in found}
    if len(cases) != len(ids):
        raise NotFound("no_such_reading")
    roles = _roles(session, user_id) if user_id else {}
    if user_id and not any(reading.center_id in roles for reading in cases.values()):
        raise BadInput("not_a_reader_here")
    if user_id and rota.is_absent(session, user_id, now):
        raise Conflict("reader_is_absent")
    done, refused = [], []
    for id in ids:
        code = _assign_one(session, by, cases[id], user_id, roles, why.strip(), now, take_over)
        if code:
            refused.append((id, code))
        else:
            done.append(id)
    return Assigned(tuple(done), tuple(refused))


def _assign_one(
    session: Session,
    by: Actor,
    reading: Reading,
    user_id: str | None,
    roles: dict[str, set[str]],
    why: str,
    now: datetime,
    take_over: bool,
) -> str:
    """Give one case away; the code of why not, or ``""``."""
    if reading.state not in WAITING:
        return "nothing_to_read"
    if user_id is not None:
        here = roles.get(reading.center_id, set())
        if not here:
            return "not_a_reader_here"
        if reading.state == "in review" and "senior reader" not in here:
            return "reviewer_needed"
    before, holder = reading.assigned_id, reading.holder_id
    held = holder is not None and holder != user_id and reading.held_until is not None and reading.held_until > now
    values: dict[str, object] = {"assigned_id": user_id}
    guard = or_(Reading.holder_id.is_(None), Reading.held_until <= now, Reading.holder_id == user_id)
    if held and take_over:
        values |= {"holder_id": None, "held_until": None}
        guard = Reading.holder_id == holder
    taken = session.execute(
        update(Reading)
        .where(Reading.id == reading.id, Reading.state == reading.state, guard)
        .values(**values)
        .returning(Reading.id)
        .execution_options(synchronize_session=False)
    ).first()
    if taken is None:
        return "held_by_another"
    session.refresh(reading, ["assigned_id", "holder_id", "held_until"])
    if held and take_over:
        readings.note(session, by, "case taken over", reading, now, why, {"from": holder})
    action = "case assigned" if user_id else "case freed"
    readings.note(session, by, action, reading, now, why, {"from": before, "to": user_id})
    says, page = notices.of_case(session, reading, by), readings.case_page(reading)
    if user_id != by.id and user_id != before:
        notices.tell(session, [user_id], "case assigned", says, page, now)
    if held and take_over and holder != by.id:
        notices.tell(session, [holder], "case taken over", says, page, now)
    return ""


def _roles(session: Session, user_id: str) -> dict[str, set[str]]:
    """In which centers somebody reads, and as what."""
    rows = session.execute(
        select(UserRole.center_id, UserRole.role)
        .join(User, User.id == UserRole.user_id)
        .where(UserRole.user_id == user_id, UserRole.role.in_(readings.READERS), User.enabled)
    )
    found: dict[str, set[str]] = {}
    for center_id, role in rows:
        found.setdefault(center_id, set()).add(role)
    return found
