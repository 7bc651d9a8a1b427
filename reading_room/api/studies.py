"""The unmatched bin: images that no order claims, until a person links or rejects them, on record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, After, Ids, Limit, Listed, PathId, Search, Why
from reading_room.api.shapes import OrderOut
from worklist.actions import linking, reading_making
from worklist.people import Actor
from worklist.queries import candidates, reports
from worklist.queries.views import StudyRow

router = APIRouter(tags=["studies"], responses=REFUSALS)


class Linking(Why):
    """The orders that the study serves, all of one patient, and why."""

    order_ids: Ids = Field(min_length=1)


@router.get("/studies/unmatched")
def get_unmatched(
    web: Served, by: Looking, rejected: bool = False, after: After = "", limit: Limit = 50
) -> Listed[StudyRow]:
    """Studies that wait for a person, the newest first; `rejected`: those that somebody rejected."""
    return Listed.of(web.database.read(lambda s: reports.unmatched(s, by, rejected=rejected, after=after, limit=limit)))


@router.get("/studies/{study_id}/candidates")
def get_candidates(web: Served, by: Looking, study_id: PathId, q: Search = "") -> Listed[OrderOut]:
    """Orders of the study's institution that can have such images, the likeliest first."""
    now = web.clock()
    found = web.database.read(lambda s: candidates.candidates(s, by, study_id, now, q))
    return Listed([OrderOut.of(row) for row in found])


@router.post("/studies/{study_id}/link")
def link(web: Served, by: Acting, study_id: PathId, body: Linking) -> StudyRow:
    """Say which orders a study of the bin serves."""
    return _do(web, by, study_id, lambda s, now: linking.link(s, by, study_id, body.order_ids, body.reason, now))


@router.post("/studies/{study_id}/move")
def move(web: Served, by: Acting, study_id: PathId, body: Linking) -> StudyRow:
    """Move a study to other orders: the wrong patient had been picked. An issued report is withdrawn first."""
    return _do(web, by, study_id, lambda s, now: linking.move_study(s, by, study_id, body.order_ids, body.reason, now))


@router.post("/studies/{study_id}/unlink")
def unlink(web: Served, by: Acting, study_id: PathId, body: Why) -> StudyRow:
    """Take a study off its orders, back into the bin."""
    return _do(web, by, study_id, lambda s, now: linking.unlink(s, by, study_id, body.reason, now))


@router.post("/studies/{study_id}/reject")
def reject(web: Served, by: Acting, study_id: PathId, body: Why) -> StudyRow:
    """Say that a study of the bin serves no order. Its images stay."""
    return _do(web, by, study_id, lambda s, now: linking.reject(s, by, study_id, body.reason, now))


@router.post("/studies/{study_id}/read-at-once")
def read_at_once(web: Served, by: Acting, study_id: PathId, body: Why) -> StudyRow:
    """Let an unmatched study be read now as STAT; signing waits until it is linked."""
    return _do(web, by, study_id, lambda s, now: reading_making.open_emergency(s, by, study_id, body.reason, now))


def _do(web: Web, by: Actor, study_id: str, action: Callable[[Session, datetime], object]) -> StudyRow:
    now = web.clock()

    def work(session: Session) -> StudyRow:
        action(session, now)
        session.flush()
        return reports.study(session, by, study_id, now)

    return web.database.write(work)
