"""Orders as a CSV file: one row, one order. What a HIS says in HL7, for those whose HIS can only write a table.

How the file itself is read: `interfaces.sheets.tables`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from interfaces.sheets.tables import DATES, Column, Line, read_table
from worklist.errors import BadInput
from worklist.facts import Identifier, OrderRequest, PatientFacts, PersonName, Priority, Sex

MOST_ROWS: Final = 1_000
LONGEST_VALUE: Final = 2_000  # characters
LONGEST_CARRIED: Final = 64  # of what goes onto devices' worklists


COLUMNS: Final = (
    Column("placer_number", "申请单号", needed=True, carried=True),
    Column("patient_number", "患者编号", needed=True, carried=True),
    Column("name", "姓名", needed=True, carried=True),
    Column("name_alphabetic", "拼音姓名", carried=True),
    Column("sex", "性别"),
    Column("birth_date", "出生日期"),
    Column("national_id", "身份证号", carried=True),
    Column("phone", "电话"),
    Column("address", "地址"),
    Column("procedure_code", "检查项目编码", needed=True, carried=True),
    Column("priority", "优先级"),
    Column("clinical_information", "临床信息"),
    Column("reason", "检查目的"),
    Column("ordering_doctor", "申请医生", carried=True),
    Column("scheduled_at", "预约时间"),
    Column("laterality", "侧别"),
    Column("location", "病区床位"),
    Column("visit_number", "就诊号", carried=True),
)

_PRIORITIES: Final[dict[str, Priority]] = {
    **dict.fromkeys(("", "routine", "r", "普通", "常规", "平诊"), "ROUTINE"),
    **dict.fromkeys(("urgent", "a", "加急", "急"), "URGENT"),
    **dict.fromkeys(("stat", "s", "急诊", "特急", "危急"), "STAT"),
}  # fmt: skip
_SEXES: Final[dict[str, Sex]] = {
    **dict.fromkeys(("", "u", "未知", "不详"), ""),
    **dict.fromkeys(("m", "male", "男"), "M"),
    **dict.fromkeys(("f", "female", "女"), "F"),
    **dict.fromkeys(("o", "other", "其他"), "O"),
}  # fmt: skip
_SIDES: Final = {
    "": "",
    "l": "L",
    "left": "L",
    "左": "L",
    "左侧": "L",
    "r": "R",
    "right": "R",
    "右": "R",
    "右侧": "R",
} | dict.fromkeys(("b", "both", "双", "双侧"), "B")
_TIMES: Final = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
_STAMPS: Final = ("%Y%m%d%H%M", "%Y%m%d%H%M%S")
_MANGLED: Final = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row: the line on which it begins, its placer number as written, and what it says, or why it says nothing."""

    line: int
    placer_number: str
    said: tuple[PatientFacts, OrderRequest] | BadInput


def read_orders(raw: bytes) -> list[Row]:
    """Every row that is not empty, good or bad, in order.

    Raises BadInput where the file as a whole cannot be taken (`read_table`).
    """
    rows: list[Row] = []
    lines: dict[str, int] = {}  # of placer numbers
    for line in read_table(raw, COLUMNS, MOST_ROWS):
        row = _row(line)
        first = lines.setdefault(row.placer_number, row.line) if row.placer_number else row.line
        if first != row.line:  # the second would change the first, which nobody means in one list
            row = Row(row.line, row.placer_number, BadInput("csv_number_twice", line=first))
        rows.append(row)
    return rows


def _row(line: Line) -> Row:
    number = line.said.get("placer_number", "")[:LONGEST_CARRIED]
    try:
        if line.is_too_wide:
            raise BadInput("csv_row_too_wide")  # a comma in a text without quotes shifts what follows
        return Row(line.number, number, (_patient(line.said), _request(line.said)))
    except BadInput as error:
        return Row(line.number, number, error)


def _value(said: dict[str, str], name: str) -> str:
    """A cell, checked as its column asks.

    Raises BadInput ``field_missing``, ``field_wrong``, ``csv_number_mangled``.
    """
    column = next(c for c in COLUMNS if c.name == name)
    value = said.get(name, "")
    if not value and column.needed:
        raise BadInput("field_missing", field=column.name)
    longest = LONGEST_CARRIED if column.carried else LONGEST_VALUE
    if len(value) > longest or (column.carried and ("\\" in value or "\n" in value or "\t" in value)):
        raise BadInput("field_wrong", field=column.name)
    if name in ("placer_number", "patient_number", "national_id", "visit_number") and _MANGLED.fullmatch(value):
        raise BadInput("csv_number_mangled", field=column.name)
    return value


def _one_of(said: dict[str, str], name: str, words: dict[str, str]) -> str:
    value = _value(said, name).lower()
    if value not in words:
        raise BadInput("field_wrong", field=name)
    return words[value]


def _patient(said: dict[str, str]) -> PatientFacts:
    identifiers = [Identifier("", _value(said, "patient_number"), "MR")]
    if national := _value(said, "national_id"):
        identifiers.append(Identifier("CN", national.upper(), "NI"))
    name, alphabetic = _value(said, "name"), _value(said, "name_alphabetic")
    if any(mark in name + alphabetic for mark in "^="):
        raise BadInput("field_wrong", field="name")
    written = PersonName(alphabetic=alphabetic or name) if name.isascii() else PersonName(name, alphabetic)
    return PatientFacts(
        identifiers=tuple(identifiers),
        name=written,
        sex=_one_of(said, "sex", dict(_SEXES)),  # type: ignore[arg-type]
        birth_date=_date(said, "birth_date", ("",))[:8],
        phone=_value(said, "phone"),
        address=_value(said, "address"),
        is_alias=name.startswith("无名氏"),
    )


def _request(said: dict[str, str]) -> OrderRequest:
    return OrderRequest(
        control="NW",
        placer_number=_value(said, "placer_number"),
        procedure_code=_value(said, "procedure_code"),
        priority=_one_of(said, "priority", dict(_PRIORITIES)),  # type: ignore[arg-type]
        clinical_information=_value(said, "clinical_information"),
        reason=_value(said, "reason"),
        ordering_doctor=_value(said, "ordering_doctor"),
        scheduled_at=_date(said, "scheduled_at", _TIMES),
        laterality=_one_of(said, "laterality", _SIDES),
        location=_value(said, "location"),
        visit_number=_value(said, "visit_number"),
    )


def _date(said: dict[str, str], name: str, times: Sequence[str]) -> str:
    """A day, or a day and a time, as people and Excel write them, as an HL7 TS; a day alone stays a day."""
    value = " ".join(_value(said, name).split())
    if not value:
        return ""
    stamps = _STAMPS if len(times) > 1 else ()
    for pattern in (*(day + time for day in DATES for time in times), *stamps):
        try:
            moment = datetime.strptime(value, pattern)  # noqa: DTZ007 -- local to the institution, or a birth date
        except ValueError:
            continue
        if 1850 <= moment.year <= 2100:
            return f"{moment:%Y%m%d%H%M%S}" if "%H" in pattern else f"{moment:%Y%m%d}"
    raise BadInput("field_wrong", field=name)
