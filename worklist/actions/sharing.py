"""Results are opened to somebody without an account: by a link that the township gives, or by the patient's look-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions.verifying import ANYBODY
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor, digest
from worklist.queries import scope
from worklist.tables import AuditRow, Order, Share
from worklist.tables.base import new_id

LONGEST: Final = 100  # of whom it is for
DAYS: Final = (1, 7, 30)
"""How long a link may work; a person chooses."""
LOOK_UP: Final = timedelta(hours=2)
"""How long a look-up holds: the patient can look up again."""
MOST_OPEN: Final = 20  # links of one order at a time


def share(
    session: Session,
    by: Actor,
    order_id: str,
    holder: str,
    days: int,
    secret_of: Callable[[str], str],
    now: datetime,
) -> str:
    """Open an order's results for `days` by a link; `holder` says for whom, empty: the patient. Returns the share.

    `secret_of` makes the link's secret from the share's id; only its digest is kept.

    Raises
    ------
    Forbidden
        ``role_needed``.
    NotFound
        ``no_such_order``, which may be another institution's.
    BadInput
        ``field_wrong``.
    Conflict
        ``too_many_shares``.
    """
    order = _own_order(session, by, order_id)
    holder = holder.strip()
    if len(holder) > LONGEST or not holder.isprintable():
        raise BadInput("field_wrong", field="holder")
    if days not in DAYS:
        raise BadInput("field_wrong", field="days")
    going = select(Share.id).where(Share.order_id == order.id, Share.ended_at.is_(None), Share.until > now)
    if len(session.scalars(going.where(Share.made_by_id.is_not(None))).all()) >= MOST_OPEN:
        raise Conflict("too_many_shares", most=MOST_OPEN)
    row = _open(session, order, by.id, holder, now + timedelta(days=days), secret_of, now)
    _note(session, by, "results shared", order, row.id, now, {"days": days, "order": order.id}, why=holder)
    return row.id


def look_up(session: Session, order_id: str, address: str, secret_of: Callable[[str], str], now: datetime) -> str:
    """The patient showed a number of theirs and the code on the slip: open this order's results for a while."""
    order = session.get_one(Order, order_id)
    row = _open(session, order, None, "", now + LOOK_UP, secret_of, now)
    _note(session, replace(ANYBODY, address=address), "results looked up", order, row.id, now, {"order": order.id})
    return row.id


def end(session: Session, by: Actor, share_id: str, now: datetime) -> None:
    """Close a share before its time; one that is over stays so.

    Raises
    ------
    Forbidden, NotFound
        as `share`; ``no_such_share``.
    """
    row = session.get(Share, share_id, with_for_update=True)
    if row is None:
        raise NotFound("no_such_share")
    order = _own_order(session, by, row.order_id)
    if row.ended_at is None and now < row.until:
        row.ended_at = now
        _note(session, by, "sharing ended", order, row.id, now, {"order": order.id})


def note_look(session: Session, by: Actor, action: str, now: datetime) -> None:
    """Record that a guest looked; once in ten minutes from the same address."""
    order = session.get_one(Order, by.shared_order)
    newest = session.scalar(
        select(AuditRow.at)
        .where(AuditRow.thing_id == by.share, AuditRow.action == action, AuditRow.address == by.address)
        .order_by(AuditRow.seq.desc())
        .limit(1)
    )
    if newest is None or not timedelta() <= now - newest < audit.LOOK_AGAIN:
        _note(session, by, action, order, by.share, now, {"order": order.id})


def _own_order(session: Session, by: Actor, order_id: str) -> Order:
    by.require_scope("order")
    by.require("technician", "doctor")
    order = session.scalar(select(Order).where(Order.id == order_id, scope.orders(by)))
    if order is None or order.institution_id != by.institution_id:
        raise NotFound("no_such_order")
    return order


def _open(
    session: Session,
    order: Order,
    made_by: str | None,
    holder: str,
    until: datetime,
    secret_of: Callable[[str], str],
    now: datetime,
) -> Share:
    id = new_id()
    row = Share(
        id=id,
        order_id=order.id,
        token_hash=digest(secret_of(id)),
        made_by_id=made_by,
        holder=holder,
        made_at=now,
        until=until,
    )
    session.add(row)
    session.flush()
    return row


def _note(
    session: Session,
    by: Actor,
    action: str,
    order: Order,
    share_id: str,
    now: datetime,
    detail: dict[str, Any],
    why: str = "",
) -> None:
    audit.note(
        session,
        by,
        action,
        now,
        thing="share",
        thing_id=share_id,
        institution_id=order.institution_id,
        patient_id=order.patient_id,
        why=why,
        detail=detail,
    )
