"""Audit rows, appended with what they record, and chained shortly afterwards.

A chain in the write path would make every transaction wait for the one before it. So rows are appended unchained,
and `seal` links the committed ones: the digest of a link covers the digest before it and the whole row.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.tables import AuditRow, AuditSeal

LOOK_AGAIN: Final = timedelta(minutes=10)


def note(
    session: Session,
    by: Actor,
    action: str,
    now: datetime,
    *,
    thing: str = "",
    thing_id: str = "",
    institution_id: str = "",
    patient_id: str | None = "",
    why: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Record that `by` did or saw something. `detail` holds ids and codes, never clinical text."""
    session.add(
        AuditRow(
            at=now,
            actor=by.name,
            actor_id=by.id,
            action=action,
            thing=thing,
            thing_id=thing_id,
            institution_id=institution_id,
            patient_id=patient_id or "",
            address=by.address,
            why=why,
            detail=detail or {},
        )
    )


def note_look(
    session: Session, by: Actor, now: datetime, thing: str, thing_id: str, patient_id: str, institution_id: str = ""
) -> None:
    """Record that somebody looked at a case, a report or images; once in ten minutes for the same eyes and thing."""
    action = f"{thing} opened"
    newest = session.scalar(
        select(AuditRow.at)
        .where(AuditRow.thing_id == thing_id, AuditRow.actor_id == by.id, AuditRow.action == action)
        .order_by(AuditRow.seq.desc())
        .limit(1)
    )
    if newest is None or not timedelta() <= now - newest < LOOK_AGAIN:
        note(
            session,
            by,
            action,
            now,
            thing=thing,
            thing_id=thing_id,
            institution_id=institution_id,
            patient_id=patient_id,
        )


def seal(session: Session, *, limit: int = 1000) -> int:
    """Chain up to `limit` rows that are not chained yet, in the order of their keys; return how many.

    Run by one sealer at a time. A row that commits late with a smaller key is chained when it is seen: the chain
    has its own order.
    """
    last = session.scalar(select(AuditSeal.digest).order_by(AuditSeal.seq.desc()).limit(1)) or ""
    unsealed = (
        select(AuditRow)
        .outerjoin(AuditSeal, AuditSeal.audit_seq == AuditRow.seq)
        .where(AuditSeal.seq.is_(None))
        .order_by(AuditRow.seq)
        .limit(limit)
    )
    count = 0
    for row in session.scalars(unsealed).all():
        last = _digest(last, row)
        session.add(AuditSeal(audit_seq=row.seq, digest=last))
        session.flush()  # the link's own key must follow the chain
        count += 1
    return count


def broken_link(session: Session) -> int | None:
    """The key of the first audit row that was altered or removed after sealing, or None."""
    digest = ""
    rows = select(AuditSeal, AuditRow).outerjoin(AuditRow, AuditRow.seq == AuditSeal.audit_seq).order_by(AuditSeal.seq)
    for link, found in session.execute(rows):
        row: AuditRow | None = found
        if row is None or _digest(digest, row) != link.digest:
            return int(link.audit_seq)
        digest = link.digest
    return None


def _digest(before: str, row: AuditRow) -> str:
    columns = {c.name: getattr(row, c.name) for c in AuditRow.__table__.columns}
    columns["at"] = row.at.isoformat()
    text = json.dumps(columns, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before.encode() + text.encode()).hexdigest()
