"""ServiceRequest (FHIR R4): an order."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from interfaces.fhir.elements import Resource, clean, concept, day, identifier, instant, made, reference
from interfaces.fhir.systems import Systems
from worklist.facts import OrderRecord

STATUS: Final = {
    "placed": "active",
    "scheduled": "active",
    "in progress": "active",
    "performed": "active",  # its report is still awaited
    "completed": "completed",
    "rereading": "active",  # images of an earlier examination are read for it
    "recognised": "revoked",  # nothing is performed: an existing result serves
    "cancelled": "revoked",
}
"""Our states as request-status."""
PRIORITY: Final = {"STAT": "stat", "URGENT": "urgent", "ROUTINE": "routine"}


def service_request(record: OrderRecord, systems: Systems) -> Resource:
    """The order. Its code is the catalogue's, and the sender's beside it where that is another."""
    procedure = record.procedure_name or record.sent_text or record.sent_code
    visit = identifier(systems.of("visit", record.institution_code), record.visit_number, "VN")
    return made(
        {
            "resourceType": "ServiceRequest",
            "id": record.id,
            "meta": {"lastUpdated": instant(record.changed_at)},
            "identifier": [
                identifier(systems.of("placer", record.placer_issuer), record.placer_number, "PLAC"),
                identifier(systems.of("accession"), record.accession_number, "ACSN"),
            ],
            "status": STATUS[record.state],
            "intent": "order",
            "priority": PRIORITY[record.priority],
            "code": concept((systems.of("procedure"), record.procedure_code, record.procedure_name), text=procedure),
            "orderDetail": [{"text": record.laterality}] if clean(procedure) else [],
            "subject": reference("Patient", record.patient_id),
            "encounter": {"identifier": visit},
            "occurrenceDateTime": _scheduled(record),
            "authoredOn": instant(record.placed_at),
            "requester": {"display": record.ordering_doctor or record.institution_name},
            "reasonCode": [{"text": record.reason}],
            "bodySite": [{"text": record.body_part}],
            "note": [{"text": record.clinical_information}],
        }
    )


def _scheduled(record: OrderRecord) -> str:
    """When it is to be performed: the day, or the minute where one is set."""
    shown, time = day(record.scheduled_date), record.scheduled_time
    if len(shown) < 10 or len(time) < 4:
        return shown
    try:
        said = datetime.strptime(record.scheduled_date + time[:4], "%Y%m%d%H%M")  # noqa: DTZ007 - the zone follows
    except ValueError:
        return shown
    return said.replace(tzinfo=ZoneInfo(record.timezone)).isoformat(timespec="seconds")
