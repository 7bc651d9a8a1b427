"""Report templates: fields to fill in, and the words that they make.

A template's text names its fields in braces. What stands in double brackets is said only if all fields in it have a
value; any other empty field leaves ``___``, which the checks before submission find. Each line is a unit of its own:
where a value changes, the line that speaks of it is written again and the rest of the report stays as it was typed.
`reading_room/static/template-words.js` does the same while somebody types; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, cast, get_args

from worklist.errors import BadInput
from worklist.facts import ReportText

FieldKind = Literal["choice", "choices", "number", "side", "text"]
KINDS: Final = get_args(FieldKind)
MOST_FIELDS: Final = 40
MOST_CHOICES: Final = 30
LONGEST_WORDS: Final = 200  # characters of a label, a choice, a unit
LONGEST_VALUE: Final = 2000
LONGEST_TEXT: Final = 10_000
EMPTY: Final = "___"
SIDES: Final = ("L", "R", "B")

_NAMED: Final = re.compile(r"\{([^{}\n]+)\}")
_PART: Final = re.compile(r"\[\[(.*?)\]\]")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?")
_CHINESE: Final = re.compile(r"[\u3400-\u9fff]")
_SIDES_SAID: Final = {
    True: {"L": "左侧", "R": "右侧", "B": "双侧"},
    False: {"L": "left", "R": "right", "B": "bilateral"},
}

Value = str | list[str]


@dataclass(frozen=True)
class Field:
    """One field. `name` stands in the template's text; numbers are as typed, in `unit`."""

    name: str
    kind: FieldKind = "text"
    label: str = ""  # what the form shows; empty: the name
    label_en: str = ""
    choices: tuple[str, ...] = ()
    unit: str = ""  # written behind the number
    least: float | None = None  # a number outside is doubted, not refused
    most: float | None = None
    usual: str = ""  # stands in the field from the start


@dataclass(frozen=True)
class Words:
    """A template's texts and its fields."""

    fields: tuple[Field, ...]
    findings: str
    impression: str


@dataclass(frozen=True)
class Fits:
    """For which cases a template is meant; what is empty fits everything."""

    procedure_id: str = ""
    modality: str = ""
    body_part: str = ""
    sex: str = ""


@dataclass(frozen=True)
class Case:
    """What a template must fit: a case of one or several orders."""

    procedure_ids: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    body_parts: frozenset[str] = frozenset()
    sex: str = ""


def read_fields(given: Any) -> tuple[Field, ...]:
    """Fields from JSON.

    Raises
    ------
    BadInput
        ``template_field_wrong`` with the number of the field (from 1), ``template_fields_too_many``.
    """
    if not isinstance(given, list | tuple):
        raise BadInput("field_wrong", field="fields")
    if len(given) > MOST_FIELDS:
        raise BadInput("template_fields_too_many", most=MOST_FIELDS)
    found: list[Field] = []
    for number, entry in enumerate(given, 1):
        field = _read_field(entry) if isinstance(entry, Mapping) else None
        if field is None or any(field.name == other.name for other in found):
            raise BadInput("template_field_wrong", number=number)
        found.append(field)
    return tuple(found)


def as_json(found: Iterable[Field]) -> list[dict[str, Any]]:
    """Fields as the database keeps them: what is empty is left out."""
    rows = []
    for field in found:
        row = {f.name: getattr(field, f.name) for f in fields(field)}
        row["choices"] = list(field.choices)
        rows.append({name: value for name, value in row.items() if value not in ("", None, [])})
    return rows


def require_known(words: Words) -> None:
    """Refuse a text that names a field which is not there (``template_names_unknown``)."""
    known = {field.name for field in words.fields}
    for text in (words.findings, words.impression):
        for name in _NAMED.findall(text):
            if name not in known:
                raise BadInput("template_names_unknown", name=name)


def read_values(given: Any) -> dict[str, Value]:
    """Values as a draft keeps them: texts as they were typed, several choices as a list.

    Raises
    ------
    BadInput
        ``field_wrong``.
    """
    if not isinstance(given, Mapping) or len(given) > MOST_FIELDS:
        raise BadInput("field_wrong", field="values")
    found: dict[str, Value] = {}
    for name, value in given.items():
        several = value if isinstance(value, list | tuple) else [value]
        if (
            not isinstance(name, str)
            or len(name) > LONGEST_WORDS
            or len(several) > MOST_CHOICES
            or any(not isinstance(v, str) or len(v) > LONGEST_VALUE or "\x00" in v for v in several)
        ):
            raise BadInput("field_wrong", field="values")
        if value:
            found[name] = list(several) if isinstance(value, list | tuple) else cast(str, value)
    return found


