"""What all searches of records share: who wants what, and criteria as conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, false, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from worklist.errors import Broken
from worklist.facts import Criterion, DaySpan, Number, Sought, Span
from worklist.people import Actor
from worklist.tables import Institution

T = TypeVar("T")
NARROW: Final = frozenset({"id", "number", "patient", "patient number", "order", "version", "made of", "issued"})
"""Criteria that name few rows, as a rule."""
FEW: Final = 500
Condition = Callable[[Sought], ColumnElement[bool]]


@dataclass(frozen=True)
class Wanted:
    """Who seeks what, and which page: `limit` rows behind the id `after`."""

    by: Actor
    criteria: tuple[Criterion, ...] = ()
    limit: int = 50
    after: str = ""


@dataclass(frozen=True)
class Records(Generic[T]):
    """A page of records; `more` says that another one follows."""

    items: tuple[T, ...]
    more: bool = False


def without_openings(by: Actor) -> Actor:
    """The same actor without what they opened by break-glass."""
    return replace(by, opened=frozenset())


def conditions(criteria: Sequence[Criterion], known: Mapping[str, Condition]) -> ColumnElement[bool]:
    """All criteria at once, each met by one of its values.

    Raises
    ------
    Broken
        ``criterion_unknown``: a door asks for something that is not sought by.
    """
    found: list[ColumnElement[bool]] = [true()]
    for criterion in criteria:
        if criterion.name not in known:
            raise Broken("criterion_unknown", name=criterion.name)
        found.append(or_(false(), *(known[criterion.name](value) for value in criterion.values)))
    return and_(*found)


def narrowed(
    session: Session,
    key: InstrumentedAttribute[str],
    criteria: Sequence[Criterion],
    known: Mapping[str, Condition],
    column: InstrumentedAttribute[str] | None = None,
) -> ColumnElement[bool]:
    """Where a criterion names few rows, those by their key (or by the `column` that refers to it): a planner that
    begins with the asker's scope walks a hundred thousand rows to find one. Else nothing more."""
    narrow = [criterion for criterion in criteria if criterion.name in NARROW]
    if not narrow:
        return true()
    found = session.scalars(select(key).where(conditions(narrow, known)).limit(FEW + 1)).all()
    return (key if column is None else column).in_(found) if len(found) <= FEW else true()


def page(rows: Sequence[T], limit: int) -> Records[T]:
    """The page of `limit` rows out of one row more."""
    return Records(tuple(rows[:limit]), len(rows) > limit)


def equals(column: SQLColumnExpression[Any]) -> Condition:
    """The column is the value."""
    return lambda value: column == value


def in_span(column: SQLColumnExpression[Any]) -> Condition:
    """The column, a time, lies in the span."""

    def condition(value: Sought) -> ColumnElement[bool]:
        assert isinstance(value, Span)  # noqa: S101 - the door makes nothing else for it
        return and_(true(), *_between(column, value.start, value.end))

    return condition


def in_days(column: SQLColumnExpression[Any]) -> Condition:
    """The column, a DA, is one of the days. What is empty or shorter than a day is none."""

    def condition(value: Sought) -> ColumnElement[bool]:
        assert isinstance(value, DaySpan)  # noqa: S101 - the door makes nothing else for it
        found = [column != ""]
        if value.first:
            found.append(column >= value.first)
        if value.last:
            found.append(column <= value.last)
        return and_(*found)

    return condition


def number_of(value: Sought) -> Number:
    """The value as a number."""
    assert isinstance(value, Number)  # noqa: S101 - the door makes nothing else for it
    return value


def one_of(number: Number, kind: str, value: SQLColumnExpression[Any], issuer: Any = None) -> ColumnElement[bool]:
    """The number is one of this kind: `value` is its column, `issuer` that of who gave it, where there is one."""
    if number.kind not in ("", kind):
        return false()
    if issuer is None or number.issuer is None:
        return value == number.value
    return and_(value == number.value, issuer == number.issuer)


def _between(
    column: SQLColumnExpression[Any], start: datetime | None, end: datetime | None
) -> list[ColumnElement[bool]]:
    found = []
    if start is not None:
        found.append(column >= start)
    if end is not None:
        found.append(column < end)
    return found


def zone_of(session: Session, by: Actor) -> ZoneInfo:
    """The zone of the asker's institution: a day that somebody names is a day there."""
    found = session.scalar(select(Institution.timezone).where(Institution.id == by.institution_id))
    return ZoneInfo(found or "UTC")
