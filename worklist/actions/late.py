"""Images that come after a version was issued: the version stays as it is, and its signer gets a task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import NotFound
from worklist.moves import begin, move
from worklist.people import HUREN, Actor
from worklist.tables import LateImages, Reading, ReadingStudy, ReportVersion, Study

ISSUED = ("preliminary", "final", "corrected", "addendum")


def current_version(session: Session, reading_id: str) -> ReportVersion | None:
    """The newest issued version of a reading that is not withdrawn, or None."""
    return session.scalar(
        select(ReportVersion)
        .where(ReportVersion.reading_id == reading_id, ReportVersion.state.in_(ISSUED))
        .order_by(ReportVersion.number.desc())
        .limit(1)
    )


def note_late_images(session: Session, study: Study, instances: Sequence[tuple[str, str]], now: datetime) -> None:
    """Open, or add to, the task of each reading that covers `study` and has an issued version."""
    readings = session.scalars(
        select(ReadingStudy.reading_id)
        .join(ReportVersion, ReportVersion.reading_id == ReadingStudy.reading_id)
        .where(ReadingStudy.study_id == study.id, ReportVersion.state.in_(ISSUED))
        .distinct()
    ).all()
    for reading_id in readings:
        version = current_version(session, reading_id)
        if version is None:
            continue
        tasks = session.scalars(
            select(LateImages).where(LateImages.reading_id == reading_id, LateImages.study_id == study.id)
        ).all()
        # What a version saw, or a doctor was already asked about, is not asked again.
        seen = {uid for pairs in (version.instances, *(t.instances for t in tasks)) for uid, _sha in pairs}
        news = [[uid, sha] for uid, sha in instances if uid not in seen]
        if not news:
            continue
        task = next((t for t in tasks if t.state == "open"), None)
        if task is not None:
            task.instances = [*task.instances, *news]
            continue
        task = LateImages(reading_id=reading_id, study_id=study.id, version_id=version.id, instances=news, at=now)
        begin(session, "late images", task, "arrive", HUREN, now)


def settle(session: Session, by: Actor, task_id: str, now: datetime) -> None:
    """A doctor of the center has looked at the late images, and they change nothing."""
    by.require_scope("report")
    task = session.get(LateImages, task_id)
    reading = session.get(Reading, task.reading_id) if task is not None else None
    if task is None or reading is None or reading.center_id not in by.centers("reader", "senior reader"):
        raise NotFound("no_such_task")
    move(session, "late images", task, "change nothing", by, now)
    task.settled_at = now
    audit.note(
        session,
        by,
        "late images change nothing",
        now,
        thing="reading",
        thing_id=reading.id,
        patient_id=reading.patient_id,
    )


def settle_by_version(session: Session, reading_id: str, verb: str, by: Actor, now: datetime) -> None:
    """An issued correction or addendum answers the open tasks of its reading."""
    tasks = session.scalars(
        select(LateImages).where(LateImages.reading_id == reading_id, LateImages.state == "open")
    ).all()
    for task in tasks:
        move(session, "late images", task, verb, by, now)
        task.settled_at = now
