"""Prepared metadata of a series: written when it is still true, replaced by what covers more."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from worklist import outbox
from worklist.tables import Instance, Series

MADE_ANEW: Final = 1000
"""Studies whose metadata is made anew at once; that of older ones is read from the objects when it is asked for."""


def note_prepared(session: Session, series_id: str, store_key: str, instances: int) -> str:
    """`store_key` holds the metadata of `instances` objects of a series. Returns the key that nothing refers to any
    more and whose bytes may go: that of the metadata before, or `store_key` itself where an object has come meanwhile
    or somebody else was faster; ``""`` for none."""
    series = session.get(Series, series_id, with_for_update=True)
    if series is None:
        return store_key
    held = session.scalar(select(func.count()).where(Instance.series_id == series_id))
    if held != instances or (series.prepared_key and series.prepared_instances == instances):
        return store_key
    old = series.prepared_key
    series.prepared_key, series.prepared_instances = store_key, instances
    return old


def forget_prepared(session: Session, device_id: str, now: datetime) -> None:
    """What a device's texts really are was changed on its record: metadata made before does not count any more."""
    of_device = select(Instance.series_id).where(Instance.device_id == device_id)
    studies = session.scalars(
        select(Series.study_id)
        .where(Series.id.in_(of_device), Series.prepared_key != "")
        .distinct()
        .order_by(Series.study_id.desc())  # the newest first
        .limit(MADE_ANEW)
    ).all()
    session.execute(
        update(Series)
        .where(Series.id.in_(of_device), Series.prepared_key != "")
        .values(prepared_instances=0)
        .execution_options(synchronize_session=False)
    )
    for study_id in studies:
        outbox.put(session, "prepare_series", study_id, now)
