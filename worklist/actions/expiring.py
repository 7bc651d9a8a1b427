"""Orders that nobody performs are closed: a worklist full of people who never came is read wrongly.

A daily job looks through the open orders of each institution, in batches; `Institution.order_days` says how long it
waits. What was closed is on record like any move, and its HIS is told as of any cancellation.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.database import take_turn
from worklist.moves import move
from worklist.people import HUREN
from worklist.tables import (
    Institution,
    Order,
    OutboxRow,
    ProcedureStepStudy,
    Study,
    StudyOrder,
    Transition,
)

JOB: Final = "expire_orders"
EVERY: Final = timedelta(days=1)
BATCH: Final = 50  # orders in one transaction: others write meanwhile
NOTE: Final = "order_expired"
"""Why an order was closed, as its page and its story say it."""


def has_expired(order: Order) -> bool:
    """Whether the order was closed here, and nobody has cancelled it since."""
    return order.state == "cancelled" and order.note == NOTE


def expire_orders(session: Session, now: datetime) -> bool:
    """Close up to `BATCH` orders for which nobody came; returns whether there may be more.

    An order is closed when its scheduled day (a walk-in's: the day on which it was placed) lies more than the
    institution's `order_days` back, and as long it was neither moved nor changed, and no image and no procedure step
    has come for it, not even one that waits in the unmatched bin.
    """
    left = BATCH
    for place in session.execute(
        select(Institution.id, Institution.order_days, Institution.timezone).order_by(Institution.id)
    ).all():
        since = now - timedelta(days=place.order_days)
        for order in _stale(session, place.id, since, f"{since.astimezone(ZoneInfo(place.timezone)):%Y%m%d}", left):
            move(session, "order", order, "expire", HUREN, now, NOTE)
            order.note = NOTE
            audit.note(
                session,
                HUREN,
                "order expired",
                now,
                thing="order",
                thing_id=order.id,
                institution_id=order.institution_id,
                patient_id=order.patient_id,
            )
            left -= 1
        if not left:
            return True
    return False


def plan(session: Session, now: datetime) -> None:
    """See to it that the job runs again: at once where it is not planned at all, as at the first start."""
    take_turn(session, JOB)  # several processes may start together
    open_rows = select(OutboxRow.stage).where(OutboxRow.kind == JOB, OutboxRow.stage != "done")
    stages = session.scalars(open_rows).all()
    if not stages:
        outbox.put(session, JOB, JOB, now)


def plan_next(session: Session, now: datetime) -> None:
    """Called by the job at its end: it runs again a day later, as a new row, so that failures are counted anew."""
    later = select(OutboxRow.seq).where(OutboxRow.kind == JOB, OutboxRow.stage == "due", OutboxRow.due_at > now)
    if session.scalar(later.limit(1)) is None:  # else this is a second run of the same row
        outbox.put(session, JOB, JOB, now + EVERY)


def _stale(session: Session, institution_id: str, since: datetime, day: str, limit: int) -> list[Order]:
    """Orders of an institution that were scheduled before `day` (DA, local) and untouched since `since` (UTC)."""
    since = since.astimezone(UTC)
    linked = exists().where(StudyOrder.order_id == Order.id)
    waiting = exists().where(  # in the unmatched bin, under the order's own UID
        Study.study_instance_uid == Order.study_instance_uid,
        Study.institution_id == Order.institution_id,
        Study.link.in_(("unlinked", "unmatched")),
    )
    begun = exists().where(ProcedureStepStudy.study_instance_uid == Order.study_instance_uid)
    moved = exists().where(Transition.machine == "order", Transition.thing_id == Order.id, Transition.at >= since)
    return list(
        session.scalars(
            select(Order)
            .where(
                Order.institution_id == institution_id,
                Order.state.in_(("placed", "scheduled")),
                or_(and_(Order.scheduled_date > "", Order.scheduled_date < day), Order.scheduled_date == ""),
                Order.placed_at < since,
                or_(Order.told_at.is_(None), Order.told_at < since),
                ~linked,
                ~waiting,
                ~begun,
                ~moved,
            )
            .order_by(Order.scheduled_date, Order.id)
            .limit(limit)
        ).unique()
    )
