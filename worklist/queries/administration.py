"""What administrators see: configuration, messages, things set aside, deliveries, people, audit rows.

Long, since every list of theirs is here: short queries that do not know each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from worklist import audit
from worklist.actions.users import is_locked
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.views import (
    AuditView,
    CenterRow,
    Counts,
    DeliveryRow,
    DeviceRow,
    EndpointRow,
    InstitutionRow,
    MessageDetail,
    MessageRow,
    Page,
    ProcedureRow,
    RefusedRow,
    RouteRow,
    SetAsideRow,
    StaffRow,
    StuckJob,
    TokenRow,
    UserRow,
)
from worklist.tables import (
    ApiToken,
    AuditRow,
    Center,
    CriticalResult,
    Delivery,
    Device,
    DeviceAddress,
    DeviceInstitution,
    Endpoint,
    Institution,
    Message,
    OnDuty,
    Order,
    OutboxRow,
    Procedure,
    ReaderGroup,
    Reading,
    RefusedCaller,
    Route,
    SetAside,
    Study,
    User,
    UserGroup,
    UserRole,
)


def institutions(session: Session, by: Actor) -> list[InstitutionRow]:
    """All members of the consortium; everybody may know who they are."""
    parent = aliased(Institution)
    rows = session.execute(
        select(Institution, parent.name)
        .outerjoin(parent, parent.id == Institution.parent_id)
        .order_by(Institution.code)
    )
    return [
        InstitutionRow(
            id=i.id,
            code=i.code,
            name=i.name,
            name_en=i.name_en,
            level=i.level,
            uscc=i.uscc,
            parent_id=i.parent_id or "",
            parent=above or "",
            timezone=i.timezone,
            phone=i.phone,
            address=i.address,
            paper=i.paper,
        )
        for i, above in rows
    ]


def centers(session: Session, by: Actor) -> list[CenterRow]:
    """All centers with their rules."""
    duty: dict[str, list[str]] = defaultdict(list)
    for row in session.scalars(select(OnDuty).order_by(OnDuty.place, OnDuty.user_id)):
        duty[row.center_id].append(row.user_id)
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for group in session.scalars(select(ReaderGroup).order_by(ReaderGroup.id)):
        groups[group.center_id].append((group.id, group.name))
    return [
        CenterRow(
            id=c.id,
            institution_id=c.institution_id,
            institution=c.institution.name,
            discipline=c.discipline,
            name=c.name,
            name_en=c.name_en,
            two_people=c.two_people,
            preliminary_hours=tuple((start, end) for start, end in c.preliminary_hours),
            lease_minutes=c.lease_minutes,
            quiet_seconds=c.quiet_seconds,
            longest_wait_seconds=c.longest_wait_seconds,
            review_minutes=c.review_minutes,
            escalation_minutes=tuple(c.escalation_minutes),
            on_duty=tuple(duty[c.id]),
            groups=tuple(groups[c.id]),
        )
        for c in session.scalars(select(Center).order_by(Center.id)).unique()
    ]


def devices(session: Session, by: Actor) -> list[DeviceRow]:
    """Devices with their addresses and institutions. For the PACS admin."""
    _admin(by)
    addresses: dict[str, list[dict[str, str | int | None]]] = defaultdict(list)
    for a in session.scalars(select(DeviceAddress).order_by(DeviceAddress.door, DeviceAddress.claimed)):
        addresses[a.device_id].append(
            {
                "door": a.door,
                "address": a.address,
                "claimed": a.claimed,
                "institution_id": a.institution_id or "",
                "port": a.port,
            }
        )
    members: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for device_id, institution_id, name in session.execute(
        select(DeviceInstitution.device_id, Institution.id, Institution.name)
        .join(Institution, Institution.id == DeviceInstitution.institution_id)
        .order_by(Institution.code)
    ):
        members[device_id].append((institution_id, name))
    return [
        DeviceRow(
            id=d.id,
            name=d.name,
            kind=d.kind,
            modality=d.modality,
            enabled=d.enabled,
            addresses=tuple(addresses[d.id]),
            institution_ids=tuple(i for i, _name in members[d.id]),
            institutions=tuple(name for _id, name in members[d.id]),
            institution_field=d.institution_field,
            character_set_in=d.character_set_in,
            character_set_out=d.character_set_out,
            answers_with=d.answers_with,
            trusts_sender_accession=d.trusts_sender_accession,
            strict=d.strict,
            may_retrieve=d.may_retrieve,
            last_seen_at=d.last_seen_at,
        )
        for d in session.scalars(select(Device).order_by(Device.name, Device.id))
    ]


def endpoints(session: Session, by: Actor) -> list[EndpointRow]:
    """Endpoints. For the PACS admin."""
    _admin(by)
    rows = session.execute(
        select(Endpoint, Institution.name)
        .join(Institution, Institution.id == Endpoint.institution_id)
        .order_by(Institution.code, Endpoint.id)
    )
    return [
        EndpointRow(
            id=e.id,
            institution_id=e.institution_id,
            institution=name,
            name=e.name,
            host=e.host,
            port=e.port,
            receiving_application=e.receiving_application,
            receiving_facility=e.receiving_facility,
            character_set=e.character_set,
            version=e.version,
            answer_seconds=e.answer_seconds,
            pdf=e.pdf,
            enabled=e.enabled,
        )
        for e, name in rows
    ]


def procedures(session: Session, by: Actor) -> list[ProcedureRow]:
    """The catalogue."""
    return [
        ProcedureRow(
            id=p.id,
            code=p.code,
            name=p.name,
            name_en=p.name_en,
            discipline=p.discipline,
            modality=p.modality,
            body_part=p.body_part,
            limits=p.limits,
            enabled=p.enabled,
        )
        for p in session.scalars(select(Procedure).order_by(Procedure.code))
    ]


def routes(session: Session, by: Actor) -> list[RouteRow]:
    """Routing rules in the order in which they are tried. For the PACS admin."""
    _admin(by)
    rows = session.execute(
        select(Route, Center.name, ReaderGroup.name)
        .join(Center, Center.id == Route.center_id)
        .outerjoin(ReaderGroup, ReaderGroup.id == Route.group_id)
        .order_by(Route.place, Route.id)
    )
    return [
        RouteRow(
            id=r.id,
            place=r.place,
            name=r.name,
            conditions=r.conditions,
            center_id=r.center_id,
            center=center,
            group_id=r.group_id or "",
            group=group or "",
            enabled=r.enabled,
        )
        for r, center, group in rows
    ]


def users(session: Session, by: Actor, now: datetime) -> list[UserRow]:
    """People and their roles. For the security admin."""
    by.require_scope("people")
    by.require("security admin")
    names: dict[str, str] = dict(session.execute(select(Center.id, Center.name)).all())
    groups: dict[str, list[str]] = defaultdict(list)
    for membership in session.scalars(select(UserGroup)):
        groups[membership.user_id].append(membership.group_id)
    return [
        UserRow(
            id=u.id,
            login=u.login,
            name=u.name,
            institution_id=u.institution_id,
            institution=u.institution.name,
            enabled=u.enabled,
            locked=is_locked(u, now),
            must_change_password=u.must_change_password,
            roles=tuple(sorted((r.role, r.center_id, names.get(r.center_id, "")) for r in u.roles)),
            group_ids=tuple(groups[u.id]),
        )
        for u in session.scalars(select(User).order_by(User.login)).unique()
    ]


def staff(session: Session, by: Actor) -> list[StaffRow]:
    """Who may be put on an on-duty list: readers, senior readers and doctors in use. For the PACS admin."""
    _admin(by)
    called = select(UserRole.user_id).where(UserRole.role.in_(("reader", "senior reader", "doctor")))
    rows = session.execute(
        select(User.id, User.name, Institution.name)
        .join(Institution, Institution.id == User.institution_id)
        .where(User.enabled, User.id.in_(called))
        .order_by(Institution.code, User.name, User.id)
    )
    return [StaffRow(id, name, institution) for id, name, institution in rows]


def tokens(session: Session, by: Actor, user_id: str) -> list[TokenRow]:
    """All tokens of one person, the newest first, without their secrets. For the security admin."""
    by.require_scope("people")
    by.require("security admin")
    rows = session.scalars(select(ApiToken).where(ApiToken.user_id == user_id).order_by(ApiToken.id.desc()))
    return [TokenRow(t.id, t.name, tuple(t.scopes), t.created_at, t.expires_at, t.revoked_at) for t in rows]


def messages(
    session: Session,
    by: Actor,
    *,
    direction: str = "",
    outcome: str = "",
    q: str = "",
    after: int = 0,
    limit: int = 50,
) -> Page[MessageRow]:
    """The message log, the newest first. For the PACS admin."""
    _admin(by)
    query = select(Message).order_by(Message.seq.desc()).limit(limit + 1)
    if direction:
        query = query.where(Message.direction == direction)
    if outcome:
        query = query.where(Message.outcome == outcome)
    if q:
        order_ids = select(Order.id).where(Order.accession_number == q)
        query = query.where(or_(scope.contains(Message.control_id, q), Message.order_id.in_(order_ids)))
    if after:
        query = query.where(Message.seq < after)
    found = session.scalars(query).all()
    shown = found[:limit]
    return Page(tuple(_messages(session, shown)), str(shown[-1].seq) if len(found) > limit else "")


def message(session: Session, by: Actor, message_id: str, now: datetime) -> MessageDetail:
    """One message with its bytes; the look is noted in the audit rows, so run this in a writing transaction."""
    _admin(by)
    found = session.scalar(select(Message).where(Message.id == message_id))
    if found is None:
        raise NotFound("no_such_message")
    audit.note(
        session,
        by,
        "message looked at",
        now,
        thing="message",
        thing_id=found.id,
        institution_id=found.institution_id or "",
    )
    return MessageDetail(next(iter(_messages(session, [found]))), found.raw, found.answer)


def set_asides(
    session: Session, by: Actor, *, state: str = "waiting", after: str = "", limit: int = 50
) -> Page[SetAsideRow]:
    """Bytes and messages set aside, the newest first. For the PACS admin."""
    _admin(by)
    query = select(SetAside).where(SetAside.state == state).order_by(SetAside.id.desc()).limit(limit + 1)
    if after:
        query = query.where(SetAside.id < after)
    found = session.scalars(query).all()
    shown = found[:limit]
    institutions_by_id = _names(session, Institution, (s.institution_id for s in shown))
    devices_by_id = _names(session, Device, (s.device_id for s in shown))
    items = tuple(
        SetAsideRow(
            id=s.id,
            state=s.state,
            kind=s.kind,
            at=s.at,
            institution=institutions_by_id.get(s.institution_id or "", ""),
            device=devices_by_id.get(s.device_id or "", ""),
            device_id=s.device_id or "",
            study_id=s.study_id or "",
            message_id=s.message_id or "",
            reason=s.reason,
            params=s.params,
            objects=len(s.store_keys),
        )
        for s in shown
    )
    return Page(items, shown[-1].id if len(found) > limit else "")


def deliveries(session: Session, by: Actor, *, status: str = "", after: str = "", limit: int = 50) -> Page[DeliveryRow]:
    """Deliveries, the newest first: all for the PACS admin, their own for a center or an institution."""
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit + 1)
    if not by.has("PACS admin"):
        query = query.where(Delivery.reading_id.in_(select(Reading.id).where(scope.readings(by))))
    if status:
        query = query.where(Delivery.state == status)
    if after:
        query = query.where(Delivery.id < after)
    found = session.scalars(query).unique().all()
    shown = found[:limit]
    return Page(tuple(parts.deliveries(session, shown)), shown[-1].id if len(found) > limit else "")


def stuck_jobs(session: Session, by: Actor) -> list[StuckJob]:
    """Jobs that wait for a person, the oldest first, but for deliveries, which have a list of their own."""
    _admin(by)
    rows = session.scalars(
        select(OutboxRow)
        .where(OutboxRow.stage == "stuck", OutboxRow.kind != "send_delivery")
        .order_by(OutboxRow.seq)
        .limit(200)
    )
    return [StuckJob(r.seq, r.kind, r.thing_id, r.attempts, r.last_error, r.created_at) for r in rows]


def refused_callers(session: Session, by: Actor, *, limit: int = 200) -> list[RefusedRow]:
    """Callers who were sent away, the latest first. For the PACS admin."""
    _admin(by)
    rows = session.scalars(select(RefusedCaller).order_by(RefusedCaller.last_at.desc()).limit(limit))
    return [
        RefusedRow(r.id, r.door, r.address, r.claimed, r.called, r.reason, r.times, r.first_at, r.last_at) for r in rows
    ]


def audit_rows(session: Session, by: Actor, *, q: str = "", after: int = 0, limit: int = 100) -> Page[AuditView]:
    """Audit rows, the newest first. For the auditor."""
    by.require("auditor")
    query = select(AuditRow).order_by(AuditRow.seq.desc()).limit(limit + 1)
    if q:
        query = query.where(
            or_(scope.contains(AuditRow.actor, q), scope.contains(AuditRow.action, q), AuditRow.thing_id == q)
        )
    if after:
        query = query.where(AuditRow.seq < after)
    found = session.scalars(query).all()
    shown = found[:limit]
    items = tuple(
        AuditView(r.seq, r.at, r.actor, r.action, r.thing, r.thing_id, r.address, r.why, r.detail) for r in shown
    )
    return Page(items, str(shown[-1].seq) if len(found) > limit else "")


def counts(session: Session, by: Actor) -> Counts:
    """Numbers beside the navigation's entries."""

    def count(table: type[Any], *conditions: Any) -> int:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

    reads = by.centers("reader", "senior reader")
    home = by.has("technician") or by.has("doctor")
    admin = by.has("PACS admin")
    mine = Reading.center_id.in_(reads)
    open_critical = CriticalResult.state.in_(("notified", "escalated"))
    return Counts(
        unread=count(Reading, mine, Reading.state.in_(("unread", "drafted"))) if reads else 0,
        in_review=count(Reading, mine, Reading.state == "in review") if by.centers("senior reader") else 0,
        unmatched=count(Study, Study.link == "unmatched", scope.studies(by)) if home or admin else 0,
        set_aside=count(SetAside, SetAside.state == "waiting") if admin else 0,
        stuck=count(Delivery, Delivery.state == "stuck") if admin else 0,
        critical=count(CriticalResult, open_critical, CriticalResult.institution_id == by.institution_id)
        if home
        else 0,
        refused=count(RefusedCaller) if admin else 0,
    )


