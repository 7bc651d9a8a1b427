"""Time stamps of the register of signed versions: whether they are wanted, what has none yet, and keeping one.

A stamp over the newest row speaks for all rows before it. Signing leaves a job and goes on: an authority that is away
holds nothing up, and what waited is stamped together as soon as it is back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist import register
from worklist.database import take_turn
from worklist.tables import Installation, RegisterEntry, RegisterStamp


@dataclass(frozen=True)
class Unstamped:
    """The newest row of the register, which no stamp speaks for yet."""

    seq: int
    digest: str  # SHA-256 in hexadecimal


@dataclass(frozen=True)
class HeldStamp:
    """A stamp, and the digest of the row that it was given for, ``""`` where that row is not there."""

    seq: int
    digest: str
    stamped_at: datetime
    token: bytes


def configure(session: Session, now: datetime, *, wanted: bool) -> None:
    """Write down whether the settings name an authority. Every process does so when it starts."""
    take_turn(session, register.STAMPS)
    held = session.get(Installation, register.STAMPS)
    if wanted and held is None:
        session.add(Installation(name=register.STAMPS, value="wanted"))
        session.flush()
    elif not wanted and held is not None:
        session.delete(held)
    if wanted and unstamped(session) is not None:
        register.owe_stamp(session, now)


def unstamped(session: Session) -> Unstamped | None:
    """What is to be stamped, None where everything is."""
    newest = session.execute(
        select(RegisterEntry.seq, RegisterEntry.digest).order_by(RegisterEntry.seq.desc()).limit(1)
    ).first()
    stamped = session.scalar(select(func.max(RegisterStamp.seq))) or 0
    return Unstamped(newest.seq, newest.digest) if newest is not None and newest.seq > stamped else None


def keep(session: Session, what: Unstamped, at: datetime, token: bytes) -> None:
    """Keep what an authority said of a row; the first one stays."""
    take_turn(session, register.STAMPS)
    if session.get(RegisterStamp, what.seq) is None:
        session.add(RegisterStamp(seq=what.seq, stamped_at=at, token=token))


def stamps(session: Session) -> list[HeldStamp]:
    """All stamps in the order of the rows."""
    rows = session.execute(
        select(RegisterStamp.seq, RegisterEntry.digest, RegisterStamp.stamped_at, RegisterStamp.token)
        .outerjoin(RegisterEntry, RegisterEntry.seq == RegisterStamp.seq)
        .order_by(RegisterStamp.seq)
    )
    return [HeldStamp(row.seq, row.digest or "", row.stamped_at, row.token) for row in rows]
