"""DiagnosticReport and DocumentReference (FHIR R4): an issued version, and the sealed PDF of each issued version."""

from __future__ import annotations

import html
from typing import Final

from interfaces.fhir.elements import (
    LOINC,
    Element,
    Resource,
    clean,
    concept,
    identifier,
    instant,
    made,
    reference,
    references,
)
from interfaces.fhir.observations import observation_id, parts
from interfaces.fhir.systems import Systems
from worklist.facts import ReportRecord, SignedReport

STATUS: Final = {
    "preliminary": "preliminary",
    "final": "final",
    "corrected": "corrected",
    "addendum": "appended",
    "withdrawal": "entered-in-error",
}
"""How a version was issued, as diagnostic-report-status."""
DOCUMENT_STATUS: Final = {
    "preliminary": "preliminary",
    "final": "final",
    "corrected": "amended",
    "addendum": "amended",
    "withdrawal": "entered-in-error",
}
"""The same as composition-status."""
SECTION: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
SECTIONS: Final = {"imaging": "RAD", "ecg": "EC", "laboratory": "LAB", "pathology": "SP"}
_KINDS: Final = {
    "imaging": (LOINC, "18748-4", "Diagnostic imaging study"),
    "ecg": (LOINC, "11524-6", "EKG study"),
    "laboratory": (LOINC, "11502-2", "Laboratory report"),
    "pathology": (LOINC, "60568-3", "Pathology Synoptic report"),
}
_XHTML: Final = "http://www.w3.org/1999/xhtml"


def diagnostic_report(record: ReportRecord, document: SignedReport, systems: Systems, pdf: str) -> Resource:
    """The version as a report. `pdf` is the address of its sealed PDF."""
    procedures = dict.fromkeys(order.procedure_name for order in document.orders if order.procedure_name)
    codes = dict.fromkeys((o.procedure_code, o.procedure_name) for o in document.orders if o.procedure_code)
    local = [(systems.of("procedure"), code, name) for code, name in codes] if len(codes) == 1 else []
    marks = dict.fromkeys(mark for order in document.orders for mark in order.marks)
    accessions = dict.fromkeys(order.accession_number for order in document.orders)
    anew = [document.images_said] if document.images_of else []
    writer = [] if document.writer == document.signer else [_person(document.writer, document.writer_name, systems)]
    return made(
        {
            "resourceType": "DiagnosticReport",
            "id": record.report_id,
            "meta": {"lastUpdated": instant(record.signed_at)},
            "text": {"status": "generated", "div": _narrative(document)},
            "extension": [
                *({"url": systems.of("recognition-mark"), "valueString": mark} for mark in marks),
                *({"url": systems.of("images-read-anew"), "valueString": said} for said in anew),
            ],
            "identifier": [
                identifier(systems.of("report"), record.report_id, "FILL"),
                version_identifier(record, systems),
                *(identifier(systems.of("accession"), number, "ACSN") for number in accessions),
            ],
            "basedOn": references("ServiceRequest", record.order_ids),
            "status": STATUS[document.status],
            "category": [concept((SECTION, SECTIONS.get(record.discipline, ""), ""))],
            "code": concept(*_kind(record), *local, text=", ".join(procedures) or record.discipline),
            "subject": reference("Patient", record.patient_id),
            "effectiveDateTime": instant(document.observed_at) if document.observed_at else "",
            "issued": instant(document.signed_at),
            "performer": [{"display": document.center_name}],
            "resultsInterpreter": [*writer, _person(document.signer, document.signer_name, systems)],
            "result": [
                reference("Observation", observation_id(record, part), part.display) for part in parts(record, document)
            ],
            "imagingStudy": references("ImagingStudy", record.study_ids),
            "conclusion": document.text.impression,
            "presentedForm": [_attachment(record, document, pdf)],
        }
    )


def document_reference(record: ReportRecord, document: SignedReport, systems: Systems, pdf: str) -> Resource:
    """The sealed PDF of the version; one of a withdrawn report is entered in error, one that another replaced is
    superseded."""
    status = "superseded" if record.state == "superseded" else "current"
    relation = "appends" if document.status == "addendum" else "replaces"
    related = [{"code": relation, "target": reference("DocumentReference", record.former_id)}]
    return made(
        {
            "resourceType": "DocumentReference",
            "id": record.version_id,
            "meta": {"lastUpdated": instant(record.signed_at)},
            "masterIdentifier": version_identifier(record, systems),
            "status": "entered-in-error" if record.withdrawn else status,
            "docStatus": DOCUMENT_STATUS[document.status],
            "type": concept(*_kind(record)),
            "category": [concept((SECTION, SECTIONS.get(record.discipline, ""), ""))],
            "subject": reference("Patient", record.patient_id),
            "date": instant(document.signed_at),
            "author": [_person(document.writer, document.writer_name, systems)],
            "authenticator": _person(document.signer, document.signer_name, systems),
            "custodian": {"display": document.head.institution_name or document.center_name},
            "relatesTo": related if record.former_id else [],
            "description": document.reason,
            "content": [{"attachment": _attachment(record, document, pdf)}],
            "context": {"related": [reference("DiagnosticReport", record.report_id)]},
        }
    )


def version_identifier(record: ReportRecord, systems: Systems) -> Element:
    """The number of one version of a report."""
    return identifier(systems.of("report-version"), f"{record.report_id}.{record.number}")


def _kind(record: ReportRecord) -> list[tuple[str, str, str]]:
    return [_KINDS[record.discipline]] if record.discipline in _KINDS else []


def _person(login: str, name: str, systems: Systems) -> Element:
    return made({"identifier": identifier(systems.of("user"), login), "display": name})


def _attachment(record: ReportRecord, document: SignedReport, pdf: str) -> Element:
    return {
        "contentType": "application/pdf",
        "url": pdf,
        "size": record.pdf_size or None,
        "title": f"{record.report_id}.{record.number}.pdf",
        "creation": instant(document.signed_at),
    }


def _narrative(document: SignedReport) -> str:
    """The words of the version, for whoever shows only these (R4 2.4)."""
    text = document.text
    paragraphs = [line for words in (text.critical, text.findings, text.impression) for line in words.split("\n")]
    shown = "".join(f"<p>{html.escape(clean(line), quote=False)}</p>" for line in paragraphs if clean(line))
    return f'<div xmlns="{_XHTML}">{shown or "<p>-</p>"}</div>'
