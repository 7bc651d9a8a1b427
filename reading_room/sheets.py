"""Tables of figures: shown on a page with their numbers linked, and exported as CSV for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final

from fastapi import Response

BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
BYTE_ORDER_MARK: Final = "\ufeff"  # without it, Excel reads UTF-8 as the machine's own character set


@dataclass(frozen=True)
class Cell:
    """A value as people read it, as a spreadsheet takes it (None: as people do), and where it leads."""

    shown: str
    value: int | float | None = None
    href: str = ""
    loud: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it stands to the right."""
        return self.value is not None or self.shown == "—"


@dataclass(frozen=True)
class Sheet:
    """A table: `name` is its address, `heads` one title for each column."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    numeric: int = 1  # columns from here on hold numbers


def as_csv(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """The table as CSV (RFC 4180) in UTF-8 with a byte order mark.

    Numbers stay numbers. A text that a spreadsheet would take for a formula gets an apostrophe in front: names come
    from other people's systems.
    """
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([plain(head) for head in heads])
    for row in rows:
        writer.writerow(
            [cell.value if cell.value is not None else "" if cell.shown == "—" else plain(cell.shown) for cell in row]
        )
    return (BYTE_ORDER_MARK + out.getvalue()).encode()


def plain(text: str) -> str:
    """A text that no spreadsheet runs."""
    return f"'{text}" if text.startswith(BEGINS_A_FORMULA) else text


def download(name: str, content: bytes) -> Response:
    """A CSV file to be kept. `name` is plain ASCII, without an ending."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
