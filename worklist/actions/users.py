"""People and their roles: the security admin's work, never the PACS admin's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.people import (
    CENTER_ROLES,
    HUREN,
    ROLES,
    Actor,
    account_for_admin,
    actor_of,
    close_sessions_of,
    create_token,
    require_security_admin,
)
from worklist.tables import ApiToken, Center, Institution, ReaderGroup, User, UserGroup, UserRole

FAILURES_ALLOWED: Final = 5
LOCKED_FOR: Final = timedelta(minutes=15)


def save_user(
    session: Session,
    by: Actor,
    now: datetime,
    *,
    id: str | None = None,
    login: str = "",
    name: str = "",
    institution_id: str = "",
    roles: Iterable[tuple[str, str]] | None = None,
    group_ids: Iterable[str] | None = None,
    enabled: bool | None = None,
    password_hash: str | None = None,
    must_change_password: bool = True,
) -> User:
    """Make or change a person. `roles` are (role, center id or ""); changed rights end the person's sessions."""
    require_security_admin(by)
    if id is None:
        login = login.strip().lower()
        if not login or len(login) > 64 or any(c.isspace() or not c.isprintable() for c in login):
            raise BadInput("field_wrong", field="login")
        if session.scalar(select(User.id).where(User.login == login)) is not None:
            raise Conflict("login_taken")
        user = User(login=login, created_at=now)
    else:
        found = session.get(User, id)
        if found is None:
            raise NotFound("no_such_user")
        user = found
    if name or id is None:
        if not name.strip():
            raise BadInput("field_missing", field="name")
        user.name = name.strip()
    if institution_id or id is None:
        if session.get(Institution, institution_id) is None:
            raise NotFound("no_such_institution")
        user.institution_id = institution_id
    if enabled is not None:
        user.enabled = enabled
    if password_hash is not None:
        user.password_hash, user.must_change_password = password_hash, must_change_password
        user.failures, user.locked_until = 0, None
    session.add(user)
    session.flush()
    if roles is not None:
        _set_roles(session, by, user, list(roles))
    if group_ids is not None:
        _set_groups(session, user, list(group_ids))
    close_sessions_of(session, user.id)
    audit.note(session, by, "user saved", now, thing="user", thing_id=user.id, institution_id=user.institution_id)
    return user


def find_login(session: Session, login: str) -> User | None:
    """The enabled user with this login."""
    user = session.scalar(select(User).where(User.login == login.strip().lower()))
    return user if user is not None and user.enabled else None


def is_locked(user: User, now: datetime) -> bool:
    """Whether too many wrong passwords have locked the account for a while."""
    return user.locked_until is not None and now < user.locked_until


def note_sign_in(session: Session, user_id: str, address: str, ok: bool, now: datetime) -> None:
    """Record a sign-in that worked or failed; the fifth failure in a row locks the account for a quarter of an hour."""
    user = session.get_one(User, user_id)
    if ok:
        user.failures, user.locked_until = 0, None
    else:
        user.failures += 1
        if user.failures >= FAILURES_ALLOWED:
            user.locked_until, user.failures = now + LOCKED_FOR, 0
    actor = Actor(id=user.id, name=user.login, address=address)
    audit.note(session, actor, "signed in" if ok else "sign-in failed", now, thing="user", thing_id=user.id)


def change_own_password(session: Session, by: Actor, password_hash: str, now: datetime) -> None:
    """Set one's own new password; all of one's sessions end."""
    user = session.get_one(User, by.id)
    user.password_hash, user.must_change_password = password_hash, False
    close_sessions_of(session, user.id)
    audit.note(session, by, "password changed", now, thing="user", thing_id=user.id)


def connect(session: Session, user_id: str, subject: str, address: str, now: datetime) -> None:
    """The account `subject` ("issuer|sub") of the sign-in provider is this person's: they have just proved both.

    Raises
    ------
    Conflict
        ``oidc_subject_taken``: it is connected to another person.
    """
    user = session.get_one(User, user_id)
    if user.oidc_subject == subject:
        return
    _set_subject(session, user, subject)
    by = Actor(id=user.id, name=user.login, address=address)
    audit.note(session, by, "sign-in provider connected", now, thing="user", thing_id=user.id)


