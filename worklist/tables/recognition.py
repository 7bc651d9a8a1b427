"""Mutual recognition: versions of its rules, who passed which quality assessment, offers and what became of them, and
what an examination costs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Json, Key, Thing


class RecognitionRules(Thing):
    """One version of the rules (worklist.rules.recognition as JSON). It never changes.

    Of those that are in effect the highest `number` counts; before the first, the starter rules.
    """

    __tablename__ = "recognition_rules"
    number: Mapped[int] = mapped_column(unique=True)
    effective_from: Mapped[datetime]
    rules: Mapped[dict[str, Any]] = mapped_column(Json)
    note: Mapped[str] = mapped_column(default="")  # why it was made
    made_by: Mapped[str] = mapped_column(default="")
    made_at: Mapped[datetime]


class Qualification(Thing):
    """An institution passed a quality assessment (质评), as a whole (`item` empty) or with one item of the rules."""

    __tablename__ = "qualification"
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"), index=True)
    item: Mapped[str] = mapped_column(default="")
    mark: Mapped[str] = mapped_column(default="")  # as it is printed: 全国HR, 鄂HR
    region: Mapped[str] = mapped_column(
        default=""
    )  # begins the codes (GB/T 2260) of where it counts; empty: everywhere
    valid_from: Mapped[str]  # DA; both days count
    valid_to: Mapped[str] = mapped_column(default="")  # DA; empty: no end
    note: Mapped[str] = mapped_column(default="")  # who assessed it, under which number
    changed_by: Mapped[str] = mapped_column(default="")
    changed_at: Mapped[datetime]


class Recognition(Thing):
    """A result that was offered to somebody instead of a new examination, the verdict then, and the answer.

    It is a report of ours (`reading_id`), or a result of another region (`outside_id`).
    """

    __tablename__ = "recognition"
    state: Mapped[str]
    institution_id: Mapped[str] = mapped_column(Key, ForeignKey("institution.id"))  # where the examination was wanted
    patient_id: Mapped[str] = mapped_column(Key, ForeignKey("patient.id"), index=True)  # as known there
    procedure_id: Mapped[str] = mapped_column(Key, ForeignKey("procedure.id"))
    laterality: Mapped[str] = mapped_column(default="")
    reading_id: Mapped[str | None] = mapped_column(Key, ForeignKey("reading.id"), index=True)  # whose report is offered
    result_order_id: Mapped[str | None] = mapped_column(Key, ForeignKey("order.id"))
    result_institution_id: Mapped[str | None] = mapped_column(Key, ForeignKey("institution.id"))  # where
    outside_id: Mapped[str | None] = mapped_column(Key, ForeignKey("outside_report.id"), index=True)
    taken_at: Mapped[datetime]
    rules_number: Mapped[int]  # the version that judged it; 0: the starter rules
    item: Mapped[str]
    outcome: Mapped[str]  # how far it serves: images, report
    duty: Mapped[str]  # must, may
    until: Mapped[datetime]
    marks: Mapped[list[Any]] = mapped_column(Json, default=list)
    because: Mapped[list[Any]] = mapped_column(Json, default=list)  # [{"code", "speaks_for", "params"}]
    offered_to_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    offered_at: Mapped[datetime]
    order_id: Mapped[str | None] = mapped_column(Key, ForeignKey("order.id"), index=True)  # recognised, or placed anew
    adopted: Mapped[str] = mapped_column(default="")  # accepted: images, report
    reason: Mapped[str] = mapped_column(default="")  # declined: a code of recognition_starter.REASONS
    words: Mapped[str] = mapped_column(default="")
    patient_told: Mapped[bool] = mapped_column(default=False)
    answered_by_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))
    answered_at: Mapped[datetime | None]
    challenge: Mapped[str] = mapped_column(default="")  # what the manager asks of a refusal
    challenged_by: Mapped[str] = mapped_column(default="")
    challenged_by_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))
    challenged_at: Mapped[datetime | None]
    reply: Mapped[str] = mapped_column(default="")  # to the challenge, by whoever declined or a colleague there
    replied_by: Mapped[str] = mapped_column(default="")
    replied_at: Mapped[datetime | None]
    __table_args__ = (
        Index("ix_recognition_offered", "offered_to_id", "patient_id", "reading_id"),
        Index("ix_recognition_institution", "institution_id", "offered_at"),
    )


class Tariff(Thing):
    """What one catalogue entry costs in a region from a day on, until the next one: for estimates of what was saved."""

    __tablename__ = "tariff"
    procedure_id: Mapped[str] = mapped_column(Key, ForeignKey("procedure.id"))
    region: Mapped[str] = mapped_column(default="")  # begins the codes of where it counts; empty: everywhere
    valid_from: Mapped[str]  # DA
    examination: Mapped[int]  # fen, without the reading
    reading: Mapped[int]  # fen
    changed_by: Mapped[str] = mapped_column(default="")
    changed_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("procedure_id", "region", "valid_from"),)
