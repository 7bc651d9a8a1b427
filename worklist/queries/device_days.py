"""What devices did today, and what is kept of each: for the PACS admin's pages of devices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import administration, ledger, message_log, parts, scope
from worklist.queries.views import (
    CertificateRow,
    CodeRow,
    DeviceDay,
    DeviceRow,
    DeviceStudy,
    MessageRow,
    RefusedRow,
    SetAsideRow,
)
from worklist.tables import (
    CodeMapping,
    Device,
    DeviceAddress,
    DeviceCertificate,
    Institution,
    Message,
    Procedure,
    RefusedCaller,
    SetAside,
    Study,
)

NOT_IN_ORDER: Final = timedelta(minutes=10)
"""Rows of a ledger are written in the order of their commits, which may differ from that of their times by so much."""
MOST_SHOWN: Final = 50


def midnight(session: Session, by: Actor, now: datetime) -> datetime:
    """When today began, where the person works; aware UTC."""
    home = session.get(Institution, by.institution_id) if by.institution_id else None
    zone = ZoneInfo(home.timezone if home else "Asia/Shanghai")
    return datetime.combine(now.astimezone(zone).date(), time(), zone).astimezone(UTC)


def device(session: Session, by: Actor, device_id: str) -> DeviceRow:
    """One device.

    Raises
    ------
    NotFound
        ``no_such_device``.
    """
    found = next((row for row in administration.devices(session, by) if row.id == device_id), None)
    if found is None:
        raise NotFound("no_such_device")
    return found


def days(session: Session, by: Actor, since: datetime) -> dict[str, DeviceDay]:
    """By device, what it did since `since`. For the PACS admin."""
    scope.require_admin(by)
    studies: dict[str, tuple[int, int]] = {
        str(id): (count, images)
        for id, count, images in session.execute(
            select(Study.device_id, func.count(), func.sum(Study.instances))
            .where(Study.device_id.is_not(None), Study.last_at >= since)
            .group_by(Study.device_id)
        )
    }
    messages: dict[str, dict[str, int]] = defaultdict(dict)
    for id, outcome, count in session.execute(
        select(Message.device_id, Message.outcome, func.count())
        .where(Message.device_id.is_not(None), Message.direction == "in", *_since(session, since))
        .group_by(Message.device_id, Message.outcome)
    ):
        messages[str(id)][outcome] = count
    aside: dict[str | None, int] = dict(
        session.execute(
            select(SetAside.device_id, func.count())
            .where(SetAside.state == "waiting", SetAside.device_id.is_not(None))
            .group_by(SetAside.device_id)
        ).all()
    )
    calls: dict[str, int] = dict(
        session.execute(
            select(DeviceAddress.device_id, func.count(RefusedCaller.id.distinct()))
            .join(
                RefusedCaller,
                (RefusedCaller.claimed == DeviceAddress.claimed) & (RefusedCaller.door == DeviceAddress.door),
            )
            .where(RefusedCaller.last_at >= since)
            .group_by(DeviceAddress.device_id)
        ).all()
    )
    ends: dict[str, datetime] = dict(
        session.execute(
            select(DeviceCertificate.device_id, func.max(DeviceCertificate.not_after)).group_by(
                DeviceCertificate.device_id
            )
        ).all()
    )
    return {
        id: DeviceDay(
            device_id=id,
            studies=studies.get(id, (0, 0))[0],
            images=studies.get(id, (0, 0))[1],
            messages=sum(messages[id].values()),
            refused=messages[id].get("refused", 0),
            set_aside=aside.get(id, 0),
            refused_calls=calls.get(id, 0),
            certificate_until=ends.get(id),
        )
        for id in session.scalars(select(Device.id))
    }


def studies_of(session: Session, by: Actor, device_id: str, since: datetime) -> list[DeviceStudy]:
    """The studies that a device sent images to since `since`, the latest first."""
    scope.require_admin(by)
    rows = session.scalars(
        select(Study)
        .where(Study.device_id == device_id, Study.last_at >= since)
        .order_by(Study.last_at.desc())
        .limit(MOST_SHOWN)
    )
    return [
        DeviceStudy(s.id, s.sent_accession_number, s.description, s.modality, s.instances, s.arrival, s.link, s.last_at)
        for s in rows
    ]


def messages_of(session: Session, by: Actor, device_id: str, since: datetime) -> list[MessageRow]:
    """The messages that came from a device since `since`, the latest first."""
    scope.require_admin(by)
    rows = session.scalars(
        select(Message)
        .where(Message.device_id == device_id, Message.direction == "in", *_since(session, since))
        .order_by(Message.seq.desc())
        .limit(MOST_SHOWN)
    )
    return message_log.message_rows(session, rows)


def set_asides_of(session: Session, by: Actor, device_id: str) -> Sequence[SetAsideRow]:
    """What came from a device and waits for a person, the latest first."""
    return ledger.set_asides(session, by, device_id=device_id, limit=MOST_SHOWN).items


def lookalikes(session: Session, by: Actor, device_id: str) -> list[RefusedRow]:
    """Refused callers that may be this device: from one of its addresses, or under one of its names."""
    scope.require_admin(by)
    alike = select(DeviceAddress.device_id).where(
        DeviceAddress.device_id == device_id,
        DeviceAddress.door == RefusedCaller.door,
        (DeviceAddress.address == RefusedCaller.address) | (DeviceAddress.claimed == RefusedCaller.claimed),
    )
    rows = session.scalars(
        select(RefusedCaller).where(alike.exists()).order_by(RefusedCaller.last_at.desc()).limit(MOST_SHOWN)
    )
    return [
        RefusedRow(r.id, r.door, r.address, r.claimed, r.called, r.reason, r.times, r.first_at, r.last_at) for r in rows
    ]


def certificates(session: Session, by: Actor, device_id: str) -> list[CertificateRow]:
    """The certificates by which a device is known, the longest-lived first."""
    scope.require_admin(by)
    rows = session.scalars(
        select(DeviceCertificate)
        .where(DeviceCertificate.device_id == device_id)
        .order_by(DeviceCertificate.not_after.desc(), DeviceCertificate.fingerprint)
    )
    return [CertificateRow(c.fingerprint, c.subject, c.not_after, c.added_at, c.added_by) for c in rows]


def certificate_texts(session: Session, by: Actor, device_id: str) -> str:
    """The certificates of a device as one PEM text: what it may show when we call it."""
    scope.require_admin(by)
    query = select(DeviceCertificate.pem).where(DeviceCertificate.device_id == device_id)
    return "\n".join(session.scalars(query.order_by(DeviceCertificate.fingerprint)))


def codes(session: Session, by: Actor, device_id: str) -> list[CodeRow]:
    """What a sender's codes mean."""
    scope.require_admin(by)
    rows = session.execute(
        select(CodeMapping, Procedure)
        .join(Procedure, Procedure.id == CodeMapping.procedure_id)
        .where(CodeMapping.device_id == device_id)
        .order_by(CodeMapping.code)
    ).all()
    people = parts.people_called(session, (m.made_by for m, _p in rows))
    return [CodeRow(m.code, p.id, p.name, p.name_en, m.made_at, m.made_by, people.get(m.made_by, "")) for m, p in rows]


def _since(session: Session, since: datetime) -> tuple[Any, ...]:
    """Conditions for messages since a moment, for which there is no index: found by halving the ledger."""
    low, high = 0, session.scalar(select(func.max(Message.seq))) or 0
    while low < high:
        middle = (low + high) // 2
        row = session.execute(
            select(Message.seq, Message.at).where(Message.seq > middle).order_by(Message.seq).limit(1)
        ).first()
        if row is None or row.at >= since - NOT_IN_ORDER:
            high = middle
        else:
            low = row.seq
    return Message.seq > low, Message.at >= since
