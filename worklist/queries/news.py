"""What moved since the last look, for pages that stay open: kinds of things and whose, never which.

The ledgers tell it, so it does not matter which process or door moved something. A row may be committed after one
with a higher number, so a ledger is counted from a mark some looks back, and more rows than before are news.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from worklist.people import Actor, has_ended
from worklist.queries.scope import HOME_ROLES
from worklist.rules.kinds import GOES_HOME
from worklist.tables import (
    AuditRow,
    CriticalResult,
    Delivery,
    LateImages,
    Notice,
    Order,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportVersion,
    Study,
    Transition,
    WebSession,
)

READING: Final = frozenset({"reading", "order"})
KINDS_OF: Final[dict[str, frozenset[str]]] = {
    "reading": READING,
    "report version": READING,
    "late images": frozenset({"reading"}),
    "study arrival": READING,
    "study link": READING,
    "order": READING,
    "delivery": frozenset({"order"}),
    "critical result": frozenset({"critical", "reading", "order"}),
}
"""Which pages a machine's moves are news for."""
ALL: Final = frozenset({"reading", "order", "critical", "notice"})
ASSIGNED: Final = ("case assigned", "case freed")
"""Audited changes of a case that no machine makes."""
EVERYBODY: Final = "*"
AT_ONCE: Final = 500  # ids in one question
LOOKS: Final = 10  # between two marks; a transaction that takes longer than so many looks is met by the slow poll
SLOW: Final = 10  # looks between two counts of the images that are arriving: they change all the time


@dataclass(frozen=True)
class News:
    """What one look found. Whose something is, is the id of an institution, a center or (a notice) a person."""

    moved: frozenset[tuple[str, str]] = frozenset()  # (kind, whose)
    ended: frozenset[str] = frozenset()  # of the sessions asked about, those that are over


def ears(by: Actor) -> frozenset[str]:
    """Whose news somebody hears: their own, their centers', and their institution's if they work with its orders; a
    PACS admin, who sees all orders and studies, hears of everybody's."""
    heard = {by.id, *by.centers()}
    if any(by.has(role) for role in HOME_ROLES):
        heard.add(by.institution_id)
    if by.has("PACS admin"):
        heard.add(EVERYBODY)
    return frozenset(heard)


def heard(moved: Iterable[tuple[str, str]], by_whom: Collection[str]) -> set[str]:
    """The kinds among what `moved` that somebody with these `ears` is told. Notices are for one person alone."""
    return {
        kind
        for kind, whose in moved
        if whose in by_whom or whose == EVERYBODY or (EVERYBODY in by_whom and kind != "notice")
    }


@dataclass
class _Tail:
    """The end of a ledger: rows behind a mark, counted by `key`."""

    position: InstrumentedAttribute[Any]
    key: tuple[InstrumentedAttribute[str], ...]
    where: tuple[ColumnElement[bool], ...] = ()
    mark: Any = None
    next_mark: Any = None
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    looks: int = 0

    def moved(self, session: Session) -> set[tuple[str, ...]]:
        """The keys of which there are more rows than at the last look."""
        if self.mark is None:
            newest = session.scalar(select(func.max(self.position)))
            self.mark = self.next_mark = newest if newest is not None else self.position.type.python_type()
        later = func.sum(case((self.position > self.next_mark, 1), else_=0))
        found = session.execute(
            select(*self.key, func.count(), later, func.max(self.position))
            .where(self.position > self.mark, *self.where)
            .group_by(*self.key)
        ).all()
        rows = [(tuple(key), count, later_ones, top) for *key, count, later_ones, top in found]
        news = {key for key, count, _later, _top in rows if count > self.counts.get(key, 0)}
        self.looks += 1
        if self.looks % LOOKS:
            self.counts = {key: count for key, count, _later, _top in rows}
        else:
            self.counts = {key: later_ones for key, _count, later_ones, _top in rows}
            self.mark = self.next_mark
            self.next_mark = max((top for *_rest, top in rows), default=self.mark)
        return news


