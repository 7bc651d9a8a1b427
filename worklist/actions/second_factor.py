"""The second factor of a person: time-based codes (RFC 6238) from an app, and recovery codes for a lost telephone.

The secret comes here sealed; what is right is worked out above. Here it is made sure that no code is taken twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import Conflict
from worklist.people import Actor, account_for_admin, close_sessions_of
from worklist.tables import User, WebSession


def keep_secret(session: Session, by: Actor, sealed: str, now: datetime) -> None:
    """Keep a new, sealed secret for the actor until it is confirmed with a code.

    Raises
    ------
    Conflict
        ``second_factor_is_on``.
    """
    by.require_person()
    user = session.get_one(User, by.id)
    if user.totp_confirmed_at is not None:
        raise Conflict("second_factor_is_on")
    user.totp_secret = sealed


def confirm(session: Session, by: Actor, sealed: str, step: int, recovery: Sequence[str], now: datetime) -> None:
    """Switch the second factor on: a code of `step` (30 s since 1970) was right for the secret `sealed`.

    `recovery` are the SHA-256 of the recovery codes. Sessions elsewhere, which proved less, end.

    Raises
    ------
    Conflict
        ``second_factor_is_on``, ``second_factor_changed`` when another page has begun anew meanwhile.
    """
    by.require_person()
    changed = session.scalar(
        update(User)
        .where(User.id == by.id, User.totp_confirmed_at.is_(None), User.totp_secret == sealed)
        .values(totp_confirmed_at=now, totp_last_step=step, recovery_codes=list(recovery))
        .returning(User.id)
    )
    if changed is None:
        is_on = session.get_one(User, by.id).totp_confirmed_at is not None
        raise Conflict("second_factor_is_on" if is_on else "second_factor_changed")
    close_sessions_of(session, by.id, but=by.session_id)
    here = session.get(WebSession, by.session_id) if by.session_id else None
    if here is not None:
        here.way = "totp"  # password and code were both given in it
    audit.note(session, by, "second factor switched on", now, thing="user", thing_id=by.id)


def take_step(session: Session, user_id: str, step: int) -> bool:
    """Use up the code of a time step; False when it or a later one was used before."""
    changed = update(User).where(User.id == user_id, User.totp_last_step < step).values(totp_last_step=step)
    return session.scalar(changed.returning(User.id)) is not None


def take_recovery_code(session: Session, by: Actor, hashed: str, now: datetime) -> bool:
    """Use up a recovery code, given as SHA-256; False when it is none of the actor's."""
    left = session.scalar(select(User.recovery_codes).where(User.id == by.id).with_for_update()) or []
    if hashed not in left:
        return False
    rest = [code for code in left if code != hashed]
    session.execute(update(User).where(User.id == by.id).values(recovery_codes=rest))
    audit.note(session, by, "recovery code used", now, thing="user", thing_id=by.id, detail={"left": len(rest)})
    return True


def renew_recovery_codes(session: Session, by: Actor, recovery: Sequence[str], now: datetime) -> None:
    """New recovery codes for the actor; those before are worth nothing any more.

    Raises
    ------
    Conflict
        ``second_factor_is_off``.
    """
    by.require_person()
    user = session.get_one(User, by.id)
    if user.totp_confirmed_at is None:
        raise Conflict("second_factor_is_off")
    user.recovery_codes = list(recovery)
    audit.note(session, by, "recovery codes made", now, thing="user", thing_id=by.id)


def switch_off(session: Session, by: Actor, now: datetime) -> None:
    """The actor does without. Where the role needs one, nothing works until a new one is set up."""
    by.require_person()
    _clear(session.get_one(User, by.id))
    audit.note(session, by, "second factor switched off", now, thing="user", thing_id=by.id)


def reset(session: Session, by: Actor, user_id: str, now: datetime) -> None:
    """Take the second factor from somebody who lost theirs; their sessions end. For the security admin.

    Raises
    ------
    NotFound
        ``no_such_user``.
    """
    user = account_for_admin(session, by, user_id)
    _clear(user)
    close_sessions_of(session, user.id)
    audit.note(
        session, by, "second factor reset", now, thing="user", thing_id=user.id, institution_id=user.institution_id
    )


def _clear(user: User) -> None:
    """`totp_last_step` stays: no code of the past becomes good again."""
    user.totp_secret, user.totp_confirmed_at, user.recovery_codes = "", None, []
