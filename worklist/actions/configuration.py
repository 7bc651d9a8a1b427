"""What the PACS admin configures: institutions, centers, devices, endpoints, procedures, routes, code mappings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import orders, reading_making
from worklist.errors import BadInput, Conflict, NotFound
from worklist.moves import move
from worklist.people import Actor
from worklist.rules.routing import check_conditions
from worklist.tables import (
    Center,
    CodeMapping,
    Device,
    DeviceAddress,
    DeviceInstitution,
    Endpoint,
    Institution,
    OnDuty,
    Procedure,
    ReaderGroup,
    Route,
    SetAside,
    User,
)
from worklist.tables.base import Thing

Row = TypeVar("Row", bound=Thing)

LEVELS = ("village", "township", "county", "city")
DISCIPLINES = ("imaging", "ecg", "laboratory", "pathology")
CHARACTER_SETS = ("UTF-8", "GB18030", "GBK", "ISO 2022 IR 58", "ISO_IR 100", "ASCII")
PAPERS = ("A4", "A5")
PDF_WAYS = ("none", "embedded", "link")
HL7_VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6")


def save_institution(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> Institution:
    """Make or change an institution.

    `fields`: code, name, name_en, level, uscc, parent_id, timezone, phone, address, paper.
    """
    _allow(by)
    row = _row(session, Institution, id, lambda: Institution(created_at=now))
    code = _text(fields, "code", row.code if id else "")
    # "CN" and "HUREN" issue numbers of their own: national ones, and those of orders placed on a page.
    if not (code.isascii() and code.replace("-", "").isalnum() and len(code) <= 32) or code in ("CN", "HUREN"):
        raise BadInput("field_wrong", field="code")
    if id and code != row.code:
        raise Conflict("institution_code_is_fixed")  # it is the issuer of patient identifiers already in use
    _unique(session, Institution, Institution.code == code, row)
    row.code = code
    row.name = _needed(fields, "name", row.name if id else "")
    row.name_en = _text(fields, "name_en", row.name_en or "")
    row.level = _one_of(fields, "level", LEVELS, row.level or "township")
    row.uscc = _text(fields, "uscc", row.uscc or "").upper()
    if row.uscc and not uscc_is_valid(row.uscc):
        raise BadInput("field_wrong", field="uscc")
    row.parent_id = _reference(session, Institution, fields, "parent_id", row.parent_id)
    row.phone = _text(fields, "phone", row.phone or "")
    row.address = _text(fields, "address", row.address or "")
    row.paper = _one_of(fields, "paper", PAPERS, row.paper or "A4")
    row.timezone = _text(fields, "timezone", row.timezone or "Asia/Shanghai")
    try:
        ZoneInfo(row.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadInput("field_wrong", field="timezone") from error
    return _keep(session, by, row, now)


def save_center(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None) -> Center:
    """Make or change a center and its rules."""
    _allow(by)
    row = _row(session, Center, id, Center)
    row.institution_id = _reference(session, Institution, fields, "institution_id", row.institution_id) or _missing(
        "institution_id"
    )
    row.discipline = _one_of(fields, "discipline", DISCIPLINES, row.discipline or "imaging")
    row.name = _needed(fields, "name", row.name if id else "")
    row.name_en = _text(fields, "name_en", row.name_en or "")
    if "two_people" in fields:
        row.two_people = bool(fields["two_people"])
    if "preliminary_hours" in fields:
        check_conditions({"hours": fields["preliminary_hours"]})
        row.preliminary_hours = fields["preliminary_hours"]
    for name in ("lease_minutes", "quiet_seconds", "longest_wait_seconds", "review_minutes"):
        if name in fields:
            setattr(row, name, _positive(fields, name))
    if "escalation_minutes" in fields:
        minutes = fields["escalation_minutes"]
        if not minutes or minutes != sorted(minutes) or any(not isinstance(m, int) or m < 1 for m in minutes):
            raise BadInput("field_wrong", field="escalation_minutes")
        row.escalation_minutes = minutes
    _keep(session, by, row, now)
    reading_making.open_missing(session, by, now)
    return row


def save_group(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> ReaderGroup:
    """Make or change a reader group of a center."""
    _allow(by)
    row = _row(session, ReaderGroup, id, ReaderGroup)
    row.center_id = _reference(session, Center, fields, "center_id", row.center_id) or _missing("center_id")
    row.name = _needed(fields, "name", row.name if id else "")
    row.name_en = _text(fields, "name_en", row.name_en or "")
    return _keep(session, by, row, now)


def set_on_duty(session: Session, by: Actor, center_id: str, user_ids: list[str], now: datetime) -> None:
    """Who is called, in this order, when a critical result stays unanswered."""
    _allow(by)
    if session.get(Center, center_id) is None:
        raise NotFound("no_such_center")
    session.execute(delete(OnDuty).where(OnDuty.center_id == center_id))
    for place, user_id in enumerate(dict.fromkeys(user_ids)):
        if session.get(User, user_id) is None:
            raise NotFound("no_such_user")
        session.add(OnDuty(center_id=center_id, user_id=user_id, place=place))
    audit.note(session, by, "on-duty list changed", now, thing="center", thing_id=center_id)


def save_device(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None) -> Device:
    """Make or change a device.

    `fields` besides the columns: ``institution_ids`` (those it may speak for) and ``addresses``, a list of
    ``{"door", "address", "claimed", "institution_id", "port"}``; both replace what was there.
    """
    _allow(by)
    row = _row(session, Device, id, lambda: Device(created_at=now))
    row.name = _needed(fields, "name", row.name if id else "")
    row.character_set_in = _one_of(fields, "character_set_in", ("", *CHARACTER_SETS), row.character_set_in or "")
    for name in ("kind", "modality"):
        setattr(row, name, _text(fields, name, getattr(row, name) or ("modality" if name == "kind" else "")))
    row.institution_field = _one_of(
        fields, "institution_field", ("", "MSH-4", "PV1-3.4", "calling AE"), row.institution_field or ""
    )
    row.character_set_out = _one_of(fields, "character_set_out", CHARACTER_SETS, row.character_set_out or "GB18030")
    row.answers_with = _one_of(fields, "answers_with", ("ACK", "order response"), row.answers_with or "ACK")
    for name in ("trusts_sender_accession", "strict", "may_retrieve", "enabled"):
        if name in fields:
            setattr(row, name, bool(fields[name]))
    if "modality_equivalents" in fields:
        row.modality_equivalents = [list(group) for group in fields["modality_equivalents"]]
    _keep(session, by, row, now)
    if "institution_ids" in fields:
        session.execute(delete(DeviceInstitution).where(DeviceInstitution.device_id == row.id))
        for institution_id in dict.fromkeys(fields["institution_ids"]):
            if session.get(Institution, institution_id) is None:
                raise NotFound("no_such_institution")
            session.add(DeviceInstitution(device_id=row.id, institution_id=institution_id))
    if "addresses" in fields:
        session.execute(delete(DeviceAddress).where(DeviceAddress.device_id == row.id))
        session.flush()
        for address in fields["addresses"]:
            _add_address(session, row, address)
    session.flush()
    spoken_for = select(DeviceInstitution.device_id).where(DeviceInstitution.device_id == row.id)
    if session.scalar(spoken_for.limit(1)) is None:
        raise BadInput("field_missing", field="institution_ids")
    return row


def _add_address(session: Session, device: Device, address: Mapping[str, Any]) -> None:
    door, host, claimed = (str(address.get(name, "")).strip() for name in ("door", "address", "claimed"))
    if door not in ("dimse", "mllp") or not host or not claimed:
        raise BadInput("field_wrong", field="addresses")
    if door == "dimse" and (len(claimed) > 16 or not claimed.isascii() or "\\" in claimed):
        raise BadInput("field_wrong", field="AE title")  # PS3.5 6.2, AE
    institution_id = address.get("institution_id") or None
    if institution_id is not None and session.get(Institution, institution_id) is None:
        raise NotFound("no_such_institution")
    if session.get(DeviceAddress, (door, host, claimed)) is not None:
        raise Conflict("address_taken", address=f"{host} {claimed}")
    session.add(
        DeviceAddress(
            door=door,
            address=host,
            claimed=claimed,
            device_id=device.id,
            institution_id=institution_id,
            port=_port(door, host, address.get("port")),
        )
    )


def _port(door: str, host: str, port: int | None) -> int | None:
    """Where a device listens. We call it there, so it needs an address that no name server can change."""
    if not port:
        return None
    try:
        ip_address(host)
    except ValueError:
        raise BadInput("field_wrong", field="addresses") from None
    if door != "dimse" or not 0 < port < 65536:
        raise BadInput("field_wrong", field="port")
    return port


def save_endpoint(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> Endpoint:
    """Make or change where an institution's deliveries go."""
    _allow(by)
    row = _row(session, Endpoint, id, Endpoint)
    if id and fields.get("institution_id", row.institution_id) != row.institution_id:
        raise Conflict("endpoint_institution_is_fixed")  # reports of the old one are on their way there
    row.institution_id = _reference(session, Institution, fields, "institution_id", row.institution_id) or _missing(
        "institution_id"
    )
    row.name = _needed(fields, "name", row.name if id else "")
    row.host = _needed(fields, "host", row.host if id else "")
    if "port" in fields or not id:
        row.port = _positive(fields, "port")
    if not 0 < row.port < 65536:
        raise BadInput("field_wrong", field="port")
    for name in ("receiving_application", "receiving_facility"):
        setattr(row, name, _text(fields, name, getattr(row, name) or ""))
    row.character_set = _one_of(fields, "character_set", ("UTF-8", "GB18030"), row.character_set or "UTF-8")
    row.version = _one_of(fields, "version", HL7_VERSIONS, row.version or "2.4")
    row.pdf = _one_of(fields, "pdf", PDF_WAYS, row.pdf or "none")
    if "answer_seconds" in fields:
        row.answer_seconds = _positive(fields, "answer_seconds")
        if row.answer_seconds > 120:  # far below the lease of a job, so that nothing is sent twice at once
            raise BadInput("field_wrong", field="answer_seconds")
    if "enabled" in fields:
        row.enabled = bool(fields["enabled"])
    return _keep(session, by, row, now)