def find_subject(session: Session, subject: str) -> User | None:
    """The enabled user to whom this account of the sign-in provider belongs."""
    return session.scalar(select(User).where(User.oidc_subject == subject, User.enabled))


def set_subject(session: Session, by: Actor, user_id: str, subject: str, now: datetime) -> None:
    """Say which account of the sign-in provider ("issuer|sub") is this person's, or ("") that none is.

    Raises
    ------
    NotFound, Conflict, BadInput
        ``no_such_user``, ``oidc_subject_taken``, ``field_wrong``.
    """
    user = account_for_admin(session, by, user_id)
    if len(subject) > 600 or not subject.isprintable():
        raise BadInput("field_wrong", field="oidc_subject")
    _set_subject(session, user, subject or None)
    close_sessions_of(session, user.id)
    action = "sign-in provider connected" if subject else "sign-in provider disconnected"
    audit.note(session, by, action, now, thing="user", thing_id=user.id, institution_id=user.institution_id)


def _set_subject(session: Session, user: User, subject: str | None) -> None:
    if subject is not None:
        other = session.scalar(select(User.id).where(User.oidc_subject == subject, User.id != user.id))
        if other is not None:
            raise Conflict("oidc_subject_taken")
    user.oidc_subject = subject


def set_language(session: Session, by: Actor, language: str) -> None:
    """Remember the language a person reads."""
    by.require_person()
    if language not in ("zh_CN", "en"):
        raise BadInput("field_wrong", field="language")
    session.get_one(User, by.id).language = language


def make_token(
    session: Session, by: Actor, login: str, name: str, scopes: tuple[str, ...], now: datetime, life: timedelta | None
) -> str:
    """Make an API token for a user and return its secret, once."""
    require_security_admin(by)
    user = find_login(session, login)
    if user is None:
        raise NotFound("no_such_user")
    if by is not HUREN and user.id != by.id and "sign" in scopes:
        raise Forbidden("sign_token_is_personal")  # nobody else signs in a doctor's name
    audit.note(session, by, "token made", now, thing="user", thing_id=user.id, detail={"scopes": list(scopes)})
    return create_token(session, user.id, name, scopes, now, life)


def revoke_token(session: Session, by: Actor, token_id: str, now: datetime) -> None:
    """End an API token. One that has ended already keeps its time."""
    require_security_admin(by)
    token = session.get(ApiToken, token_id)
    if token is None:
        raise NotFound("no_such_token")
    if token.revoked_at is not None:
        return
    token.revoked_at = now
    audit.note(session, by, "token revoked", now, thing="user", thing_id=token.user_id)


def actor_for(session: Session, login: str) -> Actor:
    """The actor that a user would be, for the command line on the server itself."""
    user = find_login(session, login)
    if user is None:
        raise NotFound("no_such_user")
    return actor_of(session, user.id)


def _set_roles(session: Session, by: Actor, user: User, roles: list[tuple[str, str]]) -> None:
    for role, center_id in roles:
        if role not in ROLES:
            raise BadInput("field_wrong", field="roles")
        if role in CENTER_ROLES and session.get(Center, center_id) is None:
            raise NotFound("no_such_center")
        if role not in CENTER_ROLES and center_id:
            raise BadInput("field_wrong", field="roles")
    names = {role for role, _center in roles}
    # Three separate administrators: nobody configures, gives rights and audits at once.
    if len(names & {"PACS admin", "security admin", "auditor"}) > 1:
        raise BadInput("administrators_are_separate")
    user.roles = [UserRole(user_id=user.id, role=role, center_id=center_id) for role, center_id in dict.fromkeys(roles)]
    session.flush()


def _set_groups(session: Session, user: User, group_ids: list[str]) -> None:
    for row in session.scalars(select(UserGroup).where(UserGroup.user_id == user.id)):
        session.delete(row)
    session.flush()
    for group_id in dict.fromkeys(group_ids):
        if session.get(ReaderGroup, group_id) is None:
            raise NotFound("no_such_group")
        session.add(UserGroup(user_id=user.id, group_id=group_id))
