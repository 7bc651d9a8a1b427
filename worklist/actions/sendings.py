"""Notices that leave the house: owed in the transaction that makes the notice, sent by a job, shown when stuck.

The page comes first: nothing here keeps a notice from it, and what was read there meanwhile is not sent any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.errors import NotFound
from worklist.facts import Channel, NoticeLetter
from worklist.moves import begin, can, move
from worklist.people import HUREN, Actor
from worklist.tables import Institution, Notice, NoticeChannel, NoticeSending, NoticeWish, User

JOB: Final = "send_notice"
OPEN: Final = ("due", "retrying", "stuck")
GIVE_UP: Final = timedelta(hours=24)
"""After a day without success a notice is stuck: by then it is the channel that needs a person."""


@dataclass(frozen=True)
class Attempt:
    """What one try needs."""

    letter: NoticeLetter
    channel: Channel


def owe(session: Session, notices: Sequence[Notice], now: datetime) -> None:
    """Leave a sending for everybody whose wishes have such a notice go out.

    A notice that is still on its way through a channel is not owed to it a second time.
    """
    if not notices:
        return
    wishes = session.execute(
        select(NoticeWish, NoticeChannel)
        .join(NoticeChannel, NoticeChannel.id == NoticeWish.channel_id)
        .join(User, User.id == NoticeWish.user_id)
        .where(
            NoticeWish.user_id.in_([notice.user_id for notice in notices]),
            NoticeChannel.enabled,
            or_(NoticeChannel.institution_id.is_(None), NoticeChannel.institution_id == User.institution_id),
        )
        .order_by(NoticeChannel.id)
    ).all()
    if not wishes:
        return
    under_way = select(NoticeSending.notice_id, NoticeSending.channel_id).where(
        NoticeSending.notice_id.in_([notice.id for notice in notices]), NoticeSending.state.in_(OPEN)
    )
    open_ones = {(notice_id, channel_id) for notice_id, channel_id in session.execute(under_way)}
    session.flush()  # a sending names its notice
    for notice in notices:
        for wish, channel in wishes:
            carries = not channel.kinds or notice.kind in channel.kinds
            if wish.user_id != notice.user_id or notice.kind not in wish.kinds or not carries:
                continue
            if (notice.id, channel.id) in open_ones:
                continue
            sending = NoticeSending(
                channel_id=channel.id, notice_id=notice.id, address=wish.address, created_at=now, next_at=now
            )
            begin(session, "notice sending", sending, "owe", HUREN, now)


def begin_attempt(session: Session, sending_id: str, now: datetime) -> Attempt | None:
    """Start a try; it counts from here on. None: there is nothing to send (any more)."""
    sending = session.get(NoticeSending, sending_id)
    if sending is None or sending.state not in ("due", "retrying"):
        return None
    notice = session.get_one(Notice, sending.notice_id)
    channel, user = session.get_one(NoticeChannel, sending.channel_id), session.get_one(User, notice.user_id)
    if notice.read_at is not None or not user.enabled or not channel.enabled:
        why = "notice_read" if notice.read_at is not None else "channel_off" if user.enabled else "person_off"
        move(session, "notice sending", sending, "lapse", HUREN, now, why)
        sending.last_error, sending.error_params, sending.next_at = why, {}, None
        return None
    sending.attempts += 1
    institution = session.get_one(Institution, user.institution_id)
    letter = NoticeLetter(
        id=sending.id,
        kind=notice.kind,
        page=notice.address,
        at=sending.created_at,
        user_id=user.id,
        language=user.language,
        institution=(institution.name_en if user.language == "en" else "") or institution.name,
        to=sending.address,
        is_drill=bool(notice.params.get("drill")),
    )
    return Attempt(letter, as_channel(channel))


def finish_attempt(
    session: Session,
    sending_id: str,
    now: datetime,
    *,
    error: str = "",
    params: Mapping[str, object] | None = None,
    may_retry: bool = True,
) -> datetime | None:
    """Note how a try ended: without `error` it was taken. Returns when to try again (aware UTC); None: never."""
    sending = session.get_one(NoticeSending, sending_id)
    if sending.state not in ("due", "retrying"):
        return None  # somebody gave it up, or another worker's try has ended it meanwhile
    sending.last_error, sending.error_params = error, {k: str(v)[:500] for k, v in (params or {}).items()}
    sending.next_at = None
    if not error:
        move(session, "notice sending", sending, "hand over", HUREN, now)
        sending.sent_at = now
        return None
    if not may_retry or now - sending.created_at > GIVE_UP:
        move(session, "notice sending", sending, "stick", HUREN, now, error)
        return None
    move(session, "notice sending", sending, "retry", HUREN, now, error)
    sending.next_at = now + outbox.pause(sending.attempts)
    return sending.next_at


def stick(session: Session, sending_id: str, reason: str, now: datetime) -> None:
    """The job failed again and again in a way nobody foresaw: a person looks at it."""
    sending = session.get(NoticeSending, sending_id)
    if sending is not None and can("notice sending", sending, "stick"):
        move(session, "notice sending", sending, "stick", HUREN, now, reason)
        sending.last_error, sending.error_params, sending.next_at = reason, {}, None


def is_stuck(session: Session, sending_id: str) -> bool:
    """Whether a person has to look at this notice's way out."""
    sending = session.get(NoticeSending, sending_id)
    return sending is not None and sending.state == "stuck"


def send_again(session: Session, by: Actor, sending_id: str, now: datetime) -> None:
    """A person mended the cause.

    Raises
    ------
    NotFound
        ``no_such_sending``.
    Conflict
        ``cannot_move`` for one that is not stuck.
    """
    sending = _of_admin(session, by, sending_id)
    move(session, "notice sending", sending, "send again", by, now)
    sending.attempts, sending.created_at, sending.next_at = 0, now, now
    outbox.release_stuck(session, JOB, sending.id, now)
    audit.note(session, by, "notice sent again", now, thing="notice sending", thing_id=sending.id)


def give_up(session: Session, by: Actor, sending_id: str, now: datetime) -> None:
    """A person decides that it need not go out any more. Errors as `send_again`."""
    sending = _of_admin(session, by, sending_id)
    move(session, "notice sending", sending, "give up", by, now)
    sending.next_at = None
    outbox.release_stuck(session, JOB, sending.id, now)  # it finds nothing to do, and is done
    audit.note(session, by, "notice given up", now, thing="notice sending", thing_id=sending.id)


def as_channel(row: NoticeChannel) -> Channel:
    """A channel as its senders need it."""
    known: dict[str, Any] = {"way": row.way, "security": row.security}  # `channels.save_channel` allows no other
    return Channel(
        id=row.id,
        address=row.address,
        port=row.port,
        login=row.login,
        sender=row.sender,
        secret=row.secret,
        trusted=row.trusted,
        **cast(Any, known),
    )


def _of_admin(session: Session, by: Actor, sending_id: str) -> NoticeSending:
    by.require_scope("admin")
    by.require("PACS admin")
    sending = session.get(NoticeSending, sending_id)
    if sending is None:
        raise NotFound("no_such_sending")
    return sending
