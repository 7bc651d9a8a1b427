"""What the fields of HL7 v2 messages are called, for whoever reads a message without knowing the standard by heart.

Only what these messages carry in practice (HL7 v2 chapters 2 to 7); a field without a word shows its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from interfaces.hl7v2.escapes import unescape
from interfaces.hl7v2.message import Message, Segment
from reading_room.words import N_, Words
from worklist.errors import BadInput

MOST_SEGMENTS: Final = 2000
MOST_READABLE: Final = 40_000  # characters of JSON or XML
_LONG_BASE64: Final = re.compile(r"[A-Za-z0-9+/=]{400,}")
LONGEST_SHOWN: Final = 8000  # characters of one field or segment
SHOWN_FIELDS: Final = 60

SEGMENTS: Final[dict[str, str]] = {
    "MSH": N_("Message header"),
    "EVN": N_("Event"),
    "PID": N_("Patient"),
    "PD1": N_("More about the patient"),
    "NK1": N_("Next of kin"),
    "MRG": N_("Number that is merged away"),
    "PV1": N_("Visit"),
    "PV2": N_("More about the visit"),
    "AL1": N_("Allergy"),
    "DG1": N_("Diagnosis"),
    "ORC": N_("Order control"),
    "OBR": N_("Request"),
    "OBX": N_("Result"),
    "NTE": N_("Remark"),
    "SPM": N_("Specimen"),
    "IPC": N_("Imaging procedure"),
    "TQ1": N_("When it is to be done"),
    "ZDS": N_("Study"),
    "MSA": N_("Acknowledgement"),
    "ERR": N_("Error"),
}

_NUMBER: Final = N_("Number in the message")
_OWN: Final = N_("The sender's own (Z segment)")
_PLACER: Final = N_("Number of the HIS")
_FILLER: Final = N_("Our number")

FIELDS: Final[dict[str, str]] = {
    "MSH-3": N_("Sending application"),
    "MSH-4": N_("Sending facility"),
    "MSH-5": N_("Receiving application"),
    "MSH-6": N_("Receiving facility"),
    "MSH-7": N_("Sent"),
    "MSH-9": N_("Kind of message"),
    "MSH-10": N_("Control id"),
    "MSH-11": N_("Processing"),
    "MSH-12": N_("Version of HL7"),
    "MSH-15": N_("Wants to hear that it arrived"),
    "MSH-16": N_("Wants to hear what became of it"),
    "MSH-18": N_("Character set"),
    "EVN-1": N_("Kind of event"),
    "EVN-2": N_("Recorded"),
    "EVN-6": N_("Happened"),
    "PID-1": _NUMBER,
    "PID-2": N_("Patient number (old style)"),
    "PID-3": N_("Patient numbers"),
    "PID-5": N_("Name of the patient"),
    "PID-6": N_("Mother's name"),
    "PID-7": N_("Birth date"),
    "PID-8": N_("Sex"),
    "PID-11": N_("Address"),
    "PID-13": N_("Telephone"),
    "PID-18": N_("Account"),
    "PID-19": N_("National number (old style)"),
    "PID-29": N_("Time of death"),
    "PV1-1": _NUMBER,
    "PV1-2": N_("Patient class"),
    "PV1-3": N_("Location"),
    "PV1-7": N_("Attending doctor"),
    "PV1-8": N_("Referring doctor"),
    "PV1-19": N_("Visit number"),
    "PV1-44": N_("Admitted"),
    "PV1-45": N_("Discharged"),
    "MRG-1": N_("Earlier patient number"),
    "ORC-1": N_("What is asked or said"),
    "ORC-2": _PLACER,
    "ORC-3": _FILLER,
    "ORC-5": N_("State of the order"),
    "ORC-7": N_("Quantity and time"),
    "ORC-9": N_("Since"),
    "ORC-12": N_("Ordering doctor"),
    "ORC-16": N_("Reason"),
    "OBR-1": _NUMBER,
    "OBR-2": _PLACER,
    "OBR-3": _FILLER,
    "OBR-4": N_("Procedure"),
    "OBR-5": N_("Priority"),
    "OBR-7": N_("Examined"),
    "OBR-13": N_("Clinical information"),
    "OBR-15": N_("Specimen or body part"),
    "OBR-16": N_("Ordering doctor"),
    "OBR-22": N_("Reported"),
    "OBR-24": N_("Discipline"),
    "OBR-25": N_("State of the result"),
    "OBR-27": N_("Quantity, time and priority"),
    "OBR-31": N_("Question"),
    "OBR-32": N_("Signed by"),
    "OBR-33": N_("Written by"),
    "OBR-36": N_("Planned for"),
    "OBX-1": _NUMBER,
    "OBX-2": N_("Type of the value"),
    "OBX-3": N_("What it is"),
    "OBX-5": N_("Value"),
    "OBX-6": N_("Unit"),
    "OBX-7": N_("Normal range"),
    "OBX-8": N_("Abnormal"),
    "OBX-11": N_("State of the result"),
    "OBX-14": N_("Time"),
    "OBX-15": N_("Made at"),
    "OBX-16": N_("Made by"),
    "NTE-3": N_("Remark"),
    "DG1-3": N_("Diagnosis"),
    "DG1-4": N_("Diagnosis in words"),
    "IPC-1": N_("Accession number"),
    "IPC-2": N_("Requested procedure"),
    "IPC-3": N_("Study Instance UID"),
    "IPC-4": N_("Scheduled step"),
    "IPC-5": N_("Modality"),
    "IPC-9": N_("Station"),
    "ZDS-1": N_("Study Instance UID"),
    "MSA-1": N_("Answer"),
    "MSA-2": N_("Control id of the answered message"),
    "MSA-3": N_("In words"),
    "ERR-1": N_("Error"),
    "ERR-2": N_("Where"),
    "ERR-3": N_("Error"),
    "ERR-8": N_("In words"),
}


@dataclass(frozen=True)
class FieldShown:
    """One field of a message: its place in the standard's notation, what that is called, and the value in words."""

    place: str  # "PID-5"
    word: str  # "": the place says it
    value: str


