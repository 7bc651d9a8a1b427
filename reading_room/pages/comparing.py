"""What changed between two reports: their words one by one, and the numbers of an ECG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Protocol

from reading_room.labels import label
from reading_room.words import Words
from worklist.facts import Measurement
from worklist.queries.views import VersionView
from worklist.rules import measurements

Parts = list[tuple[str, str]]
"""("", kept), ("-", gone) and ("+", new), in reading order."""

_WORD = re.compile(r"[A-Za-z0-9.%]+|\s+|.", re.DOTALL)  # a Chinese character is a word
LONGEST = 6000  # words; comparing more would keep everybody waiting


def compare(old: str, new: str) -> Parts:
    """The way from `old` to `new`."""
    before, now = _WORD.findall(old), _WORD.findall(new)
    if max(len(before), len(now)) > LONGEST:
        return [(kind, text) for kind, text in (("-", old), ("+", new)) if text]
    parts: Parts = []
    for tag, a, b, c, d in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if tag == "equal":
            parts.append(("", "".join(before[a:b])))
            continue
        if b > a:
            parts.append(("-", "".join(before[a:b])))
        if d > c:
            parts.append(("+", "".join(now[c:d])))
    return parts


class Worded(Protocol):
    """Anything that has the words and numbers of a report; numbers that were not kept are None."""

    @property
    def findings(self) -> str: ...
    @property
    def impression(self) -> str: ...
    @property
    def critical(self) -> str: ...
    @property
    def measurements(self) -> tuple[Measurement, ...] | None: ...


def changes(old: Worded, new: Worded, _: Words) -> list[tuple[str, Parts]]:
    """The fields that differ, each with its way from `old` to `new`."""
    pairs = (
        (_("Findings"), old.findings, new.findings),
        (_("Impression"), old.impression, new.impression),
        (_("Critical result"), old.critical, new.critical),
    )
    found = [(name, compare(before, now)) for name, before, now in pairs if before != now]
    if old.measurements is not None and new.measurements is not None:
        lines = [_line(*one, _) for one in measurements.changed(old.measurements, new.measurements)]
        if lines:
            found.insert(0, (_("Measurements"), [part for line in lines for part in line]))
    return found


def _line(name: str, was: Measurement | None, now: Measurement | None, _: Words) -> Parts:
    numbers = [(kind, _with_unit(one, _)) for kind, one in (("-", was), ("+", now)) if one is not None]
    return [("", label(_, "ecg", name) + _(": ")), *numbers, ("", "\n")]


def _with_unit(one: Measurement, _: Words) -> str:
    space = "" if one.unit == "deg" else " "
    return f"{one.value}{space}{label(_, 'unit', one.unit)} {one.method}".strip()


def between(versions: Sequence[VersionView], words: Words) -> dict[str, list[tuple[str, Parts]]]:
    """For each issued version (the newest first) what it changed against the one before."""
    return {newer.id: changes(older, newer, words) for newer, older in pairwise(versions)}
