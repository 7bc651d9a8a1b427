"""Results that somebody without an account may see for a while: the patient, or another hospital."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Key, Thing


class Share(Thing):
    """The results of one order, opened by a secret link until a time. Who looked is in the audit trail."""

    __tablename__ = "share"
    order_id: Mapped[str] = mapped_column(Key, ForeignKey("order.id"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the link's secret
    made_by_id: Mapped[str | None] = mapped_column(Key, ForeignKey("user.id"))  # None: the patient, by look-up
    holder: Mapped[str]  # for whom, in the words of who made it; empty: the patient
    made_at: Mapped[datetime]
    until: Mapped[datetime]
    ended_at: Mapped[datetime | None]
