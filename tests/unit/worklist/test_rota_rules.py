"""A rota's gaps and clashes, and how figures are counted."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worklist.rules.measures import MOST_DAYS_BY_DAY, cuts, percent, point
from worklist.rules.rota import Away, Clash, Duty, Gap, clashes, gaps

SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)


def at(hour: float) -> datetime:
    """An hour of the Sunday, or later."""
    return SUNDAY + timedelta(hours=hour)


def test_a_time_without_anybody_is_a_gap() -> None:
    shifts = [Duty("a", "first call", at(8), at(24)), Duty("a", "second call", at(0), at(24))]
    assert gaps("first call", [(at(0), at(24))], shifts, []) == [Gap("first call", at(0), at(8))]
    assert gaps("second call", [(at(0), at(24))], shifts, []) == []


def test_who_is_away_fills_no_gap() -> None:
    shifts = [Duty("a", "reading", at(8), at(18)), Duty("b", "reading", at(14), at(18))]
    away = [Away("a", at(10), at(16))]
    assert gaps("reading", [(at(8), at(18))], shifts, away) == [Gap("reading", at(10), at(14))]
    assert clashes(shifts, away) == [Clash("away", "a", "reading", at(10), at(16))]


def test_what_one_person_cannot_do_at_once() -> None:
    twice = [Duty("a", "reading", at(8), at(12)), Duty("a", "reading", at(11), at(14))]
    assert clashes(twice, []) == [Clash("twice", "a", "reading", at(11), at(12))]
    calls = [Duty("a", "first call", at(0), at(8)), Duty("a", "second call", at(6), at(10))]
    assert [c.kind for c in clashes(calls, [])] == ["twice"]
    allowed = [Duty("a", "reading", at(8), at(12)), Duty("a", "first call", at(8), at(12))]
    assert clashes(allowed, []) == []
    apart = [Duty("a", "reading", at(8), at(12)), Duty("b", "reading", at(8), at(12))]
    assert clashes(apart, []) == []
    one_after_the_other = [Duty("a", "reading", at(8), at(12)), Duty("a", "reading", at(12), at(14))]
    assert clashes(one_after_the_other, []) == []


spans = st.lists(st.tuples(st.integers(0, 48), st.integers(1, 20)), max_size=6)


@given(spans, spans)
def test_every_hour_is_covered_or_said(worked: list[tuple[int, int]], away: list[tuple[int, int]]) -> None:
    shifts = [Duty("a", "reading", at(start), at(start + long)) for start, long in worked]
    absences = [Away("a", at(start), at(start + long)) for start, long in away]
    found = gaps("reading", [(at(0), at(72))], shifts, absences)
    for hour in range(72):
        middle = at(hour + 0.5)
        there = any(s.starts_at <= middle < s.ends_at for s in shifts)
        gone = any(a.starts_at <= middle < a.ends_at for a in absences)
        said = any(g.starts_at <= middle < g.ends_at for g in found)
        assert said != (there and not gone)


def test_points_of_a_distribution() -> None:
    assert point({}, 0.5) is None
    assert point({10: 1}, 0.5) == 10
    assert point({10: 5, 20: 4, 90: 1}, 0.5) == 10
    assert point({10: 5, 20: 4, 90: 1}, 0.9) == 20
    assert point({10: 5, 20: 4, 90: 1}, 0.91) == 90
    assert (percent(1, 3), percent(0, 0)) == (33.3, None)


@given(st.dictionaries(st.integers(0, 100), st.integers(1, 5), min_size=1), st.floats(0.01, 1))
def test_a_point_is_a_value_that_so_many_do_not_exceed(counted: dict[int, int], share: float) -> None:
    values = sorted(value for value, times in counted.items() for _ in range(times))
    found = point(counted, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values)
    assert sum(v < found for v in values) < share * len(values)


@pytest.mark.parametrize("long", [1, 7, MOST_DAYS_BY_DAY, MOST_DAYS_BY_DAY + 1, 365])
def test_the_spans_of_a_trend_are_the_period(long: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = date(2026, 3, 18)
    found = cuts(first, first + timedelta(days=long - 1), zone)
    assert found[0][1] == datetime(2026, 3, 18, tzinfo=zone)
    assert found[-1][2] == datetime.combine(first + timedelta(days=long), datetime.min.time(), zone)
    assert all(a[2] == b[1] for a, b in itertools.pairwise(found))
    assert len(found) == (long if long <= MOST_DAYS_BY_DAY else len({d.isocalendar()[:2] for d in _days(first, long)}))


def _days(first: date, long: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(long)]
