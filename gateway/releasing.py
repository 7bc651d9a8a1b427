"""The upkeep of archives: what they have never heard of is owed, and what they hold is let go here, if the operator
wants that.

Nothing is let go on trust. Each object is read once more from *every* archive in use, compared with what was sent,
and the held bytes are made of that once, before the row that says where they lie; the bytes go after it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

import structlog

from gateway.archived import ArchivedStore, rebuilt, undo_of
from gateway.archiving import archived_form, as_said
from gateway.orthanc import Away, Orthanc, Pieces
from gateway.store import ObjectStore, mapped
from interfaces.dicom.coercion import Identity
from worklist.actions import archiving, releasing
from worklist.actions.releasing import Releasable
from worklist.database import Database
from worklist.errors import BadInput, Broken

log = structlog.get_logger(__name__)


def keep_up(
    database: Database,
    store: ObjectStore,
    archives: Mapping[str, Orthanc],
    clock: Callable[[], datetime],
    keep_days: int,
) -> None:
    """The job that runs every few hours. `keep_days`: after so many days in the archives images are let go here; 0:
    never.

    Raises TryLater where the database is away.
    """
    if not archives:
        return
    while database.write(lambda s: archiving.owe_missing(s, clock())):
        pass
    if keep_days and isinstance(store, ArchivedStore):
        _release(database, store, archives, clock, timedelta(days=keep_days))
    database.write(lambda s: archiving.plan_next(s, clock()))


def _release(
    database: Database,
    store: ArchivedStore,
    archives: Mapping[str, Orthanc],
    clock: Callable[[], datetime],
    keep: timedelta,
) -> None:
    after, let_go = "", 0
    try:
        while studies := database.read(partial(releasing.releasable, before=clock() - keep, after=after)):
            for study in studies:
                identity = as_said(study.identity, study.study_instance_uid)
                for one in study.objects:
                    undo = _checked(store, archives, identity, one)
                    if undo is None:
                        continue
                    note = partial(releasing.note_released, study_id=study.study_id, one=one, undo=undo, now=clock())
                    if database.write(note):
                        store.let_go(one.store_key)
                        let_go += 1
            after = studies[-1].study_id
    except Away as error:  # what is not let go now is next time
        log.warning("release_interrupted", error=error.code)
    log.info("objects_released", count=let_go)


def _checked(
    store: ArchivedStore, archives: Mapping[str, Orthanc], identity: Identity, one: Releasable
) -> bytes | None:
    """What makes the held bytes of the archived ones, after every archive gave them back; None: it stays here.

    Raises Away.
    """
    try:
        file = mapped(store, one.store_key)
        if hashlib.sha256(file).hexdigest() != one.sha256:
            log.critical("held_object_differs", instance=one.instance_id)
            return None
        body = Pieces(file, pieces := archived_form(file, identity))
        undo = undo_of(file, pieces)
    except (BadInput, Broken) as error:
        log.info("object_stays_here", instance=one.instance_id, reason=error.code)
        return None
    if body.digest() != one.archived_sha256:
        return None  # it became another's meanwhile; the archives are told first
    for name, place in one.places:
        archive = archives.get(name)
        if archive is None or archive.digest(place) != one.archived_sha256:
            log.warning("archived_object_differs", archive=name, instance=one.instance_id)
            return None
    body.seek(0)
    held = hashlib.sha256()
    for piece in rebuilt(io.BufferedReader(body), undo):
        held.update(piece)
    return undo if held.hexdigest() == one.sha256 else None
