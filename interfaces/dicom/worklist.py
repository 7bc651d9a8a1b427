"""Modality Worklist: a C-FIND identifier to a query, a scheduled step to its answer (PS3.4 annex K)."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from interfaces.dicom import charset
from interfaces.dicom.elements import known_vr
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, Fields
from interfaces.dicom.query_keys import (
    LONGEST,
    Value,
    Writer,
    is_date,
    keys_of,
    name_key,
    range_key,
    read_date,
    read_time,
    text_key,
)
from worklist.facts import PersonName, WorklistItem, WorklistQuery

_STEP_SEQUENCE = 0x00400100
_CODE_SEQUENCES = (0x00321064, 0x00400008)  # Requested Procedure Code, Scheduled Protocol Code
_CODE_VALUE, _CODING_SCHEME, _CODE_MEANING = 0x00080100, 0x00080102, 0x00080104
_OUR_CODING_SCHEME = "99HUREN"  # private coding schemes begin with 99 (PS3.16 8.2)

# What ties images to the order and the patient: told exactly, or the item is refused.
_MUST_BE_TOLD = {0x00080050, 0x00080060, 0x00100010, 0x00100020, 0x0020000D, 0x00401001} | {
    *(0x00400001, 0x00400002, 0x00400003, 0x00400009),
}
# Numbers are never cut: half a number is another number.
_NUMBERS = _MUST_BE_TOLD | {0x00100021, 0x00380010, 0x00402016, 0x00402017, _CODE_VALUE}

_ALWAYS = (0x00080050, 0x00100010, 0x00100020, 0x0020000D, 0x00401001)
_ALWAYS_IN_STEP = (0x00080060, 0x00400001, 0x00400002, 0x00400003, 0x00400009)

_PRIORITIES = {"STAT": "STAT", "URGENT": "HIGH", "ROUTINE": "ROUTINE"}  # PS3.3 C.4.11, (0040,1003)


def read_worklist_query(identifier: Dataset, *, assumed_character_set: str = "") -> WorklistQuery:
    """The matching keys of a Modality Worklist C-FIND (PS3.4 K.6.1.2.2).

    A key of `*` alone matches all, as an empty one does. Dates and times stay as written; a single one is
    both ends of its range. A name asked for in two writings is asked for in the ideographic one.

    Raises
    ------
    BadInput
        `bad_date` or `bad_time` (with `tag`) for a range that is none; `not_a_dicom_object`.
    """
    top = Fields(identifier, assumed_character_set)
    step = next(top.items(_STEP_SEQUENCE), Fields(Dataset()))
    date_from, date_to = range_key(step, 0x00400002, "bad_date", read_date)
    time_from, time_to = range_key(step, 0x00400003, "bad_time", read_time)
    return WorklistQuery(
        patient_name=name_key(top, 0x00100010),
        patient_id=text_key(top, 0x00100020),
        issuer=text_key(top, 0x00100021),
        accession_number=text_key(top, 0x00080050),
        requested_procedure_id=text_key(top, 0x00401001),
        scheduled_step_id=text_key(step, 0x00400009),
        study_instance_uid=text_key(top, 0x0020000D),
        modality=text_key(step, 0x00080060),
        station_ae=text_key(step, 0x00400001),
        performing_physician=name_key(step, 0x00400006),
        date_from=date_from,
        date_to=date_to,
        time_from=time_from,
        time_to=time_to,
    )


def write_worklist_item(item: WorklistItem, requested: Dataset, *, character_set: str) -> Dataset:
    """The answer to one match: every key of `requested`, empty where we do not know it (PS3.4 K.6.1.2.2).

    Always with StudyInstanceUID, Requested Procedure ID, accession number, the patient, and of the step its
    ID, station, date, time and modality. Text is encoded here, in `character_set` (see `charset.encode`),
    and kept as bytes that pydicom writes as they are in any transfer syntax. Descriptions longer than their
    VR are cut; one that the set cannot carry comes back empty (the procedure's as its code), never altered.

    Raises
    ------
    BadInput
        `unencodable_text`, `value_too_long` or `invalid_uid` where that would befall the patient's name, a
        number or a UID that ties images to the order; `unknown_character_set`.
    """
    write = Writer(character_set, must_be_told=_MUST_BE_TOLD, numbers=_NUMBERS)
    ask = Fields(requested)
    step_keys = next(ask.items(_STEP_SEQUENCE), Fields(Dataset())).dataset
    if not write.can_show(item.procedure_name):
        item = replace(item, procedure_name=item.procedure_code)
    top = _top_values(item)
    answer = Dataset()
    if write.label:
        answer[BaseTag(SPECIFIC_CHARACTER_SET)] = DataElement(SPECIFIC_CHARACTER_SET, "CS", list(write.label))
    for tag in sorted({*keys_of(requested), *_ALWAYS} - {_STEP_SEQUENCE}):
        answer[BaseTag(tag)] = _answer(write, item, tag, top.get(tag, ""), ask)
    step = Dataset()
    of_step = _step_values(item)
    for tag in sorted({*keys_of(step_keys), *_ALWAYS_IN_STEP}):
        step[BaseTag(tag)] = _answer(write, item, tag, of_step.get(tag, ""), Fields(step_keys))
    answer[BaseTag(_STEP_SEQUENCE)] = DataElement(_STEP_SEQUENCE, "SQ", Sequence([step]))
    return answer


def _top_values(item: WorklistItem) -> dict[int, Value]:
    patient = item.patient
    return {
        0x00080050: item.accession_number,
        0x00080080: item.institution_name,
        0x00080090: _doctor(item.ordering_doctor),  # Referring Physician
        0x00100010: patient.name,
        0x00100020: item.patient_id,
        0x00100021: item.issuer,
        0x00100030: patient.birth_date if is_date(patient.birth_date) else "",
        0x00100040: patient.sex,
        0x001021B0: item.clinical_information,  # Additional Patient History
        0x0020000D: item.study_instance_uid,
        0x00321032: _doctor(item.ordering_doctor),  # Requesting Physician
        0x00321060: item.procedure_name,
        0x00380010: item.visit_number,  # Admission ID
        0x00401001: item.requested_procedure_id,
        0x00401002: item.reason,
        0x00401003: _PRIORITIES[item.priority],
        0x00402016: item.placer_number,
        0x00402017: item.accession_number,  # our filler number
    }


def _step_values(item: WorklistItem) -> dict[int, Value]:
    return {
        0x00080060: item.modality,
        0x00180015: item.body_part,
        0x00200060: item.laterality,
        0x00400001: item.station_ae,
        0x00400002: item.scheduled_date,
        0x00400003: item.scheduled_time,
        0x00400007: item.procedure_name,
        0x00400009: item.scheduled_step_id,
    }


def _doctor(name: str) -> PersonName:
    return PersonName(ideographic=name) if charset.is_ideographic(name) else PersonName(alphabetic=name)


def _answer(write: Writer, item: WorklistItem, tag: int, value: Value, ask: Fields) -> DataElement:
    vr = known_vr(tag)
    if vr == "UN" and tag in ask.dataset:
        vr = ask.dataset.get_item(BaseTag(tag)).VR or "UN"
    if vr != "SQ":
        return write.element(tag, vr, value)
    items = []
    if tag in _CODE_SEQUENCES and item.procedure_code and len(item.procedure_code) <= LONGEST["SH"]:
        items.append(_code(write, item, next(ask.items(tag), Fields(Dataset())).dataset))
    return DataElement(tag, "SQ", Sequence(items))


def _code(write: Writer, item: WorklistItem, asked: Dataset) -> Dataset:
    """A code sequence item (PS3.3 8.8) with the keys that were asked for inside it."""
    values = {
        _CODE_VALUE: item.procedure_code,
        _CODING_SCHEME: _OUR_CODING_SCHEME,
        _CODE_MEANING: item.procedure_name,
    }
    code = Dataset()
    for tag in sorted({*keys_of(asked), *values}):
        code[BaseTag(tag)] = write.element(tag, known_vr(tag), values.get(tag, ""))
    return code
