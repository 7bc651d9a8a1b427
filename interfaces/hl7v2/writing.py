"""Writing HL7 v2: always the standard separators, every value escaped, CR after every segment (chapter 2.6).

Segments are written here and not by hl7apy, whose objects escape the backslashes of ``\\.br\\``; hl7apy
checks the reports that come out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, tzinfo

from interfaces.hl7v2.escapes import escape

OURSELVES = "HUREN"


def composite(*components: str, joint: str = "^") -> str:
    """Components (or, with ``joint="&"``, subcomponents) as one field; empty ones at the end fall away."""
    return joint.join(escape(component) for component in components).rstrip(joint)


def segment(name: str, fields: Mapping[int, str]) -> str:
    """One segment from its fields by number; the values are already escaped."""
    last = max((number for number, value in fields.items() if value), default=0)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))]) + "\r"


def header(fields: Mapping[int, str]) -> str:
    """MSH, whose first field is the separator itself; `fields` starts with MSH-3."""
    return segment("MSH", {1: "^~\\&", **{number - 1: value for number, value in fields.items()}})


def timestamp(moment: datetime, zone: tzinfo | None = None) -> str:
    """A TS to the second with its offset (chapter 2.A.22), in `zone` or the moment's own.

    Raises ValueError for a naive `moment`.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return (moment.astimezone(zone) if zone else moment).strftime("%Y%m%d%H%M%S%z")


def version(written: str, otherwise: str = "2.4") -> str:
    """`written` if it is a version of HL7 v2 that can be answered in kind, else `otherwise`."""
    return written if re.fullmatch(r"2\.[1-9](\.\d)?", written, re.ASCII) else otherwise


def at_least(written: str, minor: int) -> bool:
    """Whether `written`, checked by `version`, is 2.`minor` or later."""
    return int(written.split(".")[1]) >= minor


def message_type(code: str, event: str, structure: str, written: str) -> str:
    """MSH-9, whose third component came with version 2.3.1."""
    if written in ("2.1", "2.2", "2.3"):
        structure = ""
    return composite(code, event, structure)
