"""What happened, in the database's order: transitions, messages, audit rows, the outbox, things set aside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Base, Key, Ledger, Sorted, Thing


class Transition(Ledger):
    """One move of one machine, appended with it in the same transaction."""

    __tablename__ = "transition"
    machine: Mapped[str]
    thing_id: Mapped[str] = mapped_column(Key)
    source: Mapped[str]
    verb: Mapped[str]
    target: Mapped[str]
    actor: Mapped[str]  # a user's login, a device's name, or "huren"
    actor_id: Mapped[str] = mapped_column(Key, default="")
    why: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
    __table_args__ = (Index("ix_transition_thing", "thing_id", "seq"),)


class OutboxRow(Ledger):
    """Work to do, written with the state that causes it. `stage`: due, offered, leased, done, stuck.

    Rows with the same `order_key` run one after the other, in the order in which they were written.
    """

    __tablename__ = "outbox"
    kind: Mapped[str]
    thing_id: Mapped[str] = mapped_column(Key)
    order_key: Mapped[str] = mapped_column(Key, default="")
    stage: Mapped[str] = mapped_column(default="due")
    due_at: Mapped[datetime]
    leased_by: Mapped[str] = mapped_column(default="")
    leased_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    __table_args__ = (
        Index("ix_outbox_due", "stage", "due_at"),
        Index("ix_outbox_order", "order_key", "stage", "seq"),
    )


class Message(Ledger):
    """An HL7 message in or out, its bytes and its answer.

    `outcome`: processed, duplicate, set aside, refused; acknowledged, rejected or failed for those we sent.
    """

    __tablename__ = "message"
    id: Mapped[str] = mapped_column(Key, unique=True)
    direction: Mapped[str]  # in, out
    door: Mapped[str] = mapped_column(default="mllp")
    device_id: Mapped[str | None] = mapped_column(Key, ForeignKey("device.id"))
    endpoint_id: Mapped[str | None] = mapped_column(Key, ForeignKey("endpoint.id"))
    institution_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))
    address: Mapped[str] = mapped_column(default="")
    sending_application: Mapped[str] = mapped_column(default="")
    sending_facility: Mapped[str] = mapped_column(default="")
    control_id: Mapped[str] = mapped_column(Sorted, default="")
    kind: Mapped[str] = mapped_column(default="")  # ORM^O01
    fingerprint: Mapped[str] = mapped_column(default="")
    raw: Mapped[bytes]
    answer: Mapped[bytes] = mapped_column(default=b"")
    answer_code: Mapped[str] = mapped_column(default="")  # AA, AE, AR
    outcome: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    flags: Mapped[list[Any]] = mapped_column(default=list)  # ["control_id_reused"]
    findings: Mapped[list[Any]] = mapped_column(default=list)  # of the structure check, where the sender has one
    order_id: Mapped[str | None] = mapped_column(Key, ForeignKey("order.id"))
    patient_id: Mapped[str | None] = mapped_column(Key, ForeignKey("patient.id"))
    delivery_id: Mapped[str | None] = mapped_column(Key, ForeignKey("delivery.id"), index=True)
    at: Mapped[datetime]
    __table_args__ = (
        Index("ix_message_key", "sending_application", "sending_facility", "control_id"),
        Index("ix_message_outcome", "outcome", "seq"),
        Index("ix_message_order", "order_id", "seq"),
        Index("ix_message_patient", "patient_id", "seq"),
        Index("ix_message_kind", "kind", "seq"),
        Index("ix_message_direction", "direction", "seq"),
        Index("ix_message_control_id", "control_id"),
        Index("ix_message_at", "at"),
        Index("ix_message_device", "device_id", "seq"),
    )


class SetAside(Thing):
    """Bytes that could not be used: kept, with the reason, until a person settles them."""

    __tablename__ = "set_aside"
    state: Mapped[str]
    kind: Mapped[str]  # object, conflict, message
    institution_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))
    device_id: Mapped[str | None] = mapped_column(Key, ForeignKey("device.id"))
    study_id: Mapped[str | None] = mapped_column(Key, ForeignKey("study.id"), index=True)
    message_id: Mapped[str | None] = mapped_column(Key)
    reason: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    store_keys: Mapped[list[Any]] = mapped_column(default=list)
    digests: Mapped[list[Any]] = mapped_column(default=list)  # SHA-256 of the data sets, one for each key
    at: Mapped[datetime]
    __table_args__ = (Index("ix_set_aside_state", "state", "id"),)


class AuditRow(Ledger):
    """Who did or saw what. Appended unchained; a sealer chains committed rows afterwards."""

    __tablename__ = "audit"
    at: Mapped[datetime]
    actor: Mapped[str]
    actor_id: Mapped[str] = mapped_column(Key, default="")
    action: Mapped[str]
    thing: Mapped[str] = mapped_column(default="")
    thing_id: Mapped[str] = mapped_column(Key, default="")
    institution_id: Mapped[str] = mapped_column(Key, default="")
    patient_id: Mapped[str] = mapped_column(Key, default="")
    address: Mapped[str] = mapped_column(default="")
    why: Mapped[str] = mapped_column(default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (Index("ix_audit_patient", "patient_id", "seq"), Index("ix_audit_thing", "thing_id", "seq"))


class AuditSeal(Ledger):
    """One link of the audit chain: `digest` covers the previous digest and one audit row."""

    __tablename__ = "audit_seal"
    audit_seq: Mapped[int] = mapped_column(unique=True)
    digest: Mapped[str]


class Installation(Base):
    """What this database belongs together with: the marker of its object store."""

    __tablename__ = "installation"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Counter(Base):
    """A named counter; accession numbers come from it."""

    __tablename__ = "counter"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(default=0)
