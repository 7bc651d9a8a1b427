"""What waits in the whole county, and since when: for whoever is on duty, and for the alarms that wake them.

Each question walks an index that holds what waits, so that it costs what waits and nothing of what was ever done. No
patient and no order is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from worklist.people import Actor
from worklist.queries import scope
from worklist.tables import (
    Archival,
    Archive,
    AuditRow,
    AuditSeal,
    Center,
    CriticalResult,
    Delivery,
    Device,
    DeviceCertificate,
    Endpoint,
    NoticeSending,
    Order,
    OutboxRow,
    Reading,
    SetAside,
    Study,
)

RUNNING: Final = ("due", "offered", "leased")
"""Stages of a job that is not done."""
DELIVERING: Final = ("due", "sent", "retrying", "stuck")
SENDING: Final = ("due", "retrying", "stuck")
SET_ASIDE: Final = ("object", "conflict", "message")
ARCHIVING: Final = ("waiting", "sent", "stuck")
UNANSWERED: Final = ("detected", "verified", "notified", "escalated")
READING: Final = ("unread", "drafted", "in review", "referred", "returned")
LIMITED: Final = ("unread", "drafted", "in review", "referred")
"""States in which a time limit runs; a returned case waits for its township."""


@dataclass(frozen=True)
class Waits:
    """How many of one kind wait, and since when the one that waits longest (aware UTC); None: none does."""

    count: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True)
class Watch:
    """Everything that waits. Names are kinds, states, and names that the admins gave; a case's center is its name."""

    jobs: dict[str, Waits]  # by kind; due and not done, since they were due
    stuck_jobs: dict[str, Waits]  # by kind, since they were last tried
    deliveries: dict[tuple[str, str], Waits]  # by state and endpoint, since they were owed
    incomplete: Waits  # studies whose images still come, since the last image
    unlinked: Waits  # studies, since the first image
    unmapped: Waits  # orders whose procedure is not known
    set_aside: dict[str, Waits]  # by kind
    criticals: dict[str, Waits]  # by state, since they were marked; exercises left out
    notices: dict[str, Waits]  # on their way out of the house, by state
    cases: dict[tuple[str, str, str], Waits]  # by center, priority and state
    overdue: dict[tuple[str, str], Waits]  # by center and priority, since their limit
    archivals: dict[tuple[str, str], Waits]  # studies on their way into an archive, by state and archive, since owed
    unsealed: Waits  # audit rows that are not in the chain yet
    certificates: dict[str, datetime] = field(default_factory=dict)  # by device: the end of its longest-lived one


def watch(session: Session, by: Actor, now: datetime) -> Watch:
    """Look at everything. For the PACS admin."""
    scope.require_watch(by)
    stages = select(OutboxRow.kind, func.count(), func.min(OutboxRow.due_at)).group_by(OutboxRow.kind)
    return Watch(
        jobs=_by_one(session, stages.where(OutboxRow.stage.in_(RUNNING), OutboxRow.due_at <= now)),
        stuck_jobs=_by_one(session, stages.where(OutboxRow.stage == "stuck")),
        deliveries=_deliveries(session),
        incomplete=_one(session, Study.id, Study.last_at, Study.arrival == "arriving"),
        unlinked=_one(session, Study.id, Study.first_at, Study.link.in_(("unlinked", "unmatched"))),
        unmapped=_one(session, Order.id, Order.placed_at, Order.state == "placed", Order.procedure_id.is_(None)),
        set_aside=_by_one(
            session,
            select(SetAside.kind, func.count(), func.min(SetAside.at))
            .where(SetAside.state == "waiting")
            .group_by(SetAside.kind),
            SET_ASIDE,
        ),
        criticals=_by_one(
            session,
            select(CriticalResult.state, func.count(), func.min(CriticalResult.marked_at))
            .where(CriticalResult.state.in_(UNANSWERED), CriticalResult.is_drill.is_(False))
            .group_by(CriticalResult.state),
            UNANSWERED,
        ),
        notices=_by_one(
            session,
            select(NoticeSending.state, func.count(), func.min(NoticeSending.created_at))
            .where(NoticeSending.state.in_(SENDING))
            .group_by(NoticeSending.state),
            SENDING,
        ),
        **_cases(session, now),
        archivals=_archivals(session),
        unsealed=_unsealed(session),
        certificates=_certificates(session),
    )


