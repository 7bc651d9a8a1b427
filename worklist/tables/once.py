"""What was done once for a one-time key, so that the same form or request sent again does not do it twice."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from worklist.tables.base import Base, Key


class OrderOnce(Base):
    """The order that a form or a program's request with this key placed; `said` is the SHA-256 of what it said."""

    __tablename__ = "order_once"
    user_id: Mapped[str] = mapped_column(Key, ForeignKey("user.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Key, primary_key=True)
    said: Mapped[str]
    order_id: Mapped[str] = mapped_column(Key, ForeignKey("order.id"))
    at: Mapped[datetime]
