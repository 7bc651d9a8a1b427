"""Modality Performed Procedure Step: what a device says it is doing and has done (PS3.4 annex F)."""

from __future__ import annotations

from typing import Literal

from pydicom.dataset import Dataset

from interfaces.dicom.fields import Fields
from interfaces.dicom.uids import is_valid_uid
from worklist.errors import BadInput
from worklist.facts import ProcedureStepFacts, RequestReference

_SCHEDULED_STEP_ATTRIBUTES = 0x00400270
_PERFORMED_SERIES = 0x00400340
_REFERENCED_IMAGES, _REFERENCED_OTHERS = 0x00081140, 0x00400220
_REFERENCED_SOP_INSTANCE = 0x00081155
_DISCONTINUATION_REASON = 0x00400281

_Status = Literal["IN PROGRESS", "COMPLETED", "DISCONTINUED", ""]
_STATUSES: tuple[_Status, ...] = ("IN PROGRESS", "COMPLETED", "DISCONTINUED", "")


def read_create(
    attribute_list: Dataset, sop_instance_uid: str, *, assumed_character_set: str = ""
) -> ProcedureStepFacts:
    """An N-CREATE (PS3.4 F.7.2.1). A step without an order has no references, or only a study's UID.

    Raises
    ------
    BadInput
        `bad_step_status` unless it is IN PROGRESS (F.7.2.1.2), `invalid_uid` (with `tag`),
        `not_a_dicom_object`.
    """
    facts = _read(attribute_list, sop_instance_uid, assumed_character_set)
    if facts.status != "IN PROGRESS":
        raise BadInput("bad_step_status")
    return facts


def read_set(
    modification_list: Dataset, sop_instance_uid: str, *, assumed_character_set: str = ""
) -> ProcedureStepFacts:
    """An N-SET (PS3.4 F.7.2.2): what it does not repeat is empty, and `instances` then is ``None``.

    Raises
    ------
    BadInput
        `bad_step_status` for a word that is no status, `invalid_uid` (with `tag`), `not_a_dicom_object`.
    """
    return _read(modification_list, sop_instance_uid, assumed_character_set)


def _read(dataset: Dataset, sop_instance_uid: str, assumed: str) -> ProcedureStepFacts:
    if not is_valid_uid(sop_instance_uid):
        raise BadInput("invalid_uid", tag="00001000")
    step = Fields(dataset, assumed)
    said = step.plain(0x00400252)
    status = next((s for s in _STATUSES if s == said), None)
    if status is None:
        raise BadInput("bad_step_status")
    return ProcedureStepFacts(
        sop_instance_uid=sop_instance_uid,
        status=status,
        references=_references(step),
        patient_id=step.text(0x00100020),
        issuer=step.text(0x00100021),
        patient_name=step.name(0x00100010),
        modality=step.plain(0x00080060),
        step_id=step.text(0x00400253),
        started_date=step.plain(0x00400244),
        started_time=step.plain(0x00400245),
        ended_date=step.plain(0x00400250),
        ended_time=step.plain(0x00400251),
        discontinuation_reason=_reason(step),
        instances=_instances(step),
    )


def _references(step: Fields) -> tuple[RequestReference, ...]:
    found = (
        RequestReference(
            accession_number=item.text(0x00080050),
            study_instance_uid=item.plain(0x0020000D),
            requested_procedure_id=item.text(0x00401001),
            scheduled_step_id=item.text(0x00400009),
        )
        for item in step.items(_SCHEDULED_STEP_ATTRIBUTES)
    )
    return tuple(reference for reference in found if reference != RequestReference())


def _reason(step: Fields) -> str:
    """The meaning of the first code given, else its value."""
    for item in step.items(_DISCONTINUATION_REASON):
        return item.text(0x00080104) or item.text(0x00080100)
    return ""


def _instances(step: Fields) -> tuple[str, ...] | None:
    """What the device made, each once, in its order; images and others alike (PS3.3 C.4.15)."""
    if _PERFORMED_SERIES not in step.dataset:
        return None
    uids: dict[str, None] = {}
    for series in step.items(_PERFORMED_SERIES):
        for sequence in (_REFERENCED_IMAGES, _REFERENCED_OTHERS):
            for item in series.items(sequence):
                uid = item.plain(_REFERENCED_SOP_INSTANCE)
                if not is_valid_uid(uid):
                    raise BadInput("invalid_uid", tag=f"{_REFERENCED_SOP_INSTANCE:08X}")
                uids[uid] = None
    return tuple(uids)