def save_procedure(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> Procedure:
    """Make or change a catalogue entry; `limits` are minutes per priority."""
    _allow(by)
    row = _row(session, Procedure, id, Procedure)
    row.code = _needed(fields, "code", row.code if id else "")
    _unique(session, Procedure, Procedure.code == row.code, row)
    row.name = _needed(fields, "name", row.name if id else "")
    for name in ("name_en", "modality", "body_part"):
        setattr(row, name, _text(fields, name, getattr(row, name) or ""))
    row.discipline = _one_of(fields, "discipline", DISCIPLINES, row.discipline or "imaging")
    if "limits" in fields:
        limits = fields["limits"]
        if any(k not in ("STAT", "URGENT", "ROUTINE") or not isinstance(v, int) or v < 1 for k, v in limits.items()):
            raise BadInput("field_wrong", field="limits")
        row.limits = dict(limits)
    if "enabled" in fields:
        row.enabled = bool(fields["enabled"])
    return _keep(session, by, row, now)


def save_route(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None) -> Route:
    """Make or change a routing rule; `conditions` as in `worklist.rules.routing`."""
    _allow(by)
    row = _row(session, Route, id, Route)
    row.name = _needed(fields, "name", row.name if id else "")
    if "place" in fields or not id:
        row.place = _positive(fields, "place")
    if "conditions" in fields:
        check_conditions(fields["conditions"])
        row.conditions = dict(fields["conditions"])
    row.center_id = _reference(session, Center, fields, "center_id", row.center_id) or _missing("center_id")
    row.group_id = _reference(session, ReaderGroup, fields, "group_id", row.group_id)
    if row.group_id and session.get_one(ReaderGroup, row.group_id).center_id != row.center_id:
        raise BadInput("field_wrong", field="group_id")
    if "enabled" in fields:
        row.enabled = bool(fields["enabled"])
    return _keep(session, by, row, now)


def map_code(session: Session, by: Actor, device_id: str, code: str, procedure_id: str, now: datetime) -> int:
    """Say what a sender's code means; orders that waited for it are scheduled. Returns how many."""
    _allow(by)
    if session.get(Device, device_id) is None or session.get(Procedure, procedure_id) is None:
        raise NotFound("no_such_procedure")
    row = session.get(CodeMapping, (device_id, code))
    if row is None:
        session.add(CodeMapping(device_id=device_id, code=code, procedure_id=procedure_id))
    else:
        row.procedure_id = procedure_id
    session.flush()
    count = orders.schedule_waiting(session, by, device_id, code, now)
    waiting = session.scalars(
        select(SetAside).where(
            SetAside.device_id == device_id, SetAside.state == "waiting", SetAside.reason == "procedure_not_mapped"
        )
    ).all()
    for row_aside in waiting:
        if row_aside.params.get("code") == code:
            move(session, "set aside", row_aside, "settle", by, now, f"mapped {code}")
    audit.note(
        session,
        by,
        "code mapped",
        now,
        thing="device",
        thing_id=device_id,
        detail={"code": code, "procedure": procedure_id},
    )
    return count


def uscc_is_valid(code: str) -> bool:
    """The check digit of a unified social credit code (GB 32100, MOD 31-3)."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    if len(code) != 18 or any(c not in alphabet for c in code):
        return False
    total = sum(alphabet.index(c) * pow(3, place, 31) for place, c in enumerate(code[:17]))
    return alphabet[(31 - total % 31) % 31] == code[17]


def _allow(by: Actor) -> None:
    if not by.is_system:
        by.require_scope("admin")
        by.require("PACS admin")


def _row(session: Session, table: type[Row], id: str | None, make: Callable[[], Row]) -> Row:
    if id is None:
        return make()
    row = session.get(table, id)
    if row is None:
        raise NotFound(f"no_such_{table.__tablename__}")
    return row


def _keep(session: Session, by: Actor, row: Row, now: datetime) -> Row:
    session.add(row)
    session.flush()
    audit.note(session, by, f"{row.__tablename__} saved", now, thing=row.__tablename__, thing_id=row.id)
    return row


def _unique(session: Session, table: type[Row], condition: Any, row: Row) -> None:
    with session.no_autoflush:
        other = session.scalar(select(table).where(condition))
    if other is not None and other is not row:
        raise Conflict("code_taken")


def _text(fields: Mapping[str, Any], name: str, default: str) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or "\x00" in value:
        raise BadInput("field_wrong", field=name)
    return value.strip()


def _needed(fields: Mapping[str, Any], name: str, default: str) -> str:
    return _text(fields, name, default) or _missing(name)


def _missing(name: str) -> str:
    raise BadInput("field_missing", field=name)


def _one_of(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = _text(fields, name, default)
    if value not in allowed:
        raise BadInput("field_wrong", field=name)
    return value


def _positive(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput("field_wrong", field=name)
    return value


def _reference(
    session: Session, table: type[Thing], fields: Mapping[str, Any], name: str, default: str | None
) -> str | None:
    value = fields.get(name, default)
    if not value:
        return None
    if not isinstance(value, str) or session.get(table, value) is None:
        raise NotFound(f"no_such_{table.__tablename__}")
    return value
