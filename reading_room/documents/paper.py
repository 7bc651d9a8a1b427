"""A signed report on paper: A4 or A5, PDF/A-2b, in Chinese.

The words of the report enter the layout (template.typ) only as JSON in `sys.inputs`; text that was formatted into
Typst source would run as markup. The same report and pictures always give the same bytes: the document's time is
the time of signing.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import segno
import typst
from PIL import Image, UnidentifiedImageError

from reading_room.documents.glyphs import Fonts, fonts
from reading_room.documents.wording import (
    BODY_PARTS,
    BY_READER,
    FINDINGS,
    IMPRESSION,
    MEASURED_IN,
    MEASURED_NOTE,
    MEASUREMENTS,
    NO_MARK,
    NOT_A_DEVICE,
    PATIENT_CLASS,
    READ_ANEW,
    REPRINT,
    SEX,
    STATUS,
    TIERS,
    TITLES,
    TRIAL,
    VISIT_LABEL,
    WATERMARKS,
    title_of,
)
from worklist.errors import Broken
from worklist.facts import CoveredOrder, SignedReport

TEMPLATE: Final = Path(__file__).resolve().with_name("template.typ")
CODE_KEYWORD: Final = "huren-verification"
VERSION_KEYWORD: Final = "huren-version"
LONGEST_SIDE: Final = 1400  # pixels of a printed picture; 60 mm at 600 dpi
ACROSS: Final = 6  # columns of the patient block; a lying sheet has twice as many
MOST_PIXELS: Final = 64_000_000  # of a picture before it is made smaller

Mark = Literal["", "preliminary", "corrected", "addendum", "withdrawal", "superseded"]
"""What became of a printed version: its own status, or later events. Empty: as its status says."""


@dataclass(frozen=True)
class Picture:
    """A key image as it is printed: PNG bytes of any size, and the words below it."""

    png: bytes
    caption: str = ""


@dataclass(frozen=True)
class Tracing:
    """An ECG as it is printed: SVG of `width` by `height` mm, names of leads at (x, y) mm, and the words below it."""

    svg: str
    width: float
    height: float
    labels: tuple[tuple[float, float, str], ...]
    caption: str


def render(
    report: SignedReport,
    pictures: Sequence[Picture] = (),
    *,
    verify_url: str,
    trial: bool,
    mark: Mark = "",
    tracing: Tracing | None = None,
) -> bytes:
    """The report as PDF/A-2b, unsigned.

    Parameters
    ----------
    report
        One issued version. Its times are shown in its own zone; what it does not say is left out or left empty.
    pictures
        Key images in the order of printing.
    tracing
        The ECG: the sheet is A4 then, lying, and the ECG true to scale.
    verify_url
        Address of the page /verify, printed as QR code with the version's code. No QR code where it is not absolute.
    trial
        Whether the seal is the built-in one: printed on every page.
    mark
        "superseded" or "withdrawal" for a reprint of a version that is not current any more. Such a sheet is not
        sealed: it says so, and its metadata name no verification code. The printed code and QR code stay.

    Raises
    ------
    Broken
        ``fonts_missing``, ``picture_unreadable``, or ``report_not_printable`` where Typst refuses.
    """
    available = fonts()
    across = ACROSS if tracing is None else 2 * ACROSS
    data = _data(report, pictures, available, across, verify_url=verify_url, trial=trial, mark=mark)
    if tracing is not None:
        data["ecg"] = {
            "svg": tracing.svg,
            "width": tracing.width,
            "height": tracing.height,
            "labels": [{"x": x, "y": y, "name": available.printable(name)} for x, y, name in tracing.labels],
            "caption": available.printable(tracing.caption),
        }
    try:
        pdf = typst.Compiler(TEMPLATE, font_paths=available.loaded, ignore_system_fonts=True).compile(
            format="pdf",
            sys_inputs={"report": json.dumps(data, ensure_ascii=False)},
            pdf_standards=["a-2b"],
            timestamp=int(report.signed_at.timestamp()),
        )
    except typst.TypstError as error:
        raise Broken("report_not_printable") from error
    if not isinstance(pdf, bytes):
        raise Broken("report_not_printable")
    return pdf


def shown_code(code: str) -> str:
    """A verification code in groups of four, as it is printed and typed."""
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4))


def _data(
    report: SignedReport,
    pictures: Sequence[Picture],
    available: Fonts,
    across: int,
    *,
    verify_url: str,
    trial: bool,
    mark: Mark,
) -> dict[str, Any]:
    """Everything that the layout shows, in the order of the sheet; every string printable with the fonts."""
    zone = ZoneInfo(report.timezone)
    head = report.head
    reprint = mark in ("superseded", "withdrawal") and mark != report.status
    numbers = _joined(order.accession_number for order in report.orders)
    name = _name(report)
    title = title_of(report.modality)
    institution = head.institution_name or report.center_name
    signed = report.signed_at.astimezone(UTC)
    shown = {
        "paper": head.paper.lower(),
        "institution": institution,
        "institution_en": head.institution_name_en,
        "center": report.center_name if report.center_name != institution else "",
        "title": title,
        "number_line": f"检查号：{numbers}" if numbers else "",
        "status_line": f"第 {report.version} 版 · {STATUS[report.status]}",
        "notices": _notices(report, mark),
        "across": across,
        "fields": _fields(report, zone, across),
        "sections": _sections(report, bool(pictures)),
        "measured": _measured(report),
        "people": _people(report, zone),
        "small_print": _small_print(report, trial=trial, reprint=reprint),
        "footer_left": "　".join(part for part in (_short(name), numbers and f"检查号 {numbers}") if part),
        "footer_note": REPRINT if reprint else TRIAL if trial else "",
        "running_left": f"{institution}　{title}",
        "running_right": f"第 {report.version} 版 · {STATUS[report.status]}",
        "watermark": WATERMARKS.get(mark) or WATERMARKS.get(report.status, ""),
        "code": shown_code(report.verification_code),
        "title_line": f"{title} {numbers}".strip(),
        "author": institution,
        "description": f"{STATUS[report.status]}，第{report.version}版",
    }
    printable: dict[str, Any] = _printable(shown, available)
    printable["pictures"] = [
        {
            "svg": _as_svg(p.png),
            "caption": available.printable(p.caption),
            "alt": available.printable(p.caption) or "key image",
        }
        for p in pictures
    ]
    code = [] if reprint else [f"{CODE_KEYWORD}={report.verification_code}"]
    printable["keywords"] = [*code, f"{VERSION_KEYWORD}={report.version}"]
    printable["date"] = {part: getattr(signed, part) for part in ("year", "month", "day", "hour", "minute", "second")}
    printable["fonts"] = list(available.families)
    printable["qr"] = _qr(verify_url, report.verification_code)
    return printable


def _printable(value: Any, available: Fonts) -> Any:
    if isinstance(value, str):
        return available.printable(value)
    if isinstance(value, dict):
        return {key: _printable(inner, available) for key, inner in value.items()}
    if isinstance(value, list):
        return [_printable(inner, available) for inner in value]
    return value


def _marked(order: CoveredOrder) -> str:
    """A procedure with its marks of mutual recognition."""
    return f"{order.procedure_name} {' '.join(order.marks)}".strip()


def _name(report: SignedReport) -> str:
    name = report.patient.name.shown
    return f"{name}（临时身份，待核实）" if report.patient.is_alias else name


def _notices(report: SignedReport, mark: Mark) -> list[dict[str, Any]]:
    """What must be read before anything else: that this is not, or not any more, the plain final report."""
    reason = report.reason.strip()
    why = {"corrected": "更正原因", "addendum": "补充原因", "withdrawal": "撤回原因"}
    heads = {
        "preliminary": "初步报告：尚未经审核医师审核，以审核后签发的正式报告为准。",
        "corrected": f"更正报告（第 {report.version} 版）：本版取代此前签发的各版。",
        "addendum": f"补充报告（第 {report.version} 版）：本版取代此前签发的各版，含补充内容。",
        "withdrawal": "本报告已撤回，不得作为诊疗依据。以下为撤回前的内容。",
        "superseded": "本版已被新版本取代，请以最新版本为准。",
    }
    notices = []
    if mark in ("superseded", "withdrawal") and mark != report.status:  # what became of it later
        notices.append({"head": heads[mark], "lines": []})
    if report.status in heads:
        lines = [f"{why[report.status]}：{reason}"] if reason and report.status in why else []
        notices.append({"head": heads[report.status], "lines": lines})
    return notices


def _fields(report: SignedReport, zone: ZoneInfo, across: int) -> list[dict[str, Any]]:
    """Patient and examination, on a grid of so many columns. Who the patient is stands there even where it is empty."""
    patient, orders = report.patient, report.orders
    observed = report.observed_at
    on = (observed or report.signed_at).astimezone(zone).date()
    fields = [
        _field("姓名", _name(report), strong=True),
        _field("性别", SEX[patient.sex]),
        _field("年龄", age(patient.birth_date, on)),
        _field("出生日期", _day(patient.birth_date)),
        _field("患者标识", _identifier(report), width=4),
    ]
    classes = _joined(PATIENT_CLASS.get(order.patient_class, order.patient_class) for order in orders)
    visit_label = VISIT_LABEL.get(orders[0].patient_class, "就诊号") if orders else "就诊号"
    further = [
        _field("申请机构", report.institution_name, width=4),
        _field("就诊类别", classes),
        _field(visit_label, _joined(order.visit_number for order in orders)),
        _field("科室/床位", _joined(_location(order) for order in orders)),
        _field("申请医生", _joined(order.ordering_doctor for order in orders)),
        _field("申请单号", _joined(order.placer_number for order in orders)),
        _field("申请时间", _joined(_moment(order.requested_at) for order in orders)),
        _field("检查项目", _joined(_marked(order) for order in orders), width=4),
        _field("检查部位", BODY_PARTS.get(report.body_part, report.body_part)),
        _field("检查时间", _local(observed, zone) if observed else ""),
        _field("影像来源", f"{report.images_of}（{READ_ANEW}）" if report.images_of else "", width=4),
        _field("报告时间", _local(report.signed_at, zone)),
        _field("临床信息", _joined(order.clinical_information for order in orders), width=6),
    ]
    kept = fields + [field for field in further if field["value"]]
    third, two_thirds = (
        (22, 62) if report.head.paper == "A4" and across == ACROSS else (18, 48)
    )  # half widths of a character that fit
    for field in kept:
        long = sum(1 if c < "\u0250" else 2 for c in field["value"])
        if long > third and field["width"] == 2:
            field["width"] = 4
        if long > two_thirds:
            field["width"] = ACROSS
    return _in_rows(kept, across)


def _in_rows(fields: list[dict[str, Any]], across: int) -> list[dict[str, Any]]:
    """The fields with widths that fill whole rows: the last one of a row takes what is left."""
    used = 0
    for before, field in zip([None, *fields], fields, strict=False):
        if before is not None and used + field["width"] > across:
            before["width"] += across - used
            used = 0
        used = (used + field["width"]) % across
    return fields


def _field(label: str, value: str, *, width: int = 2, strong: bool = False) -> dict[str, Any]:
    return {"label": label, "value": value, "width": width, "strong": strong}


def _sections(report: SignedReport, with_pictures: bool) -> list[dict[str, Any]]:
    text, modality = report.text, report.modality
    parts = [("plain", FINDINGS.get(modality, "影像所见" if modality in TITLES else "检查所见"), text.findings)]
    if with_pictures:
        parts.append(("pictures", "", " "))
    parts.append(("strong", IMPRESSION.get(modality, "诊断意见"), text.impression))
    parts.append(("critical", TIERS[report.tier], text.critical))
    return [
        {"kind": kind, "head": head, "lines": words.strip("\r\n").splitlines()}
        for kind, head, words in parts
        if words.strip() or kind == "pictures"
    ]


def _measured(report: SignedReport) -> dict[str, Any]:
    """The numbers of an ECG in one line, and whose they are; the doctor's own are marked where both kinds stand."""
    sources = frozenset(one.source for one in report.measurements)
    items = []
    for one in report.measurements:
        mark = BY_READER if one.source == "reader" and len(sources) > 1 else ""
        method = f"（{one.method}）" if one.method else ""
        items.append({"label": MEASUREMENTS[one.name], "value": f"{one.value}{MEASURED_IN[one.unit]}{mark}{method}"})
    return {"items": items, "note": MEASURED_NOTE.get(sources, "")}


