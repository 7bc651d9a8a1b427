"""What is wrong with a rota: times without anybody, people in two places, people on duty who are away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Final, Literal

DUTIES: Final = ("reading", "review", "first call", "second call")
CALLS: Final = ("first call", "second call")
"""Duties that never pause: the others are needed in working time only."""

LONGEST_SHIFT: Final = timedelta(days=7)

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Duty:
    """Somebody's time of duty. Times are aware."""

    user_id: str
    duty: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Away:
    """Somebody's absence. Times are aware."""

    user_id: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Clash:
    """Two things that a person cannot do at once: twice on the same duty, called first and second, or away."""

    kind: Literal["twice", "away"]
    user_id: str
    duty: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Gap:
    """A time in which nobody is on a duty that is needed."""

    duty: str
    starts_at: datetime
    ends_at: datetime


def clashes(shifts: Sequence[Duty], absences: Sequence[Away]) -> list[Clash]:
    """People who are put down for what they cannot do, in the order of time.

    Reading and reviewing go together, and so does either with being called; the same duty twice, and first and
    second call at once, do not.
    """
    found = []
    by_person: dict[str, list[Duty]] = {}
    for shift in shifts:
        by_person.setdefault(shift.user_id, []).append(shift)
    for user_id, own in by_person.items():
        for one, other in combinations(own, 2):
            span = _overlap((one.starts_at, one.ends_at), (other.starts_at, other.ends_at))
            both_calls = one.duty in CALLS and other.duty in CALLS
            if span is not None and (one.duty == other.duty or both_calls):
                found.append(Clash("twice", user_id, other.duty, *span))
    for absence in absences:
        for shift in by_person.get(absence.user_id, ()):
            span = _overlap((absence.starts_at, absence.ends_at), (shift.starts_at, shift.ends_at))
            if span is not None:
                found.append(Clash("away", shift.user_id, shift.duty, *span))
    return sorted(found, key=lambda c: (c.starts_at, c.kind, c.user_id, c.duty))


def gaps(duty: str, needed: Iterable[Span], shifts: Sequence[Duty], absences: Sequence[Away]) -> list[Gap]:
    """The parts of `needed` in which nobody is on `duty`; who is away does not count."""
    present: list[Span] = []
    for shift in shifts:
        if shift.duty == duty:
            away = [(a.starts_at, a.ends_at) for a in absences if a.user_id == shift.user_id]
            present += _without([(shift.starts_at, shift.ends_at)], away)
    return [Gap(duty, *span) for span in _without(needed, present)]


def _without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """`spans` less what is `taken`."""
    left = list(spans)
    for start, end in taken:
        cut: list[Span] = []
        for begins, ends in left:
            if end <= begins or ends <= start:
                cut.append((begins, ends))
                continue
            if begins < start:
                cut.append((begins, start))
            if end < ends:
                cut.append((end, ends))
        left = cut
    return sorted(left)


def _overlap(one: Span, other: Span) -> Span | None:
    start, end = max(one[0], other[0]), min(one[1], other[1])
    return (start, end) if start < end else None