class Watch:
    """Remembers what it saw; one for each process that tells browsers. Its looks follow one another."""

    def __init__(self) -> None:
        self._transitions = _Tail(Transition.seq, (Transition.machine, Transition.thing_id))
        self._assigned = _Tail(AuditRow.seq, (AuditRow.thing_id,), (AuditRow.action.in_(ASSIGNED),))
        self._notices = _Tail(Notice.id, (Notice.user_id,))
        self._held: frozenset[Any] = frozenset()
        self._arriving: dict[str, int] = {}
        self._looks = 0

    def look(self, session: Session, now: datetime, sessions: Collection[str] = ()) -> News:
        """What moved since the last look; the first one finds what happens after it has begun."""
        by_machine: dict[str, set[str]] = {}
        for machine, thing_id in self._transitions.moved(session):
            by_machine.setdefault(machine, set()).add(thing_id)
        readings = {thing_id for (thing_id,) in self._assigned.moved(session)} | self._changed_hands(session, now)
        by_machine.setdefault("reading", set()).update(readings)
        by_machine.setdefault("study arrival", set()).update(self._with_more_images(session))
        moved = {
            (kind, whose)
            for machine, ids in by_machine.items()
            for whose in _whose(session, machine, ids)
            for kind in KINDS_OF.get(machine, ())
        }
        moved |= {("notice", user_id) for (user_id,) in self._notices.moved(session)}
        self._looks += 1
        return News(frozenset(moved), frozenset(_ended(session, now, sessions)))

    def _changed_hands(self, session: Session, now: datetime) -> set[str]:
        """Cases whose lease began, was given back, or ran out: no row tells that, since it is no move."""
        leases = select(Reading.id, Reading.holder_id).where(Reading.holder_id.is_not(None), Reading.held_until > now)
        before, self._held = self._held, frozenset(tuple(row) for row in session.execute(leases))
        return {id for id, _holder in before ^ self._held} if self._looks else set()

    def _with_more_images(self, session: Session) -> set[str]:
        if self._looks % SLOW:
            return set()
        counted = select(Study.id, Study.instances).where(Study.arrival == "arriving")
        before, self._arriving = self._arriving, {row.id: row.instances for row in session.execute(counted)}
        if not self._looks:
            return set()
        return {id for id in before.keys() | self._arriving.keys() if before.get(id) != self._arriving.get(id)}


def _whose(session: Session, machine: str, ids: Collection[str]) -> set[str]:
    """Ids of the institutions and centers whose pages show these things."""
    found: set[str] = set()
    for some in _pieces(ids):
        for query in _owners(machine, some):
            for row in session.execute(query):
                found |= {id for id in row if id}
    return found


def _owners(machine: str, ids: list[str]) -> tuple[Select[Any], ...]:
    """Questions that answer with ids of institutions and centers."""
    # What centers ask each other, and a second reading that is to stay blind, is not the township's to hear of.
    home = case((Reading.kind.in_(GOES_HOME), Reading.institution_id))
    of_reading = select(Reading.center_id, home)
    if machine == "reading":
        return (of_reading.where(Reading.id.in_(ids)),)
    if machine == "report version":
        return (
            of_reading.join(ReportVersion, ReportVersion.reading_id == Reading.id).where(ReportVersion.id.in_(ids)),
        )
    if machine == "late images":
        return (of_reading.join(LateImages, LateImages.reading_id == Reading.id).where(LateImages.id.in_(ids)),)
    if machine in ("study arrival", "study link"):
        covering = of_reading.join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        return (
            select(Study.institution_id).where(Study.id.in_(ids)),
            covering.where(ReadingStudy.study_id.in_(ids)),
        )
    if machine == "order":
        covering = of_reading.join(ReadingOrder, ReadingOrder.reading_id == Reading.id)
        return (
            select(Order.institution_id).where(Order.id.in_(ids)),
            covering.where(ReadingOrder.order_id.in_(ids)),
        )
    if machine == "delivery":
        return (
            select(Delivery.institution_id).where(Delivery.id.in_(ids)),
            select(Reading.center_id).join(Delivery, Delivery.reading_id == Reading.id).where(Delivery.id.in_(ids)),
        )
    if machine == "critical result":
        # Until it is announced, the township sees nothing of it.
        announced = case((CriticalResult.notified_at.is_not(None), CriticalResult.institution_id))
        return (
            select(announced, CriticalResult.center_id).where(CriticalResult.id.in_(ids)),
            select(Reading.center_id)
            .join(CriticalResult, CriticalResult.reading_id == Reading.id)
            .where(CriticalResult.id.in_(ids)),
        )
    return ()


def _pieces(ids: Collection[str]) -> Iterator[list[str]]:
    listed = sorted(ids)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]


def _ended(session: Session, now: datetime, ids: Collection[str]) -> set[str]:
    if not ids:
        return set()
    rows = session.scalars(select(WebSession).where(WebSession.id.in_(ids)))
    return set(ids) - {row.id for row in rows if not has_ended(row, now)}
