"""What the PACS admin says of devices: who they are, what they may do, their quirks and their certificates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions.fields import allow, hours, keep, missing, needed, one_of, row_of, text, texts
from worklist.actions.preparing import forget_prepared
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import OPERATIONS, Reached
from worklist.people import Actor
from worklist.rules.worklist_tags import read_worklist_tags
from worklist.tables import Device, DeviceAddress, DeviceCertificate, DeviceInstitution, Institution

CHARACTER_SETS: Final = ("UTF-8", "GB18030", "GBK", "ISO 2022 IR 58", "ISO_IR 100", "ASCII")
INSTITUTION_FIELDS: Final = ("", "MSH-4", "PV1-3.4", "calling AE")
ANSWERS: Final = ("ACK", "order response")
RECOGNITION_WAYS: Final = ("off", "notice", "hold")
"""Where a result serves a new order: nothing, the answer says so, or the order is held until somebody answers."""
CHECKS: Final = ("off", "report", "refuse")
ONE_NAME: Final = ("folder", "fhir")
"""Doors at which a device has one name: its folder's, or the login of the account whose token it shows."""
MOST_CERTIFICATES: Final = 10  # of one device: the present ones, and those that follow them

_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+", re.ASCII)
_HL7_FIELD: Final = re.compile(r"[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(?:\.[1-9][0-9]{0,2})?", re.ASCII)
_MODALITY: Final = re.compile(r"[A-Z0-9_]{1,16}", re.ASCII)
_SPLITTERS: Final = frozenset("MSH-1 MSH-2".split())  # they say how the message is read


def save_device(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None) -> Device:
    """Make or change a device.

    `fields` besides the columns: ``institution_ids`` (those it may speak for) and ``addresses``, a list of
    ``{"door", "address", "claimed", "institution_id", "port", "tls"}``; both replace what was there. Of an address
    that was there before, what is not said stays as it was.

    Raises
    ------
    BadInput, NotFound, Conflict
        naming the field that is wrong.
    """
    allow(by)
    row = row_of(session, Device, id, lambda: Device(created_at=now))
    row.name = needed(fields, "name", row.name if id else "")
    for name in ("kind", "modality"):
        setattr(row, name, text(fields, name, getattr(row, name) or ("modality" if name == "kind" else "")))
    row.institution_field = one_of(fields, "institution_field", INSTITUTION_FIELDS, row.institution_field or "")
    assumed = row.character_set_in
    row.character_set_in = one_of(fields, "character_set_in", ("", *CHARACTER_SETS), row.character_set_in or "")
    if id and row.character_set_in != assumed:
        forget_prepared(session, row.id, now)
    row.character_set_out = one_of(fields, "character_set_out", CHARACTER_SETS, row.character_set_out or "GB18030")
    row.answers_with = one_of(fields, "answers_with", ANSWERS, row.answers_with or "ACK")
    row.checks = one_of(fields, "checks", CHECKS, row.checks or "off")
    row.recognition = one_of(fields, "recognition", RECOGNITION_WAYS, row.recognition or "off")
    for name in ("trusts_sender_accession", "strict", "enabled"):
        if name in fields:
            setattr(row, name, bool(fields[name]))
    _set_lists(row, fields)
    keep(session, by, row, now)
    if "institution_ids" in fields:
        session.execute(delete(DeviceInstitution).where(DeviceInstitution.device_id == row.id))
        for institution_id in dict.fromkeys(fields["institution_ids"]):
            if session.get(Institution, institution_id) is None:
                raise NotFound("no_such_institution")
            session.add(DeviceInstitution(device_id=row.id, institution_id=institution_id))
    session.flush()
    if "addresses" in fields:
        _set_addresses(session, row, fields["addresses"])
    _check_institutions(session, row)
    return row


def add_certificate(
    session: Session,
    by: Actor,
    device_id: str,
    pem: str,
    now: datetime,
    *,
    fingerprint: str,
    subject: str,
    not_after: datetime,
) -> DeviceCertificate:
    """From now on the device is known by this certificate (the door read it: the ground knows no X.509).

    Raises
    ------
    NotFound, Conflict, BadInput
        ``certificate_taken`` by this or another device, ``certificate_is_over``, ``too_many_certificates``.
    """
    allow(by)
    device = row_of(session, Device, device_id, Device)
    held = session.get(DeviceCertificate, fingerprint)
    if held is not None:
        raise Conflict("certificate_taken", device=session.get_one(Device, held.device_id).name)
    if not_after <= now:
        raise BadInput("certificate_is_over")
    query = select(DeviceCertificate.fingerprint).where(DeviceCertificate.device_id == device.id)
    if len(session.scalars(query).all()) >= MOST_CERTIFICATES:
        raise Conflict("too_many_certificates", most=MOST_CERTIFICATES)
    row = DeviceCertificate(
        fingerprint=fingerprint,
        device_id=device.id,
        pem=pem,
        subject=subject,
        not_after=not_after,
        added_at=now,
        added_by=by.name,
    )
    session.add(row)
    session.flush()
    _note(session, by, "certificate added", now, device, {"fingerprint": fingerprint, "subject": subject})
    return row


def remove_certificate(session: Session, by: Actor, device_id: str, fingerprint: str, now: datetime) -> None:
    """The device is not known by this certificate any more.

    Raises
    ------
    NotFound
        ``no_such_certificate`` of this device.
    """
    allow(by)
    device = row_of(session, Device, device_id, Device)
    row = session.get(DeviceCertificate, fingerprint)
    if row is None or row.device_id != device.id:
        raise NotFound("no_such_certificate")
    _note(session, by, "certificate removed", now, device, {"fingerprint": fingerprint, "subject": row.subject})
    session.delete(row)
    session.flush()


