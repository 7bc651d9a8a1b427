"""What people chose for their own desk: saved views of lists, columns, the theme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.tables import SavedView, UserSetting


@dataclass(frozen=True)
class ViewRow:
    """A saved view: the filters of a list under a name, as they stand in its address."""

    id: str
    page: str
    name: str
    query: dict[str, str]
    is_first: bool  # what the page opens with


def views(session: Session, by: Actor, page: str = "") -> list[ViewRow]:
    """The actor's own views of a page (of every page if none is named), in their order."""
    query = select(SavedView).where(SavedView.user_id == by.id)
    if page:
        query = query.where(SavedView.page == page)
    rows = session.scalars(query.order_by(SavedView.page, SavedView.place, SavedView.id))
    return [ViewRow(row.id, row.page, row.name, dict(row.query), row.is_first) for row in rows]


def settings(session: Session, by: Actor) -> dict[str, Any]:
    """What the actor chose, by key; what is missing was never chosen."""
    rows = session.scalars(select(UserSetting).where(UserSetting.user_id == by.id))
    return {row.key: row.value for row in rows}
