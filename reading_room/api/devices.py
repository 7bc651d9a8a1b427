"""Devices over the API: their settings and day, echo, certificates, and what a sender's codes mean."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Body, Id, Ids, Line, Listed, PathId, Plain, Word
from reading_room.api.places import Hours, listed, saved
from reading_room.equipment import add_certificates, call_device
from worklist.actions import code_mapping, device_settings
from worklist.facts import OPERATIONS, USUAL_OPERATIONS, Reached
from worklist.queries import administration, device_days
from worklist.queries.views import CertificateRow, CodeRow, DeviceDay, DeviceRow

router = APIRouter(tags=["configuration"], responses=REFUSALS)

TagPath = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{8}(\.[0-9A-F]{8}){0,4}$")]
Fingerprint = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the DER form, hex.")]


class AddressIn(Body):
    """Where a device stands and what it calls itself."""

    door: Word = Field(description="dimse, mllp or folder.")
    address: Word
    claimed: Line = Field(description="Calling AE title, MSH-3|MSH-4, or the folder's name.")
    institution_id: Word = Field("", description="Who speaks from here, if that is one of several.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="Where the device takes C-STORE: images may be moved to it. Its address is an IP then."
    )
    tls: bool = Field(False, description="It is called over TLS, and must show one of its certificates.")


class OverrideIn(Body):
    """What a sender's HL7 field is taken to say: a text, or what another of its fields says."""

    field: Word = Field(description="Such as PV1-3.4: segment, field, component.", examples=["PV1-3.4"])
    value: Line = ""
    source: Word = Field("", description="Another field.")
    only_empty: bool = Field(False, description="Only what is empty is filled.")


class DeviceIn(Body):
    """Anything that talks to a door, and the institutions that it may speak for."""

    name: Line = ""
    kind: Word = ""
    modality: Word = ""
    enabled: bool = True
    character_set_in: Word = ""
    character_set_out: Word = ""
    institution_field: Word = Field("", description="MSH-4, PV1-3.4 or calling AE; decides where there are several.")
    answers_with: Word = Field("", description="ACK, or order response.")
    trusts_sender_accession: bool = False
    recognition: Word = Field(
        "", description="Where a result serves its new order: off, notice (the answer says so), hold."
    )
    strict: bool = False
    operations: Annotated[list[Word], Field(max_length=20)] = Field(
        list(USUAL_OPERATIONS), description="What it may do: " + ", ".join(OPERATIONS) + "."
    )
    modality_equivalents: Annotated[list[Annotated[list[Word], Field(max_length=20)]], Field(max_length=20)] = Field(
        [], description="Modalities that count as one on this device's worklist, such as DX, CR, DR."
    )
    transfer_syntaxes: Annotated[list[Word], Field(max_length=20)] = Field(
        [], description="UIDs, the preferred first; empty: as Huren prefers."
    )
    receive_only_hours: Hours = Field([], description="Local hours in which it may send and not fetch.")
    worklist_extras: Annotated[list[TagPath], Field(max_length=50)] = Field(
        [], description="Elements that its worklist answers carry, asked for or not.", examples=[["00400100.00080060"]]
    )
    checks: Word = Field("", description="Structure of its HL7 messages: off, report or refuse.")
    field_overrides: Annotated[list[OverrideIn], Field(max_length=50)] = Field([])
    institution_ids: Ids = Field([], description="Replaces those that were there.")
    addresses: Annotated[list[AddressIn], Field(max_length=50)] = Field(
        [], description="Replaces those that were there."
    )


class CertificateIn(Body):
    """A certificate by which a device is known from now on."""

    pem: Annotated[str, StringConstraints(max_length=65536), Plain] = Field(
        description="One certificate or a few, without any private key.", examples=["-----BEGIN CERTIFICATE-----…"]
    )


class CodeIn(Body):
    """What a sender's code means."""

    code: Word = Field(examples=["0712"])
    procedure_id: Id


class CodeOut(Body):
    """A sender's code."""

    code: Word


