"""Working time and who is there: calendars, shifts and absences."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Base, Json, Key, Thing


class CalendarDay(Base):
    """A day on which a center's working hours differ from its week: a holiday (no hours), or a day worked instead."""

    __tablename__ = "calendar_day"
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"), primary_key=True)
    date: Mapped[str] = mapped_column(primary_key=True)  # DA, the center's local day
    hours: Mapped[list[Any]] = mapped_column(Json, default=list)  # [["08:00", "12:00"], …] local; [] = closed
    note: Mapped[str] = mapped_column(default="")


class Shift(Thing):
    """A person's time of duty in a center."""

    __tablename__ = "shift"
    center_id: Mapped[str] = mapped_column(Key, ForeignKey("center.id"))
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), index=True)
    duty: Mapped[str]  # reading, review, first call, second call
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    note: Mapped[str] = mapped_column(default="")
    made_by: Mapped[str] = mapped_column(default="")
    __table_args__ = (Index("ix_shift_center", "center_id", "ends_at", "starts_at"),)


class Absence(Thing):
    """A person is away: not on duty, and given no case, whatever the rota says."""

    __tablename__ = "absence"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    note: Mapped[str] = mapped_column(default="")
    made_by: Mapped[str] = mapped_column(default="")
    __table_args__ = (Index("ix_absence_user", "user_id", "ends_at"),)
