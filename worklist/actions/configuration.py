"""What the PACS admin configures: institutions, centers, endpoints, procedures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import delete
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import reading_making
from worklist.actions.fields import (
    allow,
    hours,
    keep,
    missing,
    needed,
    one_of,
    positive,
    reference,
    row_of,
    text,
    texts,
    unique,
)
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import ENDPOINT_KINDS
from worklist.people import Actor
from worklist.rules.recognition import GRADES
from worklist.tables import Center, Endpoint, Institution, OnDuty, Procedure, ReaderGroup, User

LEVELS = ("village", "township", "county", "city")
DISCIPLINES = ("imaging", "ecg", "laboratory", "pathology")
NUMBERS_OF_CENTER = (
    "lease_minutes",
    "quiet_seconds",
    "longest_wait_seconds",
    "review_minutes",
    "verify_minutes",
    "ecg_rate",
    "ecg_seconds",
)
PAPERS = ("A4", "A5")
PDF_WAYS = ("none", "embedded", "link")
LONGEST_ORDER_DAYS = 3650
LONGEST_PATH = 500
_UNFIT_FOR_PATH = re.compile(r"[^\x21-\x7e]|#")
HL7_VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6")


def save_institution(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> Institution:
    """Make or change an institution.

    `fields`: code, name, name_en, level, grade, uscc, parent_id, timezone, phone, address, paper, order_days.
    """
    allow(by)
    row = row_of(session, Institution, id, lambda: Institution(created_at=now))
    code = text(fields, "code", row.code if id else "")
    # "CN" and "HUREN" issue numbers of their own: national ones, and those of orders placed on a page.
    if not (code.isascii() and code.replace("-", "").isalnum() and len(code) <= 32) or code in ("CN", "HUREN"):
        raise BadInput("field_wrong", field="code")
    if id and code != row.code:
        raise Conflict("institution_code_is_fixed")  # it is the issuer of patient identifiers already in use
    unique(session, Institution, Institution.code == code, row)
    row.code = code
    row.name = needed(fields, "name", row.name if id else "")
    row.name_en = text(fields, "name_en", row.name_en or "")
    row.level = one_of(fields, "level", LEVELS, row.level or "township")
    row.grade = one_of(fields, "grade", ("", *GRADES), row.grade or "")
    row.uscc = text(fields, "uscc", row.uscc or "").upper()
    if row.uscc and not uscc_is_valid(row.uscc):
        raise BadInput("field_wrong", field="uscc")
    row.parent_id = reference(session, Institution, fields, "parent_id", row.parent_id)
    row.phone = text(fields, "phone", row.phone or "")
    row.address = text(fields, "address", row.address or "")
    row.paper = one_of(fields, "paper", PAPERS, row.paper or "A4")
    if "order_days" in fields:
        row.order_days = positive(fields, "order_days")
        if row.order_days > LONGEST_ORDER_DAYS:
            raise BadInput("field_wrong", field="order_days")
    row.timezone = text(fields, "timezone", row.timezone or "Asia/Shanghai")
    try:
        ZoneInfo(row.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadInput("field_wrong", field="timezone") from error
    return keep(session, by, row, now)


def save_center(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None) -> Center:
    """Make or change a center and its rules."""
    allow(by)
    row = row_of(session, Center, id, Center)
    row.institution_id = reference(session, Institution, fields, "institution_id", row.institution_id) or missing(
        "institution_id"
    )
    row.discipline = one_of(fields, "discipline", DISCIPLINES, row.discipline or "imaging")
    row.name = needed(fields, "name", row.name if id else "")
    row.name_en = text(fields, "name_en", row.name_en or "")
    for name in ("two_people", "two_person_critical"):
        if name in fields:
            setattr(row, name, bool(fields[name]))
    if "preliminary_hours" in fields:
        row.preliminary_hours = hours(fields, "preliminary_hours")
    for name in NUMBERS_OF_CENTER:
        if name in fields:
            setattr(row, name, positive(fields, name))
    for name in ("escalation_minutes", "major_minutes"):
        if name in fields:
            minutes = fields[name]
            if not minutes or minutes != sorted(minutes) or any(not isinstance(m, int) or m < 1 for m in minutes):
                raise BadInput("field_wrong", field=name)
            setattr(row, name, minutes)
    if "first_words" in fields:
        row.first_words = [word for word in (str(given).strip() for given in fields["first_words"]) if word]
    keep(session, by, row, now)
    reading_making.open_missing(session, by, now)
    return row


def save_group(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> ReaderGroup:
    """Make or change a reader group of a center."""
    allow(by)
    row = row_of(session, ReaderGroup, id, ReaderGroup)
    row.center_id = reference(session, Center, fields, "center_id", row.center_id) or missing("center_id")
    row.name = needed(fields, "name", row.name if id else "")
    row.name_en = text(fields, "name_en", row.name_en or "")
    return keep(session, by, row, now)


def set_on_duty(session: Session, by: Actor, center_id: str, user_ids: list[str], now: datetime) -> None:
    """Who is called, in this order, when a critical result stays unanswered."""
    allow(by)
    if session.get(Center, center_id) is None:
        raise NotFound("no_such_center")
    session.execute(delete(OnDuty).where(OnDuty.center_id == center_id))
    for place, user_id in enumerate(dict.fromkeys(user_ids)):
        if session.get(User, user_id) is None:
            raise NotFound("no_such_user")
        session.add(OnDuty(center_id=center_id, user_id=user_id, place=place, tier=place + 1))
    audit.note(session, by, "on-duty list changed", now, thing="center", thing_id=center_id)


def save_endpoint(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> Endpoint:
    """Make or change where an institution's deliveries go, or a regional platform that it publishes to.

    `trusted` holds the PEM certificates that it may show where `tls` is on; whoever calls has read them. `secret` is a
    platform's bearer token, sealed; empty leaves the one that is there, which is forgotten where host, port or
    encryption change.
    """
    allow(by)
    row = row_of(session, Endpoint, id, Endpoint)
    kind = one_of(fields, "kind", ENDPOINT_KINDS, row.kind or "mllp")
    if id and kind != row.kind:
        raise Conflict("endpoint_kind_is_fixed")
    row.kind = kind
    before = (row.host, row.port, row.tls)
    if id and fields.get("institution_id", row.institution_id) != row.institution_id:
        raise Conflict("endpoint_institution_is_fixed")  # reports of the old one are on their way there
    row.institution_id = reference(session, Institution, fields, "institution_id", row.institution_id) or missing(
        "institution_id"
    )
    row.name = needed(fields, "name", row.name if id else "")
    row.host = needed(fields, "host", row.host if id else "")
    if "port" in fields or not id:
        row.port = positive(fields, "port")
    if not 0 < row.port < 65536:
        raise BadInput("field_wrong", field="port")
    for name in ("receiving_application", "receiving_facility"):
        setattr(row, name, text(fields, name, getattr(row, name) or ""))
    row.character_set = one_of(fields, "character_set", ("UTF-8", "GB18030"), row.character_set or "UTF-8")
    row.version = one_of(fields, "version", HL7_VERSIONS, row.version or "2.4")
    row.pdf = one_of(fields, "pdf", PDF_WAYS, row.pdf or "none")
    if "answer_seconds" in fields:
        row.answer_seconds = positive(fields, "answer_seconds")
        if row.answer_seconds > 120:  # far below the lease of a job, so that nothing is sent twice at once
            raise BadInput("field_wrong", field="answer_seconds")
    row.trusted = text(fields, "trusted", row.trusted or "")
    for name in ("tls", "order_status", "enabled"):
        if name in fields:
            setattr(row, name, bool(fields[name]))
    if row.kind != "mllp":
        _read_platform(session, row, fields, is_elsewhere=(row.host, row.port, row.tls) != before)
    return keep(session, by, row, now)


def _read_platform(session: Session, row: Endpoint, fields: Mapping[str, Any], *, is_elsewhere: bool) -> None:
    """What only a regional platform has."""
    row.order_status = False
    row.path = text(fields, "path", row.path or "") or "/"
    if not row.path.startswith("/") or len(row.path) > LONGEST_PATH or _UNFIT_FOR_PATH.search(row.path):
        raise BadInput("field_wrong", field="path")
    if "center_ids" in fields:
        row.center_ids = texts(fields, "center_ids", lambda id: session.get(Center, id) is not None)
    if "marked_only" in fields:
        row.marked_only = bool(fields["marked_only"])
    secret = text(fields, "secret", "")
    if secret and not row.tls:
        raise BadInput("token_needs_tls")
    row.secret = secret or ("" if is_elsewhere else row.secret or "")


def save_procedure(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> Procedure:
    """Make or change a catalogue entry; `limits` are minutes per priority."""
    allow(by)
    row = row_of(session, Procedure, id, Procedure)
    row.code = needed(fields, "code", row.code if id else "")
    unique(session, Procedure, Procedure.code == row.code, row)
    row.name = needed(fields, "name", row.name if id else "")
    for name in ("name_en", "modality", "body_part"):
        setattr(row, name, text(fields, name, getattr(row, name) or ""))
    row.discipline = one_of(fields, "discipline", DISCIPLINES, row.discipline or "imaging")
    if "limits" in fields:
        limits = fields["limits"]
        if any(k not in ("STAT", "URGENT", "ROUTINE") or not isinstance(v, int) or v < 1 for k, v in limits.items()):
            raise BadInput("field_wrong", field="limits")
        row.limits = dict(limits)
    if "enabled" in fields:
        row.enabled = bool(fields["enabled"])
    return keep(session, by, row, now)


def uscc_is_valid(code: str) -> bool:
    """The check digit of a unified social credit code (GB 32100, MOD 31-3)."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    if len(code) != 18 or any(c not in alphabet for c in code):
        return False
    total = sum(alphabet.index(c) * pow(3, place, 31) for place, c in enumerate(code[:17]))
    return alphabet[(31 - total % 31) % 31] == code[17]
