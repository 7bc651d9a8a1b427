"""What waits for the PACS admin, or went wrong: things set aside, deliveries, queues, stuck jobs.

Every list is walked by a key from the newest backwards, and every way to search it has an index behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from worklist.actions.disk import KINDS, disk_now
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.views import DeliveryRow, Page, Queue, SetAsideRow, StuckJob
from worklist.tables import (
    AuditRow,
    Delivery,
    Device,
    Institution,
    NoticeSending,
    Order,
    OutboxRow,
    Reading,
    SetAside,
    Study,
    Transition,
)

LISTED_JOBS: Final = ("send_delivery", "send_notice")
"""Jobs of things that are shown as stuck themselves."""


def set_asides(
    session: Session,
    by: Actor,
    *,
    state: str = "waiting",
    kind: str = "",
    reason: str = "",
    device_id: str = "",
    after: str = "",
    limit: int = 50,
) -> Page[SetAsideRow]:
    """Bytes and messages set aside, the newest first. For the PACS admin."""
    scope.require_admin(by)
    query = select(SetAside).where(SetAside.state == state).order_by(SetAside.id.desc()).limit(limit + 1)
    for column, value in ((SetAside.kind, kind), (SetAside.reason, reason), (SetAside.device_id, device_id)):
        if value:
            query = query.where(column == value)
    if after:
        query = query.where(SetAside.id < after)
    found = session.scalars(query).all()
    shown = found[:limit]
    return Page(tuple(_set_asides(session, shown)), shown[-1].id if len(found) > limit else "")


def set_asides_by_id(session: Session, by: Actor, ids: Sequence[str]) -> list[SetAsideRow]:
    """These things set aside, whatever became of them. For the PACS admin."""
    scope.require_admin(by)
    return _set_asides(session, session.scalars(select(SetAside).where(SetAside.id.in_(ids))))


def waiting_for(session: Session, by: Actor, message_id: str) -> list[SetAsideRow]:
    """What was set aside for a message and still waits. For the PACS admin."""
    scope.require_admin(by)
    waiting = select(SetAside).where(SetAside.message_id == message_id, SetAside.state == "waiting")
    return _set_asides(session, session.scalars(waiting.order_by(SetAside.id)))


def deliveries(
    session: Session,
    by: Actor,
    *,
    status: str = "",
    kind: str = "",
    reason: str = "",
    endpoint_id: str = "",
    after: str = "",
    limit: int = 50,
) -> Page[DeliveryRow]:
    """Deliveries, the newest first: all for the PACS admin, their own for a center or an institution."""
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit + 1)
    if not by.has("PACS admin"):
        query = query.where(
            or_(
                Delivery.reading_id.in_(select(Reading.id).where(scope.readings(by))),
                Delivery.order_id.in_(select(Order.id).where(scope.orders(by))),
            )
        )
    filters = (
        (Delivery.state, status),
        (Delivery.kind, kind),
        (Delivery.last_error, reason),
        (Delivery.endpoint_id, endpoint_id),
    )
    for column, value in filters:
        if value:
            query = query.where(column == value)
    if after:
        query = query.where(Delivery.id < after)
    found = session.scalars(query).unique().all()
    shown = found[:limit]
    return Page(tuple(parts.deliveries(session, shown)), shown[-1].id if len(found) > limit else "")


def reasons(session: Session, by: Actor) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Why deliveries are stuck and why things are set aside: (code, how many), the commonest first."""
    scope.require_admin(by)

    def counted(column: Any, condition: ColumnElement[bool]) -> list[tuple[str, int]]:
        rows = session.execute(
            select(column, func.count()).where(condition).group_by(column).order_by(func.count().desc(), column)
        )
        return [(code, count) for code, count in rows]

    return (
        counted(Delivery.last_error, Delivery.state == "stuck"),
        counted(SetAside.reason, SetAside.state == "waiting"),
    )


