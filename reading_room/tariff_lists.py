"""Tariffs as a CSV file, from the page and from the API: out as a table, and in again, each row told by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from fastapi import Response
from sqlalchemy.orm import Session

from gateway.http import Web
from interfaces.sheets.tariffs import COLUMNS, Row, read_tariffs
from reading_room.sheets import Cell, as_csv, download
from worklist.actions import tariffs
from worklist.actions.recognition_rules import allow
from worklist.errors import BadInput
from worklist.people import Actor
from worklist.queries import recognition_figures
from worklist.rules.savings import yuan

TOGETHER: Final = 200  # rows in one transaction

Outcome = Literal["added", "changed", "unchanged", "refused"]


@dataclass(frozen=True)
class Done:
    """What became of one row; `code` and `params` say why it was refused."""

    line: int
    outcome: Outcome
    procedure_code: str
    code: str = ""
    params: dict[str, Any] = field(default_factory=dict)


def as_table(web: Web, by: Actor) -> Response:
    """All tariffs as a file, in the person's language, amounts in yuan; `hand_in` takes it again.

    Raises
    ------
    Forbidden
        ``role_needed``.
    """
    rows = web.database.read(lambda s: recognition_figures.tariffs(s, by))
    chinese = by.language == "zh_CN"
    heads = [column.chinese if chinese else column.name for column in COLUMNS]
    cells = [
        [Cell(text) for text in (t.procedure_code, t.region, t.valid_from, yuan(t.examination), yuan(t.reading))]
        for t in rows
    ]
    return download("huren-tariffs", as_csv(heads, cells))


def hand_in(web: Web, by: Actor, raw: bytes) -> list[Done]:
    """Note the tariffs of a CSV file. Good rows go through, bad ones are told; safe to repeat.

    Raises
    ------
    Refused
        where the file as a whole cannot be taken (`interfaces.sheets.tables.read_table`), or the person may not.
    """
    allow(by)
    rows = read_tariffs(raw)
    now = web.clock()
    done: list[Done] = []
    for at in range(0, len(rows), TOGETHER):
        some = rows[at : at + TOGETHER]
        done += web.database.write(lambda s: _take(s, by, some, now))  # noqa: B023 - run at once
    return done


def _take(session: Session, by: Actor, rows: Sequence[Row], now: datetime) -> list[Done]:
    return [_take_row(session, by, row, now) for row in rows]


def _take_row(session: Session, by: Actor, row: Row, now: datetime) -> Done:
    try:
        if isinstance(row.said, BadInput):
            raise row.said
        became = tariffs.take_price(session, by, row.said, now)
    except BadInput as error:
        return Done(row.line, "refused", row.procedure_code, error.code, error.params)
    return Done(row.line, became, row.procedure_code)
