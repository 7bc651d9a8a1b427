"""Critical results: one with its ladder and telephone numbers, the report of a period, and drills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import label
from reading_room.pages.around import is_home
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.manager import PERIODS, Asked, read_period
from reading_room.pages.submitting import submit
from reading_room.sheets import Cell, as_csv, download
from reading_room.words import Words
from worklist.actions import critical as acts
from worklist.actions import looking
from worklist.errors import Forbidden, HurenError, NotFound
from worklist.people import Actor
from worklist.queries import administration, critical, rota
from worklist.queries.critical import CriticalLine

router = new_router()


@router.get("/critical")
def report(request: Request, web: Served, actor: Acting) -> Response:
    """Critical results of a period, open ones first, with how long each step took."""
    _require_concerned(actor)
    return _report(View(request, actor), web, actor)


@router.get("/critical/report.csv")
def report_csv(request: Request, web: Served, actor: Acting) -> Response:
    """The same as a file for a spreadsheet. Patients are not in it."""
    _require_concerned(actor)
    view = View(request, actor)
    asked, drills, lines = _asked(view, web, actor)
    assert asked.period is not None  # noqa: S101 - read_period sets it
    name = f"huren-critical{'-drills' if drills else ''}-{asked.period.first:%Y%m%d}-{asked.period.last:%Y%m%d}"
    return download(name, as_csv(heads(view.words), [_cells(view, line) for line in lines]))


@router.post("/critical/drill")
def drill(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """A manager begins an exercise."""
    words = typed.words
    return submit(
        request,
        web,
        actor,
        lambda s: acts.drill(s, actor, typed.center_id, typed.institution_id, words, web.clock()).id,
        then=lambda id: go_on(f"/critical/{id}", "drill_begun"),
        again=partial(_report, web=web, actor=actor, typed=typed),
    )


@router.get("/critical/{result_id}")
def page(request: Request, web: Served, actor: Acting, result_id: str) -> Response:
    """One critical result. The look is on record."""
    found = web.database.write(lambda s: looking.open_critical(s, actor, result_id, web.clock()))
    return View(request, actor).page("critical.html", found=found, c=found.row)


@router.post("/critical/{result_id}/{verb}")
def act(request: Request, web: Served, actor: Acting, result_id: str, verb: str, typed: Typed) -> Response:
    """Verify, answer, record a call, close or retract it."""
    now = web.clock()

    def again(view: View, *, status: int, error: str) -> Response:
        found = web.database.read(lambda s: critical.one(s, actor, result_id, now))
        return view.page("critical.html", status=status, error=error, found=found, c=found.row, typed=typed)

    return submit(
        request,
        web,
        actor,
        lambda s: _do(s, actor, result_id, verb, typed, now),
        then=lambda done: go_on(f"/critical/{result_id}", done),
        again=again,
    )


def _do(session: Session, actor: Actor, result_id: str, verb: str, typed: Form, now: datetime) -> str:
    """Do what a button says; returns the key of what to tell the person."""
    if verb == "verify":
        acts.verify(session, actor, result_id, now)
        return "verified"
    if verb == "acknowledge":
        acts.acknowledge(session, actor, result_id, typed.read_back, now)
        return "answered"
    if verb == "call":
        acts.record_call(session, actor, result_id, typed.answered_by, typed.read_back, now)
        return "saved"
    if verb == "dispose":
        acts.dispose(session, actor, result_id, typed.disposition, now)
        return "disposed"
    if verb == "retract":
        acts.retract(session, actor, result_id, typed.why, now)
        return "saved"
    raise NotFound("page_not_found")


def heads(_: Words) -> tuple[str, ...]:
    """The titles of the report's columns."""
    return (
        _("Marked at"),
        _("Accession number"),
        _("Center"),
        _("Institution"),
        _("State"),
        _("Critical result"),
        _("Marked by"),
        _("Verified by"),
        _("Until announced (min)"),
        _("Until answered (min)"),
        _("Answered in time"),
        _("Answered by"),
        _("Way"),
        _("Until closed (min)"),
        _("Closed in time"),
        _("Steps climbed"),
    )


def _cells(view: View, line: CriticalLine) -> list[Cell]:
    _, row = view.words, line.row

    def minutes(value: float | None) -> Cell:
        return Cell("—") if value is None else Cell(f"{value:g}", value)

    def within(done: bool, value: float | None) -> Cell:
        return Cell("—") if value is None else Cell(_("yes") if done else _("no"), loud=not done)

    return [
        Cell(view.shown.stamp(row.marked_at), href=f"/critical/{row.id}"),
        Cell(row.accession_number or "—"),
        Cell(line.center),
        Cell(row.institution),
        Cell(label(_, "state", row.state), loud=line.is_open),
        Cell(f"{_('DRILL')} {row.words}" if row.is_drill else row.words),
        Cell(row.marked_by),
        Cell(_("not verified") if row.is_unverified else row.verified_by or "—", loud=row.is_unverified),
        minutes(line.to_notify),
        minutes(line.to_answer),
        within(line.answered_in_time, line.to_answer),
        Cell(row.answered_by or "—"),
        Cell(label(_, "way", row.answer_way) if row.answer_way else "—"),
        minutes(line.to_dispose),
        within(line.disposed_in_time, line.to_dispose),
        Cell(view.shown.number(row.step), row.step),
    ]


def _asked(view: View, web: Web, actor: Actor) -> tuple[Asked, bool, Sequence[CriticalLine]]:
    query = view.request.query_params
    asked = read_period(view, query)
    period, drills = asked.period, bool(query.get("drills"))
    assert period is not None  # noqa: S101 - read_period sets it
    lines = web.database.read(lambda s: critical.of_period(s, actor, period.since, period.until, drills=drills))
    return asked, drills, lines


def _report(
    view: View, web: Web, actor: Actor, *, status: int = 200, error: str = "", typed: Form | None = None
) -> Response:
    try:
        asked, drills, lines = _asked(view, web, actor)
    except HurenError as problem:
        status, error = refusal(view, problem)
        asked, drills, lines = read_period(view, {}), False, []
    managed = actor.centers("manager")

    def choices(session: Session) -> tuple[Any, Any]:
        if not managed:
            return [], []
        centers = [(c.id, c.name) for c in rota.managed_centers(session, actor) if c.id in managed]
        return centers, [(row.id, row.name) for row in administration.institutions(session, actor)]

    centers, institutions = web.database.read(choices)
    return view.page(
        "critical_report.html",
        status=status,
        error=error,
        heads=heads(view.words),
        lines=[(line, _cells(view, line)) for line in lines],
        asked=asked,
        periods=[(value, view.words(word)) for value, word in PERIODS.items()],
        drills=drills,
        query=asked.query(drills="1" if drills else ""),
        centers=centers,
        institutions=institutions,
        typed=typed or Form(),
    )


def _require_concerned(actor: Actor) -> None:
    if not actor.centers() and not is_home(actor):
        raise Forbidden("role_needed", roles="technician, doctor, reader, senior reader, manager")