def _admin(by: Actor) -> None:
    by.require_scope("admin")
    by.require("PACS admin")


def _messages(session: Session, found: Iterable[Message]) -> list[MessageRow]:
    rows = list(found)
    devices_by_id = _names(session, Device, (m.device_id for m in rows))
    endpoints_by_id = _names(session, Endpoint, (m.endpoint_id for m in rows))
    institutions_by_id = _names(session, Institution, (m.institution_id for m in rows))
    numbers: dict[str, str] = dict(
        session.execute(
            select(Order.id, Order.accession_number).where(Order.id.in_({m.order_id for m in rows if m.order_id}))
        ).all()
    )
    return [
        MessageRow(
            seq=m.seq,
            id=m.id,
            direction=m.direction,
            at=m.at,
            device=devices_by_id.get(m.device_id or "", ""),
            endpoint=endpoints_by_id.get(m.endpoint_id or "", ""),
            institution=institutions_by_id.get(m.institution_id or "", ""),
            address=m.address,
            sending_application=m.sending_application,
            sending_facility=m.sending_facility,
            control_id=m.control_id,
            kind=m.kind,
            outcome=m.outcome,
            answer_code=m.answer_code,
            reason=m.reason,
            params=m.params,
            flags=tuple(m.flags),
            accession_number=numbers.get(m.order_id or "", ""),
            delivery_id=m.delivery_id or "",
        )
        for m in rows
    ]


def _names(session: Session, table: Any, ids: Iterable[str | None]) -> dict[str, str]:
    wanted = {i for i in ids if i}
    return dict(session.execute(select(table.id, table.name).where(table.id.in_(wanted))).all())
