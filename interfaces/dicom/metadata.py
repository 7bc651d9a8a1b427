"""A stored object in the DICOM JSON model without its bulk (PS3.18 annex F), and where a bulk value lies.

Nothing here trusts the object: it is walked, not parsed; a value that is not what its VR says is left out, and the
attributes around it stay.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from struct import error as StructError
from struct import iter_unpack
from typing import Any, Final

from pydicom.datadict import dictionary_VR

from interfaces.dicom import charset
from interfaces.dicom.elements import PIXEL_DATA, Buffer, Token, known_vr, view, walk
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, split
from interfaces.dicom.frames import Span, is_video
from interfaces.dicom.objects import open_part10
from interfaces.dicom.uids import DEFLATED_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, is_valid_uid
from worklist.errors import BadInput

Attributes = dict[str, dict[str, Any]]
"""DICOM JSON: eight hexadecimal digits to `vr` and `Value`, `InlineBinary` or `BulkDataURI`."""

LARGEST_INLINE: Final = 1024  # bytes of a binary value that stands in the metadata itself
LARGEST_TEXT: Final = 32 * 1024
AVAILABLE_TRANSFER_SYNTAX: Final = "00083002"
PATIENT: Final = frozenset({"00100010", "00100020", "00100021", "00100024", "00100030", "00100040"})
"""Whom the object is about: what is said instead when identity is corrected or scoped."""
OTHER_IDENTITY: Final = frozenset(
    {
        *("00100011", "00100022", "00100026", "00100027", "00100028"),  # further names, kinds of identifiers
        *("00100032", "00100033", "00100034", "00100035", "00101010"),  # time of birth, other calendars, age
        *("00101000", "00101001", "00101002", "00101005", "00101040", "00101060"),
        *("00100050", "00101050", "00101090", "00101100", "00102154", "00102155"),  # insurance, record, photographs
    }
)
"""Further identifiers, names, addresses and telephones, and what follows from the birth date: wrong with the rest once
identity was corrected."""

_TEXT = frozenset({"LO", "SH", "UC"})
_LONG_TEXT = frozenset({"LT", "ST", "UT", "UR"})
_PLAIN = frozenset({"AE", "AS", "CS", "DA", "DT", "TM", "UI"})
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
BINARY_WORDS: Final = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
NUMBER_WORDS: Final = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "UV": 8, "SV": 8, "FL": 4, "FD": 8}
"""Bytes of a word of each VR whose byte order counts."""
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_PIXEL_REPRESENTATION, _TRAILING_PADDING = 0x00280103, 0xFFFCFFFC
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(frozen=True, slots=True)
class Bulk:
    """Where a bulk value lies: offset and length in bytes in the file, or in the inflated data set.

    `swap` is the width of its words in bytes where they are big endian and leave in little endian (PS3.18 8.7.3.4),
    else 1. `fragments` are spans to be joined: the one stream of a video.
    """

    vr: str
    fragments: tuple[Span, ...]
    swap: int = 1
    inflated: bool = False


@dataclass(slots=True)
class _Level:
    """A data set on its way: its attributes, the character sets in force, and its place in the object."""

    attributes: Attributes
    sets: tuple[str, ...]
    path: str
    items: list[Attributes] = field(default_factory=list)  # of the sequence that is open in it


def attributes(part10: Buffer, *, assumed_character_set: str = "") -> Attributes:
    """All attributes of a Part 10 file but group 0002 and group lengths, in order of their tags.

    Pixel data is a `BulkDataURI` ``instances/{uid}/frames``, other large values ``instances/{uid}/bulkdata/{path}``
    (relative to the series), where the path is made of tags and item numbers (from one), as `find_bulk` takes it.
    Texts are Unicode and Specific Character Set says so. Available Transfer Syntax UID (0008,3002) is added.

    Parameters
    ----------
    assumed_character_set
        As in `charset.decode`.

    Raises
    ------
    BadInput
        As `objects.open_part10` and `elements.walk`; `missing_uid` without a SOP Instance UID.
    """
    syntax, data = open_part10(part10)
    whole = view(data, syntax)
    builder = _Builder(whole, syntax, assumed_character_set)
    for token in walk(whole, syntax):
        builder.take(token)
    found = builder.levels[0].attributes
    uid = str((found.get("00080018", {}).get("Value") or [""])[0])
    if not is_valid_uid(uid):
        raise BadInput("missing_uid", tag="00080018")
    for place, path in builder.bulk:
        place["BulkDataURI"] = f"instances/{uid}/{path}"
    found[AVAILABLE_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [syntax]}
    return dict(sorted(found.items()))


def find_bulk(part10: Buffer, path: str) -> Bulk:
    """The value at `path`, such as ``7FE00010`` or ``54000100/1/54001010``.

    Raises
    ------
    BadInput
        `no_such_bulk_data`, and as `attributes`.
    """
    syntax, data = open_part10(part10)
    whole = view(data, syntax)
    inflated = syntax == DEFLATED_LITTLE_ENDIAN
    before = 0 if inflated else len(memoryview(part10)) - len(data)
    at: list[str] = []
    counts: list[int] = []
    for token in walk(whole, syntax):
        if token.kind == "sequence":
            at.append(f"{token.tag:08X}")
            counts.append(0)
        elif token.kind == "item":
            counts[-1] += 1
        elif token.kind == "sequence end":
            at.pop()
            counts.pop()
        elif token.kind in ("value", "fragments"):
            here = "".join(f"{tag}/{n}/" for tag, n in zip(at, counts, strict=True)) + f"{token.tag:08X}"
            if here == path:
                return _bulk(whole, token, before, syntax, inflated)
    raise BadInput("no_such_bulk_data")


def _bulk(whole: memoryview, token: Token, before: int, syntax: str, inflated: bool) -> Bulk:
    vr = vr_of(token, syntax, signed=False)
    if token.kind == "value":
        word = 1 if token.little else BINARY_WORDS.get(vr) or NUMBER_WORDS.get(vr, 1)
        return Bulk(vr, ((before + token.start, token.end - token.start),), word, inflated)
    fragments, at = [], token.start
    while at + 8 <= token.end:
        length = int.from_bytes(whole[at + 4 : at + 8], "little")
        fragments.append((before + at + 8, length))
        at += 8 + length
    return Bulk(vr, tuple(fragments[1:]), 1, inflated)  # the first item is the offset table


class _Builder:
    def __init__(self, whole: memoryview, syntax: str, assumed: str) -> None:
        self.whole = whole
        self.syntax = syntax
        self.assumed = assumed
        self.levels = [_Level({}, (), "")]
        self.bulk: list[tuple[dict[str, Any], str]] = []
        self.signed = False

    def take(self, token: Token) -> None:
        level = self.levels[-1]
        tag = f"{token.tag:08X}"
        if token.kind == "sequence":
            self.levels.append(_Level({}, level.sets, f"{level.path}{tag}/"))
        elif token.kind == "item":
            path = f"{level.path}{len(level.items) + 1}/"
            self.levels.append(_Level({}, level.sets, path))
        elif token.kind == "item end":
            self.levels.pop()
            self.levels[-1].items.append(dict(sorted(level.attributes.items())))
        elif token.kind == "sequence end":
            self.levels.pop()
            self.levels[-1].attributes[tag] = {"vr": "SQ"} | ({"Value": level.items} if level.items else {})
        elif token.tag & 0xFFFF and token.tag > 0x0007FFFF and token.tag != _TRAILING_PADDING:
            self._element(level, token, tag)

    def _element(self, level: _Level, token: Token, tag: str) -> None:
        vr = vr_of(token, self.syntax, self.signed)
        size = token.end - token.start
        if token.tag in PIXEL_DATA and token.depth == 0:
            level.attributes[tag] = place = {"vr": "OW" if vr == "UN" else vr}
            self.bulk.append((place, f"bulkdata/{tag}" if is_video(self.syntax) else "frames"))
            return
        if size > (LARGEST_INLINE if vr in BINARY_WORDS else LARGEST_TEXT) or token.kind == "fragments":
            level.attributes[tag] = place = {"vr": vr}
            self.bulk.append((place, f"bulkdata/{level.path}{tag}"))
            return
        raw = bytes(self.whole[token.start : token.end])
        if token.tag == SPECIFIC_CHARACTER_SET:
            level.sets = split(raw)
            level.attributes[tag] = {"vr": "CS", "Value": ["ISO_IR 192"]}
            return
        if token.tag == _PIXEL_REPRESENTATION and token.depth == 0:
            self.signed = raw in (b"\x01\x00", b"\x00\x01")
        try:
            level.attributes[tag] = {"vr": vr} | self._value(vr, raw, token.little, level.sets)
        except (ValueError, StructError):
            level.attributes.pop(tag, None)  # not what its VR says: nothing is better than something wrong

    def _value(self, vr: str, raw: bytes, little: bool, sets: Sequence[str]) -> dict[str, Any]:
        if vr in BINARY_WORDS:
            if not little and BINARY_WORDS[vr] > 1:
                raw = swapped(raw, BINARY_WORDS[vr])
            return {"InlineBinary": b64encode(raw).decode("ascii")} if raw else {}
        values = self._values(vr, raw, little, sets)
        return {"Value": values} if values else {}

    def _values(self, vr: str, raw: bytes, little: bool, sets: Sequence[str]) -> list[Any]:
        if vr in _NUMBERS:
            return _numbers(vr, raw, little)
        if vr == "AT":
            return [f"{group:04X}{element:04X}" for group, element in iter_unpack("<HH" if little else ">HH", raw)]
        if vr in _PLAIN:
            return _with_nulls(split(raw), str)
        if vr in ("DS", "IS"):
            return _with_nulls(split(raw), _decimal if vr == "DS" else _integer)
        if vr == "PN":
            names = charset.decode(raw, sets, self.assumed, name=True).rstrip(" \0").split("\\")
            return [_name(name) for name in names] if any(names) else []
        text = charset.decode(raw, sets, self.assumed).rstrip(" \0")
        if vr in _LONG_TEXT:
            return [text] if text else []
        # LO, SH, UC, and a VR that we do not know, which can only be shown.
        return _with_nulls([part.strip(" \0") for part in text.split("\\")] if text else [], str)


def vr_of(token: Token, syntax: str, signed: bool) -> str:
    """The VR to speak of: the stated one; where it is UN or none was stated, the dictionary's (PS3.5 6.2.2)."""
    if token.vr == "UN" and token.tag >> 16 & 1 == 0:
        known = known_vr(token.tag)
        return known if known != "SQ" else "UN"
    if signed and token.vr == "US" and syntax == IMPLICIT_LITTLE_ENDIAN and _may_be_signed(token.tag):
        return "SS"
    known_ones = token.vr in BINARY_WORDS or token.vr in _NUMBERS or token.vr in _TEXT
    return token.vr if known_ones or token.vr in _PLAIN or token.vr in _OTHERS else "UN"


