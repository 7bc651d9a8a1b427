"""Ending sessions: one's own, and, for the security admin, another person's."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import NotFound
from worklist.people import Actor, account_for_admin, close_sessions_of
from worklist.tables import WebSession


def end_own(session: Session, by: Actor, session_id: str, now: datetime) -> None:
    """End one of the actor's own sessions.

    Raises
    ------
    NotFound
        ``no_such_session``: there is none, or it is another person's.
    """
    by.require_person()
    row = session.get(WebSession, session_id)
    if row is None or row.user_id != by.id:
        raise NotFound("no_such_session")
    session.delete(row)
    audit.note(session, by, "session ended", now, thing="user", thing_id=by.id)


def end_all_own(session: Session, by: Actor, now: datetime) -> int:
    """Sign the actor out everywhere; returns how many sessions that ended."""
    by.require_person()
    ended = close_sessions_of(session, by.id)
    audit.note(session, by, "sessions ended", now, thing="user", thing_id=by.id, detail={"count": ended})
    return ended


def end_all_of(session: Session, by: Actor, user_id: str, now: datetime) -> int:
    """Sign somebody out everywhere; returns how many sessions that ended. For the security admin.

    Raises
    ------
    NotFound
        ``no_such_user``.
    """
    user = account_for_admin(session, by, user_id)
    ended = close_sessions_of(session, user.id)
    audit.note(
        session,
        by,
        "sessions ended",
        now,
        thing="user",
        thing_id=user.id,
        institution_id=user.institution_id,
        detail={"count": ended},
    )
    return ended
