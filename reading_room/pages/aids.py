"""A center's pages of what its readers write with: templates, phrases, the list of critical results."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import label
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.words import N_
from worklist.actions import aids as actions
from worklist.errors import BadInput, Forbidden, HurenError
from worklist.facts import TIERS
from worklist.people import Actor
from worklist.queries import administration, aids
from worklist.queries.aids import TemplateView
from worklist.queries.views import CenterRow
from worklist.rules import measurements, templates
from worklist.rules.templates import KINDS, Words

router = new_router()

TABS: Final = (
    ("/aids/phrases", N_("Phrases")),
    ("/aids/templates", N_("Templates")),
    ("/aids/critical", N_("Critical results")),
)
CRITICAL_TEXTS: Final = ("code", "name", "name_en", "modality", "words", "tier", "measurement", "below", "from_on")
SPARE_FIELDS: Final = 3
TEXTS: Final = ("name", "name_en", "shortcut", "modality", "body_part", "sex", "findings", "impression")
FIELD_KINDS: Final = {
    "choice": N_("one of several"),
    "choices": N_("several of several"),
    "number": N_("number"),
    "side": N_("side"),
    "text": N_("text"),
}


@router.get("/aids")
def begin() -> Response:
    """Where the navigation leads."""
    return go_on("/aids/phrases")


@router.get("/aids/phrases")
def phrases_page(request: Request, web: Served, actor: Acting, center: str = "") -> Response:
    """One's own phrases and the center's."""
    return _phrases(View(request, actor), web, actor, center[:64])


@router.post("/aids/phrases")
def edit_phrases(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Keep a phrase, or take one away."""
    verb, _colon, id = typed.do.partition(":")
    now = web.clock()

    def work(session: Session) -> None:
        if verb == "remove":
            actions.remove_phrase(session, actor, id, now)
        elif verb in ("save", "share"):
            given = {name: typed[name] for name in ("shortcut", "title", "words", "field")}
            shared = verb == "share" or bool(typed.shared)
            actions.save_phrase(session, actor, typed.center, given, now, id or None, shared=shared)
        else:
            raise BadInput("field_wrong", field="do")

    try:
        web.database.write(work)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _phrases(view, web, actor, typed.center[:64], typed=typed, status=status, error=words)
    return go_on(f"/aids/phrases?center={typed.center}", "saved")


@router.get("/aids/templates")
def templates_page(request: Request, web: Served, actor: Acting, center: str = "") -> Response:
    """A center's templates."""
    view = View(request, actor)
    chosen, centers = _centers(web, actor, center[:64])
    rows = web.database.read(lambda s: aids.templates_of(s, actor, chosen.id))
    return _page(view, "aids/templates.html", chosen, centers, rows=rows)


@router.post("/aids/templates")
def add_starter(web: Served, actor: Acting, typed: Typed) -> Response:
    """Add the starter set."""
    now = web.clock()
    web.database.write(lambda s: actions.add_starter(s, actor, typed.center, now))
    return go_on(f"/aids/templates?center={typed.center}", "saved")


@router.get("/aids/templates/{template_id}")
def template_page(request: Request, web: Served, actor: Acting, template_id: str, center: str = "") -> Response:
    """A template and the words that it makes with the values it begins with."""
    return _template(View(request, actor), web, actor, template_id, center[:64])


@router.post("/aids/templates/{template_id}")
def edit_template(request: Request, web: Served, actor: Acting, template_id: str, typed: Typed) -> Response:
    """Save a template."""
    now = web.clock()
    try:
        given = _given(typed)
        saved = web.database.write(
            lambda s: (
                actions.save_template(
                    s, actor, typed.center, given, now, None if template_id == "new" else template_id
                ).id
            )
        )
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _template(view, web, actor, template_id, typed.center[:64], typed=typed, status=status, error=words)
    return go_on(f"/aids/templates/{saved}", "saved")


@router.get("/aids/critical")
def critical_page(request: Request, web: Served, actor: Acting, center: str = "") -> Response:
    """A center's list of critical results."""
    return _critical(View(request, actor), web, actor, center[:64])


