"""How notices leave the house: the channels, what is on its way by them, and who wants what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from worklist.actions.channels import require_wishes_of
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.views import Page
from worklist.tables import Institution, Notice, NoticeChannel, NoticeSending, NoticeWish, User

UNDER_WAY = ("due", "retrying")


@dataclass(frozen=True)
class ChannelRow:
    """A channel. Its secret is never shown, only whether there is one."""

    id: str
    name: str
    way: str
    institution_id: str  # empty: everybody's
    institution: str
    address: str
    port: int
    security: str
    login: str
    sender: str
    has_secret: bool
    trusted: str
    kinds: tuple[str, ...]  # empty: all
    enabled: bool
    people: int  # who have something go by it
    under_way: int
    stuck: int
    last_sent_at: datetime | None


@dataclass(frozen=True)
class SendingRow:
    """A notice on its way to one person by one channel; times are aware UTC."""

    id: str
    state: str
    channel_id: str
    channel: str
    kind: str
    is_drill: bool
    person: str
    created_at: datetime
    next_at: datetime | None
    sent_at: datetime | None
    attempts: int
    last_error: str
    params: dict[str, Any]


@dataclass(frozen=True)
class WishRow:
    """What a person has go by a channel that is for them."""

    channel_id: str
    channel: str
    way: str
    carries: tuple[str, ...]  # kinds that go by it; empty: all
    address: str
    kinds: tuple[str, ...]


def channels(session: Session, by: Actor) -> list[ChannelRow]:
    """All channels, by name. For the PACS admin."""
    scope.require_admin(by)
    rows = session.scalars(select(NoticeChannel).order_by(NoticeChannel.name, NoticeChannel.id)).all()
    institutions = parts.names(session, Institution, (row.institution_id for row in rows))
    counted = session.execute(
        select(NoticeSending.channel_id, NoticeSending.state, func.count(), func.max(NoticeSending.sent_at))
        .where(NoticeSending.state.in_((*UNDER_WAY, "stuck", "sent")))
        .group_by(NoticeSending.channel_id, NoticeSending.state)
    ).all()
    wishes: dict[str, int] = {}
    for channel_id, kinds in session.execute(select(NoticeWish.channel_id, NoticeWish.kinds)):
        wishes[channel_id] = wishes.get(channel_id, 0) + bool(kinds)

    def count(channel_id: str, *states: str) -> int:
        return sum(number for id, state, number, _last in counted if id == channel_id and state in states)

    return [
        ChannelRow(
            id=row.id,
            name=row.name,
            way=row.way,
            institution_id=row.institution_id or "",
            institution=institutions.get(row.institution_id or "", ""),
            address=row.address,
            port=row.port,
            security=row.security,
            login=row.login,
            sender=row.sender,
            has_secret=bool(row.secret),
            trusted=row.trusted,
            kinds=tuple(row.kinds),
            enabled=row.enabled,
            people=wishes.get(row.id, 0),
            under_way=count(row.id, *UNDER_WAY),
            stuck=count(row.id, "stuck"),
            last_sent_at=next((last for id, state, _n, last in counted if id == row.id and state == "sent"), None),
        )
        for row in rows
    ]


def channel(session: Session, by: Actor, channel_id: str) -> ChannelRow:
    """One channel.

    Raises
    ------
    NotFound
        ``no_such_notice_channel``.
    """
    found = next((row for row in channels(session, by) if row.id == channel_id), None)
    if found is None:
        raise NotFound("no_such_notice_channel")
    return found


def sendings(
    session: Session, by: Actor, *, state: str = "", channel_id: str = "", after: str = "", limit: int = 50
) -> Page[SendingRow]:
    """Notices on their way out, the newest first. For the PACS admin."""
    scope.require_admin(by)
    query = (
        select(NoticeSending, Notice, User.name, NoticeChannel.name)
        .join(Notice, Notice.id == NoticeSending.notice_id)
        .join(User, User.id == Notice.user_id)
        .join(NoticeChannel, NoticeChannel.id == NoticeSending.channel_id)
    )
    if state:
        query = query.where(NoticeSending.state == state)
    if channel_id:
        query = query.where(NoticeSending.channel_id == channel_id)
    if after:
        query = query.where(NoticeSending.id < after)
    found = session.execute(query.order_by(NoticeSending.id.desc()).limit(limit + 1)).all()
    shown = tuple(
        SendingRow(
            id=row.id,
            state=row.state,
            channel_id=row.channel_id,
            channel=name,
            kind=notice.kind,
            is_drill=bool(notice.params.get("drill")),
            person=person,
            created_at=row.created_at,
            next_at=row.next_at,
            sent_at=row.sent_at,
            attempts=row.attempts,
            last_error=row.last_error,
            params=row.error_params,
        )
        for row, notice, person, name in found[:limit]
    )
    return Page(shown, shown[-1].id if len(found) > limit else "")


def wishes(session: Session, by: Actor, user_id: str) -> list[WishRow]:
    """What a person has go by each channel that is for them: one's own, or for the security admin.

    Raises
    ------
    NotFound
        ``no_such_user``.
    """
    require_wishes_of(by, user_id)
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("no_such_user")
    rows = session.scalars(
        select(NoticeChannel)
        .where(
            NoticeChannel.enabled,
            or_(NoticeChannel.institution_id.is_(None), NoticeChannel.institution_id == user.institution_id),
        )
        .order_by(NoticeChannel.name, NoticeChannel.id)
    ).all()
    held = {w.channel_id: w for w in session.scalars(select(NoticeWish).where(NoticeWish.user_id == user.id))}
    return [
        WishRow(
            channel_id=row.id,
            channel=row.name,
            way=row.way,
            carries=tuple(row.kinds),
            address=held[row.id].address if row.id in held else "",
            kinds=tuple(held[row.id].kinds) if row.id in held else (),
        )
        for row in rows
    ]
