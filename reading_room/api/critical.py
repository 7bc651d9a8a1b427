"""Critical results: those that wait for an answer, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Body, Id, Line, Listed, PathId, Remark, Why
from worklist.actions import critical, looking
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import orders
from worklist.queries.critical import CriticalPage
from worklist.queries.views import CriticalView

router = APIRouter(tags=["critical results"], responses=REFUSALS)


class ReadBack(Body):
    """The result, read back in the clinician's own words."""

    read_back: Remark


class Call(ReadBack):
    """Who answered the telephone, and how they read it back."""

    answered_by: Line


class Disposition(Body):
    """What was done for the patient."""

    disposition: Remark


class Drill(Body):
    """An exercise: who practises, and the words that they get."""

    center_id: Id
    institution_id: Id
    words: Line


@router.get("/critical-results")
def get_critical_results(
    web: Served, by: Looking, everything: Annotated[bool, Query(description="Closed ones too.")] = False
) -> Listed[CriticalView]:
    """Critical results that the caller's institution must answer, or that their centers have marked."""
    return Listed(web.database.read(lambda s: orders.criticals(s, by, only_open=not everything)))


@router.get("/critical-results/{result_id}")
def get_critical_result(web: Served, by: Looking, result_id: PathId) -> CriticalPage:
    """One, with its ladder and telephone numbers. The look is on record."""
    return web.database.write(lambda s: looking.open_critical(s, by, result_id, web.clock()))


@router.post("/critical-results/drill", status_code=201)
def begin_drill(web: Served, by: Acting, body: Drill) -> CriticalView:
    """A manager lets a center and an institution practise with a critical result of nobody."""
    now = web.clock()

    def work(session: Session) -> CriticalView:
        result = critical.drill(session, by, body.center_id, body.institution_id, body.words, now)
        session.flush()
        return next(view for view in orders.criticals(session, by) if view.id == result.id)

    return web.database.write(work)


@router.post("/critical-results/{result_id}/verify")
def verify(web: Served, by: Acting, result_id: PathId) -> CriticalView:
    """A second doctor of the center has looked as well: it is announced."""
    return _do(web, by, result_id, lambda s, now: critical.verify(s, by, result_id, now))


@router.post("/critical-results/{result_id}/acknowledge")
def acknowledge(web: Served, by: Acting, result_id: PathId, body: ReadBack) -> CriticalView:
    """A clinician of the ordering institution answers, reading the result back."""
    return _do(web, by, result_id, lambda s, now: critical.acknowledge(s, by, result_id, body.read_back, now))


@router.post("/critical-results/{result_id}/call")
def record_call(web: Served, by: Acting, result_id: PathId, body: Call) -> CriticalView:
    """A reader records that somebody answered by telephone and read the result back."""
    return _do(
        web, by, result_id, lambda s, now: critical.record_call(s, by, result_id, body.answered_by, body.read_back, now)
    )


@router.post("/critical-results/{result_id}/dispose")
def dispose(web: Served, by: Acting, result_id: PathId, body: Disposition) -> CriticalView:
    """The ordering institution records what was done; this closes the result."""
    return _do(web, by, result_id, lambda s, now: critical.dispose(s, by, result_id, body.disposition, now))


@router.post("/critical-results/{result_id}/retract")
def retract(web: Served, by: Acting, result_id: PathId, body: Why) -> CriticalView:
    """A reader takes a critical result back."""
    return _do(web, by, result_id, lambda s, now: critical.retract(s, by, result_id, body.reason, now))


def _do(web: Web, by: Actor, result_id: str, action: Callable[[Session, datetime], object]) -> CriticalView:
    now = web.clock()

    def work(session: Session) -> CriticalView:
        action(session, now)
        session.flush()
        for view in orders.criticals(session, by, only_open=False):
            if view.id == result_id:
                return view
        raise NotFound("no_such_critical_result")

    return web.database.write(work)
