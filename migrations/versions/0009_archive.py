"""The archive downstream: which archives there are, studies on their way into them, and what lies there.

Revision: 0009, after 0008.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _key() -> sa.types.TypeEngine[str]:
    return sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _time(name: str, *, needed: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not needed)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "archive",
        _text("name"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        _time("away_since"),
        _time("next_probe_at"),
        _number("failures"),
        _text("last_error"),
        _time("answered_at"),
        _number("studies"),
        _number("objects"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_archive")),
    )
    op.create_table(
        "archival",
        _text("state"),
        sa.Column("study_id", _key(), nullable=False),
        _text("archive"),
        _number("revision"),
        _time("owed_at", needed=True),
        _time("next_at"),
        _time("archived_at"),
        _number("attempts"),
        _text("reason"),
        sa.Column("params", _json(), nullable=False),
        _number("copies"),
        _number("kept_here"),
        sa.Column("id", _key(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_archival_study_id")),
        sa.ForeignKeyConstraint(["archive"], ["archive.name"], name=op.f("fk_archival_archive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archival")),
        sa.UniqueConstraint("study_id", "archive", name=op.f("uq_archival_study_id_archive")),
    )
    op.create_index("ix_archival_state", "archival", ["state", "archive", "owed_at"])
    op.create_table(
        "archive_copy",
        sa.Column("instance_id", _key(), nullable=False),
        _text("archive"),
        sa.Column("archival_id", _key(), nullable=False),
        _text("place"),
        _text("identity"),
        _text("sha256"),
        _time("verified_at"),
        _text("reason"),
        sa.Column("params", _json(), nullable=False),
        _number("losses"),
        sa.Column("stale", _json(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_archive_copy_instance_id")),
        sa.ForeignKeyConstraint(["archive"], ["archive.name"], name=op.f("fk_archive_copy_archive")),
        sa.ForeignKeyConstraint(["archival_id"], ["archival.id"], name=op.f("fk_archive_copy_archival_id")),
        sa.PrimaryKeyConstraint("instance_id", "archive", name=op.f("pk_archive_copy")),
    )
    op.create_index(op.f("ix_archive_copy_archival_id"), "archive_copy", ["archival_id"])
    op.create_index("ix_archive_copy_place", "archive_copy", ["archive", "place"])
    op.create_index(
        "ix_archive_copy_kept_here",
        "archive_copy",
        ["archive", "instance_id"],
        sqlite_where=sa.text("reason <> ''"),
        postgresql_where=sa.text("reason <> ''"),
    )
    op.create_table(
        "released_object",
        _text("store_key"),
        sa.Column("instance_id", _key(), nullable=False),
        _number("size"),
        _text("sha256"),
        _text("archived_sha256"),
        sa.Column("undo", sa.LargeBinary(), nullable=False),
        _time("released_at", needed=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_released_object_instance_id")),
        sa.PrimaryKeyConstraint("store_key", name=op.f("pk_released_object")),
    )
    op.create_index(op.f("ix_released_object_instance_id"), "released_object", ["instance_id"])


def downgrade() -> None:
    """Whoever goes back fetches what was released first: nothing else knows where it lies."""
    held = op.get_bind().execute(sa.text("SELECT count(*) FROM released_object")).scalar()
    if held:
        raise RuntimeError(f"{held} objects lie in the archives alone")
    for table in ("released_object", "archive_copy", "archival", "archive"):
        op.drop_table(table)
