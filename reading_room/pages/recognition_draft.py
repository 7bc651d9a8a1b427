"""A rule set of recognition that is being edited: carried in the form itself, changed by one button after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from reading_room.item_lists import Row
from reading_room.pages.forms import Field, labelled, parts, plain, read_field, said
from reading_room.pages.frame import LONGEST, Form
from reading_room.pages.recognition_rule_words import DUTIES
from reading_room.words import N_
from worklist.errors import BadInput, Conflict
from worklist.rules.recognition import GRADES, LONGEST_DAYS, MOST, Item, RuleSet, as_json, read

PACKED: Final = LONGEST * 3 // 4
"""Characters of one hidden field, at most: a rule set may have hundreds of items."""
MODALITIES: Final = ("CR", "CT", "DR", "DX", "ECG", "ES", "MG", "MR", "NM", "PT", "RF", "US", "XA")

ITEM: Final = (
    Field("code", N_("Code"), needed=True, hint=N_("Quality assessments and figures name the item by it.")),
    Field(
        "days",
        N_("Days for which a result serves"),
        "number",
        needed=True,
        hint=N_("Counted from the examination or collection, never from the report."),
    ),
    Field("name", N_("Name"), needed=True),
    Field("name_en", N_("English name")),
    Field(
        "procedures",
        N_("Codes of the catalogue"),
        "area",
        whole=True,
        hint=N_("Parted by commas or lines. A procedure that is named here belongs here, whatever its modality."),
    ),
    Field(
        "modalities",
        N_("Modalities"),
        "many",
        whole=True,
        choices=plain(*MODALITIES),
        hint=N_("For procedures that no item names."),
    ),
)
LEVEL: Final = (
    Field("askers", N_("Hospitals of these grades"), "many", whole=True, choices=labelled("grade", GRADES)),
    Field("duty", N_("Duty"), "choice", choices=said(*DUTIES.items())),
    Field("givers", N_("results of these grades"), "many", whole=True, choices=labelled("grade", GRADES)),
)
FIELDS: Final = {"item": ITEM, "level": LEVEL}
NEW: Final[dict[str, dict[str, Any]]] = {
    "item": {"code": "", "name": "", "name_en": "", "days": 14, "procedures": [], "modalities": []},
    "level": {"askers": [], "givers": [], "duty": "must"},
}


@dataclass
class Draft:
    """Rules as `worklist.rules.recognition.read` takes them; `opened` is ``item:3``, ``level:0`` or nothing.

    `base` is the newest version that its author saw, `tried` the mark of the rules that were tried last.
    """

    rules: dict[str, Any]
    base: int
    opened: str = ""
    note: str = ""
    day: str = ""  # ISO; empty: at once
    tried: str = ""
    rows: dict[str, list[dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = {"item": self.rules["items"], "level": self.rules["levels"]}

    @property
    def mark(self) -> str:
        """What the rules are, in short."""
        return hashlib.sha256(json.dumps(self.rules, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def place(self) -> tuple[str, int]:
        """The kind and number of the open row; ("", -1): none is open."""
        kind, _colon, number = self.opened.partition(":")
        known = kind in self.rows and number.isdecimal() and int(number) < len(self.rows[kind])
        return (kind, int(number)) if known else ("", -1)

    def read(self) -> RuleSet:
        """The rule set.

        Raises
        ------
        BadInput
            ``recognition_rules_wrong``.
        """
        return read(self.rules)

    def press(self, do: str) -> None:
        """Apply one button: ``add:item``, ``open:item:3``, ``remove:level:0``, ``up:level:1``, ``down:level:0``.

        Raises
        ------
        BadInput
            ``too_many_rules``.
        """
        verb, kind, number = (*do.split(":"), "", "")[:3]
        rows = self.rows.get(kind, [])
        if verb == "add" and kind in NEW:
            if len(rows) >= MOST:
                raise BadInput("too_many_rules", most=MOST)
            rows.append(json.loads(json.dumps(NEW[kind])))
            self.opened = f"{kind}:{len(rows) - 1}"
            return
        if not (number.isdecimal() and len(number) < 6 and int(number) < len(rows)):
            return
        at = int(number)
        if verb == "open":
            self.opened = f"{kind}:{at}"
        elif verb in ("remove", "drop"):
            del rows[at]
        elif verb in ("up", "down"):
            other = at - 1 if verb == "up" else at + 1
            if 0 <= other < len(rows):
                rows[at], rows[other] = rows[other], rows[at]

    def take_table(self, rows: Iterable[Row]) -> None:
        """Let the rows of a file be all items and groups.

        Raises
        ------
        BadInput
            ``too_many_rules``; ``field_wrong`` for what is longer than the form can carry.
        """
        said = [row.said for row in rows]
        items = [asdict(one) for one in said if isinstance(one, Item)]
        groups = [list(one) for one in said if isinstance(one, tuple)]
        if max(len(items), len(groups)) > MOST:
            raise BadInput("too_many_rules", most=MOST)
        if any(len(json.dumps(item, ensure_ascii=False)) > PACKED for item in items):
            raise BadInput("field_wrong", field="procedures")
        if sum(len(", ".join(group)) + 1 for group in groups) > PACKED:
            raise BadInput("field_wrong", field="equivalents")
        self.rows["item"] = self.rules["items"] = json.loads(json.dumps(items))
        self.rules["equivalents"] = groups


def begin(rules: RuleSet, base: int) -> Draft:
    """A draft like a version."""
    return Draft(json.loads(json.dumps(as_json(rules))), base)


def packed(rows: Iterable[Any]) -> Iterator[str]:
    """Rows as JSON lists, each short enough for a field of a form."""
    pack: list[str] = []
    size = 0
    for row in rows:
        text = json.dumps(row, ensure_ascii=False)
        if pack and size + len(text) > PACKED:
            yield f"[{','.join(pack)}]"
            pack, size = [], 0
        pack.append(text)
        size += len(text) + 1
    if pack:
        yield f"[{','.join(pack)}]"


def carried(typed: Form) -> Draft:
    """The draft as the form carried it, but for the row that is open.

    Raises
    ------
    BadInput
        ``field_wrong`` for what this page did not write.
    """
    try:
        items, levels = ([row for pack in typed.all(name) for row in json.loads(pack)] for name in ("items", "levels"))
        if not all(set(row) == set(NEW["item"]) for row in items) or not all(
            set(r) == set(NEW["level"]) for r in levels
        ):
            raise BadInput("field_wrong", field="items")
        base = int(typed.base or 0)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput("field_wrong", field="items") from error
    lines = [parts(line) for line in typed.equivalents.splitlines()]
    rules = {
        "items": items,
        "levels": levels,
        "equivalents": [line for line in lines if line],
        "inside": _terms(typed, "inside"),
        "across": _terms(typed, "across"),
        "grades": {level: typed[f"grade.{level}"] for level in _said_levels(typed) if typed[f"grade.{level}"]},
    }
    return Draft(rules, base, typed.opened[:20], typed.note[:500], typed.day[:10], typed.tried[:40])


def take_open(draft: Draft, typed: Form) -> None:
    """Put what was typed into the open row.

    Raises
    ------
    BadInput, Conflict
        for what is no item or level, by its field; ``code_taken``.
    """
    kind, number = draft.place
    if not kind:
        return
    values = {spec.name: read_field(spec, typed) for spec in FIELDS[kind]}
    draft.rows[kind][number] = values
    if kind == "item":
        values["procedures"] = parts(str(values["procedures"]).replace("\n", ","))
        for name in ("code", "name"):
            if not values[name]:
                raise BadInput("field_missing", field=name)
        if not 0 < values["days"] <= LONGEST_DAYS:
            raise BadInput("field_wrong", field="days")
        if sum(item["code"] == values["code"] for item in draft.rows["item"]) > 1:
            raise Conflict("code_taken")
    elif not (values["askers"] and values["givers"]):
        raise BadInput("field_missing", field="grade")


def typed_row(kind: str, typed: Form) -> dict[str, Any]:
    """What stands in the open row, to be shown again as it was."""
    return {spec.name: typed.all(spec.name) if spec.kind == "many" else typed[spec.name] for spec in FIELDS[kind]}


def _terms(typed: Form, name: str) -> dict[str, Any]:
    return {
        "outcome": typed[f"{name}.outcome"],
        "institution_qualified": bool(typed[f"{name}.institution_qualified"]),
        "item_qualified": bool(typed[f"{name}.item_qualified"]),
    }


def _said_levels(typed: Form) -> list[str]:
    return [name.removeprefix("grade.") for name in typed if name.startswith("grade.")]
