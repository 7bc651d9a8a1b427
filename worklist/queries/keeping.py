"""What an admin must know after a restore: how far the backup reached, and whom to ask for what came after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist.actions.devices import known
from worklist.actions.keeping import RESTORED_AT, SNAPSHOT_AT
from worklist.facts import KnownDevice
from worklist.queries.stored import AT_ONCE
from worklist.tables import (
    AuditSeal,
    Delivery,
    Device,
    DeviceAddress,
    DeviceInstitution,
    Endpoint,
    Installation,
    Institution,
    Message,
    Order,
    Reading,
    ReadingOrder,
    Study,
)

OPEN_READINGS: Final = ("unread", "drafted", "in review", "referred", "returned")
OPEN_DELIVERIES: Final = ("due", "sent", "retrying", "stuck")


@dataclass(frozen=True)
class Restored:
    """The last restore: when its backup was taken, and when it was restored. What came between is gone here."""

    taken_at: datetime
    restored_at: datetime


def restored(session: Session) -> Restored | None:
    """The last restore of this database, None where there was none."""
    taken, done = (session.get(Installation, name) for name in (SNAPSHOT_AT, RESTORED_AT))
    if taken is None or done is None:
        return None
    return Restored(datetime.fromisoformat(taken.value), datetime.fromisoformat(done.value))


def last_digest(session: Session) -> str:
    """The digest of the newest link of the audit chain; ``""`` without one."""
    return session.scalar(select(AuditSeal.digest).order_by(AuditSeal.seq.desc()).limit(1)) or ""


@dataclass(frozen=True)
class LastHeard:
    """The last that the database has of a device: a study's last image, a message."""

    device: str
    door: str
    institutions: str  # codes
    last_at: datetime | None


def last_heard(session: Session, before: datetime) -> list[LastHeard]:
    """For each enabled device the last of it that came before `before` and is held."""
    messages = (
        select(Message.device_id, func.max(Message.at))
        .where(Message.direction == "in", Message.at < before)
        .group_by(Message.device_id)
    )
    images = select(Study.device_id, func.max(Study.last_at)).where(Study.last_at < before).group_by(Study.device_id)
    times: dict[str | None, list[datetime]] = defaultdict(list)
    for query in (messages, images):
        for device_id, at in session.execute(query):
            times[device_id].append(at)
    found = []
    spoken_for = (
        select(Institution.code)
        .join(DeviceInstitution, DeviceInstitution.institution_id == Institution.id)
        .order_by(Institution.code)
    )
    for device in session.scalars(select(Device).where(Device.enabled).order_by(Device.name)).unique():
        doors = session.scalars(select(DeviceAddress.door).where(DeviceAddress.device_id == device.id).distinct()).all()
        codes = session.scalars(spoken_for.where(DeviceInstitution.device_id == device.id)).all()
        last = max(times[device.id], default=None)
        found.append(LastHeard(device.name, ", ".join(sorted(doors)), ", ".join(codes), last))
    return found


@dataclass(frozen=True)
class OpenWork:
    """Something that was open when the backup was taken, and may have gone on since."""

    what: str  # report, delivery
    accession_numbers: str
    state: str
    where: str  # an endpoint's name, an institution's code


def open_work(session: Session, before: datetime) -> Iterator[OpenWork]:
    """Cases without a final report, and deliveries without an answer, as the backup has them: a report may have been
    signed, and a message may have gone out, after it."""
    readings = (
        select(Reading.id, Reading.state, Institution.code)
        .join(Institution, Institution.id == Reading.institution_id)
        .where(Reading.state.in_(OPEN_READINGS), Reading.created_at < before)
        .order_by(Reading.id)
    )
    for reading_id, state, code in session.execute(readings.execution_options(yield_per=AT_ONCE)):
        yield OpenWork("report", _numbers(session, reading_id), state, code)
    deliveries = (
        select(Delivery.reading_id, Delivery.order_id, Delivery.state, Endpoint.name)
        .join(Endpoint, Endpoint.id == Delivery.endpoint_id)
        .where(Delivery.state.in_(OPEN_DELIVERIES), Delivery.created_at < before)
        .order_by(Delivery.id)
    )
    for its_reading, order_id, state, name in session.execute(deliveries.execution_options(yield_per=AT_ONCE)):
        numbers = _numbers(session, its_reading) if its_reading else _number(session, order_id)
        yield OpenWork("delivery", numbers, state, name)


def device_called(session: Session, ae_title: str) -> KnownDevice | None:
    """The one enabled device that stores under this AE title; None where there is none, or where there are several."""
    rows = (
        session.execute(
            select(Device, DeviceAddress)
            .join(DeviceAddress, DeviceAddress.device_id == Device.id)
            .where(Device.enabled, DeviceAddress.door == "dimse", DeviceAddress.claimed == ae_title)
            .order_by(DeviceAddress.address)
        )
        .unique()
        .all()
    )
    if not ae_title or len({device.id for device, _address in rows}) != 1:
        return None
    device, address = rows[0]
    return known(session, device, address)


def _numbers(session: Session, reading_id: str) -> str:
    orders = (
        select(Order.accession_number)
        .join(ReadingOrder, ReadingOrder.order_id == Order.id)
        .where(ReadingOrder.reading_id == reading_id)
        .order_by(Order.accession_number)
    )
    return ", ".join(session.scalars(orders))


def _number(session: Session, order_id: str | None) -> str:
    return session.scalar(select(Order.accession_number).where(Order.id == order_id)) or ""
