"""Whether a message is built as its version of HL7 v2 says, found out by hl7apy.

Slow (tens of milliseconds): only for senders whose record asks for it, and never inside a transaction.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from interfaces.hl7v2.message import Message, Segment
from worklist.facts import Finding

MOST: Final = 50  # findings kept of one message

_PATTERNS: Final = (
    (re.compile(r"Error: Missing required child (?P<place>\S+)"), "structure_missing"),
    (re.compile(r"Error: Child limit exceeded (?P<place>\S+)"), "structure_repeated"),
    (re.compile(r"Error: Invalid children detected for .*: \[(?P<place>.*)\]"), "structure_not_allowed"),
    (re.compile(r"Error: Unknown element found: (?P<place>\S+)"), "structure_not_allowed"),
    (re.compile(r"Error: Datatype \S+ is not correct for (?P<place>\S+)"), "structure_type"),
    (re.compile(r"Warning: Value .* not in table \S+ in element (?P<place>\S+)"), "value_not_in_table"),
    (re.compile(r"Warning: Exceeded max length \(\d+\) of (?P<place>\S+)"), "value_longer"),
)
_CHOICE: Final = ("OBR", "RQD", "RQ1", "RXO", "ODS", "ODT")
"""Of these an order has one; hl7apy asks for all."""

_ADT_STRUCTURES: Final = {
    **dict.fromkeys(("A01", "A04", "A08"), "ADT_A01"),
    "A02": "ADT_A02",
    "A03": "ADT_A03",
    "A11": "ADT_A09",
    **dict.fromkeys(("A28", "A31"), "ADT_A05"),
    "A40": "ADT_A39",
    "A47": "ADT_A30",
}
"""Table 0354: which structure an event shares. Many senders leave MSH-9.3 out, or write the event there."""

_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})_(\d+)$")


def check(message: Message) -> tuple[Finding, ...]:
    """What is not after the standard, errors first, at most `MOST`. No value of the message is repeated in it."""
    try:
        parsed = parse_message(_written(message), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True)
        lines = _report(parsed)
        misplaced = Counter(s.name for s in message.segments if s.name[0] != "Z") - Counter(_placed(parsed))
    except HL7apyException as error:
        return (Finding("structure_unreadable", type(error).__name__, is_error=True),)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:  # hl7apy stumbles over oddities
        return (Finding("structure_unreadable", type(error).__name__, is_error=True),)
    found = [Finding("structure_not_allowed", name) for name in misplaced]
    found += [finding for line in lines if (finding := _finding(line)) is not None]
    return tuple(dict.fromkeys(found))[:MOST]


def _placed(element: Any) -> Iterator[str]:
    """The names of the segments that found a place in the structure; hl7apy passes over the others in silence."""
    for child in element.children:
        if child.classname == "Segment":
            yield child.name
        else:
            yield from _placed(child)


def _report(parsed: Any) -> list[str]:
    """hl7apy raises its first error only; its report names all."""
    with tempfile.TemporaryDirectory(prefix="huren-check-") as folder:
        report = Path(folder) / "report"
        try:
            parsed.validate(report_file=str(report))
        except HL7apyException:
            if not report.exists():
                raise
        return report.read_text().splitlines()


def _written(message: Message) -> str:
    return "\r".join([_header(message), *(_line(segment) for segment in message.segments[1:])]) + "\r"


def _line(segment: Segment) -> str:
    mark = segment.separators.field
    return mark.join(segment.fields)


def _header(message: Message) -> str:
    """MSH with the structure that the type has in that version."""
    header, msh = message.header, message.segments[0]
    fields = list(msh.fields[2:])  # its first field is the separator itself
    if len(fields) > 10:
        structure = _ADT_STRUCTURES.get(header.trigger_event, "") if header.message_code == "ADT" else ""
        if structure == "ADT_A05" and header.version in ("2.3", "2.3.1"):
            structure = "ADT_A01"
        structure = structure or f"{header.message_code}_{header.trigger_event}"
        fields[7] = msh.separators.component.join((header.message_code, header.trigger_event, structure))
        fields[10] = header.version
    return "MSH" + msh.separators.field + msh.separators.field.join(fields)


def _finding(line: str) -> Finding | None:
    """One line of the report, without the value that it quotes; None for what is hl7apy's own affair."""
    if "<Field MSH_9 " in line:
        return None  # version 2.3 has no third component, which we wrote for hl7apy
    for pattern, code in _PATTERNS:
        if match := pattern.match(line):
            group, _, child = match["place"].rpartition(".")
            if code == "structure_missing" and child in _CHOICE and group.startswith(("ORM_", "ORR_")):
                return None
            return Finding(code, _place(match["place"]), is_error=line.startswith("Error"))
    return Finding("structure_unreadable", "", is_error=True) if line.startswith("Error") else None


def _place(written: str) -> str:
    """``PID.PID_5`` as people write it: PID-5; of groups only the innermost name."""
    names = [name.strip("'\" <>") for name in written.replace(",", ".").split(".")]
    last = next((name for name in reversed(names) if name), "")
    if match := _FIELD.match(last):
        return f"{match[1]}-{match[2]}"
    return last if re.fullmatch(r"[A-Z0-9_]{1,60}", last) else ""