def queues(session: Session, by: Actor) -> list[Queue]:
    """What waits for the PACS admin: how much, and since when. Kinds of which nothing waits are left out."""
    scope.require_admin(by)
    looks: tuple[tuple[str, Any, Any, ColumnElement[bool]], ...] = (
        ("stuck delivery", Delivery.id, Delivery.created_at, Delivery.state == "stuck"),
        ("retrying delivery", Delivery.id, Delivery.created_at, Delivery.state == "retrying"),
        ("set aside", SetAside.id, SetAside.at, SetAside.state == "waiting"),
        (
            "stuck job",
            OutboxRow.seq,
            OutboxRow.created_at,
            and_(OutboxRow.stage == "stuck", OutboxRow.kind.not_in(LISTED_JOBS)),
        ),
        ("stuck notice", NoticeSending.id, NoticeSending.created_at, NoticeSending.state == "stuck"),
        ("unmatched study", Study.id, Study.first_at, Study.link == "unmatched"),
    )
    found = []
    for kind, key, at, condition in looks:
        count, oldest = session.execute(select(func.count(key), func.min(at)).where(condition)).one()
        if count:
            found.append(Queue(kind, count, oldest))
    state, since = disk_now(session)
    if state in KINDS:
        found.append(Queue(KINDS[state], 1, since))
    return found


def stuck_jobs(session: Session, by: Actor) -> list[StuckJob]:
    """Jobs that wait for a person, the oldest first, but for those whose things have a list of their own."""
    scope.require_admin(by)
    rows = session.scalars(
        select(OutboxRow)
        .where(OutboxRow.stage == "stuck", OutboxRow.kind.not_in(LISTED_JOBS))
        .order_by(OutboxRow.seq)
        .limit(200)
    )
    return [StuckJob(r.seq, r.kind, r.thing_id, r.attempts, r.last_error, r.created_at) for r in rows]


def _set_asides(session: Session, found: Iterable[SetAside]) -> list[SetAsideRow]:
    rows = list(found)
    institutions = parts.names(session, Institution, (s.institution_id for s in rows))
    devices = parts.names(session, Device, (s.device_id for s in rows))
    tries = _tries(session, {s.message_id for s in rows if s.message_id})
    settled = {
        t.thing_id: t
        for t in session.scalars(
            select(Transition)
            .where(Transition.thing_id.in_([s.id for s in rows if s.state != "waiting"]))
            .order_by(Transition.seq)
        )
    }
    people = parts.people_called(session, (t.actor for t in settled.values()))
    return [
        SetAsideRow(
            id=s.id,
            state=s.state,
            kind=s.kind,
            at=s.at,
            institution=institutions.get(s.institution_id or "", ""),
            device=devices.get(s.device_id or "", ""),
            device_id=s.device_id or "",
            study_id=s.study_id or "",
            message_id=s.message_id or "",
            reason=s.reason,
            params=s.params,
            objects=len(s.store_keys),
            institution_id=s.institution_id or "",
            settled_by=settled[s.id].actor if s.id in settled else "",
            settled_by_name=people.get(settled[s.id].actor, "") if s.id in settled else "",
            settled_why=settled[s.id].why if s.id in settled else "",
            tries=tries[s.message_id][0] if s.message_id in tries else 0,
            tried_at=tries[s.message_id][1].at if s.message_id in tries else None,
            tried_reason=str(tries[s.message_id][1].detail.get("reason", "")) if s.message_id in tries else "",
        )
        for s in rows
    ]


def _tries(session: Session, message_ids: set[str]) -> dict[str, tuple[int, AuditRow]]:
    """How often each message was taken again in vain, as the audit rows have it, and the last of these."""
    if not message_ids:
        return {}
    found: dict[str, tuple[int, AuditRow]] = {}
    tried = select(AuditRow).where(AuditRow.thing_id.in_(message_ids), AuditRow.action == "message replayed")
    for row in session.scalars(tried.order_by(AuditRow.seq)):
        if row.detail.get("outcome") != "processed":
            found[row.thing_id] = (found[row.thing_id][0] + 1 if row.thing_id in found else 1, row)
    return found