_OTHERS = _LONG_TEXT | {"AT", "DS", "IS", "PN"}


@lru_cache(maxsize=1024)
def _may_be_signed(tag: int) -> bool:
    try:
        return dictionary_VR(tag).startswith("US or SS")
    except KeyError:
        return False


def _with_nulls(values: Sequence[str], read: Callable[[str], Any]) -> list[Any]:
    """Empty values keep their place as null; a value that is empty as a whole has none (PS3.18 F.2.5)."""
    return [read(value) if value else None for value in values] if any(values) else []


def _numbers(vr: str, raw: bytes, little: bool) -> list[Any]:
    numbers = [value for (value,) in iter_unpack(("<" if little else ">") + _NUMBERS[vr], raw)]
    if vr in ("FL", "FD") and not all(math.isfinite(value) for value in numbers):
        raise ValueError(vr)  # JSON has no such number
    return numbers


def _decimal(text: str) -> float:
    if not _DECIMAL.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError("DS")
    return value


def _integer(text: str) -> int:
    value = _decimal(text)
    if not value.is_integer() or abs(value) >= 2**53:
        raise ValueError("IS")
    return int(value)


def _name(text: str) -> dict[str, str] | None:
    groups = (group.strip(" \0") for group in text.split("=")[:3])
    return {word: group for word, group in zip(_GROUPS, groups, strict=False) if group} or None


def swapped(raw: bytes, word: int) -> bytes:
    """Words of `word` bytes in the other byte order; bytes that are no whole words stay as they are."""
    if word < 2 or len(raw) % word:
        return raw
    out = bytearray(len(raw))
    for index in range(word):
        out[index::word] = raw[word - 1 - index :: word]
    return bytes(out)
