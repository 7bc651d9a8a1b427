"""What changed between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Protocol

from reading_room.words import Words
from worklist.queries.views import VersionView

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
    """Anything that has the words of a report."""

    @property
    def findings(self) -> str: ...
    @property
    def impression(self) -> str: ...
    @property
    def critical(self) -> str: ...


def changes(old: Worded, new: Worded, _: Words) -> list[tuple[str, Parts]]:
    """The fields that differ, each with its way from `old` to `new`."""
    pairs = (
        (_("Findings"), old.findings, new.findings),
        (_("Impression"), old.impression, new.impression),
        (_("Critical result"), old.critical, new.critical),
    )
    return [(name, compare(before, now)) for name, before, now in pairs if before != now]


def between(versions: Sequence[VersionView], words: Words) -> dict[str, list[tuple[str, Parts]]]:
    """For each issued version (the newest first) what it changed against the one before."""
    return {newer.id: changes(older, newer, words) for newer, older in pairwise(versions)}
