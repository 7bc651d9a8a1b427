"""What the preparation of metadata works on: the series of a study, their objects, and what devices' texts are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist.tables import Device, Instance, Series


@dataclass(frozen=True)
class SeriesToPrepare:
    """A series whose prepared metadata is missing or stale: (instance id, store key) of all its objects."""

    id: str
    instances: tuple[tuple[str, str], ...]


def to_prepare(session: Session, study_id: str) -> list[SeriesToPrepare]:
    """The series of a study whose prepared metadata does not cover all of their objects."""
    held = select(func.count()).where(Instance.series_id == Series.id).correlate(Series).scalar_subquery()
    stale = session.scalars(
        select(Series.id)
        .where(Series.study_id == study_id, (Series.prepared_key == "") | (Series.prepared_instances != held))
        .order_by(Series.id)
    ).all()
    found = []
    for series_id in stale:
        rows = session.execute(
            select(Instance.id, Instance.store_key).where(Instance.series_id == series_id).order_by(Instance.id)
        )
        found.append(SeriesToPrepare(series_id, tuple((row.id, row.store_key) for row in rows)))
    return [series for series in found if series.instances]


def assumed_character_sets(session: Session, study_id: str) -> dict[str, str]:
    """What the texts of an object really are where its device does not say so, by instance id; only where that is
    set on the device."""
    rows = session.execute(
        select(Instance.id, Device.character_set_in)
        .join(Device, Device.id == Instance.device_id)
        .where(Instance.study_id == study_id, Device.character_set_in != "")
    )
    return {row.id: row.character_set_in for row in rows}
