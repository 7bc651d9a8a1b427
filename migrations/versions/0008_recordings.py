"""ECG recordings: what a center asks of them, and cases that Huren itself returns.

Revision: 0008, after 0007.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _key() -> sa.types.TypeEngine[str]:
    return sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("center") as batch_op:
        batch_op.add_column(sa.Column("ecg_rate", sa.Integer(), server_default=sa.text("500"), nullable=False))
        batch_op.add_column(sa.Column("ecg_seconds", sa.Integer(), server_default=sa.text("8"), nullable=False))
    with op.batch_alter_table("case_return") as batch_op:
        batch_op.add_column(sa.Column("faults", _json(), server_default=sa.text("'[]'"), nullable=False))
        batch_op.alter_column("by_id", existing_type=_key(), nullable=True)

    op.create_table(
        "original",
        sa.Column("instance_id", _key(), nullable=False),
        sa.Column("store_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_original_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_original")),
    )


def downgrade() -> None:
    op.drop_table("original")
    op.execute("DELETE FROM case_return WHERE by_id IS NULL")
    with op.batch_alter_table("case_return") as batch_op:
        batch_op.alter_column("by_id", existing_type=_key(), nullable=False)
        batch_op.drop_column("faults")
    with op.batch_alter_table("center") as batch_op:
        batch_op.drop_column("ecg_seconds")
        batch_op.drop_column("ecg_rate")
