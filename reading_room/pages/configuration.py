"""The PACS admin's configuration: one list and one form for every kind of thing that `sections` describes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import LABELS, label
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.sections import CONDITIONS, HEADS, SECTIONS, Field, Options, Section
from worklist.errors import BadInput, HurenError, NotFound
from worklist.facts import PRIORITIES
from worklist.people import Actor
from worklist.queries import administration as held

router = new_router()

PLACE: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<v4>[^:\[\]]+)):(?P<port>[0-9]{1,5})", re.ASCII)
"""An address with a port; an IPv6 address stands in brackets then (RFC 3986 3.2.2)."""


@router.get("/admin/{name}")
def section_page(request: Request, web: Served, actor: Acting, name: str) -> Response:
    """The list of one kind of thing."""
    actor.require("PACS admin")
    section = _section(name)
    view = View(request, actor)
    rows, options = web.database.read(lambda session: (section.rows(session, actor), _options(session, actor, view)))
    refused = []
    if name == "devices":
        refused = web.database.read(lambda session: held.refused_callers(session, actor))
    labels = {f.name: f.label for f in section.fields} | HEADS
    return view.page(
        "admin/list.html",
        section=section,
        menu=_menu(view),
        heads=[view.words(labels.get(column, column)) for column in section.columns],
        rows=[(row.id, [_cell(view, options, row, column) for column in section.columns]) for row in rows],
        refused=refused,
    )


@router.get("/admin/{name}/new")
def new_page(request: Request, web: Served, actor: Acting, name: str) -> Response:
    """The form of a new thing. A refused caller fills the form of a new device."""
    actor.require("PACS admin")
    section = _section(name)
    view = View(request, actor)
    start = dict(section.new)
    if name == "devices" and (caller := request.query_params.get("caller")):
        found = web.database.read(lambda session: held.refused_callers(session, actor))
        row = next((r for r in found if r.id == caller), None)
        if row is not None:
            start["addresses"] = ({"door": row.door, "address": row.address, "claimed": row.claimed},)
            start["name"] = row.claimed
            start["kind"] = "modality" if row.door == "dimse" else "his"
    return _form(view, web, actor, section, "new", start)


@router.get("/admin/{name}/{thing_id}")
def edit_page(request: Request, web: Served, actor: Acting, name: str, thing_id: str) -> Response:
    """The form of one thing."""
    actor.require("PACS admin")
    section = _section(name)
    rows = web.database.read(lambda session: section.rows(session, actor))
    row = next((r for r in rows if r.id == thing_id), None)
    if row is None:
        raise NotFound("page_not_found")
    values = {f.name: _value(row, f.name) for f in section.fields}
    return _form(View(request, actor), web, actor, section, thing_id, values)


@router.post("/admin/{name}/{thing_id}")
def save_thing(request: Request, web: Served, actor: Acting, name: str, thing_id: str, typed: Typed) -> Response:
    """Keep what was typed; a refusal shows it again."""
    actor.require("PACS admin")
    section = _section(name)
    now = web.clock()
    try:
        values = _read(section, typed, is_new=thing_id == "new")

        def keep(session: Session) -> None:
            section.save(session, actor, values, now, None if thing_id == "new" else thing_id)

        web.database.write(keep)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        shown = _typed_values(section, typed)
        return _form(view, web, actor, section, thing_id, shown, status=status, error=words)
    return go_on(f"/admin/{name}", "saved")


def _section(name: str) -> Section:
    if name not in SECTIONS:
        raise NotFound("page_not_found")
    return SECTIONS[name]


def _options(session: Session, actor: Actor, view: View) -> Options:
    members, centers = held.institutions(session, actor), held.centers(session, actor)
    return Options(view.words, members, centers, held.staff(session, actor))


def _menu(view: View) -> list[tuple[str, str]]:
    return [(f"/admin/{section.name}", view.words(section.title)) for section in SECTIONS.values()]


def _form(
    view: View,
    web: Web,
    actor: Actor,
    section: Section,
    thing_id: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    error: str = "",
) -> Response:
    options = web.database.read(lambda session: _options(session, actor, view))
    fields = [
        {
            "name": f.name,
            "label": view.words(f.label),
            "kind": f.kind,
            "needed": f.needed,
            "whole": f.whole,
            "hint": view.words(f.hint),
            "choices": f.choices(options) if f.choices else [],
            "value": _shown(f, values.get(f.name)),
            "fixed": f.fixed and thing_id != "new",
        }
        for f in section.fields
    ]
    return view.page(
        "admin/form.html",
        status=status,
        error=error,
        section=section,
        menu=_menu(view),
        fields=fields,
        thing_id=thing_id,
        priorities=PRIORITIES,
    )


def _value(row: Any, name: str) -> Any:
    """What a row holds for a field; a route's conditions are shown as fields of their own."""
    if name in CONDITIONS and hasattr(row, "conditions"):
        return row.conditions.get(name, [])
    return getattr(row, name)


def _shown(spec: Field, value: Any) -> Any:
    """A held value as the input wants it."""
    if spec.kind == "hours":
        return ", ".join(f"{start}-{end}" for start, end in value or ())
    if spec.kind in ("minutes", "codes"):
        return value if isinstance(value, str) else ", ".join(str(v) for v in value or ())
    if spec.kind == "addresses":
        if isinstance(value, str):
            return value
        return "\n".join(f"{a['door']} {_place(a)} {a['claimed']}" for a in value or ())
    if spec.kind == "limits":
        return value or {}
    if spec.kind in ("many", "ordered"):
        return list(value or ())
    return "" if value is None else value


