"""Orders as a CSV file: one row, one order. What a HIS says in HL7, for those whose HIS can only write a table.

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
from worklist.facts import Identifier, OrderRequest, PatientFacts, PersonName, Priority, Sex

MOST_ROWS: Final = 1_000
LONGEST_VALUE: Final = 2_000  # characters
LONGEST_CARRIED: Final = 64  # of what goes onto devices' worklists


@dataclass(frozen=True)
class Column:
    """A column: its name for programs, its name for people, and whether every row must fill it."""

    name: str
    chinese: str
    needed: bool = False
    carried: bool = False  # onto devices' worklists: short, and no backslash, which parts two values in DICOM


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

_BY_TITLE: Final = {title: c.name for c in COLUMNS for title in (c.name, c.chinese)}
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
_DATES: Final = ("%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日")
_TIMES: Final = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
_STAMPS: Final = ("%Y%m%d%H%M", "%Y%m%d%H%M%S")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MANGLED: Final = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row: the line on which it begins, its placer number as written, and what it says, or why it says nothing."""

    line: int
    placer_number: str
    said: tuple[PatientFacts, OrderRequest] | BadInput


def template(chinese: bool) -> bytes:
    """An empty table: the row of names, as Excel opens it (UTF-8 with a byte order mark)."""
    names = [column.chinese if chinese else column.name for column in COLUMNS]
    return ("\ufeff" + ",".join(names) + "\r\n").encode()


def read_orders(raw: bytes) -> list[Row]:
    """Every row that is not empty, good or bad, in order.

    Raises BadInput where the file as a whole cannot be taken: ``csv_undecodable``, ``csv_empty``,
    ``csv_column_missing`` (`field`), ``csv_column_unknown``, ``csv_column_twice`` (`column`),
    ``csv_too_many_rows`` (`limit`), ``csv_broken`` (`line`).
    """
    text = _decoded(raw)
    if not text.strip():
        raise BadInput("csv_empty")
    table = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[Row] = []
    lines: dict[str, int] = {}  # of placer numbers
    names: list[str] = []
    try:
        for line, cells in _lines(table):
            if not names:
                names = _columns(cells)
                continue
            if len(rows) >= MOST_ROWS:
                raise BadInput("csv_too_many_rows", limit=MOST_ROWS)
            row = _row(line, names, cells)
            first = lines.setdefault(row.placer_number, line) if row.placer_number else line
            if first != line:  # the second would change the first, which nobody means in one list
                row = Row(line, row.placer_number, BadInput("csv_number_twice", line=first))
            rows.append(row)
    except csv.Error:
        raise BadInput("csv_broken", line=table.line_num) from None
    if not rows:
        raise BadInput("csv_empty")
    return rows


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


def _columns(cells: Sequence[str]) -> list[str]:
    names: list[str] = []
    for cell in cells:
        title = cell.strip()
        name = _BY_TITLE.get(title) or _BY_TITLE.get(title.lower().replace(" ", "_"))
        if name is None:
            if not title:
                names.append("")
                continue
            raise BadInput("csv_column_unknown", column=title[:40])
        if name in names:
            raise BadInput("csv_column_twice", column=title[:40])
        names.append(name)
    for column in COLUMNS:
        if column.needed and column.name not in names:
            raise BadInput("csv_column_missing", field=column.name)
    return names


def _row(line: int, names: Sequence[str], cells: Sequence[str]) -> Row:
    said = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
    number = said.get("placer_number", "")[:LONGEST_CARRIED]
    try:
        if any(cell.strip() for cell in cells[len(names) :]):
            raise BadInput("csv_row_too_wide")  # a comma in a text without quotes shifts what follows
        return Row(line, number, (_patient(said), _request(said)))
    except BadInput as error:
        return Row(line, number, error)


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
    for pattern in (*(day + time for day in _DATES for time in times), *stamps):
        try:
            moment = datetime.strptime(value, pattern)  # noqa: DTZ007 -- local to the institution, or a birth date
        except ValueError:
            continue
        if 1850 <= moment.year <= 2100:
            return f"{moment:%Y%m%d%H%M%S}" if "%H" in pattern else f"{moment:%Y%m%d}"
    raise BadInput("field_wrong", field=name)
