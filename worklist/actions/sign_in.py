"""What the door keeps: who came in and by what proof, and which addresses have to wait after wrong guesses.

An account is locked after five wrong passwords or codes (`worklist.actions.users`). That stops nobody who tries one
password on many accounts, so each address waits too, ever longer, and is forgiven as time goes by.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from worklist.actions import users
from worklist.people import HALF, Actor, close_session, half_session, open_session
from worklist.tables import SignInFailure, User

FREE: Final = 10
"""Failures of one address that cost no waiting: a township has one address, and people mistype."""
FIRST_WAIT: Final = 5  # seconds; each further failure doubles it
LONGEST_WAIT: Final = 15 * 60  # seconds
FORGIVEN_IN: Final = timedelta(minutes=2)
"""After each such time without a failure, one of them is forgotten."""
TWICE: Final = "oidc two factors"


@dataclass(frozen=True)
class Entry:
    """A session that was begun: whose, its cookie's secret, and whether it still waits for the code."""

    user_id: str
    secret: str
    waits_for_code: bool


@dataclass(frozen=True)
class Half:
    """Somebody whose first proof (`way`) was right. `sealed` is the secret that codes are made from, as kept."""

    session_id: str
    user_id: str
    login: str
    sealed: str
    way: str
    locked: bool


def enter(session: Session, user_id: str, address: str, now: datetime, way: str) -> Entry:
    """Let somebody in whose first proof was right: at once, or half until the code of the second factor comes.

    A provider that says it asked for two factors itself (`TWICE`) is believed.
    """
    user = session.get_one(User, user_id)
    if user.totp_confirmed_at is not None and way != TWICE:
        # Not noted as a success yet: that would forgive the wrong codes before it.
        return Entry(user_id, open_session(session, user_id, address, now, HALF + way), True)
    users.note_sign_in(session, user_id, address, True, now)
    return Entry(user_id, open_session(session, user_id, address, now, way), False)


def half_in(session: Session, secret: str, now: datetime) -> Half | None:
    """Who waits for the code with this cookie; None when it waited too long or the person was disabled."""
    row = half_session(session, secret, now)
    user = session.get(User, row.user_id) if row is not None else None
    if row is None or user is None or not user.enabled or user.totp_confirmed_at is None:
        return None
    return Half(row.id, user.id, user.login, user.totp_secret, row.way.removeprefix(HALF), users.is_locked(user, now))


def complete(session: Session, half: Half, address: str, now: datetime) -> Entry:
    """The code was right: the half session gives way to a whole one."""
    close_session(session, half.session_id)
    users.note_sign_in(session, half.user_id, address, True, now)
    way = "totp" if half.way == "password" else f"{half.way} totp"
    return Entry(half.user_id, open_session(session, half.user_id, address, now, way), False)


def fail(session: Session, half: Half, address: str, now: datetime) -> None:
    """The code was wrong: it counts as a wrong password does. A locked account has to begin again."""
    users.note_sign_in(session, half.user_id, address, False, now)
    note_failure(session, address, now)
    session.flush()
    if users.is_locked(session.get_one(User, half.user_id), now):
        close_session(session, half.session_id)


def is_locked(session: Session, by: Actor, now: datetime) -> bool:
    """Whether the account of somebody who is signed in is locked by wrong passwords or codes."""
    return users.is_locked(session.get_one(User, by.id), now)


def waits(session: Session, address: str, now: datetime) -> int:
    """Seconds that this address has to wait before its next try; 0 if it need not."""
    row = session.get(SignInFailure, _network(address))
    if row is None:
        return 0
    over = row.count - FREE
    if over < 0:
        return 0
    wait = min(FIRST_WAIT << min(over, 20), LONGEST_WAIT)
    left = wait - (now - row.last_at).total_seconds()
    return max(0, -int(-left // 1))


def note_failure(session: Session, address: str, now: datetime) -> None:
    """Count a failed sign-in of an address."""
    network = _network(address)
    row = session.get(SignInFailure, network)
    if row is None:
        session.add(SignInFailure(address=network, count=1, last_at=now))
        return
    forgiven = max(0, int((now - row.last_at) / FORGIVEN_IN))
    row.count, row.last_at = max(0, row.count - forgiven) + 1, now


def _network(address: str) -> str:
    """What counts as one address: with IPv6 the network of 64 bits, of which a house has all addresses."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
