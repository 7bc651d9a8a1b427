"""Patients, their identifiers and visits, and what is known of who is the same person as whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklist.tables.base import Key, Thing, new_id


class Patient(Thing):
    """One person as one institution knows them. Rows with the same `person_id` are the same person in the county."""

    __tablename__ = "patient"
    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_id, sort_order=-1)  # made before `person_id`
    person_id: Mapped[str] = mapped_column(  # of a row that is linked to nobody: its own id
        Key, index=True, default=lambda context: context.get_current_parameters()["id"]
    )
    merged_into_id: Mapped[str | None] = mapped_column(  # its numbers are that one's now
        Key, ForeignKey("patient.id"), index=True
    )
    name: Mapped[str] = mapped_column(default="")  # ideographic, "王^小东" or "王小东"
    name_alphabetic: Mapped[str] = mapped_column(default="")
    sex: Mapped[str] = mapped_column(default="")
    birth_date: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(default="")
    is_alias: Mapped[bool] = mapped_column(default=False)
    told_at: Mapped[str] = mapped_column(default="")  # when the newest applied ADT said so, as written
    created_at: Mapped[datetime]
    identifiers: Mapped[list[PatientIdentifier]] = relationship(
        lazy="selectin", order_by="PatientIdentifier.id", cascade="all, delete-orphan"
    )
    # Those who may be the same person are looked for by these.
    __table_args__ = (Index("ix_patient_birth_date", "birth_date"), Index("ix_patient_phone", "phone"))


class PatientIdentifier(Thing):
    """(issuer, value), unique; the kind is HL7 table 0203. Numbers of institutions only, see `PatientDocument`."""

    __tablename__ = "patient_identifier"
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    issuer: Mapped[str]
    value: Mapped[str]
    kind: Mapped[str] = mapped_column(default="")
    __table_args__ = (
        UniqueConstraint("issuer", "value"),
        Index("ix_patient_identifier_value", "value", postgresql_ops={"value": "text_pattern_ops"}),  # how they begin
    )


class PatientDocument(Thing):
    """A number of a country (identity card, passport, residence permit): evidence of who it is, nobody's key.

    A parent's is used for a child and a card is lent, so several patients may carry the same one.
    """

    __tablename__ = "patient_document"
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"))
    kind: Mapped[str]  # NI, PPN, … as `worklist.rules.identity` names them
    country: Mapped[str] = mapped_column(default="CN")
    number: Mapped[str]
    __table_args__ = (
        UniqueConstraint("patient_id", "kind", "country", "number"),
        Index("ix_patient_document_number", "number", "kind"),
    )


class PatientMerge(Thing):
    """Two rows became one patient (`kind` merge: HL7 A40) or one person (`kind` link), and can be parted again.

    `moved` lists the ids of all that changed hands, by table, so that parting puts exactly that back.
    """

    __tablename__ = "patient_merge"
    state: Mapped[str]
    kind: Mapped[str]  # merge, link
    survivor_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    retired_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    moved: Mapped[dict[str, Any]] = mapped_column(default=dict)
    message_id: Mapped[str | None] = mapped_column(Key)
    by: Mapped[str]
    by_id: Mapped[str] = mapped_column(Key, default="")
    why: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str] = mapped_column(default="")
    undone_why: Mapped[str] = mapped_column(default="")


class MatchSuggestion(Thing):
    """Two patients who may be the same person: a person confirms or declines."""

    __tablename__ = "match_suggestion"
    state: Mapped[str]
    first_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"))  # the smaller id of the two
    second_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    reasons: Mapped[list[Any]] = mapped_column(default=list)  # codes: what agrees and what does not
    at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by: Mapped[str] = mapped_column(default="")
    why: Mapped[str] = mapped_column(default="")
    __table_args__ = (UniqueConstraint("first_id", "second_id"), Index("ix_match_suggestion_state", "state", "id"))


class Visit(Thing):
    """A patient's stay or visit at an institution, as its HIS tells it (HL7 PV1)."""

    __tablename__ = "visit"
    state: Mapped[str]
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    number: Mapped[str]  # PV1-19
    patient_class: Mapped[str] = mapped_column(default="")  # HL7 table 0004
    location: Mapped[str] = mapped_column(default="")  # PV1-3 as written
    doctor: Mapped[str] = mapped_column(default="")
    opened_at: Mapped[str] = mapped_column(default="")  # as written, HL7 TS
    closed_at: Mapped[str] = mapped_column(default="")
    told_at: Mapped[str] = mapped_column(default="")  # of the newest message that was applied, as written
    __table_args__ = (UniqueConstraint("institution_id", "number"),)
