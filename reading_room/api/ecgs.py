"""ECG recordings: samples for drawing, and which of them a case has."""

from __future__ import annotations

import gzip
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from gateway.ecgs import drawing_of
from gateway.http import Served
from interfaces.ecg import waveforms
from reading_room.api.access import Looking, LookingAtCases
from reading_room.api.fields import REFUSALS, PathId
from reading_room.packing import PAGE_LEVEL, takes_gzip
from worklist.actions import looking
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import ecgs, reports
from worklist.queries.ecgs import CaseEcgs

router = APIRouter(tags=["ECG"], responses=REFUSALS)

KEPT: Final = "private, max-age=3600"
FORM: Final = 2  # of the answer: another one is another ETag


@router.get("/readings/{reading_id}/ecgs")
def get_ecgs(web: Served, by: LookingAtCases, reading_id: PathId) -> CaseEcgs:
    """The ECGs of a case, and those of the same patient that the caller may put beside them, the newest first."""
    now = web.clock()
    return web.database.read(lambda session: ecgs.of_case(session, by, reading_id, waveforms.CLASSES, now))


@router.get(
    "/instances/{instance_id}/ecg",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "Head and samples."}},
)
def get_ecg(request: Request, web: Served, by: Looking, instance_id: PathId) -> Response:
    """One recording for drawing: 32 bits (little endian) with the size of a JSON head, the head, and the samples of
    each lead where the head says. µV are (sample + `zero`) * `step`. What is stored never changes, so it may be kept.
    The look is on record."""
    now = web.clock()
    store_key = web.database.write(lambda session: _opened(session, by, instance_id, now))
    headers = {"ETag": f'"{instance_id}-{FORM}"', "Cache-Control": KEPT, "Vary": "Cookie, Accept-Encoding"}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    body = drawing_of(web.store, store_key)
    if takes_gzip(request.headers.get("Accept-Encoding", "")):
        body = gzip.compress(body, PAGE_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type="application/octet-stream", headers=headers)


def _opened(session: Session, by: Actor, instance_id: str, now: datetime) -> str:
    """The store key of an ECG that the actor may look at; that they did is written down."""
    row = reports.instance(session, by, instance_id, now)
    if row.sop_class_uid not in waveforms.CLASSES:
        raise NotFound("no_such_instance")
    looking.note_study(session, by, reports.study(session, by, row.study_id, now), now)
    return row.store_key
