"""The township's pages: orders and their progress, a new order, one order with its report and critical results."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import LABELS, label
from reading_room.pages import comparing, progress
from reading_room.pages.frame import Form, Typed, View, go_on, is_home, new_router, refusal
from worklist.actions import critical, linking, looking, steps
from worklist.actions import orders as work
from worklist.errors import BadInput, Forbidden, HurenError, NotFound
from worklist.facts import Identifier, OrderRequest, PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import administration, orders
from worklist.queries.views import OrderDetail, OrderRow

router = new_router()
CARRIED = {"identifier": 64, "name": 200, "phone": 64, "ordering_doctor": 200}
"""What goes onto devices' worklists and into tables, and its longest: no backslash (DICOM would read two values)."""
MOST_HEEDED = 200  # orders that wait for a person, shown on top


@router.get("/orders")
def order_list(request: Request, web: Served, actor: Acting, state: str = "", q: str = "", after: str = "") -> Response:
    """Orders, the newest first; what waits for the township on top."""
    _home_only(actor)
    view = View(request, actor)
    query = {"state": state, "q": q[:64], "after": after}
    polled = view.polled("list", request.url.path + _query(request), _rows(view, web, actor, query))
    if view.is_poll():
        return view.fragment(polled)
    _ = view.words
    states = [
        ("", _("All")),
        ("open", _("Not finished")),
        *((s, label(view.words, "state", s)) for s in ("scheduled", "in progress", "performed", "completed")),
        ("cancelled", _("cancelled")),
    ]
    return view.page("orders.html", polled=polled[0], query=query, states=states, can_order=is_home(actor))


@router.get("/orders/new")
def new_order(request: Request, web: Served, actor: Acting) -> Response:
    """The order form."""
    _home_only(actor)
    shown = Form({"priority": ["ROUTINE"], "ordering_doctor": [actor.shown if actor.has("doctor") else ""]})
    return _order_form(View(request, actor), web, actor, shown)


