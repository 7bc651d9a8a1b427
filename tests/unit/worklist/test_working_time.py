"""Working time: adding and counting undo each other, whatever the week, the holidays and the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklist.rules.due import due_at, turnaround
from worklist.rules.working_time import (
    DAY,
    ROUND_THE_CLOCK,
    Calendar,
    Hours,
    add_minutes,
    calendar_from,
    day_of,
    is_working,
    minutes_between,
    read_hours,
    spans_between,
    written,
)

SHANGHAI = "Asia/Shanghai"
OFFICE = [["08:00", "12:00"], ["14:00", "17:30"]]
WEEK = [OFFICE] * 5 + [[], []]
# The Spring Festival of a county: Monday to Friday off, the Sunday before worked instead.
DAYS: dict[str, list[list[str]]] = {f"202602{day}": [] for day in range(16, 21)} | {"20260215": OFFICE}


def local(text: str, zone: str = SHANGHAI) -> datetime:
    """A local time as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "minutes", "due"),
    [
        ("2026-03-02T09:00", 120, "2026-03-02T11:00"),
        ("2026-03-02T11:00", 120, "2026-03-02T15:00"),  # over the noon break
        ("2026-03-02T11:00", 60, "2026-03-02T12:00"),  # the end of the morning, not the beginning of the afternoon
        ("2026-03-02T13:00", 30, "2026-03-02T14:30"),
        ("2026-03-06T17:00", 240, "2026-03-09T11:30"),  # over the weekend
        ("2026-03-07T10:00", 1, "2026-03-09T08:01"),
        ("2026-02-14T10:00", 60, "2026-02-15T09:00"),  # a Saturday before the Sunday that is worked instead
        ("2026-02-15T17:00", 60, "2026-02-23T08:30"),  # over the whole holiday
        ("2026-03-02T09:00", 0, "2026-03-02T09:00"),
    ],
)
def test_a_due_time_in_working_time(start: str, minutes: int, due: str) -> None:
    calendar = calendar_from(WEEK, DAYS, SHANGHAI)
    assert add_minutes(calendar, local(start), minutes) == local(due)
    assert minutes_between(calendar, local(start), local(due)) == minutes


def test_stat_counts_by_the_clock_and_the_rest_by_working_time() -> None:
    calendar = calendar_from(WEEK, {}, SHANGHAI)
    friday = local("2026-03-06T17:00")
    limits = {"STAT": 60, "URGENT": 60, "ROUTINE": 240}
    assert due_at(friday, limits, "STAT", calendar) == friday + timedelta(hours=1)
    assert due_at(friday, limits, "URGENT", calendar) == local("2026-03-09T08:30")
    assert due_at(friday, limits, "ROUTINE", calendar) == local("2026-03-09T11:30")
    assert due_at(friday, limits, "ROUTINE") == friday + timedelta(hours=4)
    monday = local("2026-03-09T08:10")
    assert turnaround(friday, monday, "ROUTINE", calendar) == 40
    assert turnaround(friday, monday, "STAT", calendar) == int((monday - friday).total_seconds() // 60)


@pytest.mark.parametrize(
    ("day", "hours_of_the_day"),
    [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)],
)
def test_a_day_is_as_long_as_the_clock_makes_it(day: date, hours_of_the_day: int) -> None:
    calendar = calendar_from([[["00:00", "24:00"]]] * 7, {}, "Europe/Berlin")
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Europe/Berlin"))
    assert minutes_between(calendar, midnight, midnight + timedelta(days=1)) == hours_of_the_day * 60
    assert add_minutes(calendar, midnight, hours_of_the_day * 60) == (midnight + timedelta(days=1)).astimezone(UTC)


def test_hours_that_the_clock_leaves_out_are_no_working_time() -> None:
    calendar = calendar_from([[["02:15", "02:45"], ["03:00", "04:00"]]] * 7, {}, "Europe/Berlin")
    begins, ends = local("2026-03-29T00:00", "Europe/Berlin"), local("2026-03-29T12:00", "Europe/Berlin")
    spans = spans_between(calendar, begins, ends)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert sum((b - a for a, b in spans), timedelta()) == timedelta(hours=1)


@pytest.mark.parametrize(
    "spans",
    [
        [["8:00", "12:00"]],
        [["12:00", "08:00"]],
        [["08:00", "08:00"]],
        [["08:00", "12:00"], ["11:00", "13:00"]],
        [[1, 2]],
    ],
)
def test_what_are_no_hours(spans: list[list[object]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_hours(spans)


def test_hours_are_kept_as_they_are_written() -> None:
    assert written(read_hours([["14:00", "24:00"], ["08:00", "12:00"]])) == [["08:00", "12:00"], ["14:00", "24:00"]]
    assert day_of("20260215") == date(2026, 2, 15)
    with pytest.raises(ValueError, match="date"):
        day_of("2026021")


def test_a_center_that_never_opens_counts_by_the_clock() -> None:
    start = local("2026-03-02T09:00")
    assert add_minutes(Calendar(((),) * 7, {}, ZoneInfo(SHANGHAI)), start, 60) == start + timedelta(hours=1)


def test_whether_it_works_now() -> None:
    calendar = calendar_from(WEEK, DAYS, SHANGHAI)
    assert is_working(calendar, local("2026-03-02T08:00"))
    assert not is_working(calendar, local("2026-03-02T12:00"))
    assert not is_working(calendar, local("2026-02-16T09:00"))
    assert is_working(ROUND_THE_CLOCK, local("2026-02-16T03:00"))


def _hours(cuts: list[int]) -> Hours:
    return tuple((a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if a < b)


hours = st.lists(st.integers(0, DAY), max_size=6, unique=True).map(lambda cuts: _hours(sorted(cuts)))
calendars = st.builds(
    Calendar,
    # At least one day of the week is open for long enough that no sum lies beyond what is looked ahead.
    st.tuples(st.just(((480, 1080),)), hours, hours, hours, hours, hours, hours),
    st.dictionaries(st.dates(date(2026, 1, 1), date(2026, 12, 31)), hours, max_size=8),
    st.sampled_from([SHANGHAI, "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]).map(
        ZoneInfo
    ),
)
START, END = datetime(2026, 1, 1), datetime(2026, 12, 31)  # noqa: DTZ001 - hypothesis adds the zone itself
instants = st.datetimes(START, END, timezones=st.just(UTC))
minutes = st.integers(0, 3000)


@given(calendars, instants, minutes)
def test_counting_gives_back_what_was_added(calendar: Calendar, start: datetime, added: int) -> None:
    assert minutes_between(calendar, start, add_minutes(calendar, start, added)) == added


@given(calendars, instants, minutes, minutes)
def test_more_time_is_never_due_earlier(calendar: Calendar, start: datetime, some: int, more: int) -> None:
    first, second = sorted((some, more))
    assert start <= add_minutes(calendar, start, first) <= add_minutes(calendar, start, second)


@given(calendars, instants, instants, minutes)
def test_a_later_start_is_never_due_earlier(calendar: Calendar, one: datetime, other: datetime, added: int) -> None:
    earlier, later = sorted((one, other))
    assert add_minutes(calendar, earlier, added) <= add_minutes(calendar, later, added)


@given(calendars, instants, instants, instants)
def test_parts_are_never_more_than_the_whole(calendar: Calendar, a: datetime, b: datetime, c: datetime) -> None:
    first, second, third = sorted((a, b, c))
    whole = minutes_between(calendar, first, third)
    parts = minutes_between(calendar, first, second) + minutes_between(calendar, second, third)
    assert whole - 1 <= parts <= whole  # each part is rounded down
