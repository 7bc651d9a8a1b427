"""Forms of the PACS admin, made from descriptions: what an input is called, how it is shown and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from reading_room.labels import label
from reading_room.pages.frame import Form, View
from reading_room.words import N_, Words
from worklist.errors import BadInput
from worklist.facts import PRIORITIES

SPARE_ROWS: Final = 2
"""Empty rows below those that are filled, so that one can add without a script."""
MOST_ROWS: Final = 60

Choices = list[tuple[str, str]]


@dataclass(frozen=True)
class Options:
    """What choices are made of."""

    words: Words
    institutions: list[Any]
    centers: list[Any]
    staff: list[Any]


@dataclass(frozen=True)
class Field:
    """One input: `kind` is text, area, number, choice, many, ordered, flag, limits, hours, minutes, codes, rows, or
    secret, which is never shown again."""

    name: str
    label: str
    kind: str = "text"
    needed: bool = False
    whole: bool = False  # takes the form's whole width
    hint: str = ""
    choices: Callable[[Options], Choices] | None = None
    fixed: bool = False  # cannot be changed once the thing is there
    only: tuple[str, ...] = ()  # kinds of the thing for which it counts; empty: all
    nth: str = N_("Person %(number)s")  # of an ordered choice
    columns: tuple[Field, ...] = ()  # of rows: texts and choices
    wide: int = 1  # of a column, beside the others
    to_rows: Callable[[Any], list[dict[str, str]]] | None = None  # a held value as rows
    from_rows: Callable[[list[dict[str, str]]], Any] | None = None


def labelled(kind: str, values: Iterable[str]) -> Callable[[Options], Choices]:
    """Values with their labels."""
    return lambda options: [(v, label(options.words, kind, v)) for v in values]


def plain(*values: str) -> Callable[[Options], Choices]:
    """Values that say what they are."""
    return lambda options: [(v, v or "—") for v in values]


def said(*pairs: tuple[str, str]) -> Callable[[Options], Choices]:
    """Values with msgids."""
    return lambda options: [(value, options.words(msgid)) for value, msgid in pairs]


def or_none(inner: Callable[[Options], Choices]) -> Callable[[Options], Choices]:
    """The same choices, or nothing."""
    return lambda options: [("", "—"), *inner(options)]


def shown_fields(
    view: View, fields: Iterable[Field], options: Options, values: Mapping[str, Any], *, is_new: bool
) -> list[dict[str, Any]]:
    """The fields as the template draws them."""
    return [
        {
            "name": f.name,
            "label": view.words(f.label),
            "kind": f.kind,
            "needed": f.needed,
            "whole": f.whole,
            "hint": view.words(f.hint),
            "choices": f.choices(options) if f.choices else [],
            "value": shown(f, values.get(f.name)),
            "fixed": f.fixed and not is_new,
            "only": f.only,
            "nth": f.nth,
            "columns": [
                {
                    "name": c.name,
                    "label": view.words(c.label),
                    "hint": view.words(c.hint),
                    "choices": c.choices(options) if c.choices else [],
                    "wide": c.wide,
                }
                for c in f.columns
            ],
        }
        for f in fields
    ]


def shown(spec: Field, value: Any) -> Any:
    """A held value as the input wants it."""
    if spec.kind == "hours":
        return value if isinstance(value, str) else ", ".join(f"{start}-{end}" for start, end in value or ())
    if spec.kind in ("minutes", "codes", "words"):
        return value if isinstance(value, str) else ", ".join(str(v) for v in value or ())
    if spec.kind == "limits":
        return value or {}
    if spec.kind == "rows":
        # What was typed is rows already.
        is_rows = isinstance(value, list) and spec.to_rows is not None
        rows = value if is_rows else spec.to_rows(value or ()) if spec.to_rows else []
        return [*rows, *({} for _ in range(SPARE_ROWS))]
    if spec.kind in ("many", "ordered"):
        return list(value or ())
    return "" if value is None else value


def typed_values(fields: Iterable[Field], typed: Form) -> dict[str, Any]:
    """What was typed, to be shown again as it was."""
    values: dict[str, Any] = {}
    for spec in fields:
        if spec.kind in ("many", "ordered"):
            values[spec.name] = typed.all(spec.name)
        elif spec.kind == "flag":
            values[spec.name] = bool(typed[spec.name])
        elif spec.kind == "limits":
            values[spec.name] = {p: typed[f"{spec.name}.{p}"] for p in PRIORITIES}
        elif spec.kind == "rows":
            values[spec.name] = typed_rows(spec, typed)
        else:
            values[spec.name] = typed[spec.name]
    return values


def read_field(spec: Field, typed: Form) -> Any:
    """A field as the action wants it.

    Raises
    ------
    BadInput
        ``field_wrong`` for what is no number, ``route_hours_wrong``.
    """
    value = typed[spec.name].strip()
    if spec.kind == "number":
        return whole(spec.name, value)
    if spec.kind == "flag":
        return bool(value)
    if spec.kind in ("many", "ordered"):
        return typed.all(spec.name)
    if spec.kind == "codes":
        return [part.upper() for part in parts(value)]
    if spec.kind == "words":
        return parts(value)
    if spec.kind == "minutes":
        return [whole(spec.name, part) for part in parts(value)]
    if spec.kind == "hours":
        return read_hours(value)
    if spec.kind == "limits":
        limits = {p: typed[f"{spec.name}.{p}"].strip() for p in PRIORITIES}
        return {p: whole(spec.name, text) for p, text in limits.items() if text}
    if spec.kind == "rows":
        rows = typed_rows(spec, typed)
        return spec.from_rows(rows) if spec.from_rows else rows
    return value


def typed_rows(spec: Field, typed: Form) -> list[dict[str, str]]:
    """The rows that hold some text. A row whose texts were emptied is gone."""
    columns = [typed.sent.get(f"{spec.name}.{column.name}", []) for column in spec.columns]
    rows = [
        {column.name: value.strip() for column, value in zip(spec.columns, row, strict=True)}
        for row in zip_longest(*columns, fillvalue="")
    ]
    texts = [column.name for column in spec.columns if column.choices is None]
    return [row for row in rows if any(row[name] for name in texts)][:MOST_ROWS]


def read_hours(text: str) -> list[list[str]]:
    """Spans such as ``17:30-08:00, 12:00-13:00``; times in two digits."""
    pairs = [[_time(end.strip()) for end in part.replace("–", "-").split("-")] for part in parts(text)]
    if any(len(pair) != 2 for pair in pairs):
        raise BadInput("route_hours_wrong")
    return pairs


def _time(text: str) -> str:
    hour, _colon, minute = text.replace("：", ":").partition(":")
    return f"{hour.zfill(2)}:{minute}"


def whole(name: str, text: str) -> int:
    """A whole number."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise BadInput("field_wrong", field=name)
    return int(text)


def parts(text: str) -> list[str]:
    """What is parted by commas, Chinese ones too."""
    return [part.strip() for part in text.replace("，", ",").replace("、", ",").split(",") if part.strip()]
