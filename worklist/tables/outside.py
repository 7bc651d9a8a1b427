"""Results that other systems and regions made and sent to us: kept beside the patient, never turned into reports of
ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Key, Thing

_SAID: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class OutsideReport(Thing):
    """One OBR with its OBX of an ORU^R01 that came in, or one report of another region (`source` says whose).

    A later one for the same (issuer, number) supersedes it.
    """

    __tablename__ = "outside_report"
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))
    device_id: Mapped[str] = mapped_column(Key, ForeignKey("device.id"))
    message_id: Mapped[str] = mapped_column(Key, index=True)
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"))
    order_id: Mapped[str | None] = mapped_column(
        Key, ForeignKey("order.id"), index=True
    )  # where it answers one of ours
    number: Mapped[str]  # OBR-3, else OBR-2: the sender's own number of the report
    issuer: Mapped[str]  # whose number that is
    code: Mapped[str] = mapped_column(default="")
    name: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default="")  # OBR-25, HL7 table 0123
    observed_at: Mapped[str] = mapped_column(default="")  # OBR-7 as written
    reported_at: Mapped[str] = mapped_column(default="")  # OBR-22 as written
    author: Mapped[str] = mapped_column(default="")  # OBR-32
    lines: Mapped[list[Any]] = mapped_column(default=list)  # facts.OutsideLine as lists
    source: Mapped[dict[str, Any] | None] = mapped_column(_SAID)  # of another region: facts.OutsideSource
    taken_at: Mapped[datetime | None]  # when it was examined or collected, where the sender says so with a zone
    superseded_by_id: Mapped[str | None] = mapped_column(Key, ForeignKey("outside_report.id"))
    at: Mapped[datetime]
    __table_args__ = (
        Index("ix_outside_report_patient", "patient_id", "id"),
        Index("ix_outside_report_number", "issuer", "number"),
    )