class DeviceOut(BaseModel):
    """A device and its day."""

    device: DeviceRow
    today: DeviceDay = Field(description="Since midnight where the caller works.")


class Scheduled(BaseModel):
    """What came of a mapping."""

    scheduled: int = Field(description="Orders that waited for it and go on now.")


@router.get("/devices")
def get_devices(web: Served, by: Looking) -> Listed[DeviceRow]:
    """Devices with their addresses and institutions."""
    return listed(web, by, administration.devices)


@router.post("/devices", status_code=201)
def add_device(web: Served, by: Acting, body: DeviceIn) -> DeviceRow:
    """Add a device."""
    return saved(web, by, body, None, device_settings.save_device, administration.devices)


@router.get("/devices/{id}")
def get_device(web: Served, by: Looking, id: PathId) -> DeviceOut:
    """A device, and what it did today."""
    now = web.clock()

    def work(session: Session) -> DeviceOut:
        row = device_days.device(session, by, id)
        since = device_days.midnight(session, by, now)
        return DeviceOut(device=row, today=device_days.days(session, by, since)[row.id])

    return web.database.read(work)


@router.put("/devices/{id}")
def change_device(web: Served, by: Acting, id: PathId, body: DeviceIn) -> DeviceRow:
    """Change a device. Addresses and institutions that are named replace those that were there; of an address that
    stays, what is not named stays too."""
    return saved(web, by, body, id, device_settings.save_device, administration.devices)


@router.post("/devices/{id}/echo")
def echo_device(web: Served, by: Acting, id: PathId) -> Listed[Reached]:
    """Call the device at each of its ports (C-ECHO) and wait: `code` is `reached`, or says why not."""
    return Listed(call_device(web, by, id))


@router.get("/devices/{id}/certificates")
def get_certificates(web: Served, by: Looking, id: PathId) -> Listed[CertificateRow]:
    """The certificates by which the device is known over TLS."""

    def work(session: Session) -> Listed[CertificateRow]:
        return Listed(device_days.certificates(session, by, device_days.device(session, by, id).id))

    return web.database.read(work)


@router.post("/devices/{id}/certificates", status_code=201)
def add_certificate(web: Served, by: Acting, id: PathId, body: CertificateIn) -> Listed[CertificateRow]:
    """Add what a PEM text holds; the answer lists all."""
    add_certificates(web, by, id, body.pem)
    return Listed(web.database.read(lambda s: device_days.certificates(s, by, id)))


@router.delete("/devices/{id}/certificates/{fingerprint}", status_code=204)
def remove_certificate(web: Served, by: Acting, id: PathId, fingerprint: Fingerprint) -> None:
    """The device is refused with this certificate from now on."""
    now = web.clock()
    web.database.write(lambda s: device_settings.remove_certificate(s, by, id, fingerprint, now))


@router.get("/devices/{id}/codes")
def get_codes(web: Served, by: Looking, id: PathId) -> Listed[CodeRow]:
    """What the sender's procedure codes mean, and who said so."""

    def work(session: Session) -> Listed[CodeRow]:
        return Listed(device_days.codes(session, by, device_days.device(session, by, id).id))

    return web.database.read(work)


@router.post("/devices/{id}/codes")
def map_code(web: Served, by: Acting, id: PathId, body: CodeIn) -> Scheduled:
    """Say what a code means; orders that waited for it are scheduled."""
    now = web.clock()
    return Scheduled(
        scheduled=web.database.write(lambda s: code_mapping.map_code(s, by, id, body.code, body.procedure_id, now))
    )


@router.post("/devices/{id}/codes/remove", status_code=204)
def unmap_code(web: Served, by: Acting, id: PathId, body: CodeOut) -> None:
    """Take a meaning back. Orders that were placed with it keep it; later ones wait until the code is mapped again.

    A POST, since a code may hold any character.
    """
    now = web.clock()
    web.database.write(lambda s: code_mapping.unmap_code(s, by, id, body.code, now))
