"""Storage commitment: what devices asked us to answer for (DICOM PS3.4 annex J)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Key, Thing


class Commitment(Thing):
    """One transaction of one device. Its answer is about what its institutions held when it was verified."""

    __tablename__ = "commitment"
    state: Mapped[str]
    device_id: Mapped[str] = mapped_column(Key, ForeignKey("device.id"))
    transaction_uid: Mapped[str]
    address: Mapped[str]  # the device asked from here, under this AE title
    ae_title: Mapped[str]
    institutions: Mapped[list[Any]]  # ids that it could speak for when it asked
    references: Mapped[list[Any]]  # [[SOP class UID, SOP instance UID], …]
    failures: Mapped[dict[str, Any]] = mapped_column(default=dict)  # SOP instance UID: Failure Reason
    asked_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    reported_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("device_id", "transaction_uid"),)