def _typed_values(section: Section, typed: Form) -> dict[str, Any]:
    """What was typed, to be shown again as it was."""
    values: dict[str, Any] = {}
    for spec in section.fields:
        if spec.kind in ("many", "ordered"):
            values[spec.name] = typed.all(spec.name)
        elif spec.kind == "flag":
            values[spec.name] = bool(typed[spec.name])
        elif spec.kind == "limits":
            values[spec.name] = {p: typed[f"{spec.name}.{p}"] for p in PRIORITIES}
        elif spec.kind == "hours":
            values[spec.name] = [pair for pair in (_pair(part) for part in _parts(typed[spec.name])) if len(pair) == 2]
        else:
            values[spec.name] = typed[spec.name]
    return values


def _read(section: Section, typed: Form, *, is_new: bool) -> dict[str, Any]:
    """The form as the action wants it.

    Raises
    ------
    BadInput
        ``field_wrong`` for numbers and addresses that are none.
    """
    values = {spec.name: _field(spec, typed) for spec in section.fields if is_new or not spec.fixed}
    if section.name == "routes":
        values["conditions"] = {name: wanted for name in CONDITIONS if (wanted := values.pop(name))}
    return values


def _field(spec: Field, typed: Form) -> Any:
    value = typed[spec.name].strip()
    if spec.kind == "number":
        return _whole(spec.name, value)
    if spec.kind == "flag":
        return bool(value)
    if spec.kind in ("many", "ordered"):
        return typed.all(spec.name)
    if spec.kind == "codes":
        return [part.upper() for part in _parts(value)]
    if spec.kind == "minutes":
        return [_whole(spec.name, part) for part in _parts(value)]
    if spec.kind == "hours":
        pairs = [_pair(part) for part in _parts(value)]
        if any(len(pair) != 2 for pair in pairs):
            raise BadInput("route_hours_wrong")
        return pairs
    if spec.kind == "limits":
        said = {p: typed[f"{spec.name}.{p}"].strip() for p in PRIORITIES}
        return {p: _whole(spec.name, text) for p, text in said.items() if text}
    if spec.kind == "addresses":
        return [_address(line) for line in value.splitlines() if line.strip()]
    return value


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise BadInput("field_wrong", field=name)
    return int(text)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.replace("，", ",").split(",") if part.strip()]


def _pair(text: str) -> list[str]:
    return [part.strip() for part in text.replace("–", "-").split("-")]


def _address(line: str) -> dict[str, Any]:
    words = line.split(None, 2)
    if len(words) != 3:
        raise BadInput("field_wrong", field="addresses")
    address, port = words[1], None
    if match := PLACE.fullmatch(address):
        address, port = match["v6"] or match["v4"], _whole("addresses", match["port"])
    return {"door": words[0].lower(), "address": address, "port": port, "claimed": words[2].strip()}


def _place(address: Mapping[str, Any]) -> str:
    """A device's network address with its port, as `_address` reads it."""
    if not address.get("port"):
        return str(address["address"])
    host = f"[{address['address']}]" if ":" in address["address"] else address["address"]
    return f"{host}:{address['port']}"


def _cell(view: View, options: Options, row: Any, column: str) -> tuple[str, str]:
    """(kind, text) of one cell of the list."""
    _ = view.words
    if column == "summary":
        return "text", _summary(view, options, row.conditions)
    value = getattr(row, column)
    if isinstance(value, bool):
        return "flag", "1" if value else ""
    if isinstance(value, datetime):
        return "text", view.shown.stamp(value)
    if value is None:
        return "text", _("never")
    if column in ("level", "discipline"):
        return "text", label(_, column, value)
    if column == "kind":
        return "text", label(_, "device kind", value)
    if column == "addresses":
        return "lines", "\n".join(f"{LABELS['door'][a['door']]} {_place(a)} {a['claimed']}" for a in value)
    if column == "preliminary_hours":
        return "text", ", ".join(f"{start}–{end}" for start, end in value)
    if column == "limits":
        return "text", " · ".join(f"{label(_, 'priority', p)} {value[p]}" for p in PRIORITIES if p in value)
    if isinstance(value, tuple):
        return "lines", "\n".join(value)
    return "text", str(value)


def _summary(view: View, options: Options, conditions: Mapping[str, Any]) -> str:
    """A route's conditions as a sentence."""
    _ = view.words
    names = {row.code: row.name for row in options.institutions}
    said = []
    for name in CONDITIONS:
        wanted = conditions.get(name)
        if not wanted:
            continue
        if name == "institutions":
            values = [names.get(code, code) for code in wanted]
        elif name == "hours":
            values = [f"{start}–{end}" for start, end in wanted]
        elif name in ("disciplines", "priorities"):
            kind = "discipline" if name == "disciplines" else "priority"
            values = [label(_, kind, value) for value in wanted]
        else:
            values = list(wanted)
        said.append(_(" or ").join(values))
    return _(", and ").join(said) if said else _("everything else")
