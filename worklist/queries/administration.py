"""What administrators see: configuration, people, audit rows; `ledger` has messages and what waits.

Long, since every list of theirs is here: short queries that do not know each other.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from worklist.actions.users import is_locked
from worklist.facts import Reached
from worklist.people import Actor
from worklist.queries import parts, reviews, scope
from worklist.queries.views import (
    CenterRow,
    Counts,
    DeviceRow,
    EndpointRow,
    InstitutionRow,
    Page,
    ProcedureRow,
    RefusedRow,
    RouteRow,
    RouteVersion,
    StaffRow,
    TokenRow,
    UserRow,
)
from worklist.tables import (
    ApiToken,
    Center,
    CriticalResult,
    Delivery,
    Device,
    DeviceAddress,
    DeviceInstitution,
    Endpoint,
    Institution,
    NoticeSending,
    OnDuty,
    Procedure,
    ReaderGroup,
    Reading,
    RefusedCaller,
    Route,
    RouteTable,
    SetAside,
    Study,
    User,
    UserGroup,
    UserRole,
)

_PARENT: Final = aliased(Institution)
_MEMBERS: Final = (
    select(Institution, _PARENT.name).outerjoin(_PARENT, _PARENT.id == Institution.parent_id).order_by(Institution.code)
)


def institutions(session: Session, by: Actor) -> list[InstitutionRow]:
    """All members of the consortium; everybody may know who they are."""
    return [_institution(i, above) for i, above in session.execute(_MEMBERS)]


def institution(session: Session, by: Actor) -> InstitutionRow | None:
    """The actor's own."""
    found = session.execute(_MEMBERS.where(Institution.id == by.institution_id)).first()
    return None if found is None else _institution(*found)


def _institution(i: Institution, above: str | None) -> InstitutionRow:
    return InstitutionRow(
        id=i.id,
        code=i.code,
        name=i.name,
        name_en=i.name_en,
        level=i.level,
        grade=i.grade,
        uscc=i.uscc,
        parent_id=i.parent_id or "",
        parent=above or "",
        timezone=i.timezone,
        phone=i.phone,
        address=i.address,
        paper=i.paper,
        order_days=i.order_days,
    )


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
            two_person_critical=c.two_person_critical,
            verify_minutes=c.verify_minutes,
            preliminary_hours=tuple((start, end) for start, end in c.preliminary_hours),
            lease_minutes=c.lease_minutes,
            quiet_seconds=c.quiet_seconds,
            longest_wait_seconds=c.longest_wait_seconds,
            ecg_rate=c.ecg_rate,
            ecg_seconds=c.ecg_seconds,
            review_minutes=c.review_minutes,
            escalation_minutes=tuple(c.escalation_minutes),
            major_minutes=tuple(c.major_minutes),
            first_words=tuple(c.first_words),
            on_duty=tuple(duty[c.id]),
            groups=tuple(groups[c.id]),
        )
        for c in session.scalars(select(Center).order_by(Center.id)).unique()
    ]


def devices(session: Session, by: Actor) -> list[DeviceRow]:
    """Devices with their addresses and institutions. For the PACS admin."""
    scope.require_admin(by)
    addresses: dict[str, list[dict[str, str | int | bool | None]]] = defaultdict(list)
    for a in session.scalars(select(DeviceAddress).order_by(DeviceAddress.door, DeviceAddress.claimed)):
        addresses[a.device_id].append(
            {
                "door": a.door,
                "address": a.address,
                "claimed": a.claimed,
                "institution_id": a.institution_id or "",
                "port": a.port,
                "tls": a.tls,
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
            operations=tuple(d.operations),
            transfer_syntaxes=tuple(d.transfer_syntaxes),
            receive_only_hours=tuple((start, end) for start, end in d.receive_only_hours),
            worklist_extras=tuple(d.worklist_extras),
            modality_equivalents=tuple(tuple(group) for group in d.modality_equivalents),
            checks=d.checks,
            recognition=d.recognition,
            field_overrides=tuple(d.field_overrides),
            last_seen_at=d.last_seen_at,
            echoes=tuple(Reached(**echo) for echo in d.echoes),
            echoed_at=d.echoed_at,
        )
        for d in session.scalars(select(Device).order_by(Device.name, Device.id))
    ]


def endpoints(session: Session, by: Actor) -> list[EndpointRow]:
    """Endpoints. For the PACS admin."""
    scope.require_admin(by)
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
            tls=e.tls,
            trusted=e.trusted,
            order_status=e.order_status,
            enabled=e.enabled,
            kind=e.kind,
            path=e.path,
            has_token=bool(e.secret),
            center_ids=tuple(e.center_ids),
            marked_only=e.marked_only,
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
    scope.require_admin(by)
    newest = select(RouteTable.id).order_by(RouteTable.number.desc()).limit(1).scalar_subquery()
    return _rules(session, Route.table_id == newest)


def route_number(session: Session, by: Actor) -> int:
    """The number of the version of the routes that counts; 0 before there is any."""
    scope.require_admin(by)
    return session.scalar(select(func.max(RouteTable.number))) or 0


def route_versions(
    session: Session, by: Actor, *, number: int = 0, after: int = 0, limit: int = 50
) -> Page[RouteVersion]:
    """Versions of the route table with their rules, the newest first; only one where `number` is given."""
    scope.require_admin(by)
    query = select(RouteTable).order_by(RouteTable.number.desc()).limit(limit + 1)
    if number:
        query = query.where(RouteTable.number == number)
    if after:
        query = query.where(RouteTable.number < after)
    found = session.scalars(query).all()
    shown = found[:limit]
    people = parts.people_called(session, (t.made_by for t in shown))
    items = tuple(
        RouteVersion(
            t.number,
            t.note,
            t.made_by,
            t.made_at,
            tuple(_rules(session, Route.table_id == t.id)),
            people.get(t.made_by, ""),
        )
        for t in shown
    )
    return Page(items, str(shown[-1].number) if len(found) > limit else "")


def _rules(session: Session, condition: Any) -> list[RouteRow]:
    rows = session.execute(
        select(Route, Center.name, ReaderGroup.name)
        .join(Center, Center.id == Route.center_id)
        .outerjoin(ReaderGroup, ReaderGroup.id == Route.group_id)
        .where(condition)
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
    scope.require_admin(by)
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


def refused_callers(session: Session, by: Actor, *, limit: int = 200) -> list[RefusedRow]:
    """Callers who were sent away, the latest first. For the PACS admin."""
    scope.require_admin(by)
    rows = session.scalars(select(RefusedCaller).order_by(RefusedCaller.last_at.desc()).limit(limit))
    return [
        RefusedRow(r.id, r.door, r.address, r.claimed, r.called, r.reason, r.times, r.first_at, r.last_at) for r in rows
    ]


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
        stuck_notices=count(NoticeSending, NoticeSending.state == "stuck") if admin else 0,
        reviewed=reviews.unseen(session, by) if reads else 0,
    )
