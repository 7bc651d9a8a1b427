"""ECG recordings of a study, as what looks at them needs them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.tables import Center, Instance, Reading, ReadingStudy


@dataclass(frozen=True)
class ToCheck:
    """What a study's center asks of a recording (Hz, seconds), and its recordings, oldest first: (SOP Instance UID,
    store key). `waits`: nobody has begun to read it."""

    rate: int
    seconds: int
    recordings: tuple[tuple[str, str], ...]
    waits: bool


def to_check(session: Session, study_id: str, sop_classes: Collection[str]) -> ToCheck | None:
    """The recordings of a study that is to be read; None where nobody reads it."""
    center = session.execute(
        select(Center.ecg_rate, Center.ecg_seconds, Reading.state)
        .join(Reading, Reading.center_id == Center.id)
        .join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        .where(ReadingStudy.study_id == study_id, Reading.kind == "primary")
        .order_by(Reading.id.desc())
        .limit(1)
    ).one_or_none()
    if center is None:
        return None
    rows = session.execute(
        select(Instance.sop_instance_uid, Instance.store_key)
        .where(Instance.study_id == study_id, Instance.sop_class_uid.in_(sorted(sop_classes)))
        .order_by(Instance.id)
    )
    found = tuple((uid, key) for uid, key in rows)
    return ToCheck(center.ecg_rate, center.ecg_seconds, found, center.state == "unread")
