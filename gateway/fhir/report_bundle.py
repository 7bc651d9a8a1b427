"""One version of a report with all that belongs to it, as a Bundle."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from gateway.fhir.asking import Asking, asking
from gateway.fhir.kinds import KINDS
from gateway.fhir.search import companions
from interfaces.fhir.bundles import collection
from interfaces.fhir.checking import to_json
from interfaces.fhir.elements import Resource, instant
from interfaces.fhir.patients import patient
from interfaces.fhir.reports import version_identifier
from worklist.errors import NotFound
from worklist.facts import PatientRecord
from worklist.people import Actor
from worklist.queries.records import reports

OF_THE_VERSION: Final = ("Observation", "DocumentReference", "Provenance")


def report_bundle(request: Request, by: Actor, version_id: str) -> bytes:
    """The report, its patient as signed, observations, document and provenance, and of its orders and studies those
    that the asker may see. Whoever calls has asked whether they may see the report, and puts the look on record. It
    reads the database.

    Raises
    ------
    NotFound
        ``no_such_report``: of a case that no patient is known of yet.
    """
    ask = asking(request, by)
    found = ask.web.database.read(lambda session: reports.by_version_ids(session, [version_id]))
    if not found:
        raise NotFound("no_such_report")
    record = found[0]
    as_signed = PatientRecord(record.patient_id, ask.document(record).patient)
    belonging = [
        *KINDS["DiagnosticReport"].show(ask, record),
        patient(as_signed, ask.systems),
        *_of(ask, "ServiceRequest", record.order_ids),
        *_of(ask, "ImagingStudy", record.study_ids),
        *(made for kind in OF_THE_VERSION for made in KINDS[kind].show(ask, record)),
    ]
    return to_json(collection(ask.base, version_identifier(record, ask.systems), instant(record.signed_at), belonging))


def _of(ask: Asking, kind: str, ids: tuple[str, ...] | list[str]) -> list[Resource]:
    return companions(ask, KINDS[kind], ids)[0]
