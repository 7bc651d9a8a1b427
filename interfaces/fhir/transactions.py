"""An issued version as a FHIR transaction for a regional platform, and the platform's answer (FHIR R4 3.1.0.11).

Every entry is a conditional update by an identifier of ours: the same version sent twice changes nothing, and each
version of a report takes the place of the one before in one DiagnosticReport. Images are not part of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from interfaces.fhir.elements import Element, Resource, concept, identifier, instant, made, reference
from interfaces.fhir.observations import observations
from interfaces.fhir.patients import patient
from interfaces.fhir.reports import diagnostic_report, version_identifier
from interfaces.fhir.systems import Systems
from worklist.errors import BadInput
from worklist.facts import CoveredOrder, Identifier, PatientRecord, Publication, Publisher, SignedReport

LONGEST_WORDS: Final = 300  # of what a platform says of one entry


@dataclass(frozen=True)
class EntryRefused:
    """An entry that the platform did not take: which kind of resource, the status, and its own words."""

    kind: str
    status: str
    words: str


def transaction(
    report: SignedReport, publication: Publication, systems: Systems, pdf: bytes | None = None, link: str = ""
) -> Resource:
    """The version with its patient, orders and observations, and the institution that examined. The sealed PDF goes
    inside, or as a `link`, or not at all."""
    record = replace(publication.record, study_ids=())
    told = diagnostic_report(record, report, systems, "")
    told["presentedForm"] = _pdf(report, pdf, link)
    told["performer"] = [reference("Organization", publication.publisher.code), *told.get("performer", ())]
    own = Identifier(report.patient_issuer, report.patient_id)
    said = report.patient
    if own not in [replace(i, kind="") for i in said.identifiers]:
        said = replace(said, identifiers=(own, *said.identifiers))
    who = patient(PatientRecord(record.patient_id, said, publication.documents), systems)
    parts = []
    for part in observations(record, report, systems):
        parts.append(part | {"identifier": [identifier(systems.of("observation-id"), part["id"])]})
    entries = [
        _entry(organization(publication.publisher, systems), systems, _of_institution(publication.publisher, systems)),
        _entry(who, systems, identifier(systems.patient(own.issuer), own.value)),
        *(_entry(_request(o, record.patient_id, systems), systems, _of_order(o, systems)) for o in report.orders),
        *(_entry(part, systems, part["identifier"][0]) for part in parts),
        _entry(made(told), systems, identifier(systems.of("report"), record.report_id)),
    ]
    places = {f"{e['resource']['resourceType']}/{e['resource'].pop('id')}": e["fullUrl"] for e in entries}
    return {
        "resourceType": "Bundle",
        "identifier": version_identifier(record, systems),
        "type": "transaction",
        "timestamp": instant(report.signed_at),
        "entry": [entry | {"resource": made(_placed(entry["resource"], places))} for entry in entries],
    }


def organization(publisher: Publisher, systems: Systems) -> Resource:
    """The institution that examined, with what others judge it by: its grade and region."""
    return made(
        {
            "resourceType": "Organization",
            "id": publisher.code,
            "extension": [
                {"url": systems.of("hospital-grade"), "valueString": publisher.grade} if publisher.grade else {},
                {"url": systems.of("region"), "valueString": publisher.region} if publisher.region else {},
            ],
            "identifier": [
                _of_institution(publisher, systems),
                identifier(systems.of("uscc"), publisher.uscc),
            ],
            "name": publisher.name,
        }
    )


def refused_entries(body: bytes, sent: Resource) -> list[EntryRefused]:
    """What of a transaction was not taken, as its answer says.

    Raises
    ------
    BadInput
        ``unreadable_answer``: no transaction-response with an entry for each that was sent.
    """
    try:
        answer = json.loads(body)
        entries = answer["entry"]
        if answer["type"] != "transaction-response" or len(entries) != len(sent["entry"]):
            raise ValueError("another answer")
        found = [(str(entry["response"]["status"]), entry["response"].get("outcome", {})) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput("unreadable_answer") from error
    return [
        EntryRefused(entry["resource"]["resourceType"], status[:3], outcome_words(outcome))
        for entry, (status, outcome) in zip(sent["entry"], found, strict=True)
        if not status.startswith("2")
    ]


def outcome_words(outcome: bytes | Mapping[str, Any]) -> str:
    """What an OperationOutcome says to people; "" where it is none."""
    try:
        said = json.loads(outcome) if isinstance(outcome, bytes) else outcome
        words = [_issue(issue) for issue in said.get("issue", ())]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ""
    return "; ".join(filter(None, words))[:LONGEST_WORDS]


def _issue(issue: Mapping[str, Any]) -> str:
    return str(issue.get("details", {}).get("text") or issue.get("diagnostics") or issue.get("code") or "")


def _entry(resource: Resource, systems: Systems, known_by: Element) -> Element:
    kind = resource["resourceType"]
    token = quote(f"{known_by['system']}|{known_by['value']}", safe="")
    full = uuid5(NAMESPACE_URL, f"{systems.base}/{kind}/{resource['id']}")
    return {
        "fullUrl": f"urn:uuid:{full}",
        "resource": dict(resource),
        "request": {"method": "PUT", "url": f"{kind}?identifier={token}"},
    }


def _placed(value: Any, places: Mapping[str, str]) -> Any:
    """The resource with its references as they stand in the Bundle. What is not in it is not referred to."""
    if isinstance(value, list):
        return [kept for kept in (_placed(one, places) for one in value) if kept != {}]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("reference"), str):
        there = places.get(value["reference"])
        rest = {name: one for name, one in value.items() if name != "reference"}
        return {"reference": there, **rest} if there else rest
    return {name: _placed(one, places) for name, one in value.items()}


def _of_institution(publisher: Publisher, systems: Systems) -> Element:
    return identifier(systems.of("institution"), publisher.code)


def _of_order(order: CoveredOrder, systems: Systems) -> Element:
    return identifier(systems.of("accession"), order.accession_number, "ACSN")


def _request(order: CoveredOrder, patient_id: str, systems: Systems) -> Resource:
    """The order as its report covers it."""
    return made(
        {
            "resourceType": "ServiceRequest",
            "id": order.order_id,
            "identifier": [_of_order(order, systems)],
            "status": "completed",
            "intent": "order",
            "code": concept(
                (systems.of("procedure"), order.procedure_code, order.procedure_name), text=order.procedure_name
            ),
            "subject": reference("Patient", patient_id),
            "requester": {"display": order.ordering_doctor},
        }
    )


def _pdf(report: SignedReport, pdf: bytes | None, link: str) -> list[Element]:
    def one() -> Iterator[Element]:
        about = {"contentType": "application/pdf", "title": f"{report.report_id}.{report.version}.pdf"}
        if pdf:
            yield about | {"data": base64.b64encode(pdf).decode("ascii"), "creation": instant(report.signed_at)}
        elif link:
            yield about | {"contentType": "text/html", "url": link}

    return list(one())
