"""Route rules as one table: edited, tried on last week's readings, saved as a version, and brought back.

The table that is being edited lives in the form itself: every button sends it, and the page shows what came of it.
Nothing is kept before it is saved, so a closed window changes nothing, and it works without a script.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import label
from reading_room.pages.configuration import menu, options_of
from reading_room.pages.forms import Field, Options, labelled, or_none, read_field, shown_fields, typed_values
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.route_words import differences, goes_to, line_of
from reading_room.pages.sections import center_choices, code_choices, group_choices
from reading_room.words import N_
from worklist.actions import configuration, routes
from worklist.actions.routes import MOST_RULES
from worklist.errors import BadInput, Conflict, HurenError, NotFound
from worklist.facts import PRIORITIES
from worklist.people import Actor
from worklist.queries import administration as held
from worklist.queries import trying
from worklist.queries.views import RouteRow, Tried
from worklist.rules.routing import CONDITIONS, Warned

router = new_router()

TRIED_DAYS: Final = 7
STEP: Final = 10  # between the places of two rules
MOST_SHOWN: Final = 200  # readings of a trial

FIELDS: Final = (
    Field("name", N_("Name"), needed=True),
    Field("enabled", N_("in use"), "flag"),
    Field("center_id", N_("To the center"), "choice", needed=True, choices=or_none(center_choices)),
    Field("group_id", N_("Reader group"), "choice", choices=or_none(group_choices)),
    Field("institutions", N_("From"), "many", whole=True, choices=code_choices),
    Field("disciplines", N_("Disciplines"), "many", choices=labelled("discipline", configuration.DISCIPLINES)),
    Field("priorities", N_("Priorities"), "many", choices=labelled("priority", PRIORITIES)),
    Field("modalities", N_("Modalities"), "codes", hint=N_("Such as CT, MR; empty means any.")),
    Field("body_parts", N_("Body parts"), "codes", hint=N_("Such as HEAD, CHEST; empty means any.")),
    Field(
        "hours",
        N_("Hours"),
        "hours",
        whole=True,
        hint=N_("Such as 17:30-08:00; several are parted by commas; empty means always."),
    ),
)


@dataclass(frozen=True)
class Here:
    """Where the menu of the configuration stands."""

    name: str = "routes"


@dataclass
class Draft:
    """A table that is being edited: rules as the actions take them, the open one, and the version it came from."""

    rules: list[dict[str, Any]] = field(default_factory=list)
    opened: int = -1
    seen: int = 0
    note: str = ""
    tried: str = ""  # the mark of the rules that were tried last

    @property
    def mark(self) -> str:
        """What the rules are, in short."""
        return hashlib.sha256(json.dumps(self.rules, sort_keys=True).encode()).hexdigest()[:20]


@router.get("/admin/routes")
def routes_page(request: Request, web: Served, actor: Acting) -> Response:
    """The table as it counts."""
    actor.require("PACS admin")
    return _page(View(request, actor), web, _current(web, actor))


@router.post("/admin/routes")
def edit_routes(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """One button of the table: move, open, add or remove a rule, try the table, or save it."""
    actor.require("PACS admin")
    view = View(request, actor)
    draft = _read_draft(typed)
    verb, _colon, place_text = typed.do.partition(":")
    place = int(place_text) if place_text.isdecimal() and len(place_text) < 5 else -1
    try:
        if draft.opened >= 0 and verb != "drop":
            draft.rules[draft.opened] = _read_rule(typed)
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, draft, typed=typed, status=status, error=words)
    draft.opened = -1
    try:
        if verb == "try":
            tried = web.database.read(
                lambda s: trying.try_routes(s, actor, _placed(draft.rules), TRIED_DAYS, web.clock())
            )
            draft.tried = draft.mark
            return _page(view, web, draft, tried=tried)
        if verb == "save":
            now = web.clock()
            web.database.write(
                lambda s: routes.save_routes(s, actor, _placed(draft.rules), draft.note, now, seen=draft.seen)
            )
            return go_on("/admin/routes", "routes")
        _edit(draft, verb, place)
    except Conflict as error:
        # Theirs is shown in the history; this draft goes on, and its next save is made on top of theirs on purpose.
        draft.seen = web.database.read(lambda s: held.route_number(s, actor))
        status, words = refusal(view, error)
        return _page(view, web, draft, status=status, error=words, is_behind=True)
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, draft, status=status, error=words)
    return _page(view, web, draft)


@router.get("/admin/routes/versions")
def versions_page(request: Request, web: Served, actor: Acting, after: str = "") -> Response:
    """All versions, the newest first: who, when, why, and what differs from the one before."""
    actor.require("PACS admin")
    view = View(request, actor)
    before = int(after) if after.isdecimal() and len(after) < 10 else 0

    def read(session: Session) -> tuple[Any, Any, int]:
        # One more than is shown, to say what the oldest shown one changed.
        page = held.route_versions(session, actor, after=before, limit=31)
        return page, options_of(session, actor, view), held.route_number(session, actor)

    page, options, newest = web.database.read(read)
    items = page.items
    shown = [
        {
            "version": version,
            "changes": differences(
                view, options, [_rule_of(r) for r in earlier.rules], [_rule_of(r) for r in version.rules]
            )
            if earlier is not None
            else None,
            "lines": [line_of(view, options, _rule_of(r)) for r in version.rules],
        }
        for version, earlier in zip(items[:30], [*items[1:], None], strict=False)
    ]
    return view.page(
        "admin/route_versions.html",
        section=Here(),
        menu=menu(view),
        versions=shown,
        newest=newest,
        next=str(items[29].number) if len(items) > 30 else "",
        query={},
    )


@router.post("/admin/routes/versions/{number}/restore")
def restore(web: Served, actor: Acting, number: int, typed: Typed) -> Response:
    """Make a new version that is like an old one."""
    now = web.clock()
    seen = int(typed.seen) if typed.seen.isdecimal() and len(typed.seen) < 10 else -1
    note = typed.note.strip()
    web.database.write(lambda s: routes.restore_routes(s, actor, number, note, now, seen=seen))
    return go_on("/admin/routes", "routes")


def _current(web: Web, actor: Actor) -> Draft:
    def read(session: Session) -> Draft:
        rows = held.routes(session, actor)
        return Draft([_rule_of(row) for row in rows], seen=held.route_number(session, actor))

    return web.database.read(read)


def _rule_of(row: RouteRow) -> dict[str, Any]:
    """A rule without its id and place: two versions are compared by what a rule says."""
    return {
        "name": row.name,
        "conditions": {name: row.conditions[name] for name in CONDITIONS if row.conditions.get(name)},
        "center_id": row.center_id,
        "group_id": row.group_id or None,
        "enabled": row.enabled,
    }


def _placed(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**rule, "place": (number + 1) * STEP} for number, rule in enumerate(rules)]


def _edit(draft: Draft, verb: str, place: int) -> None:
    """Apply one button to the table.

    Raises
    ------
    BadInput
        ``too_many_rules``.
    """
    rules = draft.rules
    if verb == "add":
        if len(rules) >= MOST_RULES:
            raise BadInput("too_many_rules", most=MOST_RULES)
        rules.append({"name": "", "conditions": {}, "center_id": "", "group_id": None, "enabled": True})
        draft.opened = len(rules) - 1
        return
    if not 0 <= place < len(rules):
        return
    if verb == "up" and place > 0:
        rules[place - 1], rules[place] = rules[place], rules[place - 1]
    elif verb == "down" and place < len(rules) - 1:
        rules[place + 1], rules[place] = rules[place], rules[place + 1]
    elif verb in ("remove", "drop"):
        del rules[place]
    elif verb == "turn":
        rules[place]["enabled"] = not rules[place]["enabled"]
    elif verb == "open":
        draft.opened = place


def _read_draft(typed: Form) -> Draft:
    """The table as the form carried it.

    Raises
    ------
    BadInput
        ``field_wrong`` for rules that this page did not write.
    """
    try:
        rules = [json.loads(text) for text in typed.sent.get("rule", [])[: MOST_RULES + 1]]
        read = [
            {
                "name": str(rule["name"]),
                "conditions": dict(rule["conditions"]),
                "center_id": str(rule["center_id"]),
                "group_id": rule["group_id"] or None,
                "enabled": bool(rule["enabled"]),
            }
            for rule in rules
        ]
        opened = int(typed.opened or -1)
        seen = int(typed.seen or 0)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadInput("field_wrong", field="rule") from error
    if not -1 <= opened < len(read):
        raise BadInput("field_wrong", field="opened")
    return Draft(read, opened, seen, typed.note[:500], typed.tried[:40])


def _read_rule(typed: Form) -> dict[str, Any]:
    """The rule that was open.

    Raises
    ------
    BadInput
        for what is no rule, such as hours that are none.
    """
    values = {spec.name: read_field(spec, typed) for spec in FIELDS}
    if not values["name"]:
        raise BadInput("field_missing", field="name")
    if not values["center_id"]:
        raise BadInput("field_missing", field="center_id")
    conditions = {name: wanted for name in CONDITIONS if (wanted := values.pop(name))}
    return {**values, "group_id": values["group_id"] or None, "conditions": conditions}


def _page(
    view: View,
    web: Web,
    draft: Draft,
    *,
    typed: Form | None = None,
    tried: Tried | None = None,
    status: int = 200,
    error: str = "",
    is_behind: bool = False,
) -> Response:
    """The table; `typed` is what stands in the open rule where it was refused."""
    actor = view.actor
    assert actor is not None  # noqa: S101 - the callers have one

    def read(session: Session) -> tuple[Options, list[RouteRow], list[Warned], int]:
        doubts: list[Warned] = []
        if draft.opened < 0:
            try:
                doubts = trying.doubts(session, actor, _placed(draft.rules))
            except (BadInput, NotFound):
                doubts = []  # a refusal says more, when it is tried or saved
        return (
            options_of(session, actor, view),
            held.routes(session, actor),
            doubts,
            held.route_number(session, actor),
        )

    options, rows, doubts, newest = web.database.read(read)
    saved = [_rule_of(row) for row in rows]
    fields: list[dict[str, Any]] = []
    if draft.opened >= 0:
        rule = draft.rules[draft.opened]
        values = typed_values(FIELDS, typed) if typed is not None else {**rule, **_conditions_of(rule)}
        fields = shown_fields(view, FIELDS, options, values, is_new=True)
    return view.page(
        "admin/routes.html",
        status=status,
        error=error,
        section=Here(),
        menu=menu(view),
        rules=[line_of(view, options, rule) | {"json": json.dumps(rule, ensure_ascii=False)} for rule in draft.rules],
        opened=draft.opened,
        fields=fields,
        seen=draft.seen,
        newest=newest,
        note=draft.note,
        tried_mark=draft.tried,
        is_tried=bool(draft.tried) and draft.tried == draft.mark,
        is_changed=draft.rules != saved,
        is_behind=is_behind,
        changes=differences(view, options, saved, draft.rules),
        doubts=[(d.place, view.problem(d.code, _params(view, d))) for d in doubts],
        tried=tried,
        totals=_totals(tried) if tried is not None else [],
        shown_rows=list(tried.rows[:MOST_SHOWN]) if tried is not None else [],
        most_shown=MOST_SHOWN,
    )


def _conditions_of(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {name: rule["conditions"].get(name, []) for name in CONDITIONS}


def _params(view: View, doubt: Warned) -> dict[str, str]:
    params = dict(doubt.params)
    if "discipline" in params:
        params["discipline"] = label(view.words, "discipline", params["discipline"])
    return params


def _totals(tried: Tried) -> list[tuple[str, str, int]]:
    """How many readings go from where to where, the most first."""
    counts: dict[tuple[str, str], int] = {}
    for row in tried.rows:
        if row.changed:
            pair = (goes_to(row.before.center, row.before.group), goes_to(row.after.center, row.after.group))
            counts[pair] = counts.get(pair, 0) + 1
    return [(before, after, count) for (before, after), count in sorted(counts.items(), key=lambda item: -item[1])]
