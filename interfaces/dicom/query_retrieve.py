"""Query/Retrieve: the identifier of a C-FIND, C-MOVE or C-GET to keys, a match to its answer (PS3.4 annex C)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from interfaces.dicom.elements import known_vr
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, Fields, integer, split
from interfaces.dicom.query_keys import (
    Value,
    Writer,
    keys_of,
    name_key,
    range_key,
    read_date,
    read_time,
    text_key,
)
from interfaces.dicom.uids import is_valid_uid
from worklist.errors import BadInput

Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]
LEVELS: Final[tuple[Level, ...]] = ("PATIENT", "STUDY", "SERIES", "IMAGE")

LEVEL: Final = 0x00080052
PATIENT_ID, ISSUER = 0x00100020, 0x00100021
STUDY, SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
UNIQUE: Final[dict[Level, int]] = {"PATIENT": PATIENT_ID, "STUDY": STUDY, "SERIES": SERIES, "IMAGE": INSTANCE}

# Keys of PS3.4 table C.6-1 to C.6-5 that we are asked for and hold no values of: only an empty key matches.
_NOT_HELD: Final[dict[Level, tuple[int, ...]]] = {"PATIENT": (), "STUDY": (0x00200010,), "SERIES": (), "IMAGE": ()}

# What ties an answer to a patient and an object: told exactly, or the answer is left out.
_MUST_BE_TOLD: Final = frozenset({PATIENT_ID, ISSUER, STUDY, SERIES, INSTANCE})
# Comes back asked or not, with what is where: Retrieve AE Title, Instance Availability.
_TOLD: Final = _MUST_BE_TOLD | {LEVEL, 0x00080054, 0x00080056}
_NUMBERS: Final = _MUST_BE_TOLD | {0x00080050}

MOST_UIDS: Final = 10_000  # in one key


@dataclass(frozen=True)
class ImageKeys:
    """Matching keys (PS3.4 C.2.2.2); empty matches all, and `*` and `?` in a text are wild cards.

    Dates are DA, times TM as written, ranges with both ends included. Keys below the level are not read: without
    relational queries they do not belong into the identifier.
    """

    level: Level
    patient_id: str = ""
    issuer: str = ""
    patient_name: str = ""
    sex: str = ""
    birth: tuple[str, str] = ("", "")
    study_uids: tuple[str, ...] = ()
    dates: tuple[str, str] = ("", "")
    times: tuple[str, str] = ("", "")
    accession_number: str = ""
    description: str = ""
    modalities: tuple[str, ...] = ()  # in the study
    series_uids: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    series_number: int | None = None
    series_description: str = ""
    instance_uids: tuple[str, ...] = ()
    sop_class_uids: tuple[str, ...] = ()
    instance_number: int | None = None
    matches_nothing: bool = False  # a key asks for a value of something that is not held


def read_image_keys(
    identifier: Dataset, *, patient_root: bool, retrieving: bool, assumed_character_set: str = ""
) -> ImageKeys:
    """The keys of an identifier, checked against its level (PS3.4 C.4.1.1.3, C.4.2.1.4).

    The unique keys of all levels above are single values; in a retrieve that of the level itself is there too.

    Raises
    ------
    BadInput
        `bad_query_level`: no level of this root; `missing_unique_key`: one is absent, empty, a list above the level
        or a wild card; `invalid_uid`, `bad_date`, `bad_time`, `bad_number`: a value that is none (with `tag`).
    """
    fields = Fields(identifier, assumed_character_set)
    level = fields.plain(LEVEL)
    if level not in LEVELS or (level == "PATIENT" and not patient_root):
        raise BadInput("bad_query_level")
    _check_unique(fields, level, patient_root=patient_root, retrieving=retrieving)
    keys = ImageKeys(
        level,
        patient_id=text_key(fields, PATIENT_ID),
        issuer=text_key(fields, ISSUER),
        study_uids=_uids(fields, STUDY) if level != "PATIENT" else (),
        series_uids=_uids(fields, SERIES) if level in ("SERIES", "IMAGE") else (),
        instance_uids=_uids(fields, INSTANCE) if level == "IMAGE" else (),
    )
    return keys if retrieving else _matching(fields, keys, patient_root=patient_root)


def write_image_match(values: Mapping[int, Value], requested: Dataset, *, character_set: str) -> Dataset:
    """The answer to one match: `values` that were asked for or identify it, and every other key empty.

    Text is encoded here, in `character_set` (see `charset.encode`). A name or description that the set cannot carry
    comes back empty, never altered.

    Raises
    ------
    BadInput
        `unencodable_text`, `value_too_long` or `invalid_uid` for a patient's number or a UID;
        `unknown_character_set`.
    """
    write = Writer(character_set, must_be_told=_MUST_BE_TOLD, numbers=_NUMBERS)
    answer = Dataset()
    if write.label:
        answer[BaseTag(SPECIFIC_CHARACTER_SET)] = DataElement(SPECIFIC_CHARACTER_SET, "CS", list(write.label))
    told = _TOLD.intersection(values)
    for tag in sorted({*keys_of(requested), *told}):
        vr = known_vr(tag)
        if vr == "UN" and tag in requested:
            vr = requested.get_item(BaseTag(tag)).VR or "UN"
        answer[BaseTag(tag)] = write.element(tag, vr, values.get(tag, ""))
    return answer


def _check_unique(fields: Fields, level: Level, *, patient_root: bool, retrieving: bool) -> None:
    depth = LEVELS.index(level)
    for above in LEVELS[0 if patient_root else 1 : depth]:
        tag = UNIQUE[above]
        text = fields.text(tag) if tag == PATIENT_ID else fields.plain(tag)
        if not text or any(mark in text for mark in "*?\\"):
            raise BadInput("missing_unique_key", tag=f"{tag:08X}")
    if retrieving:
        tag = UNIQUE[level]
        text = fields.text(tag) if tag == PATIENT_ID else fields.plain(tag)
        if not text or any(mark in text for mark in ("*?\\" if tag == PATIENT_ID else "*?")):
            raise BadInput("missing_unique_key", tag=f"{tag:08X}")


def _matching(fields: Fields, keys: ImageKeys, *, patient_root: bool) -> ImageKeys:
    """Those keys of the level that are matched. In the study root the patient's belong to the study."""
    found: dict[str, object] = {}
    level = keys.level
    if level == "PATIENT" or (level == "STUDY" and not patient_root):
        found["patient_name"] = name_key(fields, 0x00100010)
        found["sex"] = text_key(fields, 0x00100040)
        found["birth"] = range_key(fields, 0x00100030, "bad_date", read_date)
    if level == "STUDY":
        found["dates"] = range_key(fields, 0x00080020, "bad_date", read_date)
        found["times"] = range_key(fields, 0x00080030, "bad_time", read_time)
        found["accession_number"] = text_key(fields, 0x00080050)
        found["description"] = text_key(fields, 0x00081030)
        found["modalities"] = _any_of(fields, 0x00080061)
    if level == "SERIES":
        found["modality"] = _any_of(fields, 0x00080060)
        found["series_number"] = _number(fields, 0x00200011)
        found["series_description"] = text_key(fields, 0x0008103E)
    if level == "IMAGE":
        found["sop_class_uids"] = _uids(fields, 0x00080016)
        found["instance_number"] = _number(fields, 0x00200013)
    nothing = any(text_key(fields, tag) for tag in _NOT_HELD[level])
    return ImageKeys(**{**vars(keys), **found, "matches_nothing": nothing})


def _uids(fields: Fields, tag: int) -> tuple[str, ...]:
    """List of UID matching (PS3.4 C.2.2.2.2)."""
    found = tuple(part for part in split(fields.raw(tag)) if part)
    if found == ("*",):
        return ()
    if len(found) > MOST_UIDS or not all(is_valid_uid(uid) for uid in found):
        raise BadInput("invalid_uid", tag=f"{tag:08X}")
    return found


def _any_of(fields: Fields, tag: int) -> tuple[str, ...]:
    return tuple(part for part in split(fields.raw(tag)) if part.strip("*"))


def _number(fields: Fields, tag: int) -> int | None:
    text = text_key(fields, tag)
    if not text:
        return None
    number = integer(text)
    if number is None or abs(number) > 2**31 - 1:
        raise BadInput("bad_number", tag=f"{tag:08X}")
    return number
