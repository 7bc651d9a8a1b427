"""Modality Worklist: a C-FIND identifier to a query, a scheduled step to its answer (PS3.4 annex K)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import TypeAlias

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName as PydicomName

from interfaces.dicom import charset
from interfaces.dicom.elements import known_vr
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, Fields
from interfaces.dicom.uids import is_valid_uid
from worklist.errors import BadInput
from worklist.facts import PersonName, WorklistItem, WorklistQuery

_STEP_SEQUENCE = 0x00400100
_CODE_SEQUENCES = (0x00321064, 0x00400008)  # Requested Procedure Code, Scheduled Protocol Code
_CODE_VALUE, _CODING_SCHEME, _CODE_MEANING = 0x00080100, 0x00080102, 0x00080104
_OUR_CODING_SCHEME = "99HUREN"  # private coding schemes begin with 99 (PS3.16 8.2)

# Most characters of one value; for PN of one component group (PS3.5 table 6.2-1).
_LONGEST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "PN": 64, "LT": 10240, "ST": 1024}

_PARAGRAPH_VR = ("LT", "ST", "UT")
_TEXT_VR = ("LO", "SH", "UC", *_PARAGRAPH_VR)

# What ties images to the order and the patient: told exactly, or the item is refused.
_MUST_BE_TOLD = {0x00080050, 0x00080060, 0x00100010, 0x00100020, 0x0020000D, 0x00401001} | {
    *(0x00400001, 0x00400002, 0x00400003, 0x00400009),
}
# Numbers are never cut: half a number is another number.
_NUMBERS = _MUST_BE_TOLD | {0x00100021, 0x00380010, 0x00402016, 0x00402017, _CODE_VALUE}

_ALWAYS = (0x00080050, 0x00100010, 0x00100020, 0x0020000D, 0x00401001)
_ALWAYS_IN_STEP = (0x00080060, 0x00400001, 0x00400002, 0x00400003, 0x00400009)

_PRIORITIES = {"STAT": "STAT", "URGENT": "HIGH", "ROUTINE": "ROUTINE"}  # PS3.3 C.4.11, (0040,1003)

_DATE = re.compile(r"[0-9]{8}", re.ASCII)
# ACR-NEMA wrote it so, and readers should still take it (PS3.5 6.2).
_OLD_DATE = re.compile(r"([0-9]{4})\.([0-9]{2})\.([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?", re.ASCII)

_Value: TypeAlias = "str | PersonName"


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
    date_from, date_to = _range(step, 0x00400002, "bad_date", _read_date)
    time_from, time_to = _range(step, 0x00400003, "bad_time", _read_time)
    return WorklistQuery(
        patient_name=_name_key(top, 0x00100010),
        patient_id=_key(top, 0x00100020),
        issuer=_key(top, 0x00100021),
        accession_number=_key(top, 0x00080050),
        requested_procedure_id=_key(top, 0x00401001),
        scheduled_step_id=_key(step, 0x00400009),
        study_instance_uid=_key(top, 0x0020000D),
        modality=_key(step, 0x00080060),
        station_ae=_key(step, 0x00400001),
        performing_physician=_name_key(step, 0x00400006),
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
    write = _Writer(character_set)
    ask = Fields(requested)
    step_keys = next(ask.items(_STEP_SEQUENCE), Fields(Dataset())).dataset
    if not write.can_show(item.procedure_name):
        item = replace(item, procedure_name=item.procedure_code)
    top = _top_values(item)
    answer = Dataset()
    if write.label:
        answer[BaseTag(SPECIFIC_CHARACTER_SET)] = DataElement(SPECIFIC_CHARACTER_SET, "CS", list(write.label))
    for tag in sorted({*_keys(requested), *_ALWAYS}):
        answer[BaseTag(tag)] = _answer(write, item, tag, top.get(tag, ""), ask)
    step = Dataset()
    of_step = _step_values(item)
    for tag in sorted({*_keys(step_keys), *_ALWAYS_IN_STEP}):
        step[BaseTag(tag)] = _answer(write, item, tag, of_step.get(tag, ""), Fields(step_keys))
    answer[BaseTag(_STEP_SEQUENCE)] = DataElement(_STEP_SEQUENCE, "SQ", Sequence([step]))
    return answer


def _top_values(item: WorklistItem) -> dict[int, _Value]:
    patient = item.patient
    return {
        0x00080050: item.accession_number,
        0x00080080: item.institution_name,
        0x00080090: _doctor(item.ordering_doctor),  # Referring Physician
        0x00100010: patient.name,
        0x00100020: item.patient_id,
        0x00100021: item.issuer,
        0x00100030: patient.birth_date if _DATE.fullmatch(patient.birth_date) else "",
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


def _step_values(item: WorklistItem) -> dict[int, _Value]:
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


def _keys(dataset: Dataset) -> list[int]:
    """The tags to come back; group lengths and the character set are not keys, the step has its own turn."""
    return [
        int(tag)
        for tag in dataset.keys()  # noqa: SIM118 - iterating a Dataset converts its elements
        if tag & 0xFFFF and tag not in (SPECIFIC_CHARACTER_SET, _STEP_SEQUENCE)
    ]


def _answer(write: _Writer, item: WorklistItem, tag: int, value: _Value, ask: Fields) -> DataElement:
    vr = known_vr(tag)
    if vr == "UN" and tag in ask.dataset:
        vr = ask.dataset.get_item(BaseTag(tag)).VR or "UN"
    if vr != "SQ":
        return write.element(tag, vr, value)
    items = []
    if tag in _CODE_SEQUENCES and item.procedure_code and len(item.procedure_code) <= _LONGEST["SH"]:
        items.append(_code(write, item, next(ask.items(tag), Fields(Dataset())).dataset))
    return DataElement(tag, "SQ", Sequence(items))


def _code(write: _Writer, item: WorklistItem, asked: Dataset) -> Dataset:
    """A code sequence item (PS3.3 8.8) with the keys that were asked for inside it."""
    values = {
        _CODE_VALUE: item.procedure_code,
        _CODING_SCHEME: _OUR_CODING_SCHEME,
        _CODE_MEANING: item.procedure_name,
    }
    code = Dataset()
    for tag in sorted({*_keys(asked), *values}):
        code[BaseTag(tag)] = write.element(tag, known_vr(tag), values.get(tag, ""))
    return code


class _Writer:
    """Makes elements whose text is already encoded, so that pydicom's own encoder never touches it."""

    def __init__(self, character_set: str) -> None:
        self.character_set = character_set
        self.label = charset.label(character_set)

    def element(self, tag: int, vr: str, value: _Value) -> DataElement:
        """An element with `value`; empty where it only describes and the device cannot show it as it is."""
        if value in ("", PersonName()):
            return DataElement(tag, vr, [] if vr == "SQ" else None)
        try:
            return self._filled(tag, vr, value)
        except BadInput:
            if tag in _MUST_BE_TOLD:
                raise
            return DataElement(tag, vr, None)

    def can_show(self, text: str) -> bool:
        """Whether the device's character set carries `text`."""
        try:
            charset.encode(text, self.character_set)
        except BadInput:
            return False
        return True

    def _filled(self, tag: int, vr: str, value: _Value) -> DataElement:
        longest = _LONGEST.get(vr, 1 << 20)
        if isinstance(value, PersonName):
            value = PersonName(value.ideographic[:longest], value.alphabetic[:longest])
            raw = charset.write_name(value, self.character_set)
            return DataElement(tag, "PN", PydicomName(raw, validation_mode=0), already_converted=True)
        if len(value) > longest and tag in _NUMBERS:
            raise BadInput("value_too_long", tag=f"{tag:08X}", keyword=keyword_for_tag(tag), limit=longest)
        if vr == "UI" and not is_valid_uid(value):
            raise BadInput("invalid_uid", tag=f"{tag:08X}")
        if vr not in _TEXT_VR:
            charset.encode(value, "ASCII")
            return DataElement(tag, vr, value[:longest], validation_mode=0)
        if vr in _PARAGRAPH_VR:
            value = "\r\n".join(value.splitlines())
        else:
            value = value if tag in _NUMBERS else " ".join(value.split())
            if any(mark in value for mark in "\\\r\n\f"):  # a backslash begins another value (PS3.5 6.2)
                raise BadInput("unencodable_text", character_set=self.character_set)
        return DataElement(tag, vr, charset.encode(value[:longest], self.character_set), already_converted=True)


