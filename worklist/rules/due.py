"""When is a report due?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

DEFAULT_LIMITS: Final = {"STAT": 60, "URGENT": 120, "ROUTINE": 240}
"""Minutes, where a procedure sets none: emergency CT 60, outpatient CT 240."""

RANKS: Final = {"STAT": 0, "URGENT": 1, "ROUTINE": 2}


def due_at(start: datetime, limits: Mapping[str, Any], priority: str) -> datetime:
    """The time by which the report is due: `start` (study complete, aware UTC) plus the limit in minutes."""
    minutes = limits.get(priority) or DEFAULT_LIMITS[priority]
    return start + timedelta(minutes=int(minutes))


def most_urgent(priorities: list[str]) -> str:
    """The most urgent of several priorities; routine when there is none."""
    return min(priorities, key=RANKS.__getitem__, default="ROUTINE")
