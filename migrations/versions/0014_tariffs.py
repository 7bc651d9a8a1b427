"""Tariffs by which the money that recognition saves is estimated, and the reply to a question about a refusal.

Revision: 0014, after 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def _key() -> sa.types.TypeEngine[str]:
    return sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tariff",
        sa.Column("procedure_id", _key(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=False),
        sa.Column("examination", sa.Integer(), nullable=False),
        sa.Column("reading", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", _key(), nullable=False),
        sa.ForeignKeyConstraint(["procedure_id"], ["procedure.id"], name=op.f("fk_tariff_procedure_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariff")),
        sa.UniqueConstraint(
            "procedure_id", "region", "valid_from", name=op.f("uq_tariff_procedure_id_region_valid_from")
        ),
    )
    with op.batch_alter_table("recognition") as batch_op:
        batch_op.add_column(sa.Column("challenged_by_id", _key(), nullable=True))
        batch_op.add_column(sa.Column("reply", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("replied_by", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("replied_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_foreign_key(op.f("fk_recognition_challenged_by_id"), "user", ["challenged_by_id"], ["id"])


def downgrade() -> None:
    with op.batch_alter_table("recognition") as batch_op:
        batch_op.drop_constraint(op.f("fk_recognition_challenged_by_id"), type_="foreignkey")
        for column in ("replied_at", "replied_by", "reply", "challenged_by_id"):
            batch_op.drop_column(column)
    op.drop_table("tariff")
