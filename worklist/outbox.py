"""The outbox: work to do, written in the same transaction as the state that causes it.

``due → leased (by, until) → done``, back to due with a later time after a failure, or stuck until a person looks.
Each step is one guarded UPDATE, so any number of workers may claim side by side on either database. A lease that
runs out makes the row claimable again: every job must be safe to run twice.

Rows that share an `order_key` run one after the other in the order of writing; a stuck one holds back its
successors, and nobody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from worklist.tables import OutboxRow

LEASE: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Claimed:
    """A row that this worker may work on until its lease ends."""

    seq: int
    kind: str
    thing_id: str
    attempts: int


def put(session: Session, kind: str, thing_id: str, due_at: datetime, *, order_key: str = "") -> None:
    """Leave a job for later, in the caller's transaction."""
    session.add(OutboxRow(kind=kind, thing_id=thing_id, due_at=due_at, order_key=order_key, created_at=due_at))


def is_due(session: Session, now: datetime) -> bool:
    """Whether there may be something to claim; a cheap look that needs no writing transaction."""
    return session.scalar(_claimable(now).limit(1)) is not None


def claim(
    session: Session, worker: str, now: datetime, *, limit: int = 10, kinds: tuple[str, ...] = ()
) -> list[Claimed]:
    """Lease up to `limit` rows that are due, oldest due time first."""
    free = _free(now)
    query = _claimable(now).order_by(OutboxRow.due_at, OutboxRow.seq).limit(limit)
    if kinds:
        query = query.where(OutboxRow.kind.in_(kinds))
    claimed = []
    for seq in session.scalars(query).all():
        row = session.execute(
            update(OutboxRow)
            .where(OutboxRow.seq == seq, free)
            .values(stage="leased", leased_by=worker, leased_until=now + LEASE, attempts=OutboxRow.attempts + 1)
            .returning(OutboxRow.kind, OutboxRow.thing_id, OutboxRow.attempts)
            .execution_options(synchronize_session=False)
        ).first()
        if row is not None:
            claimed.append(Claimed(seq, row.kind, row.thing_id, row.attempts))
    return claimed


def finish(session: Session, seq: int, worker: str) -> bool:
    """The job is done. False: the lease was lost meanwhile, and somebody else has the row."""
    return _leave(session, seq, worker, stage="done", last_error="")


def again(session: Session, seq: int, worker: str, at: datetime, error: str = "") -> bool:
    """Run the job again at `at`."""
    return _leave(session, seq, worker, stage="due", due_at=at, last_error=error)


def stick(session: Session, seq: int, worker: str, error: str) -> bool:
    """Stop trying until a person looks."""
    return _leave(session, seq, worker, stage="stuck", last_error=error)


def release_stuck(session: Session, kind: str, thing_id: str, now: datetime) -> None:
    """A person mended the cause: stuck rows of this thing are due again, in their old place."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.kind == kind, OutboxRow.thing_id == thing_id, OutboxRow.stage == "stuck")
        .values(stage="due", due_at=now)
        .execution_options(synchronize_session=False)
    )


def release(session: Session, seq: int, now: datetime) -> bool:
    """Make one stuck row due again; False if it is not stuck."""
    released = session.execute(
        update(OutboxRow)
        .where(OutboxRow.seq == seq, OutboxRow.stage == "stuck")
        .values(stage="due", due_at=now, attempts=0)
        .returning(OutboxRow.seq)
        .execution_options(synchronize_session=False)
    ).first()
    return released is not None


def hasten(session: Session, kind: str, thing_id: str, at: datetime) -> None:
    """A job that waits for later is due at `at` already: what it waited for has happened."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.kind == kind, OutboxRow.thing_id == thing_id, OutboxRow.stage == "due", OutboxRow.due_at > at)
        .values(due_at=at)
        .execution_options(synchronize_session=False)
    )


def release_leases(session: Session) -> int:
    """Make every leased row due again; returns how many. Only for a server that has just started and is alone on its
    database: whoever held the leases is dead, and waiting for them to run out would delay reports and alerts."""
    freed = session.execute(
        update(OutboxRow)
        .where(OutboxRow.stage == "leased")
        .values(stage="due", leased_by="", leased_until=None)
        .returning(OutboxRow.seq)
        .execution_options(synchronize_session=False)
    ).all()
    return len(freed)


def pause(attempts: int) -> timedelta:
    """The pause before the next try: 5 s, doubled each time, at most 10 minutes."""
    return timedelta(seconds=min(5 * 2 ** min(attempts - 1, 10), 600))


def _claimable(now: datetime) -> Select[int]:
    """Rows that are due and not behind an earlier one of the same order key."""
    earlier = aliased(OutboxRow)
    behind = exists().where(
        earlier.order_key == OutboxRow.order_key, earlier.stage != "done", earlier.seq < OutboxRow.seq
    )
    return select(OutboxRow.seq).where(_free(now), or_(OutboxRow.order_key == "", ~behind))


def _free(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(OutboxRow.stage == "due", OutboxRow.due_at <= now),
        and_(OutboxRow.stage == "leased", OutboxRow.leased_until < now),
    )


def _leave(session: Session, seq: int, worker: str, **values: object) -> bool:
    left = session.execute(
        update(OutboxRow)
        .where(OutboxRow.seq == seq, OutboxRow.stage == "leased", OutboxRow.leased_by == worker)
        .values(leased_by="", leased_until=None, **values)
        .returning(OutboxRow.seq)
        .execution_options(synchronize_session=False)
    ).first()
    return left is not None
