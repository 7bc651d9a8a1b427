"""When is a report due, and how long did it take?

STAT counts time by the clock: somebody is always called. Urgent and routine work counts the center's working time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from worklist.rules.working_time import ROUND_THE_CLOCK, Calendar, add_minutes, minutes_between

DEFAULT_LIMITS: Final = {"STAT": 60, "URGENT": 120, "ROUTINE": 240}
"""Minutes, where a procedure sets none: emergency CT 60, outpatient CT 240."""
ECG_LIMITS: Final = {"STAT": 10, "URGENT": 30, "ROUTINE": 30}
"""The same of an ECG."""

RANKS: Final = {"STAT": 0, "URGENT": 1, "ROUTINE": 2}
FIRST: Final = -1
"""The rank of what a center reads before all else, whatever its priority: chest pain."""
_DENIED: Final = re.compile(r"(?:无|否认|没有|未诉|不伴|排除|\bno|\bdenies|\bwithout)[^，。；,;.]{0,6}$", re.IGNORECASE)


def due_at(
    start: datetime,
    limits: Mapping[str, Any],
    priority: str,
    calendar: Calendar = ROUND_THE_CLOCK,
    discipline: str = "imaging",
) -> datetime:
    """The time by which the report is due: `start` (study complete, aware UTC) plus the limit in minutes."""
    minutes = limits.get(priority) or (ECG_LIMITS if discipline == "ecg" else DEFAULT_LIMITS)[priority]
    return add_minutes(_counted(calendar, priority), start, int(minutes))


def turnaround(ready: datetime, signed: datetime, priority: str, calendar: Calendar = ROUND_THE_CLOCK) -> int:
    """Minutes from the study being complete to the signature (aware UTC), counted as the limit was."""
    return minutes_between(_counted(calendar, priority), ready, signed)


def rank_of(priority: str, first_words: Iterable[str], said: Iterable[str]) -> int:
    """The rank of a case whose orders say `said`; a word of the center's list puts it first, unless it is denied."""
    texts = [text.casefold() for text in said]
    if any(_says(text, word.casefold()) for word in first_words if word for text in texts):
        return FIRST
    return RANKS[priority]


def _says(text: str, word: str) -> bool:
    at = text.find(word)
    while at >= 0:
        if not _DENIED.search(text[:at]):
            return True
        at = text.find(word, at + 1)
    return False


def most_urgent(priorities: list[str]) -> str:
    """The most urgent of several priorities; routine when there is none."""
    return min(priorities, key=RANKS.__getitem__, default="ROUTINE")


def _counted(calendar: Calendar, priority: str) -> Calendar:
    return ROUND_THE_CLOCK if priority == "STAT" else calendar
