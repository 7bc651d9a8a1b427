"""The request for an examination on paper: A5, in Chinese, with the accession number as a barcode for scanners.

As in `paper`, words enter the layout (request.typ) only as JSON.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import typst
from barcode.codex import Code128

from reading_room.documents.glyphs import fonts
from reading_room.documents.paper import age
from reading_room.documents.wording import SEX
from worklist.errors import Broken
from worklist.queries.views import OrderDetail

TEMPLATE: Final = Path(__file__).resolve().with_name("request.typ")
MODULE: Final = 0.33  # millimetres of the thinnest bar: any hand scanner reads it off a laser print
QUIET: Final = 10  # modules without ink on both sides (ISO/IEC 15417)
PRIORITY: Final = {"STAT": "急诊", "URGENT": "加急", "ROUTINE": ""}
SIDE: Final = {"L": "左", "R": "右", "B": "双侧"}


def render_request(order: OrderDetail, now: datetime, code: str, look_up: str) -> bytes:
    """An order as PDF, printed at `now`; its times in the zone of the institution.

    At its foot the patient finds the `code` with which they look up the results, and the address of that page.

    Raises
    ------
    Broken
        ``fonts_missing``, or ``request_not_printable`` where Typst refuses.
    """
    available = fonts()
    data = _printable(_data(order, ZoneInfo(order.timezone), now), available.printable)
    bars, modules = code_128(order.row.accession_number)
    moment = now.astimezone(UTC)
    data |= {
        "code": code,
        "look_up": look_up,
        "barcode": bars,
        "barcode_width": round(modules * MODULE, 2),
        "fonts": list(available.families),
        "date": {part: getattr(moment, part) for part in ("year", "month", "day", "hour", "minute", "second")},
    }
    try:
        pdf = typst.Compiler(TEMPLATE, font_paths=available.loaded, ignore_system_fonts=True).compile(
            format="pdf", sys_inputs={"request": json.dumps(data, ensure_ascii=False)}, timestamp=int(now.timestamp())
        )
    except typst.TypstError as error:
        raise Broken("request_not_printable") from error
    if not isinstance(pdf, bytes):
        raise Broken("request_not_printable")
    return pdf


def code_128(number: str) -> tuple[str, int]:
    """The bars of a number as SVG, one unit to a module with the quiet zones, and how many modules wide it is."""
    bars = str(Code128(number).build()[0])
    width = len(bars) + 2 * QUIET
    drawn = "".join(f"M{QUIET + i} 0h1v1h-1z" for i, bar in enumerate(bars) if bar == "1")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" viewBox="0 0 {width} 1"'
        f' preserveAspectRatio="none"><path shape-rendering="crispEdges" d="{drawn}"/></svg>',
        width,
    )


def _data(order: OrderDetail, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    row = order.row
    name = f"{row.patient_name.shown}（临时身份，待核实）" if row.is_alias else row.patient_name.shown
    born = row.patient_birth_date
    placed = row.placed_at.astimezone(zone)
    fields = [
        _field("姓名", name, 2, strong=True),
        _field("性别", SEX[row.patient_sex], 2),
        _field("年龄", age(born, placed.date()), 2),
        _field("出生日期", f"{born[:4]}-{born[4:6]}-{born[6:]}" if len(born) == 8 else born, 3),
        _field("患者标识", row.patient_identifier, 3),
        _field("检查项目", row.procedure, 4, strong=True),
        _field("侧别", SIDE.get(order.laterality, ""), 2),
        _field("检查类别", row.modality, 2),
        _field("申请时间", f"{placed:%Y-%m-%d %H:%M}", 4),
    ]
    return {
        "institution": row.institution,
        "title": "检查申请单",
        "title_line": f"检查申请单 {row.accession_number}",
        "priority": PRIORITY.get(row.priority, row.priority),
        "number": row.accession_number,
        "fields": [f for f in fields if f["value"] or f["label"] in ("姓名", "性别", "年龄")],
        "sections": [
            {"head": head, "lines": text.split("\n")}
            for head, text in (("临床信息", order.clinical_information), ("检查目的", order.reason))
            if text
        ],
        "people": [{"label": "申请医生", "value": row.ordering_doctor}, {"label": "签名", "value": ""}],
        "footer": f"检查号 {row.accession_number}　打印时间 {now.astimezone(zone):%Y-%m-%d %H:%M}",
    }


def _field(label: str, value: str, width: int, *, strong: bool = False) -> dict[str, Any]:
    return {"label": label, "value": value, "width": width, "strong": strong}


def _printable(value: Any, printable: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _printable(inner, printable) for key, inner in value.items()}
    if isinstance(value, list):
        return [_printable(inner, printable) for inner in value]
    return value
