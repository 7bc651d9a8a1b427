"""What readers write with, per center: templates, phrases, and the list of what counts as critical."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Json, Key, Thing


class ReportTemplate(Thing):
    """A prepared report of a center: fields to fill in and the words that they make.

    Empty conditions fit everything; the most particular template that fits a case is offered first. `fields` is a list
    of worklist.rules.templates' fields as JSON.
    """

    __tablename__ = "report_template"
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    name: Mapped[str]
    name_en: Mapped[str] = mapped_column(default="")
    shortcut: Mapped[str] = mapped_column(default="")
    procedure_id: Mapped[str | None] = mapped_column(Key, ForeignKey("procedure.id"))
    modality: Mapped[str] = mapped_column(default="")
    body_part: Mapped[str] = mapped_column(default="")
    sex: Mapped[str] = mapped_column(default="")  # F, M; empty: both
    is_normal: Mapped[bool] = mapped_column(default=False)  # taken by the one key for "nothing found"
    fields: Mapped[list[Any]] = mapped_column(Json, default=list)
    findings: Mapped[str] = mapped_column(default="")  # with {names} of fields
    impression: Mapped[str] = mapped_column(default="")
    place: Mapped[int] = mapped_column(default=0)
    enabled: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1)
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(default="")
    __table_args__ = (Index("ix_report_template_center", "center_id", "place"),)


class Phrase(Thing):
    """A piece of text with a shortcut: a person's own (`user_id`), or everybody's in the center."""

    __tablename__ = "phrase"
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    user_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))
    shortcut: Mapped[str]
    title: Mapped[str] = mapped_column(default="")
    words: Mapped[str]
    field: Mapped[str] = mapped_column(default="")  # findings, impression; empty: where the cursor is
    modality: Mapped[str] = mapped_column(default="")
    body_part: Mapped[str] = mapped_column(default="")
    changed_at: Mapped[datetime]
    __table_args__ = (Index("ix_phrase_center", "center_id", "user_id"),)


class CriticalItem(Thing):
    """An entry of a center's list of critical results (危急值目录)."""

    __tablename__ = "critical_item"
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"), index=True)
    code: Mapped[str]
    name: Mapped[str]
    name_en: Mapped[str] = mapped_column(default="")
    modality: Mapped[str] = mapped_column(default="")
    words: Mapped[str] = mapped_column(default="")  # how it is worded in the report; empty: its name
    tier: Mapped[str] = mapped_column(default="critical")  # facts.TIERS
    measurement: Mapped[str] = mapped_column(
        default=""
    )  # of a device (rules.measurements); empty: nothing is suspected
    below: Mapped[int | None]  # suspected where it is less
    from_on: Mapped[int | None]  # or so much or more, in the unit of the measurement
    place: Mapped[int] = mapped_column(default=0)
    enabled: Mapped[bool] = mapped_column(default=True)
