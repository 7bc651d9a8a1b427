"""Working time: a center's week of hours, the days that differ from it, and its zone.

Everything is counted on instants (aware UTC), so a clock that is put forward or back neither loses nor makes working
time. Hours are local, as people write them: ``[["08:00", "12:00"], ["14:00", "24:00"]]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

Hours = tuple[tuple[int, int], ...]
"""Spans of a day in minutes from local midnight, in order, without overlap; the end may be 1440."""

DAY: Final = 24 * 60
FARTHEST: Final = 800
"""Days that are looked ahead. Who closes a center for longer gets due times by the clock."""
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00)")


@dataclass(frozen=True)
class Calendar:
    """When a center works. An empty `week` means round the clock, and then `days` do not count either."""

    week: tuple[Hours, ...] = ()  # Monday first, seven days
    days: Mapping[date, Hours] = field(default_factory=dict)  # holidays (no hours), and days worked instead
    zone: tzinfo = UTC

    def hours(self, day: date) -> Hours:
        """The hours of a local day."""
        if not self.week:
            return ((0, DAY),)
        return self.days[day] if day in self.days else self.week[day.weekday()]


ROUND_THE_CLOCK: Final = Calendar()


def read_hours(spans: Sequence[Any]) -> Hours:
    """Hours of one day, as they are kept (``[["08:00", "12:00"]]``). None may pass midnight; ``24:00`` ends a day.

    Raises
    ------
    ValueError
        no times, a span that ends before it begins, or spans that overlap.
    """
    read = sorted((_minutes(start), _minutes(end)) for start, end in spans)
    last = 0
    for start, end in read:
        if start < last or end <= start:
            raise ValueError("hours overlap or end before they begin")
        last = end
    return tuple(read)


def written(hours: Hours) -> list[list[str]]:
    """Hours as they are kept."""
    return [[f"{start // 60:02}:{start % 60:02}", f"{end // 60:02}:{end % 60:02}"] for start, end in hours]


def calendar_from(week: Sequence[Any], days: Mapping[str, Any], zone: str) -> Calendar:
    """The calendar of a center from what is kept: its week, and hours by DA."""
    return Calendar(
        tuple(read_hours(day) for day in week),
        {day_of(da): read_hours(hours) for da, hours in days.items()},
        ZoneInfo(zone),
    )


def day_of(da: str) -> date:
    """A DICOM DA (PS3.5 section 6.2) as a date.

    Raises
    ------
    ValueError
    """
    if len(da) != 8 or not (da.isascii() and da.isdecimal()):
        raise ValueError("not a date")
    return date(int(da[:4]), int(da[4:6]), int(da[6:]))


def add_minutes(calendar: Calendar, start: datetime, minutes: int) -> datetime:
    """The earliest instant (aware UTC) by which `minutes` of working time have passed since `start`.

    It is the end of a working day rather than the beginning of the next one. Zero minutes are over at once.
    """
    left = timedelta(minutes=minutes)
    if not calendar.week or left <= timedelta():
        return (start + left).astimezone(UTC)
    for begins, ends in _spans(calendar, start):
        if begins + left <= ends:
            return begins + left
        left -= ends - begins
    return (start + timedelta(minutes=minutes)).astimezone(UTC)


def minutes_between(calendar: Calendar, start: datetime, end: datetime) -> int:
    """Whole minutes of working time from `start` to `end` (aware); 0 where `end` is not later."""
    if end <= start:
        return 0
    if not calendar.week:
        return int((end - start) // timedelta(minutes=1))
    total = timedelta()
    for begins, ends in _spans(calendar, start, end):
        total += ends - begins
    return int(total // timedelta(minutes=1))


def is_working(calendar: Calendar, at: datetime) -> bool:
    """Whether the center works at an instant."""
    return any(begins <= at < ends for begins, ends in _spans(calendar, at, at + timedelta(microseconds=1)))


def spans_between(calendar: Calendar, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The working time from `start` to `end`, as spans of aware UTC instants."""
    return list(_spans(calendar, start, end))


def _spans(calendar: Calendar, start: datetime, end: datetime | None = None) -> Iterator[tuple[datetime, datetime]]:
    """Working time after `start` (and before `end`): disjoint spans of instants, in order."""
    start = start.astimezone(UTC)
    day = start.astimezone(calendar.zone).date() - timedelta(days=1)
    last = start
    farthest = FARTHEST if end is None else (end - start).days + 3
    for _ in range(farthest):
        for begins, ends in calendar.hours(day):
            since, until = max(last, _instant(calendar.zone, day, begins)), _instant(calendar.zone, day, ends)
            if end is not None:
                until = min(until, end.astimezone(UTC))
            if since < until:
                yield since, until
                last = until
        day += timedelta(days=1)


def _instant(zone: tzinfo, day: date, minutes: int) -> datetime:
    """Local time of a day as an instant: of two equal times the first; for one that is left out, when it was."""
    whole, rest = divmod(minutes, DAY)
    local = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=whole, minutes=rest)
    later = local.astimezone(UTC)
    if later.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return later
    earlier = local.replace(fold=1).astimezone(UTC)
    before = earlier.astimezone(zone).utcoffset()
    while later - earlier > timedelta(seconds=1):  # the clock was put forward between the two
        middle = earlier + timedelta(seconds=(later - earlier).seconds // 2)
        if middle.astimezone(zone).utcoffset() == before:
            earlier = middle
        else:
            later = middle
    return later


def _minutes(text: object) -> int:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("not a time of day")
    return int(found[1] or found[3]) * 60 + int(found[2] or found[4])
