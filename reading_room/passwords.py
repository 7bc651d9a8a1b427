"""Passwords: hashed with argon2, checked at sign-in and at every signature made from a page.

Hashing is slow on purpose, so it happens outside every transaction and for a few people at a time. An unknown
login, a wrong password and a locked account take the same time and get the same words.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import sign_in as sign_in_rules
from worklist.actions import users
from worklist.actions.sign_in import Entry
from worklist.database import Database
from worklist.errors import BadInput, Forbidden
from worklist.people import Actor

T = TypeVar("T")

SHORTEST: Final = 10  # characters
LONGEST: Final = 256
STANDARD: Final = PasswordHasher()
"""64 MiB and three passes: the second recommended set of RFC 9106."""
_AT_ONCE: Final = threading.BoundedSemaphore(4)  # each hash takes 64 MiB


def hash_password(password: str, hasher: PasswordHasher = STANDARD) -> str:
    """The hash that is kept; `hasher` may be a cheap one in tests."""
    with _AT_ONCE:
        return hasher.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Whether `password` is the one that was hashed. An empty hash takes as long as a wrong password."""
    try:
        with _AT_ONCE:
            STANDARD.verify(password_hash or _nobodys_hash(), password)
            return bool(password_hash)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def check_policy(password: str, login: str) -> None:
    """Raise `BadInput` for a password that is too short, too long, unprintable, or says the login."""
    if len(password) < SHORTEST:
        raise BadInput("password_too_short", least=SHORTEST)
    if len(password) > LONGEST:
        raise BadInput("password_too_long", most=LONGEST)
    if not password.isprintable():  # control characters and lone surrogates
        raise BadInput("field_wrong", field="password")
    if login and login.casefold() in password.casefold():
        raise BadInput("password_is_login")


def make_password() -> str:
    """A first-run password of 96 random bits."""
    return secrets.token_urlsafe(12)


def sign_in(database: Database, login: str, password: str, address: str, now: datetime) -> Entry:
    """Check a login and begin a session, which waits for the code of the second factor if the person has one.

    Raises
    ------
    Forbidden
        ``sign_in_failed``: unknown, wrong, locked and disabled are not told apart. ``sign_in_too_soon``: too many
        failures from this address; ``seconds`` to wait.
    """
    require_patience(database, address, now)

    def enter(session: Session, user_id: str) -> Entry | None:
        if sign_in_rules.waits(session, address, now):
            return None  # others from there failed while this one was being hashed
        return sign_in_rules.enter(session, user_id, address, now, "password")

    entry = _check(database, login, password, address, now, enter, counts_for_address=True)
    if entry is None:
        raise Forbidden("sign_in_failed")
    return entry


def require_patience(database: Database, address: str, now: datetime) -> None:
    """Raise `Forbidden` (``sign_in_too_soon``) while this address has to wait after its failures."""
    seconds = database.read(lambda session: sign_in_rules.waits(session, address, now))
    if seconds:
        raise Forbidden("sign_in_too_soon", seconds=seconds)


def verify(database: Database, by: Actor, password: str, now: datetime) -> None:
    """Check the password of somebody who is signed in, as before a signature. Wrong ones count towards the lock.

    Raises
    ------
    Forbidden
        ``password_wrong``.
    """
    if _check(database, by.name, password, by.address, now, lambda _session, user_id: user_id) is None:
        raise Forbidden("password_wrong")


def change(database: Database, by: Actor, old: str, new: str, now: datetime, hasher: PasswordHasher = STANDARD) -> None:
    """Set one's own new password; all of one's sessions end.

    Raises
    ------
    Forbidden, BadInput
        ``password_wrong``, or what is wrong with the new one.
    """
    verify(database, by, old, now)
    check_policy(new, by.name)
    if new == old:
        raise BadInput("password_unchanged")
    password_hash = hash_password(new, hasher)
    database.write(lambda session: users.change_own_password(session, by, password_hash, now))


def _check(
    database: Database,
    login: str,
    password: str,
    address: str,
    now: datetime,
    then: Callable[[Session, str], T | None],
    *,
    counts_for_address: bool = False,
) -> T | None:
    """What `then` says if login and password are right and the account is not locked; the try is recorded."""
    login = login[:64] if login.isprintable() else ""

    def look_up(session: Session) -> tuple[str, str]:
        user = users.find_login(session, login)
        return (user.id, user.password_hash) if user is not None else ("", "")

    user_id, password_hash = database.read(look_up)
    right = matches(password_hash, password[: LONGEST + 1])

    def note(session: Session) -> T | None:
        user = users.find_login(session, login) if user_id else None
        locked = user is None or users.is_locked(user, now)
        if counts_for_address and (locked or not right):
            sign_in_rules.note_failure(session, address, now)
        if user is None or locked:
            # One row, as for a known login: no difference in time tells whether the account is there.
            who = Actor(id=user_id, name=user.login if user is not None else "unknown", address=address)
            audit.note(session, who, "sign-in refused", now, thing="user", thing_id=user_id)
            return None
        if not right:
            users.note_sign_in(session, user.id, address, False, now)
            return None
        return then(session, user.id)

    return database.write(note)


@lru_cache
def _nobodys_hash() -> str:
    return STANDARD.hash(secrets.token_urlsafe())
