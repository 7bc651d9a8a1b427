"""How figures are made of counted values: points of a distribution, shares, and the spans of a trend."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MOST_DAYS_BY_DAY: Final = 45  # longer periods are told by week
LONGEST_PERIOD: Final = 400  # days


def point(counted: Mapping[int, int], share: float) -> int | None:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed (nearest rank); None of nothing.

    `counted` says how often each value occurred.
    """
    total = sum(counted.values())
    if not total:
        return None
    seen = 0
    for value in sorted(counted):
        seen += counted[value]
        if seen >= share * total:
            return value
    return max(counted)


def percent(part: int, whole: int) -> float | None:
    """A share in percent, to one decimal; None of nothing."""
    return round(100 * part / whole, 1) if whole else None


def cuts(first: date, last: date, zone: ZoneInfo) -> list[tuple[date, datetime, datetime]]:
    """The spans of a trend from `first` to `last` (local days, both included): (its first day, from, to).

    Days, or weeks from Monday where there would be too many; the first and last week may be shorter. Times are aware.
    """
    by_week = (last - first).days >= MOST_DAYS_BY_DAY
    found = []
    day = first
    while day <= last:
        following = day + timedelta(days=7 - day.weekday() if by_week else 1)
        following = min(following, last + timedelta(days=1))
        found.append((day, _midnight(day, zone), _midnight(following, zone)))
        day = following
    return found


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