@router.post("/orders/new")
def place_order(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Place an order; what was typed stays in the form when it is refused."""
    now = web.clock()
    try:
        patient, wanted = _wish(typed, now.date() + timedelta(days=1))  # a day ahead of UTC, for any zone

        def place(session: Session) -> str:
            order = work.place(session, actor, patient, wanted, now)
            session.flush()
            linking.try_waiting_studies(session, order, now)
            return order.id

        placed = web.database.write(place)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _order_form(view, web, actor, typed, status=status, error=words)
    return go_on(f"/orders/{placed}", "ordered")


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
    """Answer or close a critical result, cancel, or decide about an examination that was broken off."""
    now = web.clock()

    def doing(session: Session) -> str:
        return _do(session, actor, order_id, verb, typed, now)

    try:
        done = web.database.write(doing)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _order_page(view, web, actor, order_id, status=status, error=words, typed=typed)
    return go_on(f"/orders/{order_id}", done)


def _do(session: Session, actor: Actor, order_id: str, verb: str, typed: Form, now: datetime) -> str:
    """Do what a button says; returns the key of what to tell the person."""
    if verb == "acknowledge":
        critical.acknowledge(session, actor, typed.critical, typed.read_back, now)
        return "answered"
    if verb == "dispose":
        critical.dispose(session, actor, typed.critical, typed.disposition, now)
        return "disposed"
    if verb == "cancel":
        work.abandon(session, actor, order_id, typed.why, now)
        return "cancelled"
    if verb == "discontinued":
        steps.answer_discontinued(session, actor, order_id, bool(typed.again), typed.why, now)
        return "decided"
    raise NotFound("page_not_found")


def _rows(view: View, web: Web, actor: Actor, query: dict[str, str]) -> Any:
    def read(session: Session) -> tuple[Any, list[OrderRow], Any]:
        now = web.clock()
        page = orders.listed(session, actor, now, state=query["state"], q=query["q"], after=query["after"])
        noted = orders.listed(session, actor, now, waiting=True, limit=MOST_HEEDED)
        return page, [row for row in noted.items if progress.heeded(row)], orders.criticals(session, actor)

    page, heeded, owed = web.database.read(read)
    first = not query["q"] and not query["after"]
    return view.part(
        "parts/order_list.html",
        rows=[(row, progress.stage(row, view.words)) for row in page.items],
        heeded=[(row, progress.stage(row, view.words)) for row in heeded] if first else [],
        owed=[c for c in owed if c.order_id and c.state == "acknowledged"] if first else [],  # the others: the banner
        next=page.next,
        query=query,
    )


def _order_form(view: View, web: Web, actor: Actor, typed: Form, *, status: int = 200, error: str = "") -> Response:
    catalogue = web.database.read(lambda session: administration.procedures(session, actor))
    _ = view.words
    sides = [("", _("not said")), *((s, _(word)) for s, word in LABELS["side"].items())]
    return view.page(
        "order_new.html",
        status=status,
        error=error,
        typed=typed,
        procedures=[p for p in catalogue if p.enabled],
        sides=sides,
    )


def _order_page(
    view: View, web: Web, actor: Actor, order_id: str, *, status: int = 200, error: str = "", typed: Form | None = None
) -> Response:
    order = web.database.read(lambda session: orders.detail(session, actor, order_id, web.clock()))
    row = order.row
    home = is_home(actor) and view.around.institution is not None
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
        can_order=home,
        is_doctor=home and actor.has("doctor"),
        can_cancel=home and row.state not in ("completed", "cancelled", "recognised"),
    )


def _returned_why(order: OrderDetail) -> str:
    if order.row.note != "returned":
        return ""
    return next((s.why for s in reversed(order.story) if s.machine == "reading" and s.verb == "return"), "")


def _is_birth_date(text: str, today: date) -> bool:
    """A real day of the past 150 years, as YYYYMMDD."""
    try:
        born = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a birth date has no zone
    except ValueError:
        return False
    return len(text) == 8 and text.isascii() and born <= today and today.year - born.year <= 150


def _wish(typed: Form, today: date) -> tuple[PatientFacts, OrderRequest]:
    """Patient and order as the form says them. What is not said stays empty."""
    for name in ("identifier", "name", "procedure"):
        if not typed[name].strip():
            raise BadInput("field_missing", field=name)
    for name, longest in CARRIED.items():
        text = typed[name].strip()
        if len(text) > longest or "\\" in text or not text.isprintable():
            raise BadInput("field_wrong", field=name)
    if typed.laterality not in ("", "L", "R", "B"):
        raise BadInput("field_wrong", field="laterality")
    name = typed.name.strip()
    patient = PatientFacts(
        identifiers=(Identifier("", typed.identifier.strip(), "MR"),),
        name=PersonName(alphabetic=name) if name.isascii() else PersonName(ideographic=name),
        sex=typed.sex if typed.sex in ("M", "F", "O") else "",  # type: ignore[arg-type]
        birth_date=typed.birth_date.replace("-", ""),
        phone=typed.phone.strip(),
        is_alias=bool(typed.is_alias),
    )
    if patient.birth_date and not _is_birth_date(patient.birth_date, today):
        raise BadInput("field_wrong", field="birth_date")
    wanted = OrderRequest(
        control="NW",
        placer_number="",
        procedure_code=typed.procedure,
        priority=typed.priority,  # type: ignore[arg-type]  # the action refuses others
        clinical_information=typed.clinical_information.strip(),
        reason=typed.reason.strip(),
        ordering_doctor=typed.ordering_doctor.strip(),
        laterality=typed.laterality,
    )
    return patient, wanted


def _home_only(actor: Actor) -> None:
    if not (is_home(actor) or actor.has("PACS admin")):
        raise Forbidden("role_needed", roles="technician, doctor")


def _query(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""
