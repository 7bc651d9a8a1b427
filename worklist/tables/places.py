"""Institutions, centers, devices, endpoints, procedures and routes: what the PACS admin configures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklist.facts import USUAL_OPERATIONS
from worklist.tables.base import Base, Json, Key, Thing


class Institution(Thing):
    """A member of the consortium. `code` is short and unique, and is the issuer of its patient identifiers."""

    __tablename__ = "institution"
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    name_en: Mapped[str] = mapped_column(default="")
    level: Mapped[str] = mapped_column(default="township")  # village, township, county, city
    grade: Mapped[str] = mapped_column(default="")  # of the hospital, one of worklist.rules.recognition.GRADES
    uscc: Mapped[str] = mapped_column(default="")
    parent_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))
    timezone: Mapped[str] = mapped_column(default="Asia/Shanghai")
    phone: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(default="")
    paper: Mapped[str] = mapped_column(default="A4")  # its printed reports: A4 or A5
    order_days: Mapped[int] = mapped_column(default=30)  # an order that nobody performs is closed after so many days
    created_at: Mapped[datetime]


class Center(Thing):
    """A department that reads one discipline, with its rules."""

    __tablename__ = "center"
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    discipline: Mapped[str]
    name: Mapped[str]
    name_en: Mapped[str] = mapped_column(default="")
    two_people: Mapped[bool] = mapped_column(default=True)  # writing and signing by different people
    preliminary_hours: Mapped[list[Any]] = mapped_column(default=list)  # [["17:30","08:00"]] local; [] = never
    lease_minutes: Mapped[int] = mapped_column(default=30)
    quiet_seconds: Mapped[int] = mapped_column(default=60)
    ecg_rate: Mapped[int] = mapped_column(default=500)  # Hz that an ECG must have been recorded with
    ecg_seconds: Mapped[int] = mapped_column(default=8)  # that it must be long
    longest_wait_seconds: Mapped[int] = mapped_column(default=1800)
    review_minutes: Mapped[int] = mapped_column(default=720)  # until the owed review of a preliminary version
    escalation_minutes: Mapped[list[Any]] = mapped_column(default=lambda: [5, 10])
    major_minutes: Mapped[list[Any]] = mapped_column(Json, default=lambda: [30, 60])  # the ladder of the second tier
    first_words: Mapped[list[Any]] = mapped_column(Json, default=list)  # in an order: its case is first of all
    two_person_critical: Mapped[bool] = mapped_column(default=False)  # a second doctor verifies before it is announced
    verify_minutes: Mapped[int] = mapped_column(default=5)  # then it is announced unverified, and marked as that
    working_hours: Mapped[list[Any]] = mapped_column(Json, default=list)  # Monday first: [[["08:00","12:00"]], …]; [] =
    # round the clock. Days that differ are CalendarDay rows.
    institution: Mapped[Institution] = relationship(lazy="joined")


class ReaderGroup(Thing):
    """Readers of a center who share a list."""

    __tablename__ = "reader_group"
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    name: Mapped[str]
    name_en: Mapped[str] = mapped_column(default="")


class OnDuty(Base):
    """Who is called when a critical result stays unanswered, in order of `place`."""

    __tablename__ = "on_duty"
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), primary_key=True)
    place: Mapped[int] = mapped_column(default=0)
    tier: Mapped[int] = mapped_column(default=1)  # called together; a higher tier only when a lower one stays silent


class Device(Thing):
    """Anything that talks to a door. Quirks are data here, never an ``if`` in the flow."""

    __tablename__ = "device"
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="modality")  # modality, his, …
    modality: Mapped[str] = mapped_column(default="")
    institution_field: Mapped[str] = mapped_column(default="")
    character_set_in: Mapped[str] = mapped_column(default="")
    character_set_out: Mapped[str] = mapped_column(default="GB18030")
    answers_with: Mapped[str] = mapped_column(default="ACK")
    trusts_sender_accession: Mapped[bool] = mapped_column(default=False)
    strict: Mapped[bool] = mapped_column(default=False)
    checks: Mapped[str] = mapped_column(default="off")  # structure of its HL7 messages: off, report, refuse
    recognition: Mapped[str] = mapped_column(default="off")  # where a result serves its order: off, notice, hold
    field_overrides: Mapped[list[Any]] = mapped_column(default=list)  # [{"field": "PV1-3.4", "value": "TS01"}, …]
    operations: Mapped[list[Any]] = mapped_column(default=lambda: list(USUAL_OPERATIONS))
    transfer_syntaxes: Mapped[list[Any]] = mapped_column(default=list)  # UIDs, the preferred first; []: as we prefer
    receive_only_hours: Mapped[list[Any]] = mapped_column(default=list)  # [["07:00","19:00"]] local: nothing to fetch
    worklist_extras: Mapped[list[Any]] = mapped_column(default=list)  # tags that it insists on, asked for or not
    modality_equivalents: Mapped[list[Any]] = mapped_column(default=lambda: [["CR", "DX", "DR"]])
    enabled: Mapped[bool] = mapped_column(default=True)
    last_seen_at: Mapped[datetime | None]
    echoes: Mapped[list[Any]] = mapped_column(default=list)  # what came of calling it last, see facts.Reached
    echoed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class DeviceAddress(Base):
    """An address and a claimed name (AE title, or ``MSH-3|MSH-4``) under which a device is known."""

    __tablename__ = "device_address"
    door: Mapped[str] = mapped_column(primary_key=True)  # dimse, mllp
    address: Mapped[str] = mapped_column(primary_key=True)
    claimed: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(Key, ForeignKey("device.id"), index=True)
    institution_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))  # picked by this name
    port: Mapped[int | None]  # where it takes C-STORE and N-EVENT-REPORT; None: nowhere
    tls: Mapped[bool] = mapped_column(default=False)  # it is called over TLS, and must show one of its certificates


class DeviceCertificate(Base):
    """A certificate by which a device is known at the doors' TLS ports, and which we trust as exactly itself."""

    __tablename__ = "device_certificate"
    fingerprint: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the DER form, hex
    device_id: Mapped[str] = mapped_column(Key, ForeignKey("device.id"), index=True)
    pem: Mapped[str]
    subject: Mapped[str]
    not_after: Mapped[datetime]
    added_at: Mapped[datetime]
    added_by: Mapped[str]


