"""ECG reports: their numbers, two tiers of critical results with limits as data, and what is read first.

Revision: 0012, after 0011.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    # Not in a batch: SQLite would copy the table, and its generated columns cannot be copied.
    op.add_column("study", sa.Column("measured", _json(), server_default=sa.text("'{}'"), nullable=False))
    with op.batch_alter_table("report_version") as batch_op:
        batch_op.add_column(sa.Column("measurements", _json(), server_default=sa.text("'[]'"), nullable=False))

    with op.batch_alter_table("center") as batch_op:
        batch_op.add_column(sa.Column("major_minutes", _json(), server_default=sa.text("'[30, 60]'"), nullable=False))
        batch_op.add_column(sa.Column("first_words", _json(), server_default=sa.text("'[]'"), nullable=False))
    with op.batch_alter_table("critical_item") as batch_op:
        batch_op.add_column(sa.Column("tier", sa.Text(), server_default=sa.text("'critical'"), nullable=False))
        batch_op.add_column(sa.Column("measurement", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("below", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("from_on", sa.Integer(), nullable=True))
    with op.batch_alter_table("critical_result") as batch_op:
        batch_op.add_column(sa.Column("tier", sa.Text(), server_default=sa.text("'critical'"), nullable=False))


def downgrade() -> None:
    # What is read first had a rank of its own; the rank of its priority is all that was known before.
    op.execute("UPDATE reading SET rank = CASE priority WHEN 'STAT' THEN 0 WHEN 'URGENT' THEN 1 ELSE 2 END")
    with op.batch_alter_table("critical_result") as batch_op:
        batch_op.drop_column("tier")
    with op.batch_alter_table("critical_item") as batch_op:
        for name in ("from_on", "below", "measurement", "tier"):
            batch_op.drop_column(name)
    with op.batch_alter_table("center") as batch_op:
        batch_op.drop_column("first_words")
        batch_op.drop_column("major_minutes")
    with op.batch_alter_table("report_version") as batch_op:
        batch_op.drop_column("measurements")
    op.drop_column("study", "measured")
