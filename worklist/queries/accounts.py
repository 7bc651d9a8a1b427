"""One's own account, and where somebody is signed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.people import HALF, Actor, account_for_admin, has_ended, require_security_admin
from worklist.tables import User, WebSession


@dataclass(frozen=True)
class Account:
    """How a person signs in. `totp_secret` is sealed; it is there from the beginning of the setting up on."""

    login: str
    totp_secret: str
    second_factor_at: datetime | None  # since when it counts
    recovery_codes: int  # how many are left
    oidc_subject: str
    must_change_password: bool


@dataclass(frozen=True)
class SessionRow:
    """A browser that is signed in. `way`: what was proved at the door."""

    id: str
    address: str
    way: str
    began_at: datetime
    seen_at: datetime
    is_this: bool


def own(session: Session, by: Actor) -> Account:
    """The actor's own account."""
    by.require_person()
    return _account(session.get_one(User, by.id))


def of(session: Session, by: Actor, user_id: str) -> Account:
    """Somebody's account. For the security admin.

    Raises
    ------
    NotFound
        ``no_such_user``.
    """
    user = account_for_admin(session, by, user_id)
    return _account(user)


def own_sessions(session: Session, by: Actor, now: datetime) -> list[SessionRow]:
    """The actor's sessions, the one used last first."""
    by.require_person()
    return _sessions(session, by.id, now, by.session_id)


def sessions_of(session: Session, by: Actor, user_id: str, now: datetime) -> list[SessionRow]:
    """Somebody's sessions. For the security admin."""
    require_security_admin(by)
    return _sessions(session, user_id, now, by.session_id)


def _sessions(session: Session, user_id: str, now: datetime, this: str) -> list[SessionRow]:
    rows = session.scalars(
        select(WebSession).where(WebSession.user_id == user_id).order_by(WebSession.seen_at.desc(), WebSession.id)
    )
    return [
        SessionRow(r.id, r.address, r.way, r.created_at, r.seen_at, r.id == this)
        for r in rows
        if not r.way.startswith(HALF) and not has_ended(r, now)
    ]


def _account(user: User) -> Account:
    return Account(
        login=user.login,
        totp_secret=user.totp_secret,
        second_factor_at=user.totp_confirmed_at,
        recovery_codes=len(user.recovery_codes),
        oidc_subject=user.oidc_subject or "",
        must_change_password=user.must_change_password,
    )
