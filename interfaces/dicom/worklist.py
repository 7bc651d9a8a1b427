"""Modality Worklist: a C-FIND identifier to a query, a scheduled step to its answer (PS3.4 annex K)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct
from typing import Final, Literal

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from interfaces.dicom import charset
from interfaces.dicom.elements import known_vr
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, Fields
from interfaces.dicom.query_keys import (
    LONGEST,
    Writer,
    is_date,
    keys_of,
    name_key,
    range_key,
    read_date,
    read_time,
    text_key,
)
from interfaces.dicom.uids import EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN
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

NUMBER_FOR_A_NAME: Final = "ORDER"
"""Stands with the accession number where the device can show no writing of the name: ``ORDER^H261122ABCDEF``."""

Trouble = Literal["", "worklist_name_in_letters", "worklist_name_as_number"]
"""What a device was told in another way than it is; the codes have words."""

VALUES_KEPT: Final = 8192  # most values of an item (its day, procedure, doctor, all that is empty) are others' too

_CHINESE_SETS: Final = frozenset({"ISO_IR 192", "GB18030", "GBK", "ISO 2022 IR 58"})
_TWO_BYTE_LENGTH: Final = frozenset("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_PAD_WITH_NULL: Final = frozenset(("UI", "OB", "UN"))  # PS3.5 6.2

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


@dataclass(frozen=True, slots=True)
class AskedKeys:
    """The tags that an answer carries, in order, each with its VR: what was asked for, and what always comes.

    `codes` are the keys inside code sequences, by the sequence's tag.
    """

    top: tuple[tuple[int, str], ...]
    step: tuple[tuple[int, str], ...]
    codes: tuple[tuple[int, tuple[int, ...]], ...]


def asked_keys(requested: Dataset, extras: Iterable[str] = ()) -> AskedKeys:
    """Every key of an identifier, what always comes (PS3.4 K.6.1.2.2), and what the device insists on.

    Parameters
    ----------
    extras
        As `worklist.rules.worklist_tags.read_worklist_tags` gives them; those inside the step begin with its tag.

    Raises
    ------
    BadInput
        `not_a_dicom_object`.
    """
    ask = Fields(requested)
    step = next(ask.items(_STEP_SEQUENCE), Fields(Dataset()))
    more: tuple[set[int], set[int]] = ({*_ALWAYS}, {*_ALWAYS_IN_STEP})
    for path in extras:
        more["." in path].add(int(path[-8:], 16))
    top_tags = {*keys_of(requested), *more[0]} - {_STEP_SEQUENCE}
    step_tags = {*keys_of(step.dataset), *more[1]}
    codes = []
    for fields, tags in ((ask, top_tags), (step, step_tags)):
        for tag in tags.intersection(_CODE_SEQUENCES):
            inside = next(fields.items(tag), Fields(Dataset())).dataset
            codes.append((tag, tuple(sorted({*keys_of(inside), _CODE_VALUE, _CODING_SCHEME, _CODE_MEANING}))))
    return AskedKeys(
        top=tuple((tag, _vr(tag, requested)) for tag in sorted({*top_tags, SPECIFIC_CHARACTER_SET, _STEP_SEQUENCE})),
        step=tuple((tag, _vr(tag, step.dataset)) for tag in sorted(step_tags)),
        codes=tuple(codes),
    )


def write_worklist_item(
    item: WorklistItem, asked: AskedKeys, *, character_set: str, transfer_syntax: str
) -> tuple[bytes, Trouble]:
    """The answer to one match, encoded: every key of `asked`, empty where we do not know it (PS3.4 K.6.1.2.2).

    Text is in `character_set` (see `charset.encode`). Descriptions longer than their VR are cut; one that the set
    cannot carry comes back empty (the procedure's as its code), never altered. A name that it cannot carry comes in
    letters, and where there are none the accession number stands in its place, so that the patient is still on the
    worklist; the second value says so.

    Raises
    ------
    BadInput
        `unencodable_text`, `value_too_long` or `invalid_uid` where that would befall a number or a UID that ties
        images to the order; `unknown_character_set`.
    """
    encode = _encoder(character_set, transfer_syntax)
    write = encode.write
    name, trouble = _name(write, item)
    if not write.can_show(item.procedure_name):
        item = replace(item, procedure_name=item.procedure_code)
    codes = dict(asked.codes)
    values: dict[int, str | PersonName] = _top_values(item, name) | {SPECIFIC_CHARACTER_SET: "\\".join(write.label)}
    of_step = _step_values(item)
    step = b"".join(
        _sequence(encode, item, tag, codes) if vr == "SQ" else encode.value(tag, vr, of_step.get(tag, ""))
        for tag, vr in asked.step
    )
    out = []
    for tag, vr in asked.top:
        if tag == _STEP_SEQUENCE:
            out.append(encode.element(tag, vr, encode.item(step)))
        elif vr == "SQ":
            out.append(_sequence(encode, item, tag, codes))
        elif tag != SPECIFIC_CHARACTER_SET or write.label:
            out.append(encode.value(tag, vr, values.get(tag, "")))
    return b"".join(out), trouble


def _name(write: Writer, item: WorklistItem) -> tuple[PersonName, Trouble]:
    """The name as the device can show it."""
    name = item.patient.name
    if _can_show(write, name.alphabetic) and _can_show(write, name.ideographic):
        return name, ""
    if name.alphabetic and _can_show(write, name.alphabetic):
        # A device for Latin letters alone gets letters by design.
        return PersonName(alphabetic=name.alphabetic), "worklist_name_in_letters" if _is_chinese(write.label) else ""
    return PersonName(alphabetic=f"{NUMBER_FOR_A_NAME}^{item.accession_number}"), "worklist_name_as_number"


def _can_show(write: Writer, group: str) -> bool:
    """Whether a component group can be written: `=` and a backslash would move text into another group or value."""
    return write.can_show(group) and not {"=", "\\"} & set(group)


def _is_chinese(label: Iterable[str]) -> bool:
    """Whether a Specific Character Set carries Chinese."""
    return not _CHINESE_SETS.isdisjoint(label)


class _Encoder:
    """Elements in the encoding of a transfer syntax (PS3.5 7.1), sequences and items with their lengths."""

    def __init__(self, write: Writer, transfer_syntax: str) -> None:
        order = ">" if transfer_syntax == EXPLICIT_BIG_ENDIAN else "<"
        self.write = write
        self._implicit = transfer_syntax == IMPLICIT_LITTLE_ENDIAN
        self._plain, self._short, self._long = _HEADERS[order]

    @lru_cache(maxsize=VALUES_KEPT)  # noqa: B019 - encoders are few and stay
    def value(self, tag: int, vr: str, value: str | PersonName) -> bytes:
        """An element with `value`; empty where it only describes and the device cannot show it as it is."""
        return self.element(tag, vr, self.write.raw(tag, vr, value) if value else b"")

    def element(self, tag: int, vr: str, raw: bytes) -> bytes:
        """An element with an encoded value."""
        if len(raw) & 1:
            raw += b"\0" if vr in _PAD_WITH_NULL else b" "
        if self._implicit:
            return self._plain(tag >> 16, tag & 0xFFFF, len(raw)) + raw
        if vr in _TWO_BYTE_LENGTH:
            return self._short(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), len(raw)) + raw
        return self._long(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), len(raw)) + raw

    def item(self, inside: bytes) -> bytes:
        """An item of a sequence."""
        return self._plain(0xFFFE, 0xE000, len(inside)) + inside


@lru_cache(maxsize=64)
def _encoder(character_set: str, transfer_syntax: str) -> _Encoder:
    return _Encoder(Writer(character_set, must_be_told=_MUST_BE_TOLD, numbers=_NUMBERS), transfer_syntax)


_HEADERS: Final = {
    order: (Struct(order + "HHL").pack, Struct(order + "HH2sH").pack, Struct(order + "HH2sxxL").pack) for order in "<>"
}


def _top_values(item: WorklistItem, name: PersonName) -> dict[int, str | PersonName]:
    patient = item.patient
    return {
        0x00080050: item.accession_number,
        0x00080080: item.institution_name,
        0x00080090: _doctor(item.ordering_doctor),  # Referring Physician
        0x00100010: name,
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


def _step_values(item: WorklistItem) -> dict[int, str | PersonName]:
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


def _vr(tag: int, asked: Dataset) -> str:
    """The VR of PS3.6; of a private key the one it was asked with."""
    vr = known_vr(tag)
    if vr == "UN" and tag in asked:
        vr = asked.get_item(BaseTag(tag)).VR or "UN"
    return vr


def _sequence(encode: _Encoder, item: WorklistItem, tag: int, codes: dict[int, tuple[int, ...]]) -> bytes:
    """A sequence: a code sequence with its item (PS3.3 8.8) and the keys asked for inside it, any other empty."""
    inside = b""
    if tag in codes and item.procedure_code and len(item.procedure_code) <= LONGEST["SH"]:
        values = {
            _CODE_VALUE: item.procedure_code,
            _CODING_SCHEME: _OUR_CODING_SCHEME,
            _CODE_MEANING: item.procedure_name,
        }
        inside = encode.item(b"".join(encode.value(key, known_vr(key), values.get(key, "")) for key in codes[tag]))
    return encode.element(tag, "SQ", inside)
