"""How Alembic reaches the database: `huren.migrate` hands it an open connection."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON, DateTime

from worklist.tables import Base
from worklist.tables.base import UtcDateTime


def _render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write column types into migrations in SQLAlchemy's own words: a migration must not change with our code."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JSON):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


def _same_type(_context: object, _inspected: object, _metadata: object, inspected: Any, metadata: Any) -> bool | None:
    """Times are stored as plain times by SQLite; that is no difference."""
    return False if isinstance(metadata, UtcDateTime) and isinstance(inspected, DateTime) else None


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=_same_type,
    render_item=_render,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