def longest_due(session: Session, now: datetime) -> datetime | None:
    """Since when the job that waits longest has been due."""
    return session.scalar(
        select(func.min(OutboxRow.due_at)).where(OutboxRow.stage.in_(RUNNING), OutboxRow.due_at <= now)
    )


def _one(session: Session, key: Any, at: Any, *conditions: Any) -> Waits:
    return Waits(*session.execute(select(func.count(key), func.min(at)).where(*conditions)).one())


def _by_one(session: Session, query: Select[str, int, datetime], always: Iterable[str] = ()) -> dict[str, Waits]:
    """Of each name how much waits; of those that are `always` named also nothing."""
    return {name: Waits() for name in always} | {
        name: Waits(count, oldest) for name, count, oldest in session.execute(query)
    }


def _deliveries(session: Session) -> dict[tuple[str, str], Waits]:
    names = dict(session.execute(select(Endpoint.id, Endpoint.name)).all())
    query = (
        select(Delivery.state, Delivery.endpoint_id, func.count(), func.min(Delivery.created_at))
        .where(Delivery.state.in_(DELIVERING))
        .group_by(Delivery.state, Delivery.endpoint_id)
    )
    found: dict[tuple[str, str], Waits] = {}
    for state, endpoint, count, oldest in session.execute(query):
        key = (state, names[endpoint])
        found[key] = _together(found.get(key, Waits()), Waits(count, oldest))
    return found


def _cases(session: Session, now: datetime) -> dict[str, Any]:
    """Open cases; centers are named first, since the index of the list begins with them."""
    names = dict(session.execute(select(Center.id, Center.name)).all())
    limit = func.coalesce(Reading.review_due_at, Reading.due_at)
    place = (Reading.center_id, Reading.priority)
    query = select(*place, Reading.state, func.count(), func.min(Reading.created_at)).where(
        Reading.center_id.in_(list(names)), Reading.state.in_(READING)
    )
    late = select(*place, func.count(), func.min(limit)).where(
        Reading.center_id.in_(list(names)), Reading.state.in_(LIMITED), limit < now
    )
    cases: dict[tuple[str, str, str], Waits] = {}
    for center, priority, state, count, oldest in session.execute(query.group_by(*place, Reading.state)):
        key = (names[center], priority, state)
        cases[key] = _together(cases.get(key, Waits()), Waits(count, oldest))
    overdue: dict[tuple[str, str], Waits] = {}
    for center, priority, count, oldest in session.execute(late.group_by(*place)):
        where = (names[center], priority)
        overdue[where] = _together(overdue.get(where, Waits()), Waits(count, oldest))
    return {"cases": cases, "overdue": overdue}


def _archivals(session: Session) -> dict[tuple[str, str], Waits]:
    """Of each archive of the settings, nothing too; states are named first, since the index begins with them."""
    names = session.scalars(select(Archive.name).where(Archive.enabled)).all()
    query = (
        select(Archival.state, Archival.archive, func.count(), func.min(Archival.owed_at))
        .where(Archival.state.in_(ARCHIVING), Archival.archive.in_(names))
        .group_by(Archival.state, Archival.archive)
    )
    found = {(state, archive): Waits(count, oldest) for state, archive, count, oldest in session.execute(query)}
    return {(state, name): Waits() for name in names for state in ARCHIVING} | found


def _unsealed(session: Session) -> Waits:
    """Rows are chained in the order of their numbers; a number that was given up counts too, which is no matter."""
    sealed = session.scalar(select(func.max(AuditSeal.audit_seq))) or 0
    newest = session.scalar(select(func.max(AuditRow.seq))) or 0
    if newest <= sealed:
        return Waits()
    oldest = select(AuditRow.at).where(AuditRow.seq > sealed).order_by(AuditRow.seq).limit(1)
    return Waits(newest - sealed, session.scalar(oldest))


def _certificates(session: Session) -> dict[str, datetime]:
    query = (
        select(Device.name, func.max(DeviceCertificate.not_after))
        .join(Device, Device.id == DeviceCertificate.device_id)
        .where(Device.enabled)
        .group_by(Device.id, Device.name)
    )
    found: dict[str, datetime] = {}
    for name, until in session.execute(query):
        found[name] = min(until, found.get(name, until))  # two devices of one name: the one that needs a person first
    return found


def _together(one: Waits, other: Waits) -> Waits:
    """Two centers, or two endpoints, of one name."""
    times = [at for at in (one.oldest, other.oldest) if at is not None]
    return Waits(one.count + other.count, min(times, default=None))