def _people(report: SignedReport, zone: ZoneInfo) -> list[dict[str, str]]:
    """Who answers for it. Who withdrew a report has not reviewed its words."""
    signer, when = ("撤回医师", "撤回时间") if report.status == "withdrawal" else ("审核医师", "签发时间")
    return [
        {"label": "报告医师", "value": report.writer_name or report.signer_name},
        {"label": signer, "value": "（待审核）" if report.status == "preliminary" else report.signer_name},
        {"label": when, "value": _local(report.signed_at, zone)},
    ]


def _small_print(report: SignedReport, *, trial: bool, reprint: bool) -> list[str]:
    seal = f"{REPRINT}。" if reprint else "本文件带有签发机构的电子印章。"
    if trial and not reprint:
        seal += f"{TRIAL}。"
    phone = report.head.phone and f"电话：{report.head.phone}"
    uscc = report.head.uscc and f"统一社会信用代码：{report.head.uscc}"
    address = report.head.address and f"地址：{report.head.address}"
    where = "　".join(part for part in (uscc, address, phone) if part)
    return [line for line in (where, f"{seal}{NO_MARK}时间均为 {report.timezone} 时区。", NOT_A_DEVICE) if line]


def _identifier(report: SignedReport) -> str:
    return f"{report.patient_id}（{report.patient_issuer}）" if report.patient_id else ""


