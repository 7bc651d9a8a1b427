"""The words and numbers of a draft at each change of hands, so that its writer sees what the review made of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist.facts import Written
from worklist.people import Actor
from worklist.rules import measurements
from worklist.tables import ReportVersion, Submission


def keep(session: Session, draft: ReportVersion, verb: str, by: Actor, now: datetime, remark: str = "") -> Submission:
    """Keep what `by` hands on. `verb`: submit, send back, issue preliminary, sign.

    What the writer did is no news to them, nor is a review that says nothing and changes nothing.
    """
    is_news = by.id != draft.writer_id and (bool(remark.strip()) or _differ(before(session, draft), written(draft)))
    row = Submission(
        version_id=draft.id,
        verb=verb,
        by_id=by.id,
        at=now,
        revision=draft.revision,
        findings=draft.findings,
        impression=draft.impression,
        critical=draft.critical,
        measurements=draft.measurements,
        remark=remark,
        seen_at=None if is_news else now,
    )
    session.add(row)
    session.flush()
    return row


def note_seen(session: Session, by: Actor, reading_id: str, now: datetime) -> None:
    """The writer has looked at the case: what the reviews of their words made of them is read."""
    own = select(ReportVersion.id).where(ReportVersion.reading_id == reading_id, ReportVersion.writer_id == by.id)
    session.execute(
        update(Submission)
        .where(Submission.version_id.in_(own), Submission.seen_at.is_(None))
        .values(seen_at=now)
        .execution_options(synchronize_session=False)
    )


def written(kept: ReportVersion | Submission) -> Written:
    """What a version holds, or a change of hands."""
    numbers = measurements.from_json(kept.measurements) if kept.measurements is not None else None
    return Written(kept.findings, kept.impression, kept.critical, numbers)


def _differ(old: Written, new: Written) -> bool:
    if replace(old, measurements=None) != replace(new, measurements=None):
        return True
    return old.measurements is not None and bool(measurements.changed(old.measurements, new.measurements or ()))


def before(session: Session, draft: ReportVersion) -> Written:
    """That from which the present holder of a draft started: of its last change of hands, else of the version
    that was issued before it, else none."""
    last = session.scalar(
        select(Submission)
        .where(Submission.version_id == draft.id)
        .order_by(Submission.at.desc(), Submission.id.desc())
        .limit(1)
    )
    if last is not None:
        return written(last)
    issued = session.scalar(
        select(ReportVersion)
        .where(
            ReportVersion.reading_id == draft.reading_id,
            ReportVersion.number < draft.number,
            ReportVersion.status != "",
        )
        .order_by(ReportVersion.number.desc())
        .limit(1)
    )
    return written(issued) if issued is not None else Written()
