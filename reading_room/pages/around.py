"""What stands around each page: where the person works, and the numbers, alarms and notices of the frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from gateway.http import Web
from worklist.people import Actor
from worklist.queries import administration, break_glass, desk, notices, orders
from worklist.queries.break_glass import Opening
from worklist.queries.notices import IN_BELL, NoticeView
from worklist.queries.views import Counts, CriticalView, InstitutionRow

FALLBACK_ZONE: Final = "Asia/Shanghai"


@dataclass(frozen=True)
class Place:
    """Where somebody works and how they want their pages: what the parts of pages need too."""

    institution: InstitutionRow | None
    zone: ZoneInfo
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What the frame around a whole page shows; a part that is asked for again needs none of it."""

    counts: Counts
    alarms: tuple[CriticalView, ...] = ()
    openings: tuple[Opening, ...] = ()  # patients opened by break-glass
    unread: int = 0  # notices
    notices: tuple[NoticeView, ...] = ()  # the newest of those that are not read


def place_of(web: Web, actor: Actor | None) -> Place:
    """Where the actor works; strangers see the county's time."""
    if actor is None or not actor.id:
        return Place(None, ZoneInfo(FALLBACK_ZONE))

    def work(session: Session) -> Place:
        home = administration.institution(session, actor)
        zone = ZoneInfo(home.timezone if home else FALLBACK_ZONE)
        return Place(home, zone, desk.settings(session, actor))

    return web.database.read(work)


def surroundings(web: Web, actor: Actor | None) -> Surroundings:
    """Read the frame of the actor's pages in one transaction."""
    if actor is None or not actor.id:
        return Surroundings(Counts())

    def work(session: Session) -> Surroundings:
        opened = break_glass.open_now(session, actor, web.clock()) if actor.opened else []
        counts, alarms = administration.counts(session, actor), _alarms(session, actor)
        news = tuple(notices.mine(session, actor, only_unread=True, limit=IN_BELL))
        unread = notices.unread(session, actor) if len(news) == IN_BELL else len(news)
        return Surroundings(counts, alarms, tuple(opened), unread, news)

    return web.database.read(work)


def is_home(actor: Actor) -> bool:
    """Whether the person works where orders come from, and must see critical results on every page."""
    return actor.has("technician") or actor.has("doctor")


def _alarms(session: Session, actor: Actor) -> tuple[CriticalView, ...]:
    if not is_home(actor):
        return ()
    return tuple(c for c in orders.criticals(session, actor) if c.state in ("notified", "escalated"))
