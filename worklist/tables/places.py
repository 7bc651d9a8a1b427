"""Institutions, centers, devices, endpoints, procedures and routes: what the PACS admin configures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklist.tables.base import Base, Json, Key, Thing


class Institution(Thing):
    """A member of the consortium. `code` is short and unique, and is the issuer of its patient identifiers."""

    __tablename__ = "institution"
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    name_en: Mapped[str] = mapped_column(default="")
    level: Mapped[str] = mapped_column(default="township")  # village, township, county, city
    uscc: Mapped[str] = mapped_column(default="")
    parent_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))
    timezone: Mapped[str] = mapped_column(default="Asia/Shanghai")
    phone: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(default="")
    paper: Mapped[str] = mapped_column(default="A4")  # its printed reports: A4 or A5
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
    longest_wait_seconds: Mapped[int] = mapped_column(default=1800)
    review_minutes: Mapped[int] = mapped_column(default=720)  # until the owed review of a preliminary version
    escalation_minutes: Mapped[list[Any]] = mapped_column(default=lambda: [5, 10])
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
    modality_equivalents: Mapped[list[Any]] = mapped_column(default=lambda: [["CR", "DX", "DR"]])
    may_retrieve: Mapped[bool] = mapped_column(default=False)  # query and retrieve, at the DIMSE door
    enabled: Mapped[bool] = mapped_column(default=True)
    last_seen_at: Mapped[datetime | None]
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
    """Where the deliveries of an institution go."""

    __tablename__ = "endpoint"
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"), index=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="mllp")
    host: Mapped[str]
    port: Mapped[int]
    receiving_application: Mapped[str] = mapped_column(default="HIS")
    receiving_facility: Mapped[str] = mapped_column(default="")
    character_set: Mapped[str] = mapped_column(default="UTF-8")
    version: Mapped[str] = mapped_column(default="2.4")
    answer_seconds: Mapped[int] = mapped_column(default=10)
    pdf: Mapped[str] = mapped_column(default="none")  # none, embedded (an OBX of type ED), link (to /verify)
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


class Route(Thing):
    """A rule: readings that match `conditions` go to this center and reader group. The lowest `place` wins."""

    __tablename__ = "route"
    place: Mapped[int]
    name: Mapped[str]
    conditions: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    group_id: Mapped[str | None] = mapped_column(Key, ForeignKey("reader_group.id"))
    enabled: Mapped[bool] = mapped_column(default=True)
    __table_args__ = (Index("ix_route_place", "place"),)
