"""CSV files that people hand in, of any content, read row by row.

UTF-8 (with or without a byte order mark) or GB18030, as Excel writes it in China; commas, semicolons or tabs. The first
row names the columns, in any order, in English or Chinese.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from worklist.errors import BadInput

DATES: Final = ("%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日")
"""How people and Excel write days."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Column:
    """A column: its name for programs, its name for people, and whether every row must fill it."""

    name: str
    chinese: str
    needed: bool = False
    carried: bool = False  # onto devices' worklists: short, and no backslash, which parts two values in DICOM


@dataclass(frozen=True)
class Line:
    """A row that is not empty: the line on which it begins, and its cells without blanks around them, by column.

    `is_too_wide`: it holds more than there are columns, as where a comma stands in a text without quotes.
    """

    number: int
    said: dict[str, str]
    is_too_wide: bool


def template(columns: Sequence[Column], *, chinese: bool) -> bytes:
    """An empty table: the row of names, as Excel opens it (UTF-8 with a byte order mark)."""
    names = [column.chinese if chinese else column.name for column in columns]
    return ("\ufeff" + ",".join(names) + "\r\n").encode()


def read_table(raw: bytes, columns: Sequence[Column], most: int) -> list[Line]:
    """Every row that is not empty, in order.

    Raises BadInput where the file as a whole cannot be taken: ``csv_undecodable``, ``csv_empty``,
    ``csv_column_missing`` (`field`), ``csv_column_unknown``, ``csv_column_twice`` (`column`),
    ``csv_too_many_rows`` (`limit`), ``csv_broken`` (`line`).
    """
    text = _decoded(raw)
    if not text.strip():
        raise BadInput("csv_empty")
    table = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[Line] = []
    names: list[str] = []
    try:
        for line, cells in _lines(table):
            if not names:
                names = _names(cells, columns)
                continue
            if len(rows) >= most:
                raise BadInput("csv_too_many_rows", limit=most)
            said = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
            rows.append(Line(line, said, any(cell.strip() for cell in cells[len(names) :])))
    except csv.Error:
        raise BadInput("csv_broken", line=table.line_num) from None
    if not rows:
        raise BadInput("csv_empty")
    return rows


def day(text: str) -> str:
    """A day as people write it, as DA; empty where it is none."""
    for pattern in DATES:
        try:
            return f"{datetime.strptime(text, pattern):%Y%m%d}"  # noqa: DTZ007 -- a day has no zone
        except ValueError:
            continue
    return ""


def _decoded(raw: bytes) -> str:
    for codec in ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(codec)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text):
            return text
    raise BadInput("csv_undecodable")


def _delimiter(text: str) -> str:
    head = text.lstrip().splitlines()[0]
    return max(",;\t", key=head.count)


def _lines(table: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with the line on which each begins."""
    begins = 1
    for cells in table:
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = table.line_num + 1  # type: ignore[attr-defined] # of csv's reader


def _names(cells: Sequence[str], columns: Sequence[Column]) -> list[str]:
    by_title = {title: c.name for c in columns for title in (c.name, c.chinese)}
    names: list[str] = []
    for cell in cells:
        title = cell.strip()
        name = by_title.get(title) or by_title.get(title.lower().replace(" ", "_"))
        if name is None:
            if not title:
                names.append("")
                continue
            raise BadInput("csv_column_unknown", column=title[:40])
        if name in names:
            raise BadInput("csv_column_twice", column=title[:40])
        names.append(name)
    for column in columns:
        if column.needed and column.name not in names:
            raise BadInput("csv_column_missing", field=column.name)
    return names