def note_echo(session: Session, by: Actor, device_id: str, results: Sequence[Reached], now: datetime) -> None:
    """Keep what came of calling a device last, one result for each of its ports."""
    allow(by)
    device = row_of(session, Device, device_id, Device)
    device.echoes = [asdict(result) for result in results]
    device.echoed_at = now
    session.flush()


def _set_lists(row: Device, fields: Mapping[str, Any]) -> None:
    if "operations" in fields:
        wanted = texts(fields, "operations", lambda name: name in OPERATIONS)
        row.operations = [name for name in OPERATIONS if name in wanted]
    if "transfer_syntaxes" in fields:
        row.transfer_syntaxes = texts(
            fields, "transfer_syntaxes", lambda uid: len(uid) <= 64 and _UID.fullmatch(uid) is not None
        )
    if "worklist_extras" in fields:
        row.worklist_extras = list(read_worklist_tags(texts(fields, "worklist_extras", lambda _tag: True)))
    if "receive_only_hours" in fields:
        row.receive_only_hours = hours(fields, "receive_only_hours")
    if "modality_equivalents" in fields:
        row.modality_equivalents = [
            texts({"modality_equivalents": group}, "modality_equivalents", lambda m: _MODALITY.fullmatch(m) is not None)
            for group in fields["modality_equivalents"]
        ]
    if "field_overrides" in fields:
        row.field_overrides = [_override(override) for override in fields["field_overrides"]]


def _override(said: Mapping[str, Any]) -> dict[str, Any]:
    """One field override: a constant, or what another field says, and not both."""
    name, source, value = text(said, "field", "").upper(), text(said, "source", "").upper(), text(said, "value", "")
    for given in (name, source) if source else (name,):
        if _HL7_FIELD.fullmatch(given) is None:
            raise BadInput("hl7_field_wrong", name=given or "—")
    if name.split(".")[0] in _SPLITTERS or (value and source) or name == source:
        raise BadInput("override_wrong", name=name)
    if any(ord(c) < 32 for c in value) or len(value) > 200:
        raise BadInput("field_wrong", field="field_overrides")
    return {"field": name, "value": value, "source": source, "only_empty": bool(said.get("only_empty", False))}


def _set_addresses(session: Session, device: Device, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Replace a device's addresses; of one that was there before, what is not said stays."""
    before = {
        (row.door, row.address, row.claimed): {"institution_id": row.institution_id, "port": row.port, "tls": row.tls}
        for row in session.scalars(select(DeviceAddress).where(DeviceAddress.device_id == device.id))
    }
    session.execute(delete(DeviceAddress).where(DeviceAddress.device_id == device.id))
    session.flush()
    for address in wanted:
        door, host, claimed = (str(address.get(name, "")).strip() for name in ("door", "address", "claimed"))
        if door in ONE_NAME:  # in whichever column it was typed
            host = claimed = claimed or host
        if door not in ("dimse", "mllp", *ONE_NAME) or not host or not claimed:
            raise BadInput("address_incomplete", address=f"{host} {claimed}".strip())
        _check_name(door, host, claimed)
        said = before.get((door, host, claimed), {}) | dict(address)
        taken = session.get(DeviceAddress, (door, host, claimed))
        if taken is not None:
            raise Conflict("address_taken", address=f"{host} {claimed}")
        institution_id = said.get("institution_id") or None
        if institution_id is not None and session.get(Institution, institution_id) is None:
            raise NotFound("no_such_institution")
        session.add(
            DeviceAddress(
                door=door,
                address=host,
                claimed=claimed,
                device_id=device.id,
                institution_id=institution_id,
                port=_port(door, host, said.get("port")),
                tls=bool(said.get("tls", False)),
            )
        )
        session.flush()


def _check_name(door: str, host: str, claimed: str) -> None:
    if any(c.isspace() or ord(c) < 32 for c in host) or len(host) > 64 or len(claimed) > 128:
        raise BadInput("field_wrong", field="addresses")
    if door == "dimse" and (len(claimed) > 16 or not claimed.isascii() or not claimed.isprintable() or "\\" in claimed):
        raise BadInput("field_wrong", field="AE title")  # PS3.5 6.2, AE
    if door == "folder" and (not claimed.replace("-", "").replace("_", "").isalnum() or not claimed.isascii()):
        raise BadInput("field_wrong", field="addresses")
    if door == "mllp" and "|" not in claimed:
        raise BadInput("field_wrong", field="MSH-3|MSH-4")


def _port(door: str, host: str, port: Any) -> int | None:
    """Where a device listens. We call it there, so it needs an address that no name server can change."""
    if not port:
        return None
    if door != "dimse" or isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise BadInput("field_wrong", field="port")
    try:
        ip_address(host)
    except ValueError:
        raise BadInput("port_needs_ip", address=host) from None
    return port


def _check_institutions(session: Session, device: Device) -> None:
    """A device speaks for somebody, and a name of its own only for one of those."""
    speaks_for = set(
        session.scalars(select(DeviceInstitution.institution_id).where(DeviceInstitution.device_id == device.id))
    )
    if not speaks_for:
        missing("institution_ids")
    for row in session.scalars(select(DeviceAddress).where(DeviceAddress.device_id == device.id)):
        if row.institution_id is not None and row.institution_id not in speaks_for:
            raise BadInput("institution_not_spoken_for", name=row.claimed)


def _note(session: Session, by: Actor, action: str, now: datetime, device: Device, detail: dict[str, Any]) -> None:
    audit.note(session, by, action, now, thing="device", thing_id=device.id, detail=detail)