@dataclass(frozen=True)
class SegmentShown:
    """One segment: its name, what it is called, its fields that say something, and the line itself."""

    name: str
    word: str
    fields: tuple[FieldShown, ...]
    raw: str


def shown(message: Message, words: Words) -> list[SegmentShown]:
    """A message for reading, field by field."""
    found = []
    for segment in message.segments[:MOST_SEGMENTS]:
        word = words(SEGMENTS.get(segment.name, ""))
        if not word and segment.name.startswith("Z"):
            word = words(_OWN)
        raw = message.separators.field.join(_rest(segment))
        found.append(SegmentShown(segment.name, word, tuple(_fields(segment, words)), shortened(raw)))
    return found


def shortened(text: str) -> str:
    """Text as it is shown: a document in Base64 would be megabytes that nobody reads."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)})"


def readable(raw: bytes) -> str:
    """JSON or XML as it is shown: JSON on lines of its own, long texts in Base64 cut short."""
    text = raw.decode("utf-8", "backslashreplace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    text = _LONG_BASE64.sub(lambda found: f"{found[0][:40]}… ({len(found[0])})", text)
    return text if len(text) <= MOST_READABLE else f"{text[:MOST_READABLE]}… ({len(text)})"


def _rest(segment: Segment) -> tuple[str, ...]:
    return ("", *segment.fields[2:]) if segment.name == "MSH" else ("", *segment.fields[1:])


def _fields(segment: Segment, words: Words) -> Iterator[FieldShown]:
    first = 3 if segment.name == "MSH" else 1
    for number in range(first, min(len(segment.fields), SHOWN_FIELDS)):
        if value := _value(segment, number):
            place = f"{segment.name}-{number}"
            yield FieldShown(place, words(FIELDS.get(place, "")), shortened(value))


def _value(segment: Segment, number: int) -> str:
    """The field's components, decoded, with a dot between; repetitions one below the other."""
    if segment.is_null(number):
        return '""'
    separators = segment.separators
    lines = []
    for repetition in segment.repetitions(number):
        components = [
            " & ".join(said for part in component.split(separators.subcomponent) if (said := _said(part, segment)))
            for component in repetition.raw.split(separators.component)
        ]
        lines.append(" · ".join(component for component in components if component))
    return "\n".join(line for line in lines if line)


def _said(part: str, segment: Segment) -> str:
    try:
        return unescape(part, segment.separators, segment.codec).strip()
    except BadInput:  # an escape sequence that nobody can read: as it is written
        return part
