"""Prepared metadata of a series: written when it is still true, replaced by what covers more."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist.tables import Instance, Series


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
