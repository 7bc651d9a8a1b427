"""Who stands at the door? Devices are known by address and claimed name; everybody else is refused and shown."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worklist.facts import Caller, Destination, KnownDevice
from worklist.tables import Device, DeviceAddress, DeviceInstitution, RefusedCaller

MOST_NAMES: Final = 100  # kept of one address and reason
OTHERS: Final = "*"  # all names after those


def find_device(session: Session, caller: Caller, now: datetime) -> KnownDevice | None:
    """The enabled device that has this address and claimed name on this door, or None."""
    row = session.get(DeviceAddress, (caller.door, caller.address, caller.claimed))
    device = session.get(Device, row.device_id) if row is not None else None
    if row is None or device is None or not device.enabled:
        return None
    if device.last_seen_at is None or now - device.last_seen_at > timedelta(seconds=30):
        device.last_seen_at = now
    return known(session, device, row)


def find_destination(session: Session, asker: KnownDevice, ae_title: str) -> Destination | None:
    """The one device that `asker` may move images to under this AE title, or None.

    It takes C-STORE at a port on record and speaks for an institution of the asker's. Two townships may use the same
    title: the asker's own device comes first, and what is still ambiguous is nobody.
    """
    found = []
    for row in session.scalars(
        select(DeviceAddress).where(
            DeviceAddress.door == "dimse", DeviceAddress.claimed == ae_title, DeviceAddress.port.is_not(None)
        )
    ):
        device = session.get(Device, row.device_id)
        if device is None or not device.enabled or row.port is None:
            continue
        there = known(session, device, row)
        if set(there.institutions) & set(asker.institutions):
            found.append(Destination(there, row.address, row.port))
    own = [destination for destination in found if destination.device.id == asker.id] or found
    return own[0] if len(own) == 1 else None


def known(session: Session, device: Device, row: DeviceAddress | None = None) -> KnownDevice:
    """A device as a door needs it."""
    institutions = tuple(
        session.scalars(
            select(DeviceInstitution.institution_id)
            .where(DeviceInstitution.device_id == device.id)
            .order_by(DeviceInstitution.institution_id)
        )
    )
    if row is not None and row.institution_id in institutions:
        institutions = (row.institution_id,)
    return KnownDevice(
        id=device.id,
        name=device.name,
        institutions=institutions,
        ae_title=row.claimed if row is not None and row.door == "dimse" else "",
        institution_field=device.institution_field,
        character_set_in=device.character_set_in,
        character_set_out=device.character_set_out,
        answers_with="order response" if device.answers_with == "order response" else "ACK",
        trusts_sender_accession=device.trusts_sender_accession,
        strict=device.strict,
        modality_equivalents=tuple(tuple(group) for group in device.modality_equivalents),
        may_retrieve=device.may_retrieve,
    )


def refuse_caller(session: Session, caller: Caller, reason: str, now: datetime) -> None:
    """Note that somebody was sent away: one row per caller and reason, counted."""
    values = {
        "door": caller.door,
        "address": caller.address[:64],
        "claimed": caller.claimed[:128],
        "called": caller.called[:64],
        "reason": reason,
    }
    count = (
        update(RefusedCaller)
        .where(*(getattr(RefusedCaller, name) == value for name, value in values.items()))
        .values(times=RefusedCaller.times + 1, last_at=now)
        .returning(RefusedCaller.id)
        .execution_options(synchronize_session=False)
    )
    if session.execute(count).first() is not None:
        return
    from_here = (
        select(func.count())
        .select_from(RefusedCaller)
        .where(
            RefusedCaller.door == caller.door,
            RefusedCaller.address == values["address"],
            RefusedCaller.reason == reason,
        )
    )
    if (session.scalar(from_here) or 0) >= MOST_NAMES and (caller.claimed, caller.called) != (OTHERS, ""):
        # Whoever tries one name after the other fills one row, not the disk.
        refuse_caller(session, Caller(caller.door, caller.address, OTHERS), reason, now)
    else:
        try:
            with session.begin_nested():
                session.add(RefusedCaller(**values, first_at=now, last_at=now))
        except IntegrityError:
            session.execute(count)
