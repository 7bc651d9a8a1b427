"""A signed report as a document shaped after WS/T 500: examinations (检查报告) and laboratory results (检验报告).

The header is CDA R2's (HL7 V3 POCD_MT000040) with the roots that published documents of WS/T 500 carry. Each version is
a document of its own in one set, and replaces the version before it; one that withdraws says so in its remark, since
CDA knows no withdrawal.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from interfaces.fhir.elements import LOINC
from interfaces.fhir.observations import parts
from worklist.facts import Publication, SignedReport

UNKNOWN_PATIENT_SYSTEM: Final = "2.16.156.10011.1.2"
"""Root of a patient number where the operator named no OID for its issuer: that of a health record's number."""
_SEXES: Final = {"M": ("1", "男性"), "F": ("2", "女性"), "O": ("9", "未说明的性别"), "": ("0", "未知的性别")}
"""GB/T 2261.1."""
_UNFIT: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold."""
_ROOTS: Final = {LOINC: "2.16.840.1.113883.6.1"}


@dataclass(frozen=True)
class Kind:
    """A kind of shared document: its template's root, its code and title, and whose number the report's is."""

    file: str
    template: str
    code: str
    title: str
    number: str


EXAMINATION: Final = Kind(
    "examination.xml", "2.16.156.10011.2.1.1.26", "C0006", "检查报告", "2.16.156.10011.1.32"
)  # fmt: skip
LABORATORY: Final = Kind("laboratory.xml", "2.16.156.10011.2.1.1.27", "C0007", "检验报告", "2.16.156.10011.1.33")


@dataclass(frozen=True)
class Line:
    """A structured line of the report. `oid` is its code system's, empty where that has none."""

    code: str
    name: str
    value: str
    unit: str
    oid: str
    flag: str


def kind_of(discipline: str) -> Kind:
    """Which document a report of this discipline becomes: pathology is an examination too."""
    return LABORATORY if discipline == "laboratory" else EXAMINATION


def document(
    report: SignedReport, publication: Publication, *, patient_oid: str = "", pdf: bytes | None = None, link: str = ""
) -> bytes:
    """The version as XML in UTF-8. The sealed PDF goes inside, or as a `link`, or not at all. `patient_oid` is the OID
    of whoever gave the patient's number."""
    kind = kind_of(publication.record.discipline)
    sex, sex_name = _SEXES[report.patient.sex]
    lines = [
        Line(
            part.code,
            part.display,
            str(part.value["valueQuantity"]["value"]),
            str(part.value["valueQuantity"].get("unit", "")),
            _ROOTS.get(part.system, ""),
            part.interpretation,
        )
        for part in parts(publication.record, report)
        if "valueQuantity" in part.value
    ]
    text = report.text
    results = "\n".join(filter(None, (text.critical, text.findings, text.impression)))
    made = _templates().get_template(kind.file).render(
        kind=kind,
        report=report,
        publisher=publication.publisher,
        document_id=f"{report.report_id}.{report.version}",
        signed_at=_time(report.signed_at, report.timezone),
        observed_at=_time(report.observed_at, report.timezone),
        patient_system=patient_oid or UNKNOWN_PATIENT_SYSTEM,
        citizen=next((d.value for d in publication.documents if d.kind == "NI"), ""),
        sex={"code": sex, "name": sex_name},
        procedures="，".join(dict.fromkeys(o.procedure_name for o in report.orders if o.procedure_name)),
        lines=lines,
        words=results,
        results=results,
        remark=_remark(report),
        pdf=base64.b64encode(pdf).decode("ascii") if pdf else "",
        link=link,
    )  # fmt: skip
    return made.encode()


def _remark(report: SignedReport) -> str:
    """What else is to be known of the version: marks of recognition, and that and why it was changed or withdrawn."""
    marks = dict.fromkeys(mark for order in report.orders for mark in order.marks)
    said = [f"互认标识：{'、'.join(marks)}"] if marks else []
    if report.status == "withdrawal":
        said.append(f"本报告已撤回，请勿使用。{report.reason}")
    elif report.reason:
        said.append(report.reason)
    if report.images_of:
        said.append(report.images_said)
    return "；".join(said)


def _time(at: datetime | None, zone: str) -> str:
    """An aware time as an HL7 V3 TS with its offset."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y%m%d%H%M%S%z}" if at is not None else ""


def _fit(value: Any) -> Any:
    """A text without what no XML document may hold. What a macro made is done already."""
    return _UNFIT.sub("", value) if isinstance(value, str) and not isinstance(value, Markup) else value


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("interfaces.wst500"), autoescape=True, undefined=StrictUndefined, finalize=_fit
    )
