"""What a backup, a restore and an export leave in the database. All of it is done at the server's own shell.

After a restore the database knows nothing of what came between the backup and the loss. Numbers of ours that were
given out meanwhile stand on paper in the townships: none may be given to somebody else. Control ids, Study Instance
UIDs and verification codes are drawn at random, so only what is counted has to leap.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.people import HUREN
from worklist.tables import Counter, Installation, Institution, OutboxRow, PartialFile, Series, WebSession

ACCESSION_LEAP: Final = 1_000_000
"""Accession numbers that are passed over, for the first day and less; there are 1.5 thousand million of them."""
ACCESSION_LEAP_PER_DAY: Final = 200_000
"""And for each day between the backup and the restore."""
OTHER_LEAP: Final = 2_000
"""Numbers of patients and aliases that are passed over. They carry their day, so only those of one day could meet."""

SNAPSHOT_AT: Final = "restored snapshot of"
RESTORED_AT: Final = "restored at"


def note_backup(session: Session, now: datetime, detail: dict[str, Any]) -> None:
    """Record that a backup was taken; `detail` says by whom at the shell, and what is in it."""
    audit.note(session, HUREN, "backup taken", now, thing="installation", detail=detail)


def note_export(session: Session, now: datetime, institution_id: str, detail: dict[str, Any]) -> None:
    """Record that everything, or everything of one institution, is taken out."""
    audit.note(session, HUREN, "data exported", now, thing="installation", institution_id=institution_id, detail=detail)


def settle_restored(session: Session, taken_at: datetime, now: datetime, detail: dict[str, Any]) -> None:
    """Make a database that was just restored fit to serve: numbers leap, sessions end, jobs are due again.

    Safe to run twice. `taken_at` is when the backup was taken.
    """
    _leap(session, taken_at, now)
    session.execute(delete(WebSession))
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.stage.in_(("offered", "leased")))
        .values(stage="due", leased_by="", leased_until=None)
        .execution_options(synchronize_session=False)
    )
    # Their bytes were not backed up and nobody was told that they are held: a browser begins such a file again.
    session.execute(delete(PartialFile).where(PartialFile.fate == {}).execution_options(synchronize_session=False))
    for name, at in ((SNAPSHOT_AT, taken_at), (RESTORED_AT, now)):
        session.merge(Installation(name=name, value=at.astimezone(UTC).isoformat()))
    audit.note(session, HUREN, "database restored", now, thing="installation", detail=detail)


def _leap(session: Session, taken_at: datetime, now: datetime) -> None:
    for code in session.scalars(select(Institution.code)).all():
        for name in (f"patient {code}", f"alias {code}"):
            _raise(session, name, OTHER_LEAP)
    days = max(now - taken_at, timedelta()).days
    _raise(session, "accession", ACCESSION_LEAP + days * ACCESSION_LEAP_PER_DAY)


def _raise(session: Session, name: str, by: int) -> None:
    counter = session.get(Counter, name)
    if counter is None:  # none was given out before the backup, but perhaps after it
        counter = Counter(name=name, value=0)
        session.add(counter)
    counter.value += by


def forget_prepared_keys(session: Session, keys: Collection[str], now: datetime) -> None:
    """These prepared metadata are not in the store: they are made again."""
    if not keys:
        return
    studies = session.scalars(
        update(Series)
        .where(Series.prepared_key.in_(keys))
        .values(prepared_key="", prepared_instances=0)
        .returning(Series.study_id)
        .execution_options(synchronize_session=False)
    ).all()
    for study_id in sorted(set(studies)):
        outbox.put(session, "prepare_series", study_id, now)


def note_taken_in_again(session: Session, now: datetime, detail: dict[str, Any]) -> None:
    """Record what became of objects without rows that were offered to the intake again."""
    audit.note(session, HUREN, "orphans taken in", now, thing="installation", detail=detail)
