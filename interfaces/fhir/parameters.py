"""Values of search parameters (FHIR R4 3.1.1.4) as what is sought."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from interfaces.fhir.systems import DICOM_UID, Systems
from worklist.errors import BadInput
from worklist.facts import DaySpan, Number, Span

LONGEST: Final = 1000  # characters of one parameter
MOST: Final = 50  # values of one parameter
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
DATE: Final = re.compile(
    r"(eq|ge|gt|le|lt|sa|eb)?(\d{4})(?:-(\d{2})(?:-(\d{2})"
    r"(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)?(Z|[+-]\d{2}:\d{2})?)?)?)?",
    re.ASCII,
)
_COMMA: Final = re.compile(r"(?<!\\),")
_BAR: Final = re.compile(r"(?<!\\)\|")


def values(name: str, text: str) -> list[str]:
    """The values of a parameter, one of which is sought (R4 3.1.1.4.17). A comma of a value is written ``\\,``.

    Raises
    ------
    BadInput
        ``query_value_wrong``: none, an empty one, too many or too long.
    """
    found = _COMMA.split(text)
    if len(text) > LONGEST or len(found) > MOST or not all(value.strip() for value in found):
        raise BadInput("query_value_wrong", key=name)
    return [value.strip() for value in found]


def token(value: str) -> tuple[str, bool, str]:
    """``system|code`` as (system, whether one is named, code); a bar of either is written ``\\|``."""
    parts = _BAR.split(value, maxsplit=1)
    return (plain(parts[0]), True, plain(parts[1])) if len(parts) > 1 else ("", False, plain(value))


def plain(value: str) -> str:
    """A value without the escapes of its separators."""
    return re.sub(r"\\([,|$\\])", r"\1", value)


def number(name: str, value: str, systems: Systems) -> Number | None:
    """``system|value``, or a value of any system; None: of a system that nobody here gives numbers in.

    Raises
    ------
    BadInput
        ``query_value_wrong``: a system without a value, or a value that is said to have none.
    """
    system, bar, said = token(value)
    if not said.strip() or (bar and not system):
        raise BadInput("query_value_wrong", key=name)
    if not bar:
        return Number("study" if said.startswith("urn:oid:") else "", None, said.removeprefix("urn:oid:"))
    known = systems.find(system)
    if known is None:
        return None
    if system == DICOM_UID:
        said = said.removeprefix("urn:oid:")
    return Number(*known, said)


def code(value: str, systems: frozenset[str]) -> str:
    """The code of ``system|code`` or ``code``; "" where the system is none of `systems`."""
    system, bar, said = token(value)
    return said if not bar or system in systems else ""


def coded(name: str, value: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What a code stands for with us; a code of the standard that we never give stands for nothing.

    Raises
    ------
    BadInput
        ``query_value_wrong``: no code.
    """
    said = token(value)[2]
    if not said:
        raise BadInput("query_value_wrong", key=name)
    return known.get(said, ())


def resource_id(name: str, value: str, kind: str, base: str) -> str:
    """The id in ``ID``, ``Patient/ID`` or the whole address of a resource of ours; "" for one of another server.

    Raises
    ------
    BadInput
        ``query_value_wrong``: no id of this kind.
    """
    said = plain(value)
    if said.startswith(("http://", "https://")):
        if not said.startswith(f"{base}/{kind}/"):
            return ""
        said = said.removeprefix(f"{base}/")
    said = said.removeprefix(f"{kind}/")
    if not _ID.fullmatch(said):
        raise BadInput("query_value_wrong", key=name)
    return said


def span(name: str, value: str, zone: tzinfo) -> Span:
    """A date or time with its prefix as a stretch of time; what names no zone is of `zone`.

    Raises
    ------
    BadInput
        ``query_value_wrong``: no date, or a prefix that has no sharp meaning here (``ne``, ``ap``).
    """
    prefix, start, end = _stretch(name, value, zone)
    if prefix in ("gt", "sa"):
        return Span(end, None)
    if prefix == "ge":
        return Span(start, None)
    if prefix in ("lt", "eb"):
        return Span(None, start)
    if prefix == "le":
        return Span(None, end)
    return Span(start, end)


def days(name: str, value: str) -> DaySpan:
    """A date with its prefix as days; raises as `span`, and for a time of the day."""
    if "T" in value:
        raise BadInput("query_value_wrong", key=name)
    prefix, start, end = _stretch(name, value, UTC)
    first, last = start.date(), end.date() - timedelta(days=1)
    if prefix in ("gt", "sa"):
        return DaySpan(first=_da(end.date()))
    if prefix == "ge":
        return DaySpan(first=_da(first))
    if prefix in ("lt", "eb"):
        return DaySpan(last=_da(first - timedelta(days=1)))
    if prefix == "le":
        return DaySpan(last=_da(last))
    return DaySpan(_da(first), _da(last))


def _da(day: date) -> str:
    return f"{day.year:04}{day.month:02}{day.day:02}"


def _stretch(name: str, value: str, zone: tzinfo) -> tuple[str, datetime, datetime]:
    """(prefix, beginning, end) of what a date of any precision covers."""
    match = DATE.fullmatch(plain(value).replace(" ", "+"))  # a "+" that was not escaped arrives as a space
    if match is None:
        raise BadInput("query_value_wrong", key=name)
    prefix, year, month, day, hour, minute, second, part, said_zone = match.groups()
    try:
        whole = datetime.fromisoformat(
            f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}"
            f".{(part or '0'):0<6}{(said_zone or '').replace('Z', '+00:00')}"
        )
        start = whole if whole.tzinfo else whole.replace(tzinfo=zone)
        return prefix or "eq", start.astimezone(UTC), _end(start, month, day, minute, second, part).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput("query_value_wrong", key=name) from error


def _end(
    start: datetime, month: str | None, day: str | None, minute: str | None, second: str | None, part: str | None
) -> datetime:
    if month is None:
        return start.replace(year=start.year + 1)
    if day is None:
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    if minute is None:
        return start + timedelta(days=1)
    if second is None:
        return start + timedelta(minutes=1)
    return start + (timedelta(microseconds=10 ** (6 - len(part))) if part else timedelta(seconds=1))
