"""The rules of recognition: edited as a form, tried on past orders, saved as a version that counts from a day on.

As with routes, the draft lives in the form: nothing is kept before it is saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from gateway.http import Acting, Served, Web
from reading_room import recognition_words
from reading_room.item_lists import COLUMNS, MOST_ROWS, Row, cells, read_items
from reading_room.labels import label
from reading_room.pages import recognition_rule_words as told
from reading_room.pages.forms import Options, shown_fields
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, read_form, refusal
from reading_room.pages.manager import menu, require_keeper
from reading_room.pages.manager_recognition import tabs
from reading_room.pages.recognition_draft import FIELDS, Draft, begin, carried, packed, take_open, typed_row
from reading_room.sheets import Cell, as_csv, download
from reading_room.words import N_
from worklist.actions import recognition_rules
from worklist.errors import BadInput, Conflict, HurenError
from worklist.queries import recognition as found
from worklist.queries import recognition_rules as set_up
from worklist.queries.recognition import Rules
from worklist.queries.recognition_rules import Doubt, Tried
from worklist.rules.recognition import GRADES, RuleSet

router = new_router()
HERE: Final = "/manager/recognition/rules"
OUTCOMES: Final = {"": N_("nothing served"), "images": N_("images and data"), "report": N_("images and report")}
NO_ITEM: Final = N_("in no item")


@router.get(HERE)
def rules_page(request: Request, web: Served, actor: Acting, version: str = "") -> Response:
    """The newest rules, to be changed; or those of an earlier version."""
    require_keeper(actor)
    versions = web.database.read(lambda s: set_up.versions(s, actor))
    chosen = next((v for v in versions if str(v.number) == version), versions[0])
    return _page(View(request, actor), web, begin(chosen.rules, versions[0].number))


@router.post(HERE)
def edit_rules(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """One button of the form: open, add or remove a row, try the rules, or save them."""
    require_keeper(actor)
    view = View(request, actor)
    draft = carried(typed)
    now = web.clock()
    try:
        if not typed.do.startswith("drop:"):
            take_open(draft, typed)
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, draft, typed=typed, status=status, error=words)
    draft.opened = ""
    try:
        if typed.do == "try":
            rules = draft.read()
            tried = web.database.read(lambda s: set_up.tried(s, actor, rules, now))
            draft.tried = draft.mark
            return _page(view, web, draft, tried=tried)
        if typed.do == "save":
            begins = _begins(view, draft.day, now)
            web.database.write(
                lambda s: recognition_rules.save_rules(
                    s, actor, draft.rules, now, effective_from=begins, note=draft.note, base=draft.base
                )
            )
            return go_on(HERE, "saved")
        draft.press(typed.do)
    except Conflict as error:
        # Theirs is among the versions; this draft goes on, and its next save is made on top of theirs on purpose.
        draft.base = web.database.read(lambda s: set_up.versions(s, actor))[0].number
        status, words = refusal(view, error)
        return _page(view, web, draft, status=status, error=words, is_behind=True)
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, draft, status=status, error=words)
    return _page(view, web, draft)


async def _handed_in(request: Request) -> tuple[Form, bytes]:
    """The form with its draft, and the file that came with it; no bytes where none was chosen."""
    async with request.form(max_files=1, max_fields=500) as sent:
        file = sent.get("file")
        raw = await file.read() if isinstance(file, UploadFile) else b""
        return read_form((name, value) for name, value in sent.multi_items() if name != "file"), raw


@router.get(HERE + ".csv")
def items_csv(web: Served, actor: Acting, version: str = "") -> Response:
    """Items and equivalents of the newest rules, or of a version, as a table that can be changed and handed in."""
    require_keeper(actor)
    versions = web.database.read(lambda s: set_up.versions(s, actor))
    rules = next((v for v in versions if str(v.number) == version), versions[0]).rules
    chinese = actor.language == "zh_CN"
    heads = [column.chinese if chinese else column.name for column in COLUMNS]
    rows = cells(rules.items, rules.equivalents, chinese=chinese)
    return download("huren-recognition-items", as_csv(heads, [[Cell(text) for text in row] for row in rows]))


@router.post(HERE + "/csv")
def hand_in_items(
    request: Request, web: Served, actor: Acting, handed: Annotated[tuple[Form, bytes], Depends(_handed_in)]
) -> Response:
    """Take a file into the draft: it is all items and equivalents then, or nothing where a row is wrong."""
    require_keeper(actor)
    view = View(request, actor)
    typed, raw = handed
    draft = carried(typed)
    try:
        take_open(draft, typed)
        draft.opened = ""
        rows = read_items(raw)
        refused = [row for row in rows if isinstance(row.said, BadInput)]
        if not refused:
            draft.take_table(rows)
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, draft, typed=typed, status=status, error=words)
    return _page(view, web, draft, refused=refused)


@router.get(HERE + "/versions")
def versions_page(request: Request, web: Served, actor: Acting) -> Response:
    """All versions, the newest first: who, when, from which day on, and what differs from the one before."""
    require_keeper(actor)
    view = View(request, actor)

    def read(session: Session) -> tuple[list[Rules], int]:
        return set_up.versions(session, actor), found.rules_at(session, web.clock()).number

    versions, in_force = web.database.read(read)
    shown = [
        {"version": v, "changes": told.differences(view, earlier.rules, v.rules) if earlier is not None else []}
        for v, earlier in zip(versions, [*versions[1:], None], strict=True)
    ]
    return view.page(
        "manager/recognition_versions.html",
        menu=menu(view, "/manager/recognition"),
        tabs=tabs(view, HERE),
        versions=shown,
        in_force=in_force,
    )


def _begins(view: View, day: str, now: datetime) -> datetime | None:
    """The beginning of the day on which rules begin to count; None: at once."""
    if not day:
        return None
    try:
        chosen = date.fromisoformat(day)
    except ValueError as error:
        raise BadInput("field_wrong", field="effective_from") from error
    if chosen == now.astimezone(view.place.zone).date():
        return None
    return datetime.combine(chosen, time(), view.place.zone)


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
    refused: list[Row] | None = None,
) -> Response:
    """The form; `typed` is what stands in the open row where it was refused, `refused` the rows of a file that were."""
    actor = view.actor
    assert actor is not None  # noqa: S101 - the callers have one
    try:
        rules = draft.read() if not draft.opened else None
    except BadInput:
        rules = None  # a refusal says more, when it is tried or saved

    def read(session: Session) -> tuple[list[Rules], int, list[Doubt]]:
        return (
            set_up.versions(session, actor),
            found.rules_at(session, web.clock()).number,
            set_up.doubts(session, actor, rules) if rules is not None else [],
        )

    versions, in_force, doubts = web.database.read(read)
    newest = versions[0]
    kind, number = draft.place
    fields: list[dict[str, Any]] = []
    if kind:
        row = typed_row(kind, typed) if typed is not None else _in_form(kind, draft.rows[kind][number])
        fields = shown_fields(view, FIELDS[kind], Options(view.words, [], [], []), row, is_new=True)
    changes = told.differences(view, newest.rules, rules) if rules is not None else []
    return view.page(
        "manager/recognition_rules.html",
        status=status,
        error=error,
        menu=menu(view, "/manager/recognition"),
        tabs=tabs(view, HERE),
        draft=draft,
        newest=newest,
        in_force=next(v for v in versions if v.number == in_force),
        items=_items(view, draft),
        levels=_levels(view, draft),
        open_kind=kind,
        open_number=number,
        fields=fields,
        packs={name: list(packed(draft.rules[name])) for name in ("items", "levels")},
        equivalents="\n".join(", ".join(group) for group in draft.rules["equivalents"]),
        outcomes=[(value, view.words(msgid)) for value, msgid in told.OUTCOMES.items()],
        grades=[(grade, label(view.words, "grade", grade)) for grade in ("", *GRADES)],
        places=list(dict.fromkeys([*told.LEVELS, *draft.rules["grades"]])),
        changes=changes,
        is_changed=rules is None or bool(changes),
        is_tried=bool(draft.tried) and draft.tried == draft.mark,
        is_behind=is_behind,
        refused=[(row.line, row.code, row.said) for row in refused or ()],
        is_taken=refused == [],
        columns=COLUMNS,
        most=MOST_ROWS,
        doubts=[
            view.words(told.DOUBTS[d.code]).format(codes=told.few(view, _texts(d.params["codes"]))) for d in doubts
        ],
        tried=tried,
        item_name=_item_names(view, newest.rules, rules),
        outcome=lambda value: outcome(view, value),
        against=lambda steps: " ".join(recognition_words.why(view.words, steps, recognised=False)),
        moved=_moved(view, tried) if tried is not None else [],
        today=web.clock().astimezone(view.place.zone).date().isoformat(),
    )


def _in_form(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"procedures": ", ".join(row["procedures"])} if kind == "item" else row


def _items(view: View, draft: Draft) -> list[dict[str, Any]]:
    """The items as the table shows them; a draft may hold half an item, which is shown as far as it goes."""
    _ = view.words
    shown = []
    for row in draft.rows["item"]:
        name = row["name_en"] if _.language == "en" and row["name_en"] else row["name"]
        line = {"code": row["code"], "name": name, "days": row["days"]}
        line["procedures"] = told.few(view, row["procedures"])
        line["modalities"] = _(", ").join(row["modalities"])
        shown.append(line)
    return shown


def _levels(view: View, draft: Draft) -> list[dict[str, str]]:
    return [
        {
            "askers": told.grades(view, [g for g in row["askers"] if g in GRADES]),
            "givers": told.grades(view, [g for g in row["givers"] if g in GRADES]),
            "duty": view.words(told.DUTIES.get(row["duty"], "")),
        }
        for row in draft.rows["level"]
    ]


def _item_names(view: View, *rule_sets: RuleSet | None) -> Any:
    names = {item.code: told.item_name(view, item) for rules in rule_sets if rules for item in rules.items}
    return lambda code: names.get(code, code) or view.words(NO_ITEM)


def _moved(view: View, tried: Tried) -> list[tuple[str, str, int]]:
    """How many of the shown orders go from which outcome to which, the most first."""
    counts = Counter((c.outcome_now, c.outcome_then) for c in tried.changed)
    return [(outcome(view, was), outcome(view, would), n) for (was, would), n in counts.most_common()]


def outcome(view: View, value: str) -> str:
    """What a rule set says of a past order."""
    return view.words(OUTCOMES[value])


def _texts(values: object) -> Sequence[str]:
    return [str(value) for value in values] if isinstance(values, list | tuple) else []