def _key(fields: Fields, tag: int) -> str:
    text = fields.text(tag)
    return "" if set(text) == {"*"} else text


def _name_key(fields: Fields, tag: int) -> str:
    name = fields.name(tag)
    for writing in (name.ideographic, name.alphabetic):
        if writing.strip("*^"):
            return writing
    return ""


def _range(fields: Fields, tag: int, code: str, read: Callable[[str], str | None]) -> tuple[str, str]:
    """The two ends of a key like `A`, `A-B`, `A-` or `-B` (PS3.4 C.2.2.2.5)."""
    text = fields.plain(tag)
    if not text.strip("*"):
        return "", ""
    first, dash, last = (part.strip() for part in text.partition("-"))
    low = read(first) if first else ""
    high = read(last) if last else ""
    if low is None or high is None or not (low or high):
        raise BadInput(code, tag=f"{tag:08X}")
    return (low, high) if dash else (low, low)


def _read_date(text: str) -> str | None:
    plain = _OLD_DATE.sub(r"\1\2\3", text)
    if not _DATE.fullmatch(plain):
        return None
    try:
        date(int(plain[:4]), int(plain[4:6]), int(plain[6:]))
    except ValueError:
        return None
    return plain


def _read_time(text: str) -> str | None:
    plain = text.replace(":", "")
    return plain if _TIME.fullmatch(plain) else None
