"""ECG recordings are looked at as soon as they have come: measurements are noted, a bad one goes back at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from gateway.ecgs import look_at
from gateway.store import ObjectStore
from interfaces.ecg.waveforms import CLASSES
from worklist.actions.handing import return_faulty
from worklist.actions.recordings import keep_measurements
from worklist.database import Database
from worklist.errors import BadInput
from worklist.facts import Fault
from worklist.queries.recordings import to_check

log = structlog.get_logger(__name__)


def check_recordings(database: Database, store: ObjectStore, study_id: str, clock: Callable[[], datetime]) -> None:
    """Note what the devices measured, and return the case if none of its recordings can be read. Safe to run twice.

    Raises
    ------
    TryLater
        the children are busy, or the database is away.
    Broken
        ``object_missing``: a stored object is gone.
    """
    asked = database.read(lambda session: to_check(session, study_id, CLASSES))
    if asked is None or not asked.recordings:
        return
    worst: tuple[Fault, ...] = ()
    is_readable = False
    measured: dict[str, dict[str, float]] = {}
    for uid, key in reversed(asked.recordings):  # the newest first: a repetition stands beside what it repeats
        try:
            look = look_at(store, key, rate=asked.rate, seconds=asked.seconds)
        except BadInput as error:
            if error.code == "decoder_gave_up":  # too slow, or worse: that says nothing of the recording
                is_readable = True
            worst = worst or (Fault(error.code, error.params),)
            continue
        measured[uid] = look.measurements
        is_readable = is_readable or not look.faults
        worst = worst or look.faults
    database.write(lambda session: keep_measurements(session, study_id, measured))
    if is_readable or not asked.waits:
        return
    reading = database.write(lambda session: return_faulty(session, study_id, worst, clock()))
    log.info("recording_faulty", study=study_id, faults=[fault.code for fault in worst], returned=reading is not None)
