"""Exchange with the region: platforms that results are published to, and results of other regions that are offered.

Revision: 0015, after 0014.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def _key() -> sa.types.TypeEngine[str]:
    return sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("endpoint") as batch_op:
        batch_op.add_column(sa.Column("path", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("secret", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("center_ids", _json(), server_default=sa.text("'[]'"), nullable=False))
        batch_op.add_column(sa.Column("marked_only", sa.Boolean(), server_default=sa.false(), nullable=False))
    with op.batch_alter_table("outside_report") as batch_op:
        batch_op.add_column(sa.Column("source", _json(), nullable=True))
        batch_op.add_column(sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("recognition") as batch_op:
        batch_op.add_column(sa.Column("outside_id", _key(), nullable=True))
        batch_op.create_foreign_key(op.f("fk_recognition_outside_id"), "outside_report", ["outside_id"], ["id"])
        for column in ("reading_id", "result_order_id", "result_institution_id"):
            batch_op.alter_column(column, existing_type=_key(), nullable=True)
    op.create_index(op.f("ix_recognition_outside_id"), "recognition", ["outside_id"])


def downgrade() -> None:
    op.execute("DELETE FROM recognition WHERE reading_id IS NULL")
    op.drop_index(op.f("ix_recognition_outside_id"), "recognition")
    with op.batch_alter_table("recognition") as batch_op:
        for column in ("reading_id", "result_order_id", "result_institution_id"):
            batch_op.alter_column(column, existing_type=_key(), nullable=False)
        batch_op.drop_constraint(op.f("fk_recognition_outside_id"), type_="foreignkey")
        batch_op.drop_column("outside_id")
    with op.batch_alter_table("outside_report") as batch_op:
        batch_op.drop_column("taken_at")
        batch_op.drop_column("source")
    with op.batch_alter_table("endpoint") as batch_op:
        for column in ("marked_only", "center_ids", "secret", "path"):
            batch_op.drop_column(column)