def usual_values(template: Words) -> dict[str, Value]:
    """What the fields hold before anybody has typed."""
    return {f.name: [f.usual] if f.kind == "choices" else f.usual for f in template.fields if f.usual}


def fill(template: Words, values: Mapping[str, Value]) -> ReportText:
    """The words that the values make; lines about nothing are left out."""
    return ReportText(_filled(template, template.findings, values), _filled(template, template.impression, values))


def doubts(template: Words, values: Mapping[str, Value]) -> list[tuple[str, str]]:
    """Numbers that are none or lie outside their range: (the field's label, what was typed)."""
    found = []
    for field in template.fields:
        value = values.get(field.name, "")
        if field.kind != "number" or not isinstance(value, str) or not value.strip():
            continue
        typed = value.strip()
        number = float(typed) if _NUMBER.fullmatch(typed) else None
        below = number is not None and field.least is not None and number < field.least
        above = number is not None and field.most is not None and number > field.most
        if number is None or below or above:
            found.append((field.label or field.name, f"{typed}{field.unit}"))
    return found


def fits(template: Fits, case: Case) -> int:
    """How particularly a template fits a case: 0 not at all, 1 like any other, more the more it asks for."""
    points = 1
    for asked, held, worth in (
        ({template.procedure_id}, case.procedure_ids, 8),
        ({template.body_part.upper()}, case.body_parts, 4),
        (same_modality(template.modality), case.modalities, 2),
        ({template.sex}, {case.sex}, 1),
    ):
        if asked == {""}:
            continue
        if not asked & held:
            return 0
        points += worth
    return points


def same_modality(modality: str) -> set[str]:
    """Projection radiography goes by three names (DICOM PS3.3 C.7.3.1.1.1 and the habit of devices)."""
    radiography = {"DX", "CR", "DR"}
    return radiography if modality.upper() in radiography else {modality.upper()}


def _read_field(entry: Mapping[str, Any]) -> Field | None:
    """A field, or None if it is wrong."""
    unknown = set(entry) - {f.name for f in fields(Field)}
    texts = {key: entry.get(key, "") for key in ("name", "kind", "label", "label_en", "unit", "usual")}
    if unknown or any(not isinstance(t, str) or len(t) > LONGEST_WORDS or "\x00" in t for t in texts.values()):
        return None
    texts = {key: value.strip() for key, value in texts.items()}
    kind = texts.pop("kind") or "text"
    choices = entry.get("choices") or []
    if not isinstance(choices, list | tuple) or len(choices) > MOST_CHOICES:
        return None
    if any(not isinstance(c, str) or not c.strip() or len(c) > LONGEST_WORDS or "\x00" in c for c in choices):
        return None
    least, most = entry.get("least"), entry.get("most")
    if any(isinstance(n, bool) or not isinstance(n, int | float | None) for n in (least, most)):
        return None
    if (
        not texts["name"]
        or not _NAMED.fullmatch(f"{{{texts['name']}}}")
        or kind not in KINDS
        or (kind in ("choice", "choices")) != bool(choices)
        or (least is not None and most is not None and least > most)
        or (kind == "side" and texts["usual"] not in ("", *SIDES))
    ):
        return None
    return Field(
        kind=cast(FieldKind, kind),
        choices=tuple(dict.fromkeys(c.strip() for c in choices)),
        least=least,
        most=most,
        **texts,
    )


def _filled(template: Words, text: str, values: Mapping[str, Value]) -> str:
    is_chinese = bool(_CHINESE.search(template.findings + template.impression))
    said = {field.name: _said(field, values.get(field.name, ""), is_chinese) for field in template.fields}
    return "\n".join(line for line in lines(text, said) if line.strip())


def lines(text: str, said: Mapping[str, str]) -> Sequence[str]:
    """Each line of a template's text in words, an empty one where nothing is to say."""

    def optional(part: re.Match[str]) -> str:
        inner = part.group(1)
        return inner if all(said.get(name) for name in _NAMED.findall(inner)) else ""

    return [
        _NAMED.sub(lambda named: said.get(named.group(1)) or EMPTY, _PART.sub(optional, line))
        for line in text.split("\n")
    ]


def _said(field: Field, value: Value, is_chinese: bool) -> str:
    if isinstance(value, list):
        return ("、" if is_chinese else ", ").join(v for v in value if v.strip())
    typed = value.strip()
    if not typed:
        return ""
    if field.kind == "side":
        return _SIDES_SAID[is_chinese].get(typed, "")
    return f"{typed}{field.unit}" if field.kind == "number" else typed
