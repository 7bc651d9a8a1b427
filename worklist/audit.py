"""Audit rows, appended with what they record, and chained shortly afterwards.

A chain in the write path would make every transaction wait for the one before it. So rows are appended unchained,
and `seal` links the committed ones: the digest of a link covers the digest before it and the whole row.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, func, insert, select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.prepared import Prepared
from worklist.tables import AuditRow, AuditSeal, Center
from worklist.tables.base import table_of

LOOK_AGAIN: Final = timedelta(minutes=10)
LATE: Final = 20_000
"""Keys that are given while a transaction is under way, at most: a minute of a large county has a tenth of it."""
_AUDIT: Final = table_of(AuditRow)
_APPEND: Final = Prepared(insert(_AUDIT).inline(), [column.name for column in _AUDIT.c if column.name != "seq"])


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
    row = {
        "at": now,
        "actor": by.name,
        "actor_id": by.id,
        "action": action,
        "thing": thing,
        "thing_id": thing_id,
        "institution_id": institution_id,
        "patient_id": patient_id or "",
        "address": by.address,
        "why": why,
        "detail": detail or {},
    }
    _APPEND.run(session, row)


def note_center(
    session: Session, by: Actor, action: str, center: Center, now: datetime, detail: dict[str, Any] | None = None
) -> None:
    """Append what somebody set for a center."""
    institution_id = center.institution_id
    note(session, by, action, now, thing="center", thing_id=center.id, institution_id=institution_id, detail=detail)


def note_look(
    session: Session, by: Actor, now: datetime, thing: str, thing_id: str, patient_id: str, institution_id: str = ""
) -> None:
    """Record that somebody looked at a case, a report or images; once in ten minutes for the same eyes and thing."""
    note_once(session, by, f"{thing} opened", now, thing, thing_id, patient_id, institution_id)


def note_once(
    session: Session,
    by: Actor,
    action: str,
    now: datetime,
    thing: str,
    thing_id: str,
    patient_id: str,
    institution_id: str = "",
) -> None:
    """Record what somebody did, unless they did the same to the same thing in the last ten minutes."""
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


def seal(session: Session, *, limit: int = 1000, late: int | None = LATE) -> int:
    """Chain up to `limit` rows that are not chained yet, in the order of their keys; return how many.

    Run by one sealer at a time. A row that commits late with a smaller key is chained when it is seen: the chain
    has its own order. It is looked for among the last `late` keys, since a look at all that was ever chained costs
    half a second for each million; None looks at all.
    """
    last = session.scalar(select(AuditSeal.digest).order_by(AuditSeal.seq.desc()).limit(1)) or ""
    newest = session.scalar(select(func.max(AuditSeal.audit_seq))) or 0
    after = 0 if late is None else newest - late
    unsealed = (
        select(AuditRow)
        # Said of both, or the database would read every link that there is.
        .outerjoin(AuditSeal, and_(AuditSeal.audit_seq == AuditRow.seq, AuditSeal.audit_seq > after))
        .where(AuditSeal.seq.is_(None), AuditRow.seq > after)
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


@dataclass(frozen=True)
class Chain:
    """What the chain says of itself. `broken_at` is the key of the first row that was altered or removed, or None.

    `digest` is that of the last link: whoever noted it earlier can see that nothing before was cut off.
    """

    links: int
    first_at: datetime | None
    last_at: datetime | None
    digest: str
    broken_at: int | None
    unchained: int  # rows that are too young to be chained


def check_chain(session: Session) -> Chain:
    """Walk the whole chain and work every digest out again."""
    digest, links = "", 0
    first: datetime | None = None
    last: datetime | None = None
    broken: int | None = None
    rows = select(AuditSeal, AuditRow).outerjoin(AuditRow, AuditRow.seq == AuditSeal.audit_seq).order_by(AuditSeal.seq)
    with session.execute(rows.execution_options(yield_per=1000)) as all_rows:  # closed where a broken link ends it
        for link, found in all_rows:
            row: AuditRow | None = found
            if row is None or _digest(digest, row) != link.digest:
                broken = int(link.audit_seq)
                break
            digest, links = link.digest, links + 1
            first, last = first or row.at, row.at
            session.expunge(row)
            session.expunge(link)
    unchained = select(func.count()).select_from(AuditRow)
    young = unchained.outerjoin(AuditSeal, AuditSeal.audit_seq == AuditRow.seq).where(AuditSeal.seq.is_(None))
    return Chain(links, first, last, digest, broken, session.scalar(young) or 0)


def broken_link(session: Session) -> int | None:
    """The key of the first audit row that was altered or removed after sealing, or None."""
    return check_chain(session).broken_at


def _digest(before: str, row: AuditRow) -> str:
    columns = {c.name: getattr(row, c.name) for c in AuditRow.__table__.columns}
    columns["at"] = row.at.isoformat()
    text = json.dumps(columns, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(before.encode() + text.encode()).hexdigest()
