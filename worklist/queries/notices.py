"""A person's own notices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.tables import Notice

MOST: Final = 200
IN_BELL: Final = 8


@dataclass(frozen=True)
class NoticeView:
    """A notice. `address` is the page that it is about; times are aware UTC."""

    id: str
    kind: str
    params: dict[str, Any]
    address: str
    at: datetime
    read_at: datetime | None


def unread(session: Session, by: Actor) -> int:
    """How many of one's own notices are not read."""
    query = select(func.count()).select_from(Notice).where(Notice.user_id == by.id, Notice.read_at.is_(None))
    return session.scalar(query) or 0


def mine(session: Session, by: Actor, *, only_unread: bool = False, limit: int = MOST) -> list[NoticeView]:
    """One's own notices: those that are not read first, each half the newest first."""
    query = select(Notice).where(Notice.user_id == by.id)
    if only_unread:
        query = query.where(Notice.read_at.is_(None))
    rows = session.scalars(query.order_by(Notice.read_at.is_not(None), Notice.at.desc(), Notice.id.desc()).limit(limit))
    return [NoticeView(n.id, n.kind, n.params, n.address, n.at, n.read_at) for n in rows]
