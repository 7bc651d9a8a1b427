"""What reviews made of somebody's own reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.queries import handovers
from worklist.queries.reading_rows import rows
from worklist.queries.views import Handed, Page, ReadingRow
from worklist.tables import Reading, ReportVersion, Submission

REVIEWS: Final = ("send back", "issue preliminary", "sign")


@dataclass(frozen=True)
class Reviewed:
    """A report of the actor that somebody else changed or sent back."""

    handed: Handed
    row: ReadingRow


def of_mine(session: Session, by: Actor, now: datetime, *, after: str = "", limit: int = 50) -> Page[Reviewed]:
    """The actor's reports that others changed or sent back, the newest first. `after` is the `next` of the page before.

    A signature that changed nothing is not among them: it was no news when it was made (`submissions.keep`).
    """
    was_news = or_(Submission.seen_at.is_(None), Submission.seen_at > Submission.at)
    query = (
        select(Submission.id, ReportVersion.reading_id)
        .join(ReportVersion, ReportVersion.id == Submission.version_id)
        .where(*_by_others(by), was_news)
        .order_by(Submission.id.desc())
        .limit(limit + 1)
    )
    if after:
        query = query.where(Submission.id < after)
    found = session.execute(query).all()
    ids = list(dict.fromkeys(reading_id for _id, reading_id in found[:limit]))
    lines = {line.id: line for line in rows(session, ids, now)}
    handed = {h.id: h for h in handovers.handed(session, ids)}
    shown = tuple(Reviewed(handed[id], lines[reading_id]) for id, reading_id in found[:limit])
    return Page(shown, shown[-1].handed.id if len(found) > limit else "")


def unseen(session: Session, by: Actor) -> int:
    """How many reviews of the actor's reports wait for their eyes."""
    query = select(func.count()).select_from(Submission)
    query = query.join(ReportVersion, ReportVersion.id == Submission.version_id)
    return session.scalar(query.where(Submission.seen_at.is_(None), *_by_others(by))) or 0


def _by_others(by: Actor) -> Sequence[ColumnElement[bool]]:
    """Reviews by others of what the actor wrote, in the centers where they read now."""
    ours = select(Reading.id).where(
        Reading.id == ReportVersion.reading_id, Reading.center_id.in_(by.centers("reader", "senior reader"))
    )
    return (
        ReportVersion.writer_id == by.id,
        ours.correlate(ReportVersion).exists(),
        Submission.verb.in_(REVIEWS),
        Submission.by_id != by.id,
    )
