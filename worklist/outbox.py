"""The outbox: work to do, written in the same transaction as the state that causes it.

``due → leased (by, until) → done``, back to due with a later time after a failure, or stuck until a person looks.
Where jobs are spread over processes, a row is offered through a queue before somebody leases it: ``due → offered
(until) → leased``. An offer that nobody took in time is made again, so a queue may lose what it likes.

Each step is one guarded UPDATE, so any number of workers may claim side by side on either database. A lease that
runs out makes the row claimable again: every job must be safe to run twice.

Rows that share an `order_key` run one after the other in the order of writing; a stuck one holds back its
successors, and nobody else's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from worklist.prepared import Prepared
from worklist.tables import OutboxRow
from worklist.tables.base import table_of

LEASE: Final = timedelta(minutes=1)  # whoever works renews it; so long a job of a dead process waits
OFFER: Final = timedelta(seconds=20)

_ROWS: Final = table_of(OutboxRow)
_PUT: Final = Prepared(insert(_ROWS).inline(), [column.name for column in _ROWS.c if column.name != "seq"])


@dataclass(frozen=True)
class Claimed:
    """A row that this worker may work on until its lease ends."""

    seq: int
    kind: str
    thing_id: str
    attempts: int


def put(session: Session, kind: str, thing_id: str, due_at: datetime, *, order_key: str = "") -> None:
    """Leave a job for later, in the caller's transaction."""
    row = {
        "kind": kind,
        "thing_id": thing_id,
        "order_key": order_key,
        "stage": "due",
        "due_at": due_at,
        "leased_by": "",
        "leased_until": None,
        "attempts": 0,
        "last_error": "",
        "created_at": due_at,
    }
    _PUT.run(session, row)


@dataclass(frozen=True)
class Offer:
    """A row that is to be handed to a worker through a queue."""

    seq: int
    kind: str


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


def room_for(session: Session, now: datetime, kinds: Collection[str], most: int) -> int:
    """How many more rows of these kinds may be offered, when at most `most` may be at a time; 0 if none is due."""
    if session.scalar(_claimable(now).where(OutboxRow.kind.in_(kinds)).limit(1)) is None:
        return 0
    open_offers = select(func.count()).where(
        OutboxRow.kind.in_(kinds), OutboxRow.stage == "offered", OutboxRow.leased_until >= now
    )
    return max(most - (session.scalar(open_offers) or 0), 0)


def offer(session: Session, now: datetime, kinds: Collection[str], *, limit: int) -> list[Offer]:
    """Mark up to `limit` rows of these kinds that are due as offered, oldest due time first; whoever is told takes
    one with `take`."""
    query = _claimable(now).where(OutboxRow.kind.in_(kinds)).order_by(OutboxRow.due_at, OutboxRow.seq).limit(limit)
    free, offered = _free(now), []
    for seq in session.scalars(query).all():
        kind = session.scalar(
            update(OutboxRow)
            .where(OutboxRow.seq == seq, free)
            .values(stage="offered", leased_by="", leased_until=now + OFFER)
            .returning(OutboxRow.kind)
            .execution_options(synchronize_session=False)
        )
        if kind is not None:
            offered.append(Offer(seq, kind))
    return offered


def take(session: Session, seq: int, worker: str, now: datetime) -> Claimed | None:
    """Lease the offered row `seq`. None: somebody has it or had it, which a queue that tells twice makes usual."""
    row = session.execute(
        update(OutboxRow)
        .where(OutboxRow.seq == seq, OutboxRow.stage == "offered")
        .values(stage="leased", leased_by=worker, leased_until=now + LEASE, attempts=OutboxRow.attempts + 1)
        .returning(OutboxRow.kind, OutboxRow.thing_id, OutboxRow.attempts)
        .execution_options(synchronize_session=False)
    ).first()
    return None if row is None else Claimed(seq, row.kind, row.thing_id, row.attempts)


def withdraw_offers(session: Session, seqs: Collection[int]) -> None:
    """The queue is away: these rows are due again at once."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.seq.in_(seqs), OutboxRow.stage == "offered")
        .values(stage="due", leased_until=None)
        .execution_options(synchronize_session=False)
    )


def renew(session: Session, seq: int, worker: str, now: datetime) -> bool:
    """A job that takes long keeps its lease. False: it was lost."""
    renewed = session.scalar(
        update(OutboxRow)
        .where(OutboxRow.seq == seq, OutboxRow.stage == "leased", OutboxRow.leased_by == worker)
        .values(leased_until=now + LEASE)
        .returning(OutboxRow.seq)
        .execution_options(synchronize_session=False)
    )
    return renewed is not None


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


def hasten_all(session: Session, kind: str, at: datetime) -> None:
    """Every job of this kind that waits for later is due at `at` already: the peer that they wait for is back."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.kind == kind, OutboxRow.stage == "due", OutboxRow.due_at > at)
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
        and_(OutboxRow.stage.in_(("leased", "offered")), OutboxRow.leased_until < now),
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
