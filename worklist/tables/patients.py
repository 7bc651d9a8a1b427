"""Patients and their identifiers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from worklist.tables.base import Key, Thing


class Patient(Thing):
    """One person as one issuer knows them, until it is shown that two are the same."""

    __tablename__ = "patient"
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


class PatientIdentifier(Thing):
    """(issuer, value), unique; the kind is HL7 table 0203."""

    __tablename__ = "patient_identifier"
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)
    issuer: Mapped[str]
    value: Mapped[str]
    kind: Mapped[str] = mapped_column(default="")
    __table_args__ = (UniqueConstraint("issuer", "value"), Index("ix_patient_identifier_value", "value"))
