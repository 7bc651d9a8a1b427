"""Somebody asked whether a report is genuine: on record, without anything of the patient."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.people import Actor
from worklist.queries.verification import Standing
from worklist.tables import AuditRow

ANYBODY = Actor(id="", name="anybody")
"""Who holds the paper and is not signed in."""


def note(session: Session, by: Actor | None, address: str, standing: Standing, now: datetime) -> None:
    """Record that a version was verified; once in ten minutes for the same version, asker and address, so that nobody
    fills the record by asking again and again. Run in a writing transaction.
    """
    asker = by or replace(ANYBODY, address=address)
    newest = session.scalar(
        select(AuditRow.at)
        .where(
            AuditRow.thing_id == standing.version_id,
            AuditRow.action == "report verified",
            AuditRow.actor_id == asker.id,
            AuditRow.address == asker.address,
        )
        .order_by(AuditRow.seq.desc())
        .limit(1)
    )
    if newest is None or not timedelta() <= now - newest < audit.LOOK_AGAIN:
        audit.note(
            session,
            asker,
            "report verified",
            now,
            thing="report version",
            thing_id=standing.version_id,
            detail={"number": standing.number, "outcome": standing.outcome},
        )
