"""Who stands at the door? Devices are known by address and claimed name; everybody else is refused and shown."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from sqlalchemy import Row, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worklist.facts import Caller, Destination, FieldOverride, KnownDevice
from worklist.prepared import Prepared
from worklist.tables import Device, DeviceAddress, DeviceCertificate, DeviceInstitution, Institution, RefusedCaller

MOST_NAMES: Final = 100  # kept of one address and reason
OTHERS: Final = "*"  # all names after those

# Who calls is asked with every message: one statement, made once.
_DEVICE = Device.__table__.c
_PLACE = DeviceAddress.__table__.c
_SPEAKS = DeviceInstitution.__table__.c
_TOWN = Institution.__table__.c
_SHOWN = DeviceCertificate.__table__.c
_OF_CALLER = (
    select(
        *(column for column in _DEVICE if column.name not in ("last_seen_at", "echoes", "echoed_at", "created_at")),
        _PLACE.door,
        _PLACE.address,
        _PLACE.claimed,
        _PLACE.institution_id,
        _SPEAKS.institution_id.label("spoken_for"),
        _TOWN.timezone.label("zone"),
    )
    .select_from(DeviceAddress.__table__)
    .join(Device.__table__, _DEVICE.id == _PLACE.device_id)
    .outerjoin(DeviceInstitution.__table__, _SPEAKS.device_id == _DEVICE.id)
    .outerjoin(Institution.__table__, _TOWN.id == _SPEAKS.institution_id)
    .where(_PLACE.door == bindparam("door"), _PLACE.claimed == bindparam("claimed"), _DEVICE.enabled)
)
_BY_ADDRESS: Final = Prepared(_OF_CALLER.where(_PLACE.address == bindparam("address")).order_by(_SPEAKS.institution_id))
_BY_CERTIFICATE: Final = Prepared(
    _OF_CALLER.join(DeviceCertificate.__table__, _SHOWN.device_id == _DEVICE.id)
    .where(_SHOWN.fingerprint == bindparam("fingerprint"), _SHOWN.not_after > bindparam("now"))
    .order_by(_PLACE.address != bindparam("address"), _PLACE.address, _SPEAKS.institution_id)
)


def find_device(session: Session, caller: Caller, now: datetime) -> KnownDevice | None:
    """The enabled device that has this address and claimed name on this door, or None."""
    row = session.get(DeviceAddress, (caller.door, caller.address, caller.claimed))
    device = session.get(Device, row.device_id) if row is not None else None
    if row is None or device is None or not device.enabled:
        return None
    _seen(device, now)
    return known(session, device, row)


def find_device_by_certificate(session: Session, fingerprint: str, caller: Caller, now: datetime) -> KnownDevice | None:
    """The enabled device that showed this certificate (SHA-256 of its DER form, hex), or None.

    It may call from any network address, but only by a name that is on record as its own at this door.
    """
    certificate = session.get(DeviceCertificate, fingerprint)
    if certificate is None or certificate.not_after <= now:
        return None
    rows = session.scalars(
        select(DeviceAddress)
        .where(
            DeviceAddress.device_id == certificate.device_id,
            DeviceAddress.door == caller.door,
            DeviceAddress.claimed == caller.claimed,
        )
        .order_by(DeviceAddress.address != caller.address, DeviceAddress.address)
    )
    row = rows.first()
    device = session.get(Device, certificate.device_id)
    if row is None or device is None or not device.enabled:
        return None
    _seen(device, now)
    return known(session, device, row)


def read_device(session: Session, caller: Caller, now: datetime, fingerprint: str = "") -> KnownDevice | None:
    """As `find_device`, or with a fingerprint as `find_device_by_certificate`, in a read-only transaction.

    Whoever asks has to note the device's last contact.
    """
    asked: dict[str, Any] = {"door": caller.door, "claimed": caller.claimed, "address": caller.address}
    if fingerprint:
        asked |= {"fingerprint": fingerprint, "now": now}
    found = (_BY_CERTIFICATE if fingerprint else _BY_ADDRESS).rows(session, asked)
    if not found:
        return None
    first: Any = found[0]
    zones = {row.spoken_for: row.zone for row in found if row.address == first.address and row.spoken_for is not None}
    return _known(first, first, zones)


def certificate_refusal(session: Session, fingerprint: str, now: datetime) -> str:
    """Why nobody is known by this certificate, as a code; ``""`` where it is a device's and in its time."""
    certificate = session.get(DeviceCertificate, fingerprint)
    if certificate is None:
        return "certificate_unknown"
    return "certificate_expired" if certificate.not_after <= now else ""


def trusted_certificates(session: Session) -> str:
    """The certificates of all enabled devices, as one PEM text in a fixed order."""
    return "".join(
        session.scalars(
            select(DeviceCertificate.pem)
            .join(Device, Device.id == DeviceCertificate.device_id)
            .where(Device.enabled)
            .order_by(DeviceCertificate.fingerprint)
        )
    )


def destination_of(session: Session, device: Device, row: DeviceAddress, port: int) -> Destination:
    """Where a device is called, with the certificates that it may show there."""
    certificates = ""
    if row.tls:
        certificates = "".join(
            session.scalars(
                select(DeviceCertificate.pem)
                .where(DeviceCertificate.device_id == device.id)
                .order_by(DeviceCertificate.fingerprint)
            )
        )
    return Destination(known(session, device, row), row.address, port, row.tls, certificates)


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
        there = destination_of(session, device, row, row.port)
        if set(there.device.institutions) & set(asker.institutions):
            found.append(there)
    own = [destination for destination in found if destination.device.id == asker.id] or found
    return own[0] if len(own) == 1 else None


def known(session: Session, device: Device | Row[Any], row: DeviceAddress | Row[Any] | None = None) -> KnownDevice:
    """A device as a door needs it, from its row or its columns."""
    spoken_for = session.execute(
        select(DeviceInstitution.institution_id, Institution.timezone)
        .join(Institution, Institution.id == DeviceInstitution.institution_id)
        .where(DeviceInstitution.device_id == device.id)
        .order_by(DeviceInstitution.institution_id)
    )
    return _known(device, row, {row.institution_id: row.timezone for row in spoken_for})


def _known(device: Device | Row[Any], row: DeviceAddress | Row[Any] | None, zones: dict[str, str]) -> KnownDevice:
    """`zones` are the time zones of the institutions for which it may speak, by their ids."""
    institutions = tuple(zones)
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
        operations=tuple(device.operations),
        transfer_syntaxes=tuple(device.transfer_syntaxes),
        receive_only_hours=tuple((start, end) for start, end in device.receive_only_hours),
        timezone=zones[institutions[0]] if institutions else "UTC",
        worklist_extras=tuple(device.worklist_extras),
        recognition=cast("Literal['off', 'notice', 'hold']", device.recognition),
        checks=cast("Literal['off', 'report', 'refuse']", device.checks),
        field_overrides=tuple(FieldOverride(**override) for override in device.field_overrides),
    )


def _seen(device: Device, now: datetime) -> None:
    if device.last_seen_at is None or now - device.last_seen_at > timedelta(seconds=30):
        device.last_seen_at = now


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
