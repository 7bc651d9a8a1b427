"""Field overrides: what a sender's fields are taken to say, as its record has it. Quirks are data.

Works on the split message, before anything is read from it. The bytes that are kept are what came.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from interfaces.hl7v2.escapes import Separators
from interfaces.hl7v2.message import Message, Segment, header_of
from worklist.errors import BadInput
from worklist.facts import FieldOverride

_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9]\d{0,2})(?:\.([1-9]\d?))?", re.ASCII)
FIXED = {1, 2, 9, 10, 12, 18}
"""Fields of MSH that say how to read and answer the message: they were needed to come this far."""


def place(written: str) -> tuple[str, int, int]:
    """Segment, field and component (0: the whole field) of ``"PV1-3.4"``.

    Raises BadInput ``override_place_invalid``.
    """
    match = _PLACE.fullmatch(written)
    if match is None or (match[1] == "MSH" and int(match[2]) in FIXED):
        raise BadInput("override_place_invalid", field=written[:20])
    return match[1], int(match[2]), int(match[3] or 0)


def override(message: Message, overrides: Sequence[FieldOverride]) -> tuple[Message, bool]:
    """The message as `overrides` say it is to be read, and whether anything was changed.

    Each is applied in turn, to every segment of that name. A source is looked for among the segments of the same
    order (from one ORC to the next), then before the first: what one order says never reaches another. A segment
    that is not there is not made.

    Raises BadInput ``override_place_invalid``.
    """
    segments = list(message.segments)
    changed = False
    groups = _groups(segments)
    for rule in overrides:
        name, number, component = place(rule.field)
        for at, segment in enumerate(segments):
            if segment.name != name:
                continue
            before = _part(segment, number, component)
            if rule.only_empty and before not in ("", '""'):
                continue
            after = _said(segments, groups, at, rule)
            if after is not None and after != before:
                segments[at] = _with(segment, number, component, after)
                changed = True
    if not changed:
        return message, False
    header = header_of(segments[0], message.header.character_set)
    return replace(message, segments=tuple(segments), header=header), True


def _groups(segments: Sequence[Segment]) -> list[int]:
    """For each segment the number of ORCs up to it."""
    groups, count = [], 0
    for segment in segments:
        count += segment.name == "ORC"
        groups.append(count)
    return groups


def _said(segments: Sequence[Segment], groups: Sequence[int], at: int, rule: FieldOverride) -> str | None:
    """What the field is to hold, escaped; None where the source says nothing."""
    if not rule.source:
        return _escaped(rule.value, segments[at].separators)
    name, number, component = place(rule.source)
    for group in dict.fromkeys((groups[at], 0)):
        for other, segment in enumerate(segments):
            if groups[other] == group and segment.name == name and (said := _part(segment, number, component)):
                return said
    return None


def _part(segment: Segment, number: int, component: int) -> str:
    """A field, or one component of its first repetition, as written."""
    raw = segment.raw(number)
    if not component:
        return raw
    parts = raw.split(segment.separators.repetition)[0].split(segment.separators.component)
    return parts[component - 1] if component <= len(parts) else ""


def _with(segment: Segment, number: int, component: int, value: str) -> Segment:
    fields = list(segment.fields) + [""] * (number + 1 - len(segment.fields))
    if component:
        separators = segment.separators
        first, *others = fields[number].split(separators.repetition)
        parts = first.split(separators.component)
        parts += [""] * (component - len(parts))
        parts[component - 1] = value
        value = separators.repetition.join([separators.component.join(parts), *others])
    fields[number] = value
    return replace(segment, fields=tuple(fields))


def _escaped(text: str, separators: Separators) -> str:
    """A constant that a person typed, in the message's own separators. ``^`` parts components."""
    meant = {
        separators.escape: "E",
        separators.field: "F",
        separators.repetition: "R",
        separators.subcomponent: "T",
    }
    written = "".join(f"{separators.escape}{meant[c]}{separators.escape}" if c in meant else c for c in text)
    return written.replace("^", separators.component)
