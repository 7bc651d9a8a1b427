"""The rota of a center: who is on which duty and when, and who is away. Kept by its manager, or the PACS admin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions.calendars import managed
from worklist.errors import BadInput, NotFound
from worklist.people import Actor
from worklist.rules.rota import DUTIES, LONGEST_SHIFT
from worklist.tables import Absence, Shift, User, UserRole

LONGEST_NOTE: Final = 200
LONGEST_ABSENCE: Final = timedelta(days=400)
READS: Final = ("reader", "senior reader")


def add_shift(
    session: Session,
    by: Actor,
    center_id: str,
    user_id: str,
    duty: str,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    *,
    note: str = "",
) -> Shift:
    """Put a reader of the center on a duty from `starts_at` to `ends_at` (aware). Clashes are shown, not refused.

    Raises
    ------
    NotFound, Forbidden
        ``no_such_center``; not the actor's to keep.
    BadInput
        ``not_a_reader_here``, ``duty_unknown``, ``times_wrong``, ``shift_too_long``.
    """
    center = managed(session, by, center_id)
    if not is_reader_of(session, user_id, center.id):
        raise BadInput("not_a_reader_here")
    if duty not in DUTIES:
        raise BadInput("duty_unknown")
    _check(starts_at, ends_at, note)
    if ends_at - starts_at > LONGEST_SHIFT:
        raise BadInput("shift_too_long", most=LONGEST_SHIFT.days)
    shift = Shift(
        center_id=center.id,
        user_id=user_id,
        duty=duty,
        starts_at=starts_at,
        ends_at=ends_at,
        note=note.strip(),
        made_by=by.name,
    )
    session.add(shift)
    session.flush()
    audit.note_center(session, by, "shift added", center, now, _detail(shift))
    return shift


def remove_shift(session: Session, by: Actor, shift_id: str, now: datetime) -> str:
    """Take a shift off the rota; returns the center's id.

    Raises
    ------
    NotFound
        ``no_such_shift``, also where it is another center's.
    """
    shift = session.get(Shift, shift_id)
    if shift is None or not keeps(by, shift.center_id):
        raise NotFound("no_such_shift")
    center = managed(session, by, shift.center_id)
    session.delete(shift)
    session.flush()
    audit.note_center(session, by, "shift removed", center, now, _detail(shift))
    return center.id


def copy_week(session: Session, by: Actor, center_id: str, since: datetime, to: datetime, now: datetime) -> int:
    """Put the shifts that begin in the seven days from `since` into those from `to` (aware, local midnights).

    They keep their local times, whatever the clock does between the two weeks. What is there already is left, and so
    is who reads here no longer. Returns how many were added.
    """
    center = managed(session, by, center_id)
    zone = ZoneInfo(center.institution.timezone)
    days = to.astimezone(zone).date() - since.astimezone(zone).date()

    def moved(at: datetime) -> datetime:
        local = at.astimezone(zone).replace(tzinfo=None) + days
        return local.replace(tzinfo=zone).astimezone(at.tzinfo)

    until = (since.astimezone(zone).replace(tzinfo=None) + timedelta(days=7)).replace(tzinfo=zone)
    shifts = session.scalars(
        select(Shift)
        .where(Shift.center_id == center.id, Shift.starts_at >= since, Shift.starts_at < until)
        .order_by(Shift.starts_at, Shift.id)
    ).all()
    there = {
        (s.user_id, s.duty, s.starts_at, s.ends_at)
        for s in session.scalars(select(Shift).where(Shift.center_id == center.id, Shift.ends_at > to))
    }
    added = 0
    for shift in shifts:
        key = (shift.user_id, shift.duty, moved(shift.starts_at), moved(shift.ends_at))
        if key in there or key[2] >= key[3] or not is_reader_of(session, shift.user_id, center.id):
            continue
        user_id, duty, starts_at, ends_at = key
        session.add(
            Shift(
                center_id=center.id,
                user_id=user_id,
                duty=duty,
                starts_at=starts_at,
                ends_at=ends_at,
                note=shift.note,
                made_by=by.name,
            )
        )
        added += 1
    session.flush()
    if added:
        audit.note_center(
            session, by, "rota copied", center, now, {"added": added, "to": f"{to.astimezone(zone):%Y%m%d}"}
        )
    return added


def add_absence(
    session: Session,
    by: Actor,
    center_id: str,
    user_id: str,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    *,
    note: str = "",
) -> Absence:
    """Note that a reader of the center is away: on no duty and given no case, in any center.

    Raises
    ------
    NotFound, Forbidden, BadInput
        as for `add_shift`.
    """
    center = managed(session, by, center_id)
    if not is_reader_of(session, user_id, center.id):
        raise BadInput("not_a_reader_here")
    _check(starts_at, ends_at, note)
    if ends_at - starts_at > LONGEST_ABSENCE:
        raise BadInput("absence_too_long", most=LONGEST_ABSENCE.days)
    absence = Absence(user_id=user_id, starts_at=starts_at, ends_at=ends_at, note=note.strip(), made_by=by.name)
    session.add(absence)
    session.flush()
    audit.note_center(session, by, "absence added", center, now, {"user": user_id, "absence": absence.id})
    return absence


def remove_absence(session: Session, by: Actor, center_id: str, absence_id: str, now: datetime) -> None:
    """Take an absence back.

    Raises
    ------
    NotFound
        ``no_such_absence``, also where the person reads elsewhere.
    """
    center = managed(session, by, center_id)
    absence = session.get(Absence, absence_id)
    if absence is None or not is_reader_of(session, absence.user_id, center.id, enabled=False):
        raise NotFound("no_such_absence")
    session.delete(absence)
    session.flush()
    audit.note_center(session, by, "absence removed", center, now, {"user": absence.user_id, "absence": absence_id})


def keeps(by: Actor, center_id: str) -> bool:
    """Whether the actor keeps the rota of a center."""
    return by.is_system or by.has("PACS admin") or center_id in by.centers("manager")


def is_reader_of(session: Session, user_id: str, center_id: str, *, enabled: bool = True) -> bool:
    """Whether somebody reads in a center, and may sign in (unless that does not matter)."""
    query = select(UserRole.user_id).where(
        UserRole.user_id == user_id, UserRole.center_id == center_id, UserRole.role.in_(READS)
    )
    if enabled:
        query = query.join(User, User.id == UserRole.user_id).where(User.enabled)
    return session.scalar(query.limit(1)) is not None


def _check(starts_at: datetime, ends_at: datetime, note: str) -> None:
    if starts_at.tzinfo is None or ends_at.tzinfo is None or ends_at <= starts_at:
        raise BadInput("times_wrong")
    if len(note) > LONGEST_NOTE or "\x00" in note:
        raise BadInput("field_wrong", field="note")


def _detail(shift: Shift) -> dict[str, Any]:
    return {
        "user": shift.user_id,
        "duty": shift.duty,
        "from": shift.starts_at.isoformat(timespec="minutes"),
        "to": shift.ends_at.isoformat(timespec="minutes"),
    }
