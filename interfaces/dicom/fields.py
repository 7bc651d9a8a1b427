"""Single values out of raw elements: text through our own character sets, numbers as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import PersonName as PydicomName

from interfaces.dicom import charset
from worklist.errors import BadInput
from worklist.facts import PersonName

SPECIFIC_CHARACTER_SET = 0x00080005

_INTEGER = re.compile(r"[+-]?[0-9]{1,12}", re.ASCII)


def ascii_text(raw: bytes) -> str:
    """A value of a VR without character sets (AE, CS, DA, UI …), padding gone (PS3.5 6.2)."""
    return raw.decode("ascii", "replace").strip(" \0")


def split(raw: bytes) -> tuple[str, ...]:
    """The values of such an element, empty ones kept."""
    text = ascii_text(raw)
    return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()


def integer(text: str) -> int | None:
    """An IS value as a number, ``None`` where it is not one."""
    return int(text) if _INTEGER.fullmatch(text) else None


@dataclass(frozen=True)
class Fields:
    """A Dataset read without pydicom's conversions, together with the character sets in force for it.

    Elements may be raw (from the wire) or already text (made by a caller).
    """

    dataset: Dataset
    assumed: str = ""
    inherited: tuple[str, ...] = ()

    @property
    def character_set(self) -> tuple[str, ...]:
        """Specific Character Set in force: its own, else that of what holds it (PS3.3 C.12.1.1.2)."""
        if SPECIFIC_CHARACTER_SET in self.dataset:
            return split(self.raw(SPECIFIC_CHARACTER_SET))
        return self.inherited

    def raw(self, tag: int) -> bytes:
        """The value as bytes; UTF-8 where it was text already."""
        value = self._value(tag)
        return value if isinstance(value, bytes) else value.encode()

    def text(self, tag: int) -> str:
        """A text value, padding gone."""
        value = self._value(tag)
        if isinstance(value, bytes):
            value = charset.decode(value, self.character_set, self.assumed)
        return value.strip(" \0")

    def name(self, tag: int) -> PersonName:
        """A PN value in its writings."""
        value = self._value(tag)
        if isinstance(value, bytes):
            return charset.read_name(value, self.character_set, self.assumed)
        return charset.read_name(value.encode(), ("ISO_IR 192",))

    def plain(self, tag: int) -> str:
        """A value of a VR without character sets."""
        return ascii_text(self.raw(tag))

    def items(self, tag: int) -> Iterator[Fields]:
        """The items of a sequence; none where it is absent.

        Raises
        ------
        BadInput
            `not_a_dicom_object` where the sequence cannot be taken apart.
        """
        if tag not in self.dataset:
            return
        try:
            # pydicom leaves a sequence of defined length raw until it is asked for.
            items = list(self.dataset[BaseTag(tag)].value or ())
        except Exception as error:
            raise BadInput("not_a_dicom_object", tag=f"{tag:08X}") from error
        for item in items:
            if not isinstance(item, Dataset):
                raise BadInput("not_a_dicom_object", tag=f"{tag:08X}")
            yield Fields(item, self.assumed, self.character_set)

    def _value(self, tag: int) -> bytes | str:
        if tag not in self.dataset:
            return b""
        value = self.dataset.get_item(BaseTag(tag)).value
        if value is None:
            return b""
        if isinstance(value, bytes):
            return value
        if isinstance(value, PydicomName):
            return str(value)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return "\\".join(str(v) for v in value)
        return str(value)