@router.post("/aids/critical")
def edit_critical(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Keep an entry of the list."""
    _save, _colon, id = typed.do.partition(":")
    now = web.clock()
    given = {name: typed[name] for name in CRITICAL_TEXTS if name in typed}
    try:
        web.database.write(
            lambda s: actions.save_critical_item(
                s, actor, typed.center, {**given, "enabled": bool(typed.enabled)}, now, id or None
            )
        )
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _critical(view, web, actor, typed.center[:64], typed=typed, status=status, error=words)
    return go_on(f"/aids/critical?center={typed.center}", "saved")


def _phrases(
    view: View, web: Web, actor: Actor, center: str, *, typed: Form | None = None, status: int = 200, error: str = ""
) -> Response:
    chosen, centers = _centers(web, actor, center)
    rows = web.database.read(lambda s: aids.phrases_of(s, actor, chosen.id))
    reads = chosen.id in actor.centers("reader", "senior reader")
    more = {"own": [r for r in rows if r.own], "shared": [r for r in rows if not r.own], "reads": reads}
    return _page(view, "aids/phrases.html", chosen, centers, typed=typed, status=status, error=error, **more)


def _critical(
    view: View, web: Web, actor: Actor, center: str, *, typed: Form | None = None, status: int = 200, error: str = ""
) -> Response:
    chosen, centers = _centers(web, actor, center)
    rows = web.database.read(lambda s: aids.critical_items_of(s, actor, chosen.id))
    more = {
        "rows": rows,
        "tiers": TIERS,
        "measurements": list(measurements.KINDS) if chosen.discipline == "ecg" else [],
    }
    return _page(view, "aids/critical.html", chosen, centers, typed=typed, status=status, error=error, **more)


def _template(
    view: View,
    web: Web,
    actor: Actor,
    template_id: str,
    center: str,
    *,
    typed: Form | None = None,
    status: int = 200,
    error: str = "",
) -> Response:
    held = None if template_id == "new" else web.database.read(lambda s: aids.template(s, actor, template_id))
    chosen, centers = _centers(web, actor, held.center_id if held else center)
    values, rows = (_typed_values(typed), _typed_rows(typed)) if typed is not None else _held_values(held)
    procedures = web.database.read(lambda s: administration.procedures(s, actor))
    _ = view.words
    return _page(
        view,
        "aids/template.html",
        chosen,
        centers,
        typed=typed,
        status=status,
        error=error,
        template_id=template_id,
        values=values,
        rows=[*rows, *({} for _n in range(SPARE_FIELDS))],
        kinds=[(kind, _(FIELD_KINDS[kind])) for kind in KINDS],
        sexes=[("", "—"), *((sex, label(_, "sex", sex)) for sex in ("F", "M"))],
        procedures=[p for p in procedures if p.discipline == chosen.discipline],
        made=_made(held) if held is not None else None,
    )


def _page(
    view: View,
    template: str,
    chosen: CenterRow,
    centers: list[CenterRow],
    *,
    typed: Form | None = None,
    status: int = 200,
    error: str = "",
    **context: Any,
) -> Response:
    actor = view.actor
    keeps = actor is not None and (actor.has("PACS admin") or chosen.id in actor.centers(*actions.KEEPERS))
    path = view.request.url.path
    return view.page(
        template,
        status=status,
        error=error,
        typed=typed or Form(),
        center=chosen,
        centers=centers,
        keeps=keeps,
        tabs=[{"href": href, "label": view.words(word), "here": path.startswith(href)} for href, word in TABS],
        **context,
    )


def _centers(web: Web, actor: Actor, center: str) -> tuple[CenterRow, list[CenterRow]]:
    """The chosen center and all whose aids the actor may see.

    Raises
    ------
    Forbidden
    """
    seen = [
        row
        for row in web.database.read(lambda s: administration.centers(s, actor))
        if actor.has("PACS admin") or row.id in actor.centers()
    ]
    if not seen:
        raise Forbidden("role_needed", roles="reader, senior reader, manager")
    return next((row for row in seen if row.id == center), seen[0]), seen


def _given(typed: Form) -> dict[str, Any]:
    """The form as the action takes it."""
    given: dict[str, Any] = {name: typed[name] for name in TEXTS}
    given |= {"procedure_id": typed.procedure_id, "is_normal": bool(typed.is_normal), "enabled": bool(typed.enabled)}
    given["place"] = int(typed.place) if typed.place.isdecimal() and len(typed.place) < 7 else 0
    if typed.revision.isdecimal() and len(typed.revision) < 10:
        given["revision"] = int(typed.revision)
    fields = []
    for number, row in enumerate(_typed_rows(typed), 1):
        field: dict[str, Any] = {key: row[key] for key in ("name", "kind", "label", "label_en", "unit", "usual")}
        field["choices"] = [choice.strip() for choice in row["choices"].replace("；", ";").split(";") if choice.strip()]
        for bound in ("least", "most"):
            if row[bound]:
                try:
                    field[bound] = float(row[bound])
                except ValueError as error:
                    raise BadInput("template_field_wrong", number=number) from error
        fields.append(field)
    return {**given, "fields": fields}


_COLUMNS: Final = ("name", "kind", "label", "label_en", "choices", "unit", "least", "most", "usual")


def _typed_rows(typed: Form) -> list[dict[str, str]]:
    columns = [typed.sent.get(f"field.{name}", []) for name in _COLUMNS]
    rows = [dict(zip(_COLUMNS, values, strict=True)) for values in zip(*columns, strict=False)]
    return [row for row in rows if row["name"].strip()]


def _typed_values(typed: Form) -> dict[str, Any]:
    given: dict[str, Any] = {name: typed[name] for name in (*TEXTS, "procedure_id", "place", "revision")}
    return given | {"is_normal": bool(typed.is_normal), "enabled": bool(typed.enabled)}


def _held_values(held: TemplateView | None) -> tuple[dict[str, Any], list[dict[str, str]]]:
    if held is None:
        empty: dict[str, Any] = dict.fromkeys((*TEXTS, "procedure_id", "revision"), "")
        return empty | {"place": "0", "is_normal": False, "enabled": True}, []
    rows = []
    for field in held.fields:
        row = {name: str(field.get(name, "")) for name in _COLUMNS}
        row["choices"] = "；".join(field.get("choices", []))
        rows.append(row)
    return asdict(held), rows


def _made(held: TemplateView) -> Any:
    """The words that the template makes before anybody has typed."""
    words = Words(templates.read_fields(held.fields), held.findings, held.impression)
    return templates.fill(words, templates.usual_values(words))
