"""The query parameters of QIDO-RS (DICOM PS3.18 8.3.4, 10.6.1), strictly read: what is unknown or wrong is refused in
words, what is known and not supported is said in a warning.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from interfaces.dicom.dicom_json import is_standard, tag_of
from interfaces.dicom.uids import is_valid_uid
from worklist.errors import BadInput
from worklist.queries.image_matching import ImageQuery
from worklist.queries.image_views import Place

Level = Literal["study", "series", "instance"]
LEVELS: Final[tuple[Level, ...]] = ("study", "series", "instance")
CONTINUE: Final = "continue"
"""Our own parameter: where the page before ended, from its ``Link``."""
DEFAULT_LIMIT: Final = 100
MOST: Final = 1000  # rows in one answer
MOST_IN_STUDY: Final = 10_000  # series or objects of one study
MOST_OFFSET: Final = 100_000
MOST_UIDS: Final = 500
LONGEST: Final = 256  # characters of a text

_KEYS: Final[dict[str, tuple[Level, str, str]]] = {
    # tag: level, what kind of value, field of ImageQuery
    "00080020": ("study", "date", "date"),
    "00080030": ("study", "time", "time"),
    "00080050": ("study", "text", "accession_number"),
    "00080061": ("study", "modalities", "modalities"),
    "00081030": ("study", "text", "description"),
    "00100010": ("study", "text", "patient_name"),
    "00100020": ("study", "text", "patient_id"),
    "00100021": ("study", "text", "issuer"),
    "00100030": ("study", "date", "birth"),
    "00100040": ("study", "sex", "sex"),
    "0020000D": ("study", "uids", "study_uids"),
    "00080060": ("series", "modalities", "modality"),
    "0008103E": ("series", "text", "series_description"),
    "0020000E": ("series", "uids", "series_uids"),
    "00200011": ("series", "number", "series_number"),
    "00080016": ("instance", "uids", "sop_class_uids"),
    "00080018": ("instance", "uids", "instance_uids"),
    "00200013": ("instance", "number", "instance_number"),
}
_TIME: Final = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?"
_FORMS: Final = {"date": re.compile(r"(\d{8})?(-?)(\d{8})?"), "time": re.compile(rf"({_TIME})?(-?)({_TIME})?")}
_CODE: Final = re.compile(r"[A-Z0-9_ *?]{1,16}")
_WHOLE: Final = re.compile(r"[+-]?\d{1,9}")


@dataclass
class Asked:
    """What one search asks for."""

    level: Level
    query: ImageQuery = field(default_factory=ImageQuery)
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    after: Place | None = None
    fields: set[str] = field(default_factory=set)  # tags of includefield
    every_field: bool = False
    warnings: list[str] = field(default_factory=list)
    matching: tuple[tuple[str, str], ...] = ()  # the pairs that decide what is found: the same search has the same


def read(pairs: Iterable[tuple[str, str]], level: Level, *, study_uid: str = "", series_uid: str = "") -> Asked:
    """The parameters of a search on `level`, within the study and series that the address names.

    Raises
    ------
    BadInput
        ``query_key_unknown``, ``query_key_of_lower_level``, ``query_key_twice``, ``query_value_wrong`` (with
        ``key``), ``offset_too_far``.
    """
    asked = Asked(level, limit=MOST_IN_STUDY if study_uid else DEFAULT_LIMIT)
    named: dict[str, Any] = {"study_uids": (study_uid,), "series_uids": (series_uid,)}
    named = {name: uids for name, uids in named.items() if uids[0]}
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name == "limit":
            asked.limit = min(_count(name, value), MOST_IN_STUDY if study_uid else MOST)
            if not asked.limit:
                raise BadInput("query_value_wrong", key=name)
        elif name == "offset":
            asked.offset = _count(name, value)
            if asked.offset > MOST_OFFSET:
                raise BadInput("offset_too_far", most=MOST_OFFSET)
        elif name == CONTINUE:
            asked.after = place_of(value)
        elif name == "fuzzymatching":
            _fuzzy(asked, value)
        elif name == "includefield":
            _include(asked, value)
        elif name != "accept":  # speaks of the answer: answers.accepted
            _match(asked, found, name, value)
    if asked.after is not None and asked.offset:
        raise BadInput("query_key_twice", key="offset")
    for name in named:
        if name in found:
            raise BadInput("query_key_twice", key="StudyInstanceUID" if name == "study_uids" else "SeriesInstanceUID")
    asked.query = replace(asked.query, **found, **named)
    asked.matching = tuple(sorted((name, str(value)) for name, value in found.items()))
    return asked


def token_of(place: Place) -> str:
    """A place as an opaque word that may stand in an address."""
    plain = json.dumps([place.study_date, place.study_id, *place.inner], separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def place_of(token: str) -> Place:
    """The place that `token_of` wrote. It tells where to go on, never what may be seen.

    Raises
    ------
    BadInput
        ``query_value_wrong``.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        date, study_id, *inner = parts
        shapes = {0: (), 2: (int, str), 4: (int, str, int, str)}
        if not (isinstance(date, str) and isinstance(study_id, str)) or "\0" in date + study_id:
            raise ValueError("not a place")
        if [type(part) for part in inner] != list(shapes[len(inner)]):
            raise ValueError("not a place")
        if any(abs(p) > 2**31 if isinstance(p, int) else "\0" in p for p in inner):
            raise ValueError("not a place")
        f"{date}{study_id}{inner}".encode()
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError) as error:
        raise BadInput("query_value_wrong", key=CONTINUE) from error
    return Place(date, study_id, tuple(inner))


