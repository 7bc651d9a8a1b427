"""Orders once: the order that a one-time key placed.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _key() -> sa.types.TypeEngine[str]:
    return sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "order_once",
        sa.Column("user_id", _key(), nullable=False),
        sa.Column("key", _key(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("order_id", _key(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["order.id"], name=op.f("fk_order_once_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_order_once_user_id")),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_order_once")),
    )


def downgrade() -> None:
    op.drop_table("order_once")
