"""The second factor: codes of six digits from an app (RFC 6238, SHA-1, 30 s), and recovery codes on paper.

The secret is kept sealed with the installation's key; recovery codes are kept as hashes. A code is good for its own
half minute and the ones beside it, once.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyotp
import segno
from sqlalchemy.orm import Session

from gateway.http import Web
from reading_room import passwords, sealing
from worklist.actions import second_factor as kept
from worklist.actions import sign_in
from worklist.actions.sign_in import Entry, Half
from worklist.errors import BadInput, Conflict, Forbidden
from worklist.people import Actor
from worklist.queries import accounts

STEP: Final = 30  # seconds
AROUND: Final = 1  # steps before and after the present one: telephones' clocks differ
RECOVERY_CODES: Final = 10
ISSUER: Final = "Huren"


@dataclass(frozen=True)
class Setup:
    """What somebody puts into their app: the QR code as a ``data:`` address, or the secret typed in groups of four.

    `address` is what the QR code says (an ``otpauth:`` address).
    """

    picture: str
    secret: str
    address: str


def begin(web: Web, by: Actor, password: str, now: datetime) -> None:
    """Make a new secret for the actor, who proves again who they are; it counts after `confirm`.

    Raises
    ------
    Forbidden, Conflict
        ``password_wrong``, ``second_factor_is_on``.
    """
    passwords.verify(web.database, by, password, now)
    sealed = sealing.seal(web.seals, _purpose(by.id), pyotp.random_base32())
    web.database.write(lambda session: kept.keep_secret(session, by, sealed, now))


def setup(web: Web, by: Actor) -> Setup | None:
    """What waits to be put into the app; None when nothing was begun or it is confirmed already."""
    account = web.database.read(lambda session: accounts.own(session, by))
    if not account.totp_secret or account.second_factor_at is not None:
        return None
    secret = sealing.unseal(web.seals, _purpose(by.id), account.totp_secret)
    address = pyotp.TOTP(secret).provisioning_uri(name=by.name, issuer_name=ISSUER)
    picture = segno.make(address, error="m", micro=False).svg_data_uri(scale=5, border=2)
    return Setup(picture, " ".join(secret[i : i + 4] for i in range(0, len(secret), 4)), address)


def confirm(web: Web, by: Actor, code: str, now: datetime) -> tuple[str, ...]:
    """Switch the second factor on with a first code; returns the recovery codes, which are kept nowhere.

    Raises
    ------
    BadInput, Conflict
        ``code_wrong``; ``second_factor_is_on``, ``second_factor_changed``.
    """
    account = web.database.read(lambda session: accounts.own(session, by))
    if not account.totp_secret or account.second_factor_at is not None:
        raise Conflict("second_factor_is_on" if account.second_factor_at else "second_factor_changed")
    step = _step_of(web, by.id, account.totp_secret, code, now)
    if step is None:
        raise BadInput("code_wrong")
    codes = _make_codes()
    hashes = [_hash(c) for c in codes]
    web.database.write(lambda session: kept.confirm(session, by, account.totp_secret, step, hashes, now))
    return codes


def prove(web: Web, half_secret: str, code: str, address: str, now: datetime) -> Entry:
    """The second step at the door: a code of the app, or a recovery code.

    Raises
    ------
    Forbidden
        ``sign_in_too_soon``; ``code_wrong``, which may be tried again; ``sign_in_failed``: begin again, since the
        account is locked or the half session is over.
    """
    passwords.require_patience(web.database, address, now)
    half = web.database.read(lambda session: sign_in.half_in(session, half_secret, now))
    if half is None or half.locked:
        raise Forbidden("sign_in_failed")
    step = _step_of(web, half.user_id, half.sealed, code, now)

    def write(session: Session) -> Entry | None:
        fresh = sign_in.half_in(session, half_secret, now)  # of guesses at the same time, none gets past the lock
        if fresh is None or fresh.locked or sign_in.waits(session, address, now):
            return None
        if _take(session, fresh, step, code, address, now):
            return sign_in.complete(session, fresh, address, now)
        sign_in.fail(session, fresh, address, now)
        return None

    entry = web.database.write(write)
    if entry is None:
        still = web.database.read(lambda session: sign_in.half_in(session, half_secret, now))
        raise Forbidden("code_wrong" if still is not None and not still.locked else "sign_in_failed")
    return entry


def renew_codes(web: Web, by: Actor, password: str, code: str, now: datetime) -> tuple[str, ...]:
    """New recovery codes, for a password and a code.

    Raises
    ------
    Forbidden, BadInput, Conflict
        ``password_wrong``; ``code_wrong``; ``second_factor_is_off``.
    """
    codes = _make_codes()
    _prove_both(web, by, password, code, now)
    web.database.write(lambda session: kept.renew_recovery_codes(session, by, [_hash(c) for c in codes], now))
    return codes


def switch_off(web: Web, by: Actor, password: str, code: str, now: datetime) -> None:
    """Do without a second factor from now on, for a password and a code. Errors as `renew_codes`."""
    _prove_both(web, by, password, code, now)
    web.database.write(lambda session: kept.switch_off(session, by, now))


def prove_again(web: Web, by: Actor, code: str, now: datetime) -> None:
    """A code of the app in the place of the password, from somebody who is signed in, as before a signature. Wrong ones
    count towards the lock.

    Raises
    ------
    Forbidden
        ``code_wrong``: also where there is no second factor, and while the account is locked.
    """
    account = web.database.read(lambda session: accounts.own(session, by))
    step = None
    if account.second_factor_at is not None:
        step = _step_of(web, by.id, account.totp_secret, code, now)

    def write(session: Session) -> bool:
        if sign_in.is_locked(session, by, now):
            return False
        if step is not None and kept.take_step(session, by.id, step):
            return True
        sign_in.fail(session, Half("", by.id, by.name, "", "", locked=False), by.address, now)
        return False

    if not web.database.write(write):
        raise Forbidden("code_wrong")


def has_one(web: Web, by: Actor) -> bool:
    """Whether somebody has a second factor that counts."""
    return web.database.read(lambda session: accounts.own(session, by)).second_factor_at is not None


def _prove_both(web: Web, by: Actor, password: str, code: str, now: datetime) -> None:
    account = web.database.read(lambda session: accounts.own(session, by))
    if account.second_factor_at is None:
        raise Conflict("second_factor_is_off")
    passwords.verify(web.database, by, password, now)
    half = Half("", by.id, by.name, account.totp_secret, "", locked=False)
    step = _step_of(web, by.id, account.totp_secret, code, now)

    def write(session: Session) -> bool:
        taken = _take(session, half, step, code, by.address, now)
        if not taken:
            sign_in.fail(session, half, by.address, now)
        return taken

    if not web.database.write(write):
        raise BadInput("code_wrong")


def _take(session: Session, half: Half, step: int | None, code: str, address: str, now: datetime) -> bool:
    if step is not None:
        return kept.take_step(session, half.user_id, step)
    who = Actor(id=half.user_id, name=half.login, address=address)
    return kept.take_recovery_code(session, who, _hash(code), now)


def _step_of(web: Web, user_id: str, sealed: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is, None if it is none of about now."""
    typed = "".join(c for c in unicodedata.normalize("NFKC", code) if not c.isspace())
    if len(typed) != 6 or not (typed.isascii() and typed.isdigit()):
        return None
    app = pyotp.TOTP(sealing.unseal(web.seals, _purpose(user_id), sealed))
    present = int(now.timestamp()) // STEP
    found = None
    for step in range(present - AROUND, present + AROUND + 1):
        if secrets.compare_digest(app.generate_otp(step), typed):
            found = step
    return found


def _make_codes() -> tuple[str, ...]:
    """Recovery codes of 50 random bits each, easy to copy by hand: no 0, 1, 8 or 9."""
    codes = (base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10] for _ in range(RECOVERY_CODES))
    return tuple(f"{code[:5]}-{code[5:]}" for code in codes)


def _hash(code: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKC", code).lower() if c.isalnum())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _purpose(user_id: str) -> str:
    return f"second factor of {user_id}"