def _location(order: CoveredOrder) -> str:
    """PV1-3 with its components parted by spaces (HL7 v2 chapter 2A, PL)."""
    return " ".join(part for part in order.location.split("^") if part)


def _joined(values: Any) -> str:
    return "、".join(dict.fromkeys(value for value in values if value))


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _moment(value: str) -> str:
    """An HL7 TS as a date and time; what is no whole minute is shown as written."""
    if len(value) >= 12 and value[:12].isdecimal():
        return f"{value[:4]}-{value[4:6]}-{value[6:8]} {value[8:10]}:{value[10:12]}"
    return _day(value)


def _day(value: str) -> str:
    """A DA as a date; what is no whole date is shown as written."""
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdecimal() else value


def age(birth_date: str, on: date) -> str:
    """The age on a day: in days below 28 days, in months below 2 years, else in years. Empty where it is unknown."""
    try:
        born = date(int(birth_date[:4]), int(birth_date[4:6]), int(birth_date[6:])) if len(birth_date) == 8 else None
    except ValueError:
        born = None
    if born is None or born > on:
        return ""
    if (on - born).days < 28:
        return f"{(on - born).days}天"
    months = (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)
    return f"{months}个月" if months < 24 else f"{months // 12}岁"


def _qr(verify_url: str, code: str) -> str:
    """The QR code as SVG, or "" where nobody could follow it."""
    if not code or urlsplit(verify_url).scheme not in ("http", "https"):
        return ""
    out = io.BytesIO()
    segno.make(f"{verify_url}?code={code}", error="m", micro=False).save(out, kind="svg", border=1, scale=4)
    return out.getvalue().decode()


def _as_svg(png: bytes) -> str:
    """A picture as SVG text around a fresh PNG: Typst takes it from JSON, and a file on disk is not needed."""
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Broken("picture_unreadable")
            image = opened.convert("L" if opened.mode in ("1", "L", "I", "I;16") else "RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise Broken("picture_unreadable") from error
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=False)
    width, height = image.size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,'
        f'{base64.b64encode(out.getvalue()).decode()}"/></svg>'
    )