class DeviceInstitution(Base):
    """An institution that a device may speak for."""

    __tablename__ = "device_institution"
    device_id: Mapped[str] = mapped_column(Key, ForeignKey("device.id"), primary_key=True)
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"), primary_key=True)


class RefusedCaller(Thing):
    """Somebody who knocked and was sent away; one row per caller and reason."""

    __tablename__ = "refused_caller"
    door: Mapped[str]
    address: Mapped[str]
    claimed: Mapped[str]
    called: Mapped[str] = mapped_column(default="")
    reason: Mapped[str]
    times: Mapped[int] = mapped_column(default=1)
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("door", "address", "claimed", "called", "reason"),)


class Endpoint(Thing):
    """Where the deliveries of an institution go; or, of another kind than mllp, a regional platform to which the
    institution publishes what its centers sign."""

    __tablename__ = "endpoint"
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"), index=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="mllp")  # mllp, fhir, wst500
    host: Mapped[str]
    port: Mapped[int]
    receiving_application: Mapped[str] = mapped_column(default="HIS")
    receiving_facility: Mapped[str] = mapped_column(default="")
    character_set: Mapped[str] = mapped_column(default="UTF-8")
    version: Mapped[str] = mapped_column(default="2.4")
    answer_seconds: Mapped[int] = mapped_column(default=10)
    pdf: Mapped[str] = mapped_column(default="none")  # none, embedded (an OBX of type ED), link (to /verify)
    tls: Mapped[bool] = mapped_column(default=False)
    trusted: Mapped[str] = mapped_column(default="")  # PEM certificates that it may show; empty: the system's
    order_status: Mapped[bool] = mapped_column(default=False)  # is told what becomes of its orders (ORM, SC and OC)
    path: Mapped[str] = mapped_column(default="")  # of a platform: where its door stands on the host
    secret: Mapped[str] = mapped_column(default="")  # of a platform: its bearer token, sealed
    center_ids: Mapped[list[Any]] = mapped_column(Json, default=list)  # of a platform: whose reports; [] = of all
    marked_only: Mapped[bool] = mapped_column(default=False)  # of a platform: only what bears a mark of recognition
    enabled: Mapped[bool] = mapped_column(default=True)


class Procedure(Thing):
    """A catalogue entry. `limits` gives minutes until a report is due, per priority."""

    __tablename__ = "procedure"
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    name_en: Mapped[str] = mapped_column(default="")
    discipline: Mapped[str] = mapped_column(default="imaging")
    modality: Mapped[str] = mapped_column(default="")
    body_part: Mapped[str] = mapped_column(default="")
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)  # {"STAT": 60, "URGENT": 120, "ROUTINE": 240}
    enabled: Mapped[bool] = mapped_column(default=True)


class CodeMapping(Base):
    """A sender's procedure code and the catalogue entry it means."""

    __tablename__ = "code_mapping"
    device_id: Mapped[str] = mapped_column(Key, ForeignKey("device.id"), primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    procedure_id: Mapped[str] = mapped_column(Key, ForeignKey("procedure.id"))
    made_at: Mapped[datetime | None]
    made_by: Mapped[str] = mapped_column(default="")


class RouteTable(Thing):
    """One version of all route rules. It never changes; the highest `number` counts."""

    __tablename__ = "route_table"
    number: Mapped[int] = mapped_column(unique=True)
    note: Mapped[str] = mapped_column(default="")  # why it was made
    made_by: Mapped[str] = mapped_column(default="")
    made_at: Mapped[datetime]


class Route(Thing):
    """A rule of one version: readings that match `conditions` go to this center and reader group, the lowest `place`
    first. Readings name the very rule that sent them."""

    __tablename__ = "route"
    table_id: Mapped[str] = mapped_column(Key, ForeignKey("route_table.id"))
    place: Mapped[int]
    name: Mapped[str]
    conditions: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    group_id: Mapped[str | None] = mapped_column(Key, ForeignKey("reader_group.id"))
    enabled: Mapped[bool] = mapped_column(default=True)
    __table_args__ = (Index("ix_route_place", "table_id", "place"),)
