"""When a study is complete, the metadata of its series is made once and kept, so that a viewer need not wait for it.

The bytes of an object never change, so neither do its lines; who the patient is said to be is put in when they are
served. What arrives later makes the series stale: it is served from the objects until the study is complete again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import structlog
from sqlalchemy.orm import Session

from gateway.dicomweb.lines import describe
from gateway.store import ObjectStore
from worklist.actions.preparing import note_prepared
from worklist.database import Database
from worklist.errors import BadInput
from worklist.queries.preparing import SeriesToPrepare, assumed_character_sets, to_prepare

log = structlog.get_logger(__name__)


def prepare_series(database: Database, store: ObjectStore, study_id: str) -> None:
    """Prepare every series of a study that is not, or not any more. Safe to run twice, and side by side.

    Raises
    ------
    TryLater
        the disk is full, or the database is away.
    Broken
        ``object_missing``: a stored object is gone.
    """
    series = database.read(lambda session: to_prepare(session, study_id))
    assumed = database.read(lambda session: assumed_character_sets(session, study_id)) if series else {}
    for one in series:
        made = store.put(_lines(store, one, assumed), kind="lines")
        unused = database.write(partial(_note, series=one, store_key=made.key))
        if unused:
            store.delete(unused)
        log.info("series_prepared", series=one.id, instances=len(one.instances), used=unused != made.key)


def _note(session: Session, *, series: SeriesToPrepare, store_key: str) -> str:
    return note_prepared(session, series.id, store_key, len(series.instances))


def _lines(store: ObjectStore, series: SeriesToPrepare, assumed: Mapping[str, str]) -> Iterator[bytes]:
    for instance_id, store_key in series.instances:
        try:
            yield describe(store, instance_id, store_key, assumed.get(instance_id, "")).packed() + b"\n"
        except BadInput as error:  # it is described from what the database knows when it is asked for
            log.warning("object_not_prepared", instance=instance_id, error=error.code)
