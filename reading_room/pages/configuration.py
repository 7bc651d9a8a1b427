"""The PACS admin's configuration: one list and one form for every kind of thing that `sections` describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.dimse.echo import listens
from gateway.http import Acting, Served, Web
from reading_room.labels import label
from reading_room.pages.forms import Options, read_field, shown_fields, typed_values
from reading_room.pages.frame import Typed, View, go_on, new_router, refusal
from reading_room.pages.sections import HEADS, SECTIONS, Section
from reading_room.platforms import seal_token
from reading_room.words import N_
from worklist.errors import HurenError, NotFound
from worklist.facts import PRIORITIES, Reached
from worklist.people import Actor
from worklist.queries import administration as held

router = new_router()

MENU: Final = (
    ("institutions", N_("Institutions")),
    ("centers", N_("Centers")),
    ("groups", N_("Reader groups")),
    ("devices", N_("Devices")),
    ("endpoints", N_("Endpoints")),
    ("procedures", N_("Procedures")),
    ("routes", N_("Routes")),
    ("channels", N_("Notice channels")),
    ("archive", N_("Archive")),
)
"""Devices, routes, channels and the archive have pages of their own."""


@router.get("/admin/{name}")
def section_page(request: Request, web: Served, actor: Acting, name: str) -> Response:
    """The list of one kind of thing."""
    actor.require("PACS admin")
    section = _section(name)
    view = View(request, actor)
    rows = web.database.read(lambda session: section.rows(session, actor))
    labels = {f.name: f.label for f in section.fields} | HEADS
    return view.page(
        "admin/list.html",
        section=section,
        menu=menu(view),
        heads=[view.words(labels.get(column, column)) for column in section.columns],
        rows=[(row.id, [_cell(view, section, row, column) for column in section.columns]) for row in rows],
    )


@router.get("/admin/{name}/new")
def new_page(request: Request, web: Served, actor: Acting, name: str) -> Response:
    """The form of a new thing."""
    actor.require("PACS admin")
    section = _section(name)
    return _form(View(request, actor), web, actor, section, "new", section.new)


@router.get("/admin/{name}/{thing_id}")
def edit_page(request: Request, web: Served, actor: Acting, name: str, thing_id: str) -> Response:
    """The form of one thing."""
    actor.require("PACS admin")
    section = _section(name)
    row = _row(web, actor, section, thing_id)
    return _form(View(request, actor), web, actor, section, thing_id, _held(section, row), row)


@router.post("/admin/endpoints/{thing_id}/reach")
def reach_endpoint(request: Request, web: Served, actor: Acting, thing_id: str) -> Response:
    """Does anything listen there? The answer stands above the endpoint's form."""
    actor.require("PACS admin")
    section = SECTIONS["endpoints"]
    row = _row(web, actor, section, thing_id)
    found = listens(row.host, row.port, tls=row.tls, certificates=row.trusted, identity=web.identity)
    return _form(View(request, actor), web, actor, section, thing_id, _held(section, row), row, reached=found)


@router.post("/admin/{name}/{thing_id}")
def save_thing(request: Request, web: Served, actor: Acting, name: str, thing_id: str, typed: Typed) -> Response:
    """Keep what was typed; a refusal shows it again."""
    actor.require("PACS admin")
    section = _section(name)
    now = web.clock()
    row = None if thing_id == "new" else _row(web, actor, section, thing_id)
    # Only what the form shows: a flag that is not in it would be read as false.
    fields = [f for f in section.fields_of(typed["kind"] if row is None else _kind(row)) if row is None or not f.fixed]
    try:
        values = {spec.name: read_field(spec, typed) for spec in fields}
        if "token" in values:
            values["secret"] = seal_token(web.seals, values.pop("token"))

        def keep(session: Session) -> None:
            section.save(session, actor, values, now, None if row is None else thing_id)

        web.database.write(keep)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        shown = ({} if row is None else _held(section, row)) | typed_values(fields, typed)
        return _form(view, web, actor, section, thing_id, shown, row, status=status, error=words)
    return go_on(f"/admin/{name}", "saved")


def _section(name: str) -> Section:
    if name not in SECTIONS:
        raise NotFound("page_not_found")
    return SECTIONS[name]


def _row(web: Web, actor: Actor, section: Section, thing_id: str) -> Any:
    row = next((r for r in web.database.read(lambda s: section.rows(s, actor)) if r.id == thing_id), None)
    if row is None:
        raise NotFound("page_not_found")
    return row


def _kind(row: Any) -> str:
    """Empty where things of this section have no kinds."""
    return getattr(row, "kind", "")


def _held(section: Section, row: Any) -> dict[str, Any]:
    """What the form of a thing shows."""
    return {f.name: getattr(row, f.name) for f in section.fields_of(_kind(row)) if f.kind != "secret"}


def options_of(session: Session, actor: Actor, view: View) -> Options:
    """What the choices of forms are made of."""
    members, centers = held.institutions(session, actor), held.centers(session, actor)
    return Options(view.words, members, centers, held.staff(session, actor))


def menu(view: View) -> list[tuple[str, str]]:
    """The kinds of things that are configured, with the address of each list."""
    return [(f"/admin/{name}", view.words(title)) for name, title in MENU]


def _form(
    view: View,
    web: Web,
    actor: Actor,
    section: Section,
    thing_id: str,
    values: Mapping[str, Any],
    row: Any = None,
    *,
    status: int = 200,
    error: str = "",
    reached: Reached | None = None,
) -> Response:
    # The form of a new thing holds the fields of all kinds, and shows those of the kind that is chosen.
    fields = section.fields if row is None else section.fields_of(_kind(row))
    options = web.database.read(lambda session: options_of(session, actor, view))
    return view.page(
        "admin/form.html",
        status=status,
        error=error,
        section=section,
        menu=menu(view),
        fields=shown_fields(view, fields, options, values, is_new=row is None),
        thing_id=thing_id,
        priorities=PRIORITIES,
        reached=reached,
    )


def _cell(view: View, section: Section, row: Any, column: str) -> tuple[str, str]:
    """(kind, text) of one cell of the list."""
    _ = view.words
    if any(f.name == column and f not in section.fields_of(_kind(row)) for f in section.fields):
        return "text", ""
    value = getattr(row, column)
    if isinstance(value, bool):
        return "flag", "1" if value else ""
    if column in ("level", "discipline"):
        return "text", label(_, column, value)
    if column == "kind":
        return "text", label(_, "endpoint kind", value)
    if column == "preliminary_hours":
        return "text", ", ".join(f"{start}–{end}" for start, end in value)
    if column == "limits":
        return "text", " · ".join(f"{label(_, 'priority', p)} {value[p]}" for p in PRIORITIES if p in value)
    return "text", str(value)
