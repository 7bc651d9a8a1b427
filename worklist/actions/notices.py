"""Notices: news for one person, shown in the page until it is read.

A notice names things (an accession number, a colleague), never patients: it may be seen over somebody's shoulder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist.actions import sendings
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.tables import Notice, Order, Reading, ReadingOrder, User, UserRole, new_id

KINDS: Final = (
    "critical",
    "critical verify",
    "critical answered",
    "case sent back",
    "words changed",
    "case taken over",
    "case returned",
    "images do not do",
    "return answered",
    "referral",
    "referral answered",
    "case assigned",
    "report changed",
    "refusal questioned",
    "refusal explained",
    "glass broken",
    "disk low",
    "disk full",
    "clock jumped",
)
CALLS: Final = ("critical", "critical verify")
"""Kinds that call for somebody: outside the page each step of the ladder calls again, read or not."""


def tell(
    session: Session,
    user_ids: Iterable[str | None],
    kind: str,
    params: Mapping[str, Any],
    address: str,
    now: datetime,
) -> int:
    """Give people a notice about the page at `address`; returns how many got one.

    Whoever has not read the same kind of notice about the same page yet gets no second one. What goes out of the house
    too is owed in the same transaction (`sendings`). Ids that are empty are
    passed over, so that a caller need not ask whether a case has a holder.
    """
    if kind not in KINDS:
        raise ValueError(kind)
    wanted = list(dict.fromkeys(id for id in user_ids if id))
    if not wanted:
        return 0
    unread = select(Notice).where(
        Notice.user_id.in_(wanted), Notice.kind == kind, Notice.address == address, Notice.read_at.is_(None)
    )
    have = {notice.user_id: notice for notice in session.scalars(unread)}
    new = [
        Notice(id=new_id(), user_id=id, kind=kind, params=dict(params), address=address, at=now)
        for id in wanted
        if id not in have
    ]
    session.add_all(new)
    sendings.owe(session, [*new, *have.values()] if kind in CALLS else new, now)
    return len(new)


def settle(session: Session, address: str, kinds: Iterable[str], now: datetime) -> None:
    """What these notices ask for is done: nobody needs to read them any more."""
    session.execute(
        update(Notice)
        .where(Notice.address == address, Notice.kind.in_(list(kinds)), Notice.read_at.is_(None))
        .values(read_at=now)
        .execution_options(synchronize_session=False)
    )


def read(session: Session, by: Actor, notice_id: str, now: datetime) -> str:
    """One's own notice is read; returns the address of the page that it is about.

    Raises
    ------
    NotFound
        ``no_such_notice``: not there, or another person's.
    """
    by.require_person()
    notice = session.get(Notice, notice_id)
    if notice is None or notice.user_id != by.id:
        raise NotFound("no_such_notice")
    if notice.read_at is None:
        notice.read_at = now
    return notice.address


def read_all(session: Session, by: Actor, now: datetime) -> None:
    """All of one's own notices so far are read."""
    by.require_person()
    session.execute(
        update(Notice)
        .where(Notice.user_id == by.id, Notice.read_at.is_(None), Notice.at <= now)
        .values(read_at=now)
        .execution_options(synchronize_session=False)
    )


def of_case(session: Session, reading: Reading, by: Actor | None = None) -> dict[str, str]:
    """What a notice about a case says: the accession number of its first order, and who did it."""
    number = session.scalar(
        select(Order.accession_number)
        .join(ReadingOrder, ReadingOrder.order_id == Order.id)
        .where(ReadingOrder.reading_id == reading.id)
        .order_by(Order.id)
        .limit(1)
    )
    return {"accession_number": number or "", "by": (by.shown or by.name) if by is not None else ""}


def home_staff(session: Session, institution_id: str, roles: tuple[str, ...] = ("technician", "doctor")) -> list[str]:
    """Ids of those who work with orders in an institution."""
    query = (
        select(User.id)
        .join(UserRole, UserRole.user_id == User.id)
        .where(User.institution_id == institution_id, UserRole.role.in_(roles), User.enabled)
        .order_by(User.id)
    )
    return list(dict.fromkeys(session.scalars(query)))


def holders_of(session: Session, roles: tuple[str, ...], center_id: str = "") -> list[str]:
    """Ids of those who have one of the roles; in a center, or (without one) anywhere."""
    query = select(User.id).join(UserRole, UserRole.user_id == User.id).where(UserRole.role.in_(roles), User.enabled)
    if center_id:
        query = query.where(UserRole.center_id == center_id)
    return list(dict.fromkeys(session.scalars(query.order_by(User.id))))
