"""The township's pages: orders and their progress, one order with its report and critical results."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import recognition_words
from reading_room.labels import label
from reading_room.pages import comparing, progress
from reading_room.pages.around import is_home
from reading_room.pages.frame import Form, Typed, View, go_on, new_router
from reading_room.pages.submitting import submit
from worklist.actions import critical, giving, handing, looking, order_changes, printing, steps
from worklist.errors import Forbidden, NotFound
from worklist.people import Actor
from worklist.queries import orders
from worklist.queries.views import OrderDetail, OrderRow

router = new_router()
MOST_HEEDED = 200  # orders that wait for a person, shown on top


@router.get("/orders")
def order_list(request: Request, web: Served, actor: Acting, state: str = "", q: str = "", after: str = "") -> Response:
    """Orders, the newest first; what waits for the township on top."""
    home_only(actor)
    view = View(request, actor)
    query = {"state": state, "q": q[:64], "after": after}
    polled = view.polled("list", request.url.path + _query(request), _rows(view, web, actor, query))
    if view.is_poll():
        return view.fragment(polled)
    _ = view.words
    states = [
        ("", _("All")),
        ("open", _("Not finished")),
        *(
            (s, label(view.words, "state", s))
            for s in ("scheduled", "in progress", "performed", "rereading", "completed")
        ),
        ("cancelled", _("cancelled")),
    ]
    return view.page("orders.html", polled=polled[0], query=query, states=states, can_order=is_home(actor))


@router.get("/orders/{order_id}")
def one_order(request: Request, web: Served, actor: Acting, order_id: str) -> Response:
    """An order with its report, critical results and story. The look is on record."""
    web.database.write(lambda session: looking.open_order(session, actor, order_id, web.clock()))
    return _order_page(View(request, actor), web, actor, order_id)


@router.get("/orders/{order_id}/{verb}")
def back_to_order(order_id: str, verb: str) -> Response:
    """The address that a refused form leaves in the browser, loaded again."""
    return go_on(f"/orders/{order_id}")


@router.post("/orders/{order_id}/{verb}")
def act(request: Request, web: Served, actor: Acting, order_id: str, verb: str, typed: Typed) -> Response:
    """Answer or close a critical result, say that the report was given, cancel, answer a return, or decide about an
    examination that was broken off."""
    now = web.clock()

    def doing(session: Session) -> str:
        return _do(session, actor, order_id, verb, typed, now)

    return submit(
        request,
        web,
        actor,
        doing,
        then=lambda done: go_on(f"/orders/{order_id}", done),
        again=partial(_order_page, web=web, actor=actor, order_id=order_id, typed=typed),
    )


def _do(session: Session, actor: Actor, order_id: str, verb: str, typed: Form, now: datetime) -> str:
    """Do what a button says; returns the key of what to tell the person."""
    if verb == "acknowledge":
        critical.acknowledge(session, actor, typed.critical, typed.read_back, now)
        return "answered"
    if verb == "dispose":
        critical.dispose(session, actor, typed.critical, typed.disposition, now)
        return "disposed"
    if verb == "cancel":
        order_changes.abandon(session, actor, order_id, typed.why, now)
        return "cancelled"
    if verb == "discontinued":
        steps.answer_discontinued(session, actor, order_id, bool(typed.again), typed.why, now)
        return "decided"
    if verb == "given":
        number = int(typed.version) if typed.version.isdecimal() and len(typed.version) < 6 else 0
        giving.give(session, actor, typed.report, number, typed.to, now)
        return "given"
    if verb == "answer-return":
        handing.answer_return(session, actor, typed.back, typed.answer, now)
        return "return_answered"
    raise NotFound("page_not_found")


def _rows(view: View, web: Web, actor: Actor, query: dict[str, str]) -> Any:
    def read(session: Session) -> tuple[Any, list[OrderRow], Any, list[OrderRow]]:
        now = web.clock()
        page = orders.listed(session, actor, now, state=query["state"], q=query["q"], after=query["after"])
        noted = orders.listed(session, actor, now, waiting=True, limit=MOST_HEEDED)
        return (
            page,
            [row for row in noted.items if progress.heeded(row)],
            orders.criticals(session, actor),
            orders.call_back(session, actor, now),
        )

    page, heeded, owed, back = web.database.read(read)
    first = not query["q"] and not query["after"]
    return view.part(
        "parts/order_list.html",
        rows=[(row, progress.stage(row, view.words)) for row in page.items],
        heeded=[(row, progress.stage(row, view.words), progress.next_step(row, view.words)) for row in heeded]
        if first
        else [],
        call_back=back if first else [],
        owed=[c for c in owed if c.order_id and c.state == "acknowledged"] if first else [],  # the others: the banner
        may_print=printing.may_print(actor),
        next=page.next,
        query=query,
    )


def _order_page(
    view: View, web: Web, actor: Actor, order_id: str, *, status: int = 200, error: str = "", typed: Form | None = None
) -> Response:
    order = web.database.read(lambda session: orders.detail(session, actor, order_id, web.clock()))
    row = order.row
    home = is_home(actor) and view.place.institution is not None
    home = home and row.institution_code == actor.institution_code
    return view.page(
        "order.html",
        status=status,
        error=error,
        typed=typed or Form(),
        order=order,
        stage=progress.stage(row, view.words),
        diffs=comparing.between(order.versions, view.words),
        returned_why=_returned_why(order),
        refusal=lambda code: recognition_words.refusal(view.words, code),
        can_order=home,
        is_doctor=home and actor.has("doctor"),
        can_give=home and bool(order.versions) and row.given_version != row.report_version,
        can_recognise=home and row.state in ("placed", "scheduled"),
        can_cancel=home and row.state not in ("completed", "cancelled", "recognised"),
    )


def _returned_why(order: OrderDetail) -> str:
    verb = {"returned": "return", "images_do_not_do": "close"}.get(order.row.note)
    return next((s.why for s in reversed(order.story) if s.machine == "reading" and s.verb == verb), "")


def home_only(actor: Actor) -> None:
    """Orders are the business of people who work where patients are, and of the PACS admin."""
    if not (is_home(actor) or actor.has("PACS admin")):
        raise Forbidden("role_needed", roles="technician, doctor")


def _query(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""
