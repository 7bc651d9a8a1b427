"""Signed reports out as ORU^R01 (HL7 v2 chapter 7.3), versions 2.3 to 2.6."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message, parse_segment

from interfaces.ecg.codes import FORMULAS, KINDS
from interfaces.hl7v2 import charset
from interfaces.hl7v2.writing import OURSELVES, composite, header, message_type, segment, timestamp
from worklist.errors import Broken
from worklist.facts import Addressee, CoveredOrder, Measurement, PersonName, ReportStatus, SignedReport

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6")

# Result status of the order (OBR-25, table 0123) and of each observation (OBX-11, table 0085).
_STATUS: dict[ReportStatus, tuple[str, str]] = {
    "preliminary": ("P", "P"),
    "final": ("F", "F"),
    "corrected": ("C", "C"),
    "addendum": ("C", "C"),
    "withdrawal": ("C", "W"),
}

FINDINGS = ("59776-5", "Findings", "LN")
IMPRESSION = ("19005-8", "Impression", "LN")
ECG_IMPRESSION = ("18844-1", "EKG impression", "LN")
CRITICAL = ("CRITICAL", "Critical result", "99HUREN")
MAJOR = ("MAJOR", "Major positive result", "99HUREN")
_SOURCES = {"device": "as the device measured", "reader": "as the reader measured"}
MARKS = ("HR", "Mutual recognition marks", "99HUREN")
DOCUMENT = ("18748-4", "Diagnostic imaging report", "LN")
ECG_DOCUMENT = ("11524-6", "EKG study", "LN")


def names(name: PersonName, version: str) -> str:
    """PID-5 (XPN): each writing a repetition with its representation code; version 2.3 has room for one."""
    written = [
        composite(*text.split("^")[:5], *[""] * (7 - len(text.split("^")[:5])), code)
        for text, code in ((name.ideographic, "I"), (name.alphabetic, "A"))
        if text
    ]
    return "~".join(written[:1] if version == "2.3" else written)


def _pid(report: SignedReport, version: str) -> str:
    kind = next(
        (
            i.kind
            for i in report.patient.identifiers
            if (i.issuer, i.value) == (report.patient_issuer, report.patient_id)
        ),
        "",
    )
    return segment("PID", {
        1: "1",
        3: composite(report.patient_id, "", "", their_own(report.patient_issuer), kind),
        5: names(report.patient.name, version),
        7: composite(report.patient.birth_date),
        8: report.patient.sex,
    })  # fmt: skip


def their_own(issuer: str) -> str:
    """An authority as its institution names it: we file "HIS" of TS01 as "TS01/HIS"."""
    return issuer.partition("/")[2] or issuer


def _person(login: str, name: str) -> str:
    """OBR-32 to -35 (NDL): the first component is a person, its parts are subcomponents."""
    return composite(login, name, joint="&")


def _order(
    report: SignedReport,
    order: CoveredOrder,
    number: int,
    zone: ZoneInfo,
    version: str,
    document: tuple[str, str] | None,
) -> Iterator[str]:
    """The segments of one covered order: ORC, OBR, the reason of a correction, the words, the document."""
    order_status, observation_status = _STATUS[report.status]
    doctor = composite(order.ordering_doctor_id, order.ordering_doctor)
    signed_at = timestamp(report.signed_at, zone)
    numbers = {2: composite(order.placer_number, order.placer_namespace), 3: composite(order.accession_number)}
    quantity = "1" if version == "2.3" else ""  # ORC-7 and OBR-27 are required in that version alone
    yield segment("ORC", {
        1: "RE",
        **numbers,
        5: "IP" if report.status == "preliminary" else "CM",
        7: quantity,
        12: doctor,
    })  # fmt: skip
    yield segment("OBR", {
        1: str(number),
        **numbers,
        4: composite(order.procedure_code, order.procedure_name, "L" if order.procedure_code else ""),
        7: timestamp(report.observed_at, zone) if report.observed_at else "",
        16: doctor,
        22: signed_at,
        25: order_status,
        27: quantity,
        32: _person(report.signer, report.signer_name),
        33: _person(report.writer, report.writer_name) if report.writer != report.signer else "",
    })  # fmt: skip
    if remark := f"{report.images_said}{report.reason}":
        yield segment("NTE", {1: "1", 3: composite(remark)})
    observations: list[dict[int, str]] = [
        {2: "FT", 3: composite(*identity), 5: composite(words), 8: flag}
        for identity, words, flag in _observations(report)
    ]
    observations.extend(_measured(one) for one in report.measurements)
    if order.marks:
        observations.append({2: "ST", 3: composite(*MARKS), 5: "~".join(composite(mark) for mark in order.marks)})
    if document is not None:
        title = ECG_DOCUMENT if report.modality == "ECG" else DOCUMENT
        observations.append({2: document[0], 3: composite(*title), 5: document[1]})
    for n, said in enumerate(observations, start=1):
        yield segment("OBX", {
            **said,
            1: str(n),
            4: "1",
            11: observation_status,
            14: signed_at,
            15: composite("", report.center_name),
            16: composite(report.signer, report.signer_name),
        })  # fmt: skip


def _measured(one: Measurement) -> dict[int, str]:
    """A number of an ECG (NM, chapter 2.A.47) with its UCUM unit; OBX-17 says whose it is, and by which formula."""
    kind = KINDS[one.name]
    methods = [composite(one.source.upper(), _SOURCES[one.source], "99HUREN")]
    if one.method:
        methods.append(composite(FORMULAS[one.method], f"{one.method} QTc Algorithm", "DCM"))
    return {
        2: "NM",
        3: composite(kind.loinc, kind.loinc_name, "LN"),
        5: str(one.value),
        6: composite(one.unit, "", "UCUM"),
        17: "~".join(methods),
    }


def _studies(report: SignedReport) -> Iterator[str]:
    """ZDS (as IHE uses it) per study, after all groups: between two, readers that know groups lose the patient."""
    for uid in dict.fromkeys(order.study_instance_uid for order in report.orders):
        if uid:
            yield segment("ZDS", {1: composite(uid, "", "Application", "DICOM")})


def _observations(report: SignedReport) -> list[tuple[tuple[str, str, str], str, str]]:
    """(identifier, words, abnormal flag) of each part that has words.

    Without any, findings and impression are named nevertheless: a withdrawal names what it withdraws.
    """
    parts = [
        (FINDINGS, report.text.findings, ""),
        (ECG_IMPRESSION if report.modality == "ECG" else IMPRESSION, report.text.impression, ""),
        (MAJOR, report.text.critical, "A") if report.tier == "major" else (CRITICAL, report.text.critical, "AA"),
    ]
    return [part for part in parts if part[1]] or parts[:2]


def in_base64(pdf: bytes) -> str:
    """A PDF as it stands in the message: none of Base64's characters is a separator."""
    return base64.b64encode(pdf).decode("ascii")