def _match(asked: Asked, found: dict[str, Any], name: str, value: str) -> None:
    tag = tag_of(name)
    if tag is None or not is_standard(tag):
        if all((part := tag_of(p)) is not None and is_standard(part) for p in name.split(".")) and "." in name:
            asked.warnings.append(f"{name} is not supported as a matching key and was passed over")
            return
        raise BadInput("query_key_unknown", key=name[:64])
    if tag not in _KEYS:
        asked.warnings.append(f"{name} is not supported as a matching key and was passed over")
        return
    level, kind, target = _KEYS[tag]
    if LEVELS.index(level) > LEVELS.index(asked.level):
        if target != "modality":
            raise BadInput("query_key_of_lower_level", key=name)
        target = "modalities"  # asked of studies, it can only mean this
    if value.strip(" *") == "":
        return  # universal matching (PS3.4 C.2.2.2.3)
    read_value = _values(kind, target, name, value)
    for part, one in read_value.items():
        if isinstance(one, tuple):
            one = (*found.get(part, ()), *one)
            if len(one) > MOST_UIDS:
                raise BadInput("query_value_wrong", key=name)
        elif part in found:
            raise BadInput("query_key_twice", key=name)
        found[part] = one


def _values(kind: str, target: str, name: str, value: str) -> dict[str, Any]:
    wrong = BadInput("query_value_wrong", key=name)
    if len(value) > (LONGEST if kind != "uids" else 65 * MOST_UIDS) or not value.isprintable():
        raise wrong
    if kind in _FORMS:
        match = _FORMS[kind].fullmatch(value.strip())
        if match is None or not (match[1] or match[3]) or (match[1] and match[3] and not match[2]):
            raise wrong
        first, last = match[1] or "", match[3] or ""
        return {f"{target}_from": first, f"{target}_to": last if match[2] else first or last}
    if kind in ("uids", "modalities"):
        several = tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\\]", value) if part.strip()))
        fits = is_valid_uid if kind == "uids" else _CODE.fullmatch
        if not several or not all(fits(part) for part in several):
            raise wrong
        return {target: several}
    if kind == "number":
        if not _WHOLE.fullmatch(value.strip()):
            raise wrong
        return {target: int(value)}
    if kind == "sex" and value not in ("M", "F", "O"):
        raise wrong
    return {target: value}


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise BadInput("query_value_wrong", key=name)
    return int(value)


def _fuzzy(asked: Asked, value: str) -> None:
    if value not in ("true", "false"):
        raise BadInput("query_value_wrong", key="fuzzymatching")
    if value == "true":  # the words are those of PS3.18 8.3.4.2
        asked.warnings.append("The fuzzymatching parameter is not supported. Only literal matching has been performed.")


def _include(asked: Asked, value: str) -> None:
    for name in value.split(","):
        name = name.strip()
        if name == "all":
            asked.every_field = True
            continue
        parts = [tag_of(part) for part in name.split(".")]
        if None in parts or not name:
            raise BadInput("query_value_wrong", key="includefield")
        asked.fields.add(str(parts[0]))
