"""Provenance (FHIR R4): who wrote and who signed a version, when, and with which certificate its PDF is sealed."""

from __future__ import annotations

from typing import Final

from interfaces.fhir.elements import Element, Resource, concept, identifier, instant, made, reference
from interfaces.fhir.systems import Systems
from worklist.facts import ReportRecord, SealedBy, SignedReport

_ROLE: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_OPERATION: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_DONE: Final = {
    "preliminary": "CREATE",
    "final": "CREATE",
    "corrected": "UPDATE",
    "addendum": "APPEND",
    "withdrawal": "NULLIFY",
}


def provenance(record: ReportRecord, document: SignedReport, systems: Systems, sealed: SealedBy | None) -> Resource:
    """Who made the version. It targets the version's document, and the report while the version is the current one.

    `sealed` is read from the PDF; None where that is kept elsewhere or cannot be read.
    """
    targets = [reference("DocumentReference", record.version_id)]
    if record.state != "superseded":
        targets.append(reference("DiagnosticReport", record.report_id))
    agents = [
        _agent("author", document.writer, document.writer_name, document.center_name, systems),
        _agent("legal", document.signer, document.signer_name, document.center_name, systems),
    ]
    if sealed is not None:
        key = identifier(systems.of("certificate-sha256"), sealed.sha256)
        agents.append(
            {"type": concept((_ROLE, "custodian", "")), "who": {"identifier": key, "display": sealed.subject}}
        )
    former = {"role": "revision", "what": reference("DocumentReference", record.former_id)}
    return made(
        {
            "resourceType": "Provenance",
            "id": record.version_id,
            "meta": {"lastUpdated": instant(record.signed_at)},
            "target": targets,
            "occurredDateTime": instant(document.signed_at),
            "recorded": instant(record.signed_at),
            "reason": [{"text": document.reason}],
            "activity": concept((_OPERATION, _DONE[document.status], "")),
            "agent": agents,
            "entity": [former] if record.former_id else [],
        }
    )


def _agent(role: str, login: str, name: str, center: str, systems: Systems) -> Element:
    who = {"identifier": identifier(systems.of("user"), login), "display": name}
    return {"type": concept((_ROLE, role, "")), "who": who, "onBehalfOf": {"display": center}}