def _document(pdf: bytes | None, link: str) -> tuple[str, str] | None:
    """Value type and value of the OBX that carries the report's document, in every order's group.

    ED (chapter 2.A.24): the file itself. RP (chapter 2.A.66): the address of a page that says whether the report is
    genuine and current.
    """
    if pdf is not None:
        return "ED", composite("", "application", "pdf", "Base64", in_base64(pdf))
    if link:
        return "RP", composite(link, OURSELVES, "text", "html")
    return None


def write_report(
    report: SignedReport,
    to: Addressee,
    *,
    control_id: str,
    sent_at: datetime,
    pdf: bytes | None = None,
    link: str = "",
) -> bytes:
    """One issued version as ORU^R01 for one endpoint: a group of ORC and OBR per covered order, no MLLP frame.

    Times are written in the institution's zone with their offset; `sent_at` is aware. hl7apy has checked the
    structure of what is returned. `pdf` is the sealed file where the endpoint wants it embedded, `link` the address
    of the verification page where it wants that; each goes along whatever the status is.

    Raises Broken ``version_unsupported``, ``timezone_unknown`` or ``structure_invalid``; BadInput
    ``unencodable_text`` where the endpoint's character set lacks a character of the report.
    """
    if to.version not in VERSIONS:
        raise Broken("version_unsupported", endpoint=to.endpoint_id)
    try:
        zone = ZoneInfo(report.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Broken("timezone_unknown") from error
    msh = header({
        3: OURSELVES,
        4: OURSELVES,
        5: composite(to.receiving_application),
        6: composite(to.receiving_facility),
        7: timestamp(sent_at, zone),
        9: message_type("ORU", "R01", "ORU_R01", to.version),
        10: composite(control_id),
        11: "P",
        12: to.version,
        18: charset.find(to.character_set).label,
    })  # fmt: skip
    document = _document(pdf, link)
    groups = [
        line
        for number, order in enumerate(report.orders, start=1)
        for line in _order(report, order, number, zone, to.version, document)
    ]
    text = "".join([msh, _pid(report, to.version), *groups, *_studies(report)])
    checked(text, to)
    return charset.encode(text, to.character_set)


def checked(text: str, to: Addressee) -> None:
    """Let hl7apy find the structure's mistakes here, not at the hospital.

    Its strict level is for tests alone: it allows FT, the type of our words, 199 characters. Raises Broken
    ``structure_invalid``.
    """
    try:
        parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True).validate()
    except HL7apyException as error:
        # Without its cause: hl7apy's errors quote the value, and errors reach logs.
        raise Broken("structure_invalid", endpoint=to.endpoint_id, kind=type(error).__name__) from None


def checked_segment(text: str, to: Addressee) -> None:
    """As `checked`, one segment by itself."""
    try:
        parse_segment(text.rstrip("\r"), version=to.version, validation_level=VALIDATION_LEVEL.TOLERANT).validate()
    except HL7apyException as error:
        raise Broken("structure_invalid", endpoint=to.endpoint_id, kind=type(error).__name__) from None
