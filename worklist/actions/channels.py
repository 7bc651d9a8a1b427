"""Channels by which notices leave the house: the PACS admin makes them, each person chooses what goes by them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import notices
from worklist.actions.fields import allow, keep, needed, one_of, positive, reference, row_of, text, texts
from worklist.actions.sendings import as_channel
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import Channel
from worklist.people import Actor, require_security_admin
from worklist.tables import Institution, NoticeChannel, NoticeWish, User

WAYS: Final = ("webhook", "e-mail")
SECURITIES: Final = ("starttls", "tls", "none")
LONGEST_URL: Final = 500
LONGEST_MAIL: Final = 254
_MAIL: Final = re.compile(r"[A-Za-z0-9._%+=-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")


def save_channel(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> NoticeChannel:
    """Make or change a channel.

    `fields`: way (of a new one), name, institution_id (none: everybody's), address, kinds, trusted, enabled; of a mail
    server port, security, login, sender too. A password is forgotten where the server that it was for changes.

    Raises
    ------
    BadInput
        ``field_missing``, ``field_wrong``; ``mail_password_needs_tls`` for a login without encryption.
    """
    allow(by)
    row = row_of(session, NoticeChannel, id, NoticeChannel)
    way = one_of(fields, "way", WAYS, row.way or "")
    if id and way != row.way:
        raise Conflict("channel_way_is_fixed")
    row.way = way
    row.name = needed(fields, "name", row.name if id else "")
    row.institution_id = reference(session, Institution, fields, "institution_id", row.institution_id)
    address = needed(fields, "address", row.address if id else "")
    if way == "webhook":
        if not url_is_right(address):
            raise BadInput("field_wrong", field="address")
        row.address = address
    else:
        _read_mail_server(row, fields, address)
    row.trusted = text(fields, "trusted", row.trusted or "")
    if "kinds" in fields or not id:
        row.kinds = texts({"kinds": fields.get("kinds", [])}, "kinds", lambda kind: kind in notices.KINDS)
    row.enabled = bool(fields.get("enabled", row.enabled if id else True))
    return keep(session, by, row, now)


def keep_secret(session: Session, by: Actor, channel_id: str, sealed: str, now: datetime) -> None:
    """Keep what signs a webhook's body, or the password of a mail server. It comes sealed."""
    allow(by)
    row = session.get(NoticeChannel, channel_id)
    if row is None:
        raise NotFound("no_such_notice_channel")
    row.secret = sealed
    audit.note(session, by, "notice channel secret changed", now, thing="notice_channel", thing_id=row.id)


def to_be_tried(session: Session, by: Actor, channel_id: str, now: datetime) -> Channel:
    """The channel, for a trial that the admin asks for; it is on record."""
    allow(by)
    row = session.get(NoticeChannel, channel_id)
    if row is None:
        raise NotFound("no_such_notice_channel")
    audit.note(session, by, "notice channel tried", now, thing="notice_channel", thing_id=row.id)
    return as_channel(row)


def choose(
    session: Session, by: Actor, user_id: str, channel_id: str, kinds: Sequence[str], address: str, now: datetime
) -> None:
    """Say which kinds of notices go to a person by a channel; none: nothing does. `address` is their e-mail.

    It is everybody's own choice, and the security admin's for others.

    Raises
    ------
    NotFound
        ``no_such_user``; ``no_such_notice_channel`` for one that is not for this person's institution.
    BadInput
        ``field_wrong``: the e-mail address, or a kind that there is not.
    """
    require_wishes_of(by, user_id)
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("no_such_user")
    channel = session.get(NoticeChannel, channel_id)
    if channel is None or channel.institution_id not in (None, user.institution_id):
        raise NotFound("no_such_notice_channel")
    wanted = texts({"kinds": kinds}, "kinds", lambda kind: kind in notices.KINDS)
    held = session.get(NoticeWish, (user.id, channel.id))
    address = address.strip() if channel.way == "e-mail" else ""
    if channel.way == "e-mail" and (wanted or address) and not mail_is_right(address):
        raise BadInput("field_wrong", field="address")
    before = (held.address, list(held.kinds)) if held is not None else ("", [])
    if held is None:
        held = NoticeWish(user_id=user.id, channel_id=channel.id)
        session.add(held)
    held.address, held.kinds = address, wanted
    if before != (address, wanted):
        audit.note(
            session,
            by,
            "notice wishes changed",
            now,
            thing="user",
            thing_id=user.id,
            institution_id=user.institution_id,
            detail={"channel": channel.id, "kinds": wanted},
        )


def require_wishes_of(by: Actor, user_id: str) -> None:
    """Raise `Forbidden` unless these are the actor's own wishes, or the actor is the security admin."""
    if user_id == by.id:
        by.require_person()
    else:
        require_security_admin(by)


def url_is_right(address: str) -> bool:
    """Whether this is the address of a webhook: http or https, a host, nothing that signs in."""
    if len(address) > LONGEST_URL or not address.isascii() or any(c.isspace() or not c.isprintable() for c in address):
        return False
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    is_plain = parts.username is None and parts.password is None and not parts.fragment and port != 0
    return parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") is not None and is_plain


def mail_is_right(address: str) -> bool:
    """Whether this is one e-mail address, without a name beside it."""
    return len(address) <= LONGEST_MAIL and _MAIL.fullmatch(address) is not None and ".." not in address


def _read_mail_server(row: NoticeChannel, fields: Mapping[str, Any], host: str) -> None:
    if _HOST.fullmatch(host) is None or len(host) > 253:
        raise BadInput("field_wrong", field="address")
    port = positive(fields, "port") if "port" in fields or not row.port else row.port
    if port > 65535:
        raise BadInput("field_wrong", field="port")
    security = one_of(fields, "security", SECURITIES, row.security or "starttls")
    login = text(fields, "login", row.login or "")
    if login and security == "none":
        raise BadInput("mail_password_needs_tls")
    if row.secret and (row.address, row.port, row.security, row.login) != (host, port, security, login):
        row.secret = ""  # a password is for the server that it was given for, and for no other
    row.address, row.port, row.security, row.login = host, port, security, login
    row.sender = needed(fields, "sender", row.sender or "")
    if not mail_is_right(row.sender):
        raise BadInput("field_wrong", field="sender")
