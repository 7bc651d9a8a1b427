"""What a manager may give to whom: open cases with their readers, and how much each reader has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from worklist.actions.assigning import WAITING
from worklist.people import Actor
from worklist.queries import figures, reading_rows, rota
from worklist.queries.figure_views import Named
from worklist.queries.reading_list import FAR
from worklist.queries.views import Page, ReadingRow
from worklist.tables import Institution, Order, Reading, ReadingOrder


@dataclass(frozen=True)
class Candidate:
    """Somebody who may be given cases of a center: how many they have been given, and how many they hold now."""

    id: str
    name: str
    is_senior: bool
    is_absent: bool
    given: int
    held: int


def cases(
    session: Session,
    by: Actor,
    center_id: str,
    now: datetime,
    *,
    filters: Mapping[str, str],
    after: str = "",
    limit: int = 100,
) -> Page[ReadingRow]:
    """Open cases of a center that the actor manages, the most urgent first.

    `filters`: site (id), state, priority, who (a user's id, ``"nobody"``), q (an accession number). `after` is the
    `next` of the page before.

    Raises
    ------
    NotFound
        ``no_such_center``.
    """
    figures.centers(session, by, center_id)
    due = func.coalesce(Reading.due_at, FAR)
    wanted = (
        select(Reading.id)
        .where(Reading.center_id == center_id, Reading.state.in_(WAITING))
        .order_by(Reading.rank, due, Reading.id)
        .limit(limit + 1)
    )
    if filters.get("state"):
        wanted = wanted.where(Reading.state == filters["state"])
    if filters.get("site"):
        wanted = wanted.where(Reading.institution_id == filters["site"])
    if filters.get("priority"):
        wanted = wanted.where(Reading.priority == filters["priority"])
    if filters.get("who") == "nobody":
        wanted = wanted.where(Reading.assigned_id.is_(None))
    elif filters.get("who"):
        wanted = wanted.where(Reading.assigned_id == filters["who"])
    if filters.get("q"):
        covering = (
            select(ReadingOrder.reading_id)
            .join(Order, Order.id == ReadingOrder.order_id)
            .where(Order.accession_number == filters["q"].strip().upper())
        )
        wanted = wanted.where(Reading.id.in_(covering))
    last = session.get(Reading, after) if after else None
    if last is not None:
        at = last.due_at or FAR
        wanted = wanted.where(
            or_(
                Reading.rank > last.rank,
                and_(Reading.rank == last.rank, due > at),
                and_(Reading.rank == last.rank, due == at, Reading.id > last.id),
            )
        )
    ids = session.scalars(wanted).all()
    shown = reading_rows.rows(session, ids[:limit], now)
    return Page(tuple(shown), shown[-1].id if len(ids) > limit else "")


def readers(session: Session, by: Actor, center_id: str, now: datetime) -> list[Candidate]:
    """Who reads in a center that the actor manages, and what they have to do."""
    figures.centers(session, by, center_id)
    open_here = (Reading.center_id == center_id, Reading.state.in_(WAITING))
    given: dict[str | None, int] = dict(
        session.execute(
            select(Reading.assigned_id, func.count())
            .where(*open_here, Reading.assigned_id.is_not(None))
            .group_by(Reading.assigned_id)
        ).all()
    )
    held: dict[str | None, int] = dict(
        session.execute(
            select(Reading.holder_id, func.count())
            .where(*open_here, Reading.holder_id.is_not(None), Reading.held_until > now)
            .group_by(Reading.holder_id)
        ).all()
    )
    return [
        Candidate(r.id, r.name, r.is_senior, r.is_absent, given.get(r.id, 0), held.get(r.id, 0))
        for r in rota.readers(session, center_id, now)
    ]


def sites(session: Session, by: Actor, center_id: str) -> list[Named]:
    """The sites whose cases are open in a center that the actor manages."""
    figures.centers(session, by, center_id)
    sending = (
        select(Reading.institution_id).where(Reading.center_id == center_id, Reading.state.in_(WAITING)).distinct()
    )
    rows = session.scalars(select(Institution).where(Institution.id.in_(sending)).order_by(Institution.name))
    return [Named(i.id, i.name, i.name_en or i.name) for i in rows]
