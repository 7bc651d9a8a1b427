"""What recognition judges alike as a CSV file: a row for each item with its days, and one for each group of procedures
that count as the same. Codes in one cell are parted by commas, semicolons or line ends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from interfaces.sheets.tables import Column, Line, read_table
from worklist.errors import BadInput
from worklist.rules.recognition import MOST, Item, read_item

MOST_ROWS: Final = 2 * MOST
ITEM, SAME = "item", "equivalents"
KINDS: Final = {"": ITEM, ITEM: ITEM, "项目": ITEM, SAME: SAME, "等同": SAME}
"""What the first column may say; nothing is an item."""

COLUMNS: Final = (
    Column("row", "行类型"),
    Column("code", "互认项目编码", needed=True),
    Column("name", "项目名称", needed=True),
    Column("name_en", "英文名称"),
    Column("days", "有效天数", needed=True),
    Column("procedures", "检查项目编码"),
    Column("modalities", "设备类型"),
)
_PARTS: Final = re.compile(r"[,，、;；\r\n]")
_MODALITY: Final = re.compile(r"[A-Z0-9_]{1,16}", re.ASCII)  # PS3.5 6.2: CS


@dataclass(frozen=True)
class Row:
    """One row: the line on which it begins, its code as written, and what it says, or why it says nothing."""

    line: int
    code: str
    said: Item | tuple[str, ...] | BadInput


def read_items(raw: bytes) -> list[Row]:
    """Every row that is not empty, good or bad, in order. Of items with one code the second one is wrong.

    Raises BadInput where the file as a whole cannot be taken (`read_table`).
    """
    known: set[str] = set()
    return [_row(line, known) for line in read_table(raw, COLUMNS, MOST_ROWS)]


def cells(items: Iterable[Item], equivalents: Iterable[Iterable[str]], *, chinese: bool) -> list[list[str]]:
    """The rows that `read_items` reads as these."""
    item, same = ("项目", "等同") if chinese else (ITEM, SAME)
    return [
        *(
            [item, i.code, i.name, i.name_en, str(i.days), ", ".join(i.procedures), ", ".join(i.modalities)]
            for i in items
        ),
        *([same, "", "", "", "", ", ".join(group), ""] for group in equivalents),
    ]


def _row(line: Line, known: set[str]) -> Row:
    said = {name: _plain(text) for name, text in line.said.items()}
    code = said.get("code", "")
    try:
        if line.is_too_wide:
            raise BadInput("csv_row_too_wide")  # a comma in a list without quotes shifts what follows
        kind = KINDS.get(said.get("row", "").lower())
        if kind is None:
            raise BadInput("field_wrong", field="row")
        if kind == SAME:
            return Row(line.number, code[:64], _group(said))
        item = _item(said)
        if item.code in known:
            raise BadInput("code_taken")
        known.add(item.code)
    except BadInput as error:
        return Row(line.number, code[:64], error)
    return Row(line.number, code, item)


def _group(said: dict[str, str]) -> tuple[str, ...]:
    """Procedures that count as the same; a group has nothing else."""
    if other := next((name for name, text in said.items() if text and name not in ("row", "procedures")), ""):
        raise BadInput("field_wrong", field=other)
    procedures = tuple(_several(said.get("procedures", "")))
    if not procedures:
        raise BadInput("field_missing", field="procedures")
    return procedures


def _item(said: dict[str, str]) -> Item:
    for name in ("code", "name", "days"):
        if not said.get(name):
            raise BadInput("field_missing", field=name)
    days = said["days"]
    modalities = [text.upper() for text in _several(said.get("modalities", ""))]
    if not all(_MODALITY.fullmatch(text) for text in modalities):
        raise BadInput("field_wrong", field="modalities")
    try:
        return read_item(
            {
                "code": said["code"],
                "name": said["name"],
                "name_en": said.get("name_en", ""),
                "days": int(days) if days.isascii() and days.isdecimal() and len(days) < 6 else 0,
                "procedures": _several(said.get("procedures", "")),
                "modalities": modalities,
            },
            "row",
        )
    except BadInput as error:  # it says where: row.days, row.procedures[3]
        raise BadInput("field_wrong", field=str(error.params["at"]).split(".")[1].partition("[")[0]) from None


def _several(text: str) -> list[str]:
    return [part.strip() for part in _PARTS.split(text) if part.strip()]


def _plain(text: str) -> str:
    """Without the apostrophe by which our own file keeps a spreadsheet from running a text."""
    return text[1:] if text.startswith(("'=", "'+", "'-", "'@")) else text
