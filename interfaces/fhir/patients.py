"""Patient (FHIR R4): one person as one institution knows them."""

from __future__ import annotations

from typing import Final

from interfaces.fhir.elements import Resource, clean, day, identifier, made, names, reference
from interfaces.fhir.systems import Systems
from worklist.facts import PatientRecord

SEXES: Final = {"M": "male", "F": "female", "O": "other"}
_INTERNAL: Final = "PI"  # HL7 table 0203, for a number whose kind nobody said


def patient(record: PatientRecord, systems: Systems) -> Resource:
    """The patient. Documents without a system that everybody knows are left out, and so is all that nobody said."""
    said = record.said
    numbers = [
        identifier(systems.patient(i.issuer), i.value, i.kind or _INTERNAL, assigner=i.issuer) for i in said.identifiers
    ]
    numbers += [identifier(systems.document(d.kind, d.issuer), d.value, d.kind) for d in record.documents]
    return made(
        {
            "resourceType": "Patient",
            "id": record.id,
            "identifier": numbers,
            "active": not record.merged_into_id,
            "name": names(said.name, is_alias=said.is_alias),
            "telecom": [{"system": "phone", "value": said.phone}] if clean(said.phone) else [],
            "gender": SEXES.get(said.sex, ""),
            "birthDate": day(said.birth_date),
            "address": [{"text": said.address}],
            "link": [{"other": reference("Patient", record.merged_into_id), "type": "replaced-by"}]
            if record.merged_into_id
            else [],
        }
    )
