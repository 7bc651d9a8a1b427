"""What all C-FIND services share (PS3.4 C.2.2.2): keys out of an identifier, and values into an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date
from typing import TypeAlias

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName as PydicomName

from interfaces.dicom import charset
from interfaces.dicom.fields import SPECIFIC_CHARACTER_SET, Fields
from interfaces.dicom.uids import is_valid_uid
from worklist.errors import BadInput
from worklist.facts import PersonName

Value: TypeAlias = "str | int | tuple[str, ...] | PersonName"

# Most characters of one value; for PN of one component group (PS3.5 table 6.2-1).
LONGEST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "PN": 64, "LT": 10240, "ST": 1024}

_PARAGRAPH_VR = ("LT", "ST", "UT")
_TEXT_VR = ("LO", "SH", "UC", *_PARAGRAPH_VR)

_DATE = re.compile(r"[0-9]{8}", re.ASCII)
# ACR-NEMA wrote it so, and readers should still take it (PS3.5 6.2).
_OLD_DATE = re.compile(r"([0-9]{4})\.([0-9]{2})\.([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?", re.ASCII)


def keys_of(dataset: Dataset) -> list[int]:
    """The tags to come back; group lengths and the character set are not keys."""
    return [
        int(tag)
        for tag in dataset.keys()  # noqa: SIM118 - iterating a Dataset converts its elements
        if tag & 0xFFFF and tag != SPECIFIC_CHARACTER_SET
    ]


def text_key(fields: Fields, tag: int) -> str:
    """A text key; empty where it matches all, as `*` alone does."""
    text = fields.text(tag)
    return "" if set(text) == {"*"} else text


def name_key(fields: Fields, tag: int) -> str:
    """A name key, of two writings the ideographic one; empty where it matches all."""
    name = fields.name(tag)
    for writing in (name.ideographic, name.alphabetic):
        if writing.strip("*^"):
            return writing
    return ""


def range_key(fields: Fields, tag: int, code: str, read: Callable[[str], str | None]) -> tuple[str, str]:
    """The two ends of a key like `A`, `A-B`, `A-` or `-B` (PS3.4 C.2.2.2.5).

    Raises
    ------
    BadInput
        `code` (with `tag`) where `read` takes an end for none.
    """
    text = fields.plain(tag)
    if not text.strip("*"):
        return "", ""
    first, dash, last = (part.strip() for part in text.partition("-"))
    low = read(first) if first else ""
    high = read(last) if last else ""
    if low is None or high is None or not (low or high):
        raise BadInput(code, tag=f"{tag:08X}")
    return (low, high) if dash else (low, low)


def read_date(text: str) -> str | None:
    """A DA value without the points of ACR-NEMA, None where it is no day."""
    plain = _OLD_DATE.sub(r"\1\2\3", text)
    if not _DATE.fullmatch(plain):
        return None
    try:
        date(int(plain[:4]), int(plain[4:6]), int(plain[6:]))
    except ValueError:
        return None
    return plain


def read_time(text: str) -> str | None:
    """A TM value without colons, None where it is no time."""
    plain = text.replace(":", "")
    return plain if _TIME.fullmatch(plain) else None


def is_date(text: str) -> bool:
    """Whether `text` has the eight digits of a DA value."""
    return _DATE.fullmatch(text) is not None


class Writer:
    """Makes elements whose text is already encoded, so that pydicom's own encoder never touches it.

    What `must_be_told` names is refused where it cannot be told exactly; `numbers` are never cut, and everything
    else is left empty or cut.
    """

    def __init__(self, character_set: str, *, must_be_told: Collection[int], numbers: Collection[int]) -> None:
        self.character_set = character_set
        self.label = charset.label(character_set)
        self._must_be_told = must_be_told
        self._numbers = numbers

    def element(self, tag: int, vr: str, value: Value) -> DataElement:
        """An element with `value`; empty where it only describes and the device cannot show it as it is."""
        if value in ("", (), PersonName()):
            return DataElement(tag, vr, [] if vr == "SQ" else None)
        if isinstance(value, int):
            return DataElement(tag, vr, str(value) if vr == "IS" else value)
        try:
            return self._filled(tag, vr, value)
        except BadInput:
            if tag in self._must_be_told:
                raise
            return DataElement(tag, vr, None)

    def raw(self, tag: int, vr: str, value: str | PersonName) -> bytes:
        """The value as `element` would hold it, encoded and not padded; empty where that is empty."""
        if not value or value == PersonName():
            return b""
        try:
            return self._raw(tag, vr, value)
        except BadInput:
            if tag in self._must_be_told:
                raise
            return b""

    def can_show(self, text: str) -> bool:
        """Whether the device's character set carries `text`."""
        try:
            charset.encode(text, self.character_set)
        except BadInput:
            return False
        return True

    def _filled(self, tag: int, vr: str, value: str | tuple[str, ...] | PersonName) -> DataElement:
        raw = self._raw(tag, vr, value)
        if isinstance(value, PersonName):
            return DataElement(tag, "PN", PydicomName(raw, validation_mode=0), already_converted=True)
        if vr in _TEXT_VR and isinstance(value, str):
            return DataElement(tag, vr, raw, already_converted=True)
        return DataElement(
            tag, vr, raw.decode("ascii").split("\\") if isinstance(value, tuple) else raw.decode("ascii")
        )

    def _raw(self, tag: int, vr: str, value: str | tuple[str, ...] | PersonName) -> bytes:
        longest = LONGEST.get(vr, 1 << 20)
        if isinstance(value, PersonName):
            value = PersonName(value.ideographic[:longest], value.alphabetic[:longest])
            return charset.write_name(value, self.character_set)
        if isinstance(value, tuple):
            return b"\\".join(charset.encode(one, "ASCII") for one in value)
        if len(value) > longest and tag in self._numbers:
            raise BadInput("value_too_long", tag=f"{tag:08X}", keyword=keyword_for_tag(tag), limit=longest)
        if vr == "UI" and not is_valid_uid(value):
            raise BadInput("invalid_uid", tag=f"{tag:08X}")
        if vr not in _TEXT_VR:
            return charset.encode(value[:longest], "ASCII")
        if vr in _PARAGRAPH_VR:
            value = "\r\n".join(value.splitlines())
        else:
            value = value if tag in self._numbers else " ".join(value.split())
            if any(mark in value for mark in "\\\r\n\f"):  # a backslash begins another value (PS3.5 6.2)
                raise BadInput("unencodable_text", character_set=self.character_set)
        return charset.encode(value[:longest], self.character_set)
