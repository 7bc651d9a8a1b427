"""The kinds of resources that are served: how each is found, shown, searched for, and what may come along.

What a CapabilityStatement says and what is served are this one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from gateway.fhir import searched
from gateway.fhir.asking import Asking
from gateway.fhir.searched import Parameter
from interfaces.fhir.elements import Resource
from interfaces.fhir.observations import observations
from interfaces.fhir.patients import patient
from interfaces.fhir.provenance import provenance
from interfaces.fhir.reports import diagnostic_report, document_reference
from interfaces.fhir.requests import service_request
from interfaces.fhir.studies import imaging_study
from worklist.facts import Criterion
from worklist.people import Actor
from worklist.queries.records import orders, patients, reports, studies
from worklist.queries.records.searching import Records, Wanted

Ids = Callable[[Any], Sequence[str]]
"""Ids of the resources that a record refers to."""


@dataclass(frozen=True)
class Kind:
    """One kind of resource. Several kinds may be made of one kind of record."""

    name: str
    place: str  # what its id is called in an address
    missing: str  # code of the refusal where there is none
    thing: str  # what a look at it is a look at, in the audit
    of: Callable[[Any], tuple[str, str]]  # (id of that thing, patient id) of a record
    key: Callable[[Any], str]  # by which pages of records go on
    search: Callable[[Session, Wanted], Records[Any]]
    fetch: Callable[[Session, Actor, Sequence[str]], Sequence[Any]]  # by ids, within the asker's scope
    show: Callable[[Asking, Any], list[Resource]]
    parameters: Mapping[str, Parameter]
    includes: Mapping[str, tuple[str, Ids]] = field(default_factory=dict)
    reverse_includes: Mapping[str, tuple[str, Ids]] = field(default_factory=dict)


def _versions(criterion: str, every_version: bool) -> Callable[[Session, Actor, Sequence[str]], Sequence[Any]]:
    def fetch(session: Session, by: Actor, ids: Sequence[str]) -> Sequence[Any]:
        wanted = Wanted(by, (Criterion(criterion, tuple(ids)),), max(len(ids), 1))
        return reports.search(session, wanted, every_version=every_version).items

    return fetch


def _of_observations(session: Session, by: Actor, ids: Sequence[str]) -> Sequence[Any]:
    return _versions("id", False)(session, by, tuple(dict.fromkeys(id.partition("-")[0] for id in ids)))


_PATIENT: Final[tuple[str, Ids]] = ("Patient", lambda record: [record.patient_id])
_ORDERS: Final[tuple[str, Ids]] = ("ServiceRequest", lambda record: record.order_ids)
_VERSION: Final[Ids] = lambda record: [record.version_id]  # noqa: E731 - a table's entry
_REPORT: Final[Ids] = lambda record: [record.report_id]  # noqa: E731


def _subject(name: str) -> dict[str, tuple[str, Ids]]:
    return {f"{name}:subject": _PATIENT, f"{name}:patient": _PATIENT}


def _document(ask: Asking, record: Any) -> list[Resource]:
    return [document_reference(record, ask.document(record), ask.systems, ask.pdf(record))]


def _report(ask: Asking, record: Any) -> list[Resource]:
    return [diagnostic_report(record, ask.document(record), ask.systems, ask.pdf(record))]


_OF_REPORTS: Final[dict[str, Any]] = {
    "missing": "no_such_report",
    "thing": "report",
    "of": lambda record: (record.report_id, record.patient_id),
    "key": lambda record: record.version_id,
}

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "Patient",
            "patient_id",
            missing="no_such_patient",
            thing="patient",
            of=lambda record: (record.id, record.id),
            key=lambda record: record.id,
            search=patients.search,
            fetch=patients.by_ids,
            show=lambda ask, record: [patient(record, ask.systems)],
            parameters=searched.PATIENT,
        ),
        Kind(
            "ServiceRequest",
            "order_id",
            missing="no_such_order",
            thing="order",
            of=lambda record: (record.id, record.patient_id),
            key=lambda record: record.id,
            search=orders.search,
            fetch=orders.by_ids,
            show=lambda ask, record: [service_request(record, ask.systems)],
            parameters=searched.SERVICE_REQUEST,
            includes=_subject("ServiceRequest"),
        ),
        Kind(
            "ImagingStudy",
            "study_id",
            missing="no_such_study",
            thing="study",
            of=lambda record: (record.id, record.patient_id),
            key=lambda record: record.id,
            search=studies.search,
            fetch=studies.by_ids,
            show=lambda ask, record: [imaging_study(record, ask.systems, f"{ask.root}/dicom-web/held/{record.id}")],
            parameters=searched.IMAGING_STUDY,
            includes=_subject("ImagingStudy") | {"ImagingStudy:basedon": _ORDERS},
        ),
        Kind(
            "DiagnosticReport",
            "report_id",
            **_OF_REPORTS,
            search=reports.search,
            fetch=_versions("id", every_version=False),
            show=_report,
            parameters=searched.DIAGNOSTIC_REPORT,
            includes=_subject("DiagnosticReport")
            | {"DiagnosticReport:based-on": _ORDERS, "DiagnosticReport:result": ("Observation", _REPORT)},
            reverse_includes={
                "Provenance:target": ("Provenance", _VERSION),
                "DocumentReference:related": ("DocumentReference", _VERSION),
            },
        ),
        Kind(
            "Observation",
            "observation_id",
            **_OF_REPORTS,
            search=reports.search,
            fetch=_of_observations,
            show=lambda ask, record: observations(record, ask.document(record), ask.systems),
            parameters=searched.OBSERVATION,
            includes=_subject("Observation") | {"Observation:based-on": _ORDERS},
        ),
        Kind(
            "DocumentReference",
            "version_id",
            **_OF_REPORTS,
            search=partial(reports.search, every_version=True),
            fetch=_versions("version", every_version=True),
            show=_document,
            parameters=searched.DOCUMENT_REFERENCE,
            includes=_subject("DocumentReference") | {"DocumentReference:related": ("DiagnosticReport", _REPORT)},
            reverse_includes={"Provenance:target": ("Provenance", _VERSION)},
        ),
        Kind(
            "Provenance",
            "version_id",
            **_OF_REPORTS,
            search=partial(reports.search, every_version=True),
            fetch=_versions("version", every_version=True),
            show=lambda ask, record: [provenance(record, ask.document(record), ask.systems, ask.sealed_by(record))],
            parameters=searched.PROVENANCE,
            includes={"Provenance:patient": _PATIENT, "Provenance:target": ("DocumentReference", _VERSION)},
        ),
    )
}
