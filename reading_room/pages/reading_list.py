"""The readers' lists: cases to read, reports to review, and the next one to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import label
from reading_room.pages.frame import View, go_on, new_router
from reading_room.words import N_
from worklist.actions import readings
from worklist.actions.desk import COLUMNS, USUAL_COLUMNS
from worklist.errors import Conflict, Forbidden
from worklist.people import Actor
from worklist.queries import desk, orders, reading_list
from worklist.queries.reading_list import Choices, Filters

router = new_router()

STATES: Final = ("", "unread", "drafted", "in review", "returned", "referred", "signed", "all")
PRIORITIES: Final = ("STAT", "URGENT", "ROUTINE")
STEP: Final = 50  # rows of a list, and how many more each press shows
MOST: Final = 500  # in one piece; after that the list goes on from its last row
WHOSE: Final = {"mine": N_("My cases"), "assigned": N_("Assigned to me"), "free": N_("Nobody has them")}
COLUMN_WORDS: Final = {
    "priority": N_("Priority"),
    "patient": N_("Patient"),
    "procedure": N_("Procedure"),
    "site": N_("From"),
    "images": N_("Images"),
    "state": N_("State"),
    "who": N_("Who"),
    "due": N_("Due"),
    "arrived": N_("Arrived"),
    "modality": N_("Modality"),
    "body part": N_("Body part"),
    "accession number": N_("Accession number"),
    "assigned": N_("Assigned to"),
    "center": N_("Center"),
}
"""The heads of the columns that can be chosen, by the names under which they are kept."""
FILTERS: Final = tuple(field.name for field in fields(Filters))


@router.get("/reading")
def reading(request: Request, web: Served, actor: Acting) -> Response:
    """Cases of the person's centers, the most urgent first."""
    if not actor.centers():
        raise Forbidden("role_needed", roles="reader, senior reader")
    return _list(request, web, actor, "reading")


@router.get("/review")
def review(request: Request, web: Served, actor: Acting) -> Response:
    """Reports that wait for their review."""
    actor.require("senior reader")
    return _list(request, web, actor, "review")


@router.post("/reading/next")
def next_case(request: Request, web: Served, actor: Acting) -> Response:
    """Claim the most urgent free case of the list as it is narrowed, and open it."""
    return _next(request, web, actor, "reading")


@router.post("/review/next")
def next_review(request: Request, web: Served, actor: Acting) -> Response:
    """Claim the most urgent report of the list that waits for review, and open it."""
    return _next(request, web, actor, "review")


def filters_of(asked: Mapping[str, str], page: str) -> Filters:
    """The filters that an address names. What no list knows is left out: an old link still leads somewhere."""
    said = {name: asked.get(name, "")[:100].replace("\x00", "") for name in FILTERS}
    known: dict[str, Any] = {**said, "overdue": bool(said["overdue"])}
    known["status"] = "in review" if page == "review" else said["status"] if said["status"] in STATES else ""
    known["whose"] = said["whose"] if said["whose"] in WHOSE else ""
    known["priority"] = said["priority"] if said["priority"] in PRIORITIES else ""
    return Filters(**known)


def address_of(filters: Filters, page: str) -> dict[str, str]:
    """The filters as an address names them: only what narrows the list."""
    said = {name: "1" if value is True else value for name, value in asdict(filters).items() if value}
    if page == "review":
        said.pop("status")
    return said


def columns_of(settings: Mapping[str, Any]) -> list[str]:
    """The columns that a person chose, else the usual ones."""
    chosen = [name for name in settings.get("columns") or () if name in COLUMNS]
    return chosen or list(USUAL_COLUMNS)


def _list(request: Request, web: Web, actor: Actor, page: str) -> Response:
    asked = request.query_params
    filters = filters_of(asked, page)
    query = address_of(filters, page)
    after = asked.get("after", "")[:64]
    wanted = asked.get("rows", "")
    count = min(max(int(wanted), STEP), MOST) if wanted.isdecimal() and len(wanted) < 5 else STEP
    view = View(request, actor)
    is_poll = view.is_poll()
    first = not filters.q and not after

    def read(session: Session) -> tuple[Any, Any, list[desk.ViewRow], Choices | None]:
        found = reading_list.worklist(session, actor, web.clock(), filters, after=after, limit=count)
        owed = orders.criticals(session, actor) if first else []
        if is_poll:
            return found, owed, [], None
        return found, owed, desk.views(session, actor, page), reading_list.choices(session, actor)

    found, owed, views, choices = web.database.read(read)
    if not is_poll and not set(asked) - {"done", "lang"}:
        opening = next((v for v in views if v.is_first), None)
        if opening is not None:
            return RedirectResponse(f"/{page}?{urlencode(opening.query | dict(asked)) or 'status='}", 303)
    here = query | ({"after": after} if after else {}) | ({"rows": str(count)} if count > STEP else {})
    address = f"/{page}?{urlencode(here) or 'status='}"
    columns = columns_of(view.place.settings)
    body = view.part(
        "parts/reading_rows.html",
        page=page,
        rows=found.items,
        columns=columns,
        column_words=COLUMN_WORDS,
        owed=[c for c in owed if c.state in ("detected", "notified", "escalated")],
        next=found.next,
        more=f"/{page}?{urlencode(here | {'rows': str(count + STEP)})}" if found.next and count < MOST else "",
        query=query,
    )
    polled = view.polled("list", address, body, news="reading critical")
    if is_poll:
        return view.fragment(polled)
    assert choices is not None  # noqa: S101 - read above for every page
    _ = view.words
    words = {"": _("Not finished"), "all": _("All")}
    return view.page(
        "reading_list.html",
        polled=polled[0],
        page=page,
        query=query,
        filters=filters,
        reviewing=page == "review",
        choices=choices,
        views=[(v, v.query == query, f"/{page}?{urlencode(v.query) or 'status='}") for v in views],
        states=[(s, words.get(s) or label(view.words, "state", s)) for s in STATES],
        whose=[(value, _(word)) for value, word in WHOSE.items()],
        priorities=[(value, label(view.words, "priority", value)) for value in PRIORITIES],
        pairs=lambda values: [(value, value) for value in values],
        columns=columns,
        column_words=COLUMN_WORDS,
        next_address=f"/{page}/next?{urlencode(query)}",
        can_read=bool(actor.centers("senior reader") if page == "review" else actor.centers("reader", "senior reader")),
    )


def _next(request: Request, web: Web, actor: Actor, page: str) -> Response:
    now = web.clock()
    filters = filters_of(request.query_params, page)

    def take(session: Session) -> str:
        found = reading_list.next_case(session, actor, now, filters, reviewing=page == "review")
        if found:
            readings.claim(session, actor, found, now)
        return found

    try:
        found = web.database.write(take)
    except Conflict:  # somebody else was faster with that one: let the person press again
        found = ""
    return go_on(f"/reading/{found}") if found else go_on(f"/{page}?{urlencode(address_of(filters, page))}", "nothing")
