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

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist.errors import Forbidden, NotFound
from worklist.prepared import Prepared
from worklist.tables import ApiToken, BreakGlass, Institution, User, UserGroup, UserRole, WebSession

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

SCOPES: Final = ("read", "order", "store", "results", "read cases", "report", "sign", "admin", "people", "watch")
"""What a token may be limited to. A signed-in browser has them all, within its user's roles."""

SESSION_IDLE: Final = timedelta(minutes=60)
SESSION_LIFE: Final = timedelta(hours=12)
HALF_LIFE: Final = timedelta(minutes=5)
"""How long the door waits for the code after the password."""
HALF: Final = "half "
"""Begins the `way` of a session that still waits for the code: it opens nothing."""
PROVED_TWICE: Final = frozenset({"totp", "oidc totp", "oidc two factors"})
"""Ways of signing in that took two factors."""


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
    way: str = ""  # a browser: what was proved at the door
    opened: frozenset[str] = frozenset()  # patients whom the actor opened by break-glass and may still see
    share: str = ""  # a guest without an account: the share that lets them in, and the order that it opens
    shared_order: str = ""
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

    def require_person(self) -> None:
        """Raise `Forbidden` for a device, and for a token that may not manage people: for a person's own account."""
        self.require_scope("people")
        if not self.institution_id:
            raise Forbidden("people_only")


HUREN: Final = Actor(id="", name="huren", is_system=True)
"""Rules and jobs act under this name."""


# Every request of every door asks these.
_SESSION: Final = Prepared(
    select(
        WebSession.id,
        WebSession.user_id,
        WebSession.csrf,
        WebSession.way,
        WebSession.seen_at,
        WebSession.expires_at,
    )
    .join(User, User.id == WebSession.user_id)
    .where(WebSession.token_hash == bindparam("hash"), User.enabled)
)
_TOKEN: Final = Prepared(
    select(ApiToken.user_id, ApiToken.scopes, ApiToken.expires_at, ApiToken.revoked_at)
    .join(User, User.id == ApiToken.user_id)
    .where(ApiToken.token_hash == bindparam("hash"), User.enabled)
)
_PERSON: Final = Prepared(
    select(
        User.id,
        User.login,
        User.name,
        User.institution_id,
        Institution.code.label("institution_code"),
        User.language,
        User.must_change_password,
    )
    .join(Institution, Institution.id == User.institution_id)
    .where(User.id == bindparam("user"))
)
_ROLES: Final = Prepared(select(UserRole.role, UserRole.center_id).where(UserRole.user_id == bindparam("user")))
_GROUPS: Final = Prepared(select(UserGroup.group_id).where(UserGroup.user_id == bindparam("user")))
_OPENED: Final = Prepared(
    select(BreakGlass.patient_id).where(BreakGlass.user_id == bindparam("user"), BreakGlass.until > bindparam("now"))
)


def require_security_admin(by: Actor) -> None:
    """Raise `Forbidden` unless this is the security admin (or Huren itself)."""
    if not by.is_system:
        by.require_scope("people")
        by.require("security admin")


def account_for_admin(session: Session, by: Actor, user_id: str) -> User:
    """Somebody's account, for the security admin.

    Raises
    ------
    Forbidden, NotFound
        ``role_needed``; ``no_such_user``.
    """
    require_security_admin(by)
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("no_such_user")
    return user


def device_actor(device_id: str, name: str, institutions: tuple[str, ...]) -> Actor:
    """A known device as an actor; it may speak for `institutions` only."""
    return Actor(id=device_id, name=name, institutions=institutions)


def digest(secret: str) -> str:
    """SHA-256 of a session cookie or token, in hexadecimal: what the database keeps."""
    return hashlib.sha256(secret.encode()).hexdigest()


def actor_of(session: Session, user_id: str, **more: object) -> Actor:
    """The actor that a known person is now."""
    [user] = _PERSON.rows(session, {"user": user_id})
    return Actor(
        id=user.id,
        name=user.login,
        shown=user.name,
        institution_id=user.institution_id,
        institution_code=user.institution_code,
        roles=frozenset((r.role, r.center_id) for r in _ROLES.rows(session, {"user": user_id})),
        groups=frozenset(g.group_id for g in _GROUPS.rows(session, {"user": user_id})),
        language=user.language,
        must_change_password=user.must_change_password,
        **more,  # type: ignore[arg-type]
    )


def open_session(session: Session, user_id: str, address: str, now: datetime, way: str = "password") -> str:
    """Begin a browser session; return the cookie's secret, which is kept nowhere.

    A `way` that begins with `HALF` opens nothing: it remembers for a few minutes that the first factor was right.
    """
    secret = secrets.token_urlsafe(32)
    session.add(
        WebSession(
            token_hash=digest(secret),
            user_id=user_id,
            csrf=secrets.token_urlsafe(24),
            address=address,
            created_at=now,
            seen_at=now,
            expires_at=now + (HALF_LIFE if way.startswith(HALF) else SESSION_LIFE),
            way=way,
        )
    )
    return secret


def session_actor(session: Session, secret: str, address: str, now: datetime) -> Actor | None:
    """Who holds this cookie, or None when it is unknown, idle too long, expired, or its user was disabled."""
    row = _SESSION.first(session, {"hash": digest(secret)})
    if row is None or row.way.startswith(HALF) or has_ended(row, now):
        return None
    opened = opened_by(session, row.user_id, now)
    return actor_of(session, row.user_id, address=address, session_id=row.id, csrf=row.csrf, way=row.way, opened=opened)


def half_session(session: Session, secret: str, now: datetime) -> WebSession | None:
    """The session that waits for the code, by its cookie; None when it is unknown or has waited too long."""
    row = session.scalar(select(WebSession).where(WebSession.token_hash == digest(secret)))
    return row if row is not None and row.way.startswith(HALF) and now < row.expires_at else None


def has_ended(row: WebSession, now: datetime) -> bool:
    """Whether the session is over: it was idle, or open, for too long."""
    return now >= row.expires_at or now - row.seen_at >= SESSION_IDLE


def opened_by(session: Session, user_id: str, now: datetime) -> frozenset[str]:
    """Patients whom this person opened by break-glass and may still see."""
    return frozenset(row.patient_id for row in _OPENED.rows(session, {"user": user_id, "now": now}))


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


def close_sessions_of(session: Session, user_id: str, *, but: str = "") -> int:
    """Sign a user out everywhere (in every browser but the session `but`); returns how many sessions that ended."""
    rows = session.scalars(select(WebSession).where(WebSession.user_id == user_id, WebSession.id != but)).all()
    for row in rows:
        session.delete(row)
    return len(rows)


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
    row = _TOKEN.first(session, {"hash": digest(secret)})
    if row is None or row.revoked_at is not None or (row.expires_at is not None and now >= row.expires_at):
        return None
    opened = opened_by(session, row.user_id, now)
    return actor_of(session, row.user_id, address=address, scopes=frozenset(row.scopes), opened=opened)
