"""Column types and the declarative base.

Things (orders, studies, readings, …) have opaque ids made here: 26 characters, time in front so that indexes grow
at one end, 80 random bits behind so that nobody guesses one. Append-only ledgers have integer keys from the
database, which alone says what came first.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, DateTime, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


def new_id() -> str:
    """A new opaque id: 48 bits of milliseconds, 80 random bits, base 32."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -10, -10)])


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite drops zones, so they are checked on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Opaque ids and other keysets compare by code point on both databases.
Key = String(64).with_variant(String(64, collation="C"), "postgresql")
Sorted = Text().with_variant(Text(collation="C"), "postgresql")  # found by how it begins
Sequence = BigInteger().with_variant(Integer, "sqlite")
Json = JSON().with_variant(JSONB, "postgresql")

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class attribute
        datetime: UtcDateTime(),
        str: Text(),
        bytes: LargeBinary(),
        dict[str, Any]: Json,
        list[Any]: Json,
    }


def table_of(mapped: type[Base]) -> Table:
    """The table behind a class, for statements that are made once and pass by the session's bookkeeping.

    They see what is flushed, and write past what the session remembers.
    """
    return cast(Table, mapped.__table__)


class Thing(Base):
    """A row with an opaque id, safe to show in an address."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_id)


class Ledger(Base):
    """A row of an append-only table; `seq` tells the order of events."""

    __abstract__ = True
    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
