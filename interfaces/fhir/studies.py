"""ImagingStudy (FHIR R4): a study with its series. Its objects are found and fetched over DICOMweb."""

from __future__ import annotations

from typing import Final

from interfaces.fhir.elements import (
    DCM,
    Resource,
    clean,
    concept,
    day,
    identifier,
    instant,
    made,
    reference,
    references,
)
from interfaces.fhir.systems import DICOM_UID, Systems
from worklist.facts import StudyRecord

STATUS: Final = "available"
"""A study is known here from its first object on."""
_DOOR: Final = "images"
_CONNECTION: Final = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"


def imaging_study(record: StudyRecord, systems: Systems, address: str) -> Resource:
    """The study. `address` is the DICOMweb service under which it is unambiguous."""
    modalities = dict.fromkeys(series.modality for series in record.series if clean(series.modality))
    return made(
        {
            "resourceType": "ImagingStudy",
            "id": record.id,
            "meta": {"lastUpdated": instant(record.changed_at)},
            "contained": [
                {
                    "resourceType": "Endpoint",
                    "id": _DOOR,
                    "status": "active",
                    "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
                    "payloadType": [concept(text="DICOM")],
                    "address": address,
                }
            ],
            "identifier": [
                {"system": DICOM_UID, "value": f"urn:oid:{record.study_instance_uid}"},
                *(identifier(systems.of("accession"), number, "ACSN") for number in record.accession_numbers),
            ],
            "status": STATUS,
            "modality": [{"system": DCM, "code": code} for code in modalities],
            "subject": reference("Patient", record.patient_id),
            "started": instant(record.acquired_at) if record.acquired_at else day(record.study_date),
            "basedOn": references("ServiceRequest", record.order_ids),
            "endpoint": [{"reference": f"#{_DOOR}"}],
            "numberOfSeries": len(record.series),
            "numberOfInstances": sum(series.instances for series in record.series),
            "description": record.description,
            "series": [
                {
                    "uid": series.series_instance_uid,
                    "number": series.number if series.number is None or series.number >= 0 else None,
                    "modality": {"system": DCM, "code": series.modality},
                    "description": series.description,
                    "numberOfInstances": series.instances,
                    "bodySite": {"display": series.body_part},
                }
                for series in record.series
                if clean(series.modality)  # the standard asks for one; a series that says none is only counted
            ],
        }
    )
