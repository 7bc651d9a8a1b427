"""Tariffs as a CSV file: one row says what a catalogue entry costs in a region from a day on."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Final

from interfaces.sheets.tables import Column, Line, day, read_table
from worklist.errors import BadInput
from worklist.facts import DEAREST, Price

MOST_ROWS: Final = 5_000

COLUMNS: Final = (
    Column("procedure_code", "检查项目编码", needed=True),
    Column("region", "地区代码"),
    Column("valid_from", "生效日期", needed=True),
    Column("examination", "检查费（元）", needed=True),
    Column("reading", "诊断费（元）"),
)


@dataclass(frozen=True)
class Row:
    """One row: the line on which it begins, its procedure as written, and what it says, or why it says nothing."""

    line: int
    procedure_code: str
    said: Price | BadInput


def read_tariffs(raw: bytes) -> list[Row]:
    """Every row that is not empty, good or bad, in order.

    Raises BadInput where the file as a whole cannot be taken (`read_table`).
    """
    return [_row(line) for line in read_table(raw, COLUMNS, MOST_ROWS)]


def fen(text: str) -> int:
    """Whole fen of an amount in yuan, as people write it: ``120``, ``1,200.50``, ``¥120``; empty is nothing.

    Raises
    ------
    BadInput
        ``amount_wrong`` for what is no amount, or one that is negative, has parts of a fen, or is too large.
    """
    try:
        amount = Decimal(text.strip().lstrip("¥￥").replace(",", "").replace("，", "") or "0") * 100
        if not amount.is_finite() or not 0 <= amount <= DEAREST or amount != amount.to_integral_value():
            raise BadInput("amount_wrong", text=text[:40])
    except DecimalException:
        raise BadInput("amount_wrong", text=text[:40]) from None
    return int(amount)


def _row(line: Line) -> Row:
    code = line.said.get("procedure_code", "")
    try:
        if line.is_too_wide:
            raise BadInput("csv_row_too_wide")  # a comma in an amount without quotes shifts what follows
        for name in ("procedure_code", "valid_from", "examination"):
            if not line.said.get(name):
                raise BadInput("field_missing", field=name)
        begins = day(line.said["valid_from"])
        if not begins:
            raise BadInput("field_wrong", field="valid_from")
        price = Price(
            procedure=code,
            region=line.said.get("region", ""),
            valid_from=begins,
            examination=fen(line.said["examination"]),
            reading=fen(line.said.get("reading", "")),
        )
    except BadInput as error:
        return Row(line.number, code[:64], error)
    return Row(line.number, code, price)
