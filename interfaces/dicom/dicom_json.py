"""Attributes in the DICOM JSON Model (PS3.18 annex F), built from plain values.

A data set is ``{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}, …}``: tags are eight upper-case hexadecimal digits, in
ascending order, and an attribute without a value has no ``Value`` (F.2.5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from worklist.facts import PersonName

Attribute = dict[str, Any]
DataSet = dict[str, Attribute]

CHARACTER_SET: Final = "ISO_IR 192"
"""JSON is UTF-8, whatever the bytes of the object are in (F.2.1.1)."""
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBERS: Final = frozenset({"DS", "FL", "FD", "IS", "SL", "SS", "SV", "UL", "US", "UV"})


def attribute(vr: str, *values: str | int | float | PersonName | None) -> Attribute:
    """One attribute. Empty values are left out where there are no others, and are ``null`` among others (F.2.5).

    Text is padded or cut by nobody: it goes out as it is. A `PersonName` becomes its groups (F.2.2).
    """
    shown = [_value(vr, value) for value in values]
    while shown and shown[-1] is None:
        shown.pop()
    return {"vr": vr, "Value": shown} if shown else {"vr": vr}


def data_set(attributes: Mapping[str, Attribute] | Iterable[tuple[str, Attribute]]) -> DataSet:
    """Attributes by tag, in the order of their tags. Tags are eight hexadecimal digits or keywords.

    Raises
    ------
    ValueError
        a name that is neither.
    """
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    found = {}
    for name, value in pairs:
        tag = tag_of(name)
        if tag is None:
            raise ValueError(f"not an attribute: {name}")
        found[tag] = value
    return dict(sorted(found.items()))


def encode(data_sets: Sequence[DataSet]) -> bytes:
    """Data sets as a JSON array in UTF-8."""
    return json.dumps(data_sets, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def tag_of(name: str) -> str | None:
    """The tag that a keyword of PS3.6 or eight hexadecimal digits name, in upper case; None for anything else."""
    if _TAG.fullmatch(name):
        return name.upper()
    tag = tag_for_keyword(name) if name else None  # retired attributes without a keyword would answer to ""
    return None if tag is None else f"{tag:08X}"


def is_standard(tag: str) -> bool:
    """Whether PS3.6 lists the attribute of this tag (eight hexadecimal digits)."""
    try:
        dictionary_VR(int(tag, 16))
    except KeyError:
        return False
    return True


def _value(vr: str, value: str | int | float | PersonName | None) -> Any:
    if isinstance(value, PersonName):
        groups = {"Alphabetic": value.alphabetic, "Ideographic": value.ideographic}
        return {name: text for name, text in groups.items() if text} or None
    if value is None or value == "":
        return None
    if vr == "PN":
        return {"Alphabetic": value}
    if vr in _NUMBERS and isinstance(value, str):
        return float(value) if vr in ("DS", "FL", "FD") else int(value)
    return value
