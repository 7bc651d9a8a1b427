"""Who acts, what they may do, and how a browser or a program proves who it is.

Permission is checked in the action, once, for every door. `Actor` is a frozen picture of a person or a program at
the moment of the request; passwords live in `reading_room`, secrets of sessions and tokens are compared as SHA-256.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.errors import Forbidden
from worklist.tables import ApiToken, User, UserGroup, WebSession

ROLES: Final = (
    "technician",
    "doctor",
    "reader",
    "senior reader",
    "manager",
    "PACS admin",
    "security admin",
    "auditor",
)
CENTER_ROLES: Final = ("reader", "senior reader", "manager")
"""Held in a center; the others are held in the person's institution."""

SCOPES: Final = ("read", "order", "store", "read cases", "report", "sign", "admin", "people")
"""What a token may be limited to. A signed-in browser has them all, within its user's roles."""

SESSION_IDLE: Final = timedelta(minutes=60)
SESSION_LIFE: Final = timedelta(hours=12)


@dataclass(frozen=True)
class Actor:
    """A person, a program on a person's behalf, or Huren itself, as an action sees it."""

    id: str
    name: str  # for records: the login, a device's name, or "huren"
    shown: str = ""  # the person's name as people read it
    institution_id: str = ""
    institution_code: str = ""
    roles: frozenset[tuple[str, str]] = frozenset()  # (role, center id or "")
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None  # None: not limited
    address: str = ""
    language: str = "zh_CN"
    must_change_password: bool = False
    session_id: str = ""
    csrf: str = ""
    is_system: bool = False
    institutions: tuple[str, ...] = field(default=())  # a device: those it may speak for

    def has(self, role: str, center_id: str | None = None) -> bool:
        """Whether the actor has `role`, in that center if one is named."""
        return any(r == role and (center_id is None or c in ("", center_id)) for r, c in self.roles)

    def centers(self, *roles: str) -> frozenset[str]:
        """Centers in which the actor has one of `roles` (any center role if none is named)."""
        wanted = roles or CENTER_ROLES
        return frozenset(c for r, c in self.roles if r in wanted and c)

    def require_scope(self, scope: str) -> None:
        """Raise `Forbidden` if this is a token that is not allowed `scope`."""
        if self.scopes is not None and scope not in self.scopes:
            raise Forbidden("token_lacks_scope", scope=scope)

    def require(self, *roles: str, center_id: str | None = None) -> None:
        """Raise `Forbidden` unless the actor has one of `roles`."""
        if not any(self.has(role, center_id) for role in roles):
            raise Forbidden("role_needed", roles=", ".join(roles))


HUREN: Final = Actor(id="", name="huren", is_system=True)
"""Rules and jobs act under this name."""


def device_actor(device_id: str, name: str, institutions: tuple[str, ...]) -> Actor:
    """A known device as an actor; it may speak for `institutions` only."""
    return Actor(id=device_id, name=name, institutions=institutions)


def digest(secret: str) -> str:
    """SHA-256 of a session cookie or token, in hexadecimal: what the database keeps."""
    return hashlib.sha256(secret.encode()).hexdigest()


def actor_of(session: Session, user: User, **more: object) -> Actor:
    """The actor for a user row."""
    groups = session.scalars(select(UserGroup.group_id).where(UserGroup.user_id == user.id))
    return Actor(
        id=user.id,
        name=user.login,
        shown=user.name,
        institution_id=user.institution_id,
        institution_code=user.institution.code,
        roles=frozenset((r.role, r.center_id) for r in user.roles),
        groups=frozenset(groups),
        language=user.language,
        must_change_password=user.must_change_password,
        **more,  # type: ignore[arg-type]
    )


def open_session(session: Session, user_id: str, address: str, now: datetime) -> str:
    """Begin a browser session; return the cookie's secret, which is kept nowhere."""
    secret = secrets.token_urlsafe(32)
    session.add(
        WebSession(
            token_hash=digest(secret),
            user_id=user_id,
            csrf=secrets.token_urlsafe(24),
            address=address,
            created_at=now,
            seen_at=now,
            expires_at=now + SESSION_LIFE,
        )
    )
    return secret


def session_actor(session: Session, secret: str, address: str, now: datetime) -> Actor | None:
    """Who holds this cookie, or None when it is unknown, idle too long, expired, or its user was disabled."""
    row = session.scalar(select(WebSession).where(WebSession.token_hash == digest(secret)))
    if row is None or now >= row.expires_at or now - row.seen_at >= SESSION_IDLE:
        return None
    user = session.get(User, row.user_id)
    if user is None or not user.enabled:
        return None
    return actor_of(session, user, address=address, session_id=row.id, csrf=row.csrf)


def touch_session(session: Session, session_id: str, now: datetime) -> None:
    """Note that the browser is still there; call at most once a minute."""
    row = session.get(WebSession, session_id)
    if row is not None:
        row.seen_at = now


def close_session(session: Session, session_id: str) -> None:
    """Sign a browser out."""
    row = session.get(WebSession, session_id)
    if row is not None:
        session.delete(row)


def close_sessions_of(session: Session, user_id: str) -> None:
    """Sign a user out everywhere: after a changed password or role."""
    for row in session.scalars(select(WebSession).where(WebSession.user_id == user_id)):
        session.delete(row)


def create_token(
    session: Session, user_id: str, name: str, scopes: tuple[str, ...], now: datetime, life: timedelta | None = None
) -> str:
    """Make an API token for a user; the secret is returned once and kept nowhere."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise ValueError(f"unknown scopes: {', '.join(unknown)}")
    secret = "huren_" + secrets.token_urlsafe(32)
    expires = now + life if life else None
    session.add(
        ApiToken(
            token_hash=digest(secret),
            user_id=user_id,
            name=name,
            scopes=list(scopes),
            created_at=now,
            expires_at=expires,
        )
    )
    return secret


def token_actor(session: Session, secret: str, address: str, now: datetime) -> Actor | None:
    """Who holds this bearer token, or None."""
    row = session.scalar(select(ApiToken).where(ApiToken.token_hash == digest(secret)))
    if row is None or row.revoked_at is not None or (row.expires_at is not None and now >= row.expires_at):
        return None
    user = session.get(User, row.user_id)
    if user is None or not user.enabled:
        return None
    return actor_of(session, user, address=address, scopes=frozenset(row.scopes))
