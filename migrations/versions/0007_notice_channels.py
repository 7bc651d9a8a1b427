"""Notice channels: what a mail server needs, whose wishes go by which channel, and what became of each notice.

The two tables of 0004 that this replaces were never written to.

Revision: 0007, after 0006.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _key() -> sa.types.TypeEngine[str]:
    return sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.drop_table("notice_sending")
    op.drop_table("notice_channel")
    op.create_table(
        "notice_channel",
        sa.Column("institution_id", _key(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("security", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("trusted", sa.Text(), nullable=False),
        sa.Column("kinds", _json(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("id", _key(), nullable=False),
        sa.ForeignKeyConstraint(["institution_id"], ["institution.id"], name=op.f("fk_notice_channel_institution_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_channel")),
    )
    op.create_table(
        "notice_wish",
        sa.Column("user_id", _key(), nullable=False),
        sa.Column("channel_id", _key(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("kinds", _json(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["notice_channel.id"], name=op.f("fk_notice_wish_channel_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_notice_wish_user_id")),
        sa.PrimaryKeyConstraint("user_id", "channel_id", name=op.f("pk_notice_wish")),
    )
    op.create_table(
        "notice_sending",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("channel_id", _key(), nullable=False),
        sa.Column("notice_id", _key(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("error_params", _json(), nullable=False),
        sa.Column("id", _key(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["notice_channel.id"], name=op.f("fk_notice_sending_channel_id")),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name=op.f("fk_notice_sending_notice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_sending")),
    )
    with op.batch_alter_table("notice_sending", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_sending_channel_id"), ["channel_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_notice_sending_notice_id"), ["notice_id"], unique=False)
        batch_op.create_index("ix_notice_sending_state", ["state", "created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("notice_sending")
    op.drop_table("notice_wish")
    op.drop_table("notice_channel")
    op.create_table(
        "notice_channel",
        sa.Column("institution_id", _key(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("kinds", _json(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("id", _key(), nullable=False),
        sa.ForeignKeyConstraint(["institution_id"], ["institution.id"], name=op.f("fk_notice_channel_institution_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_channel")),
    )
    with op.batch_alter_table("notice_channel", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_channel_institution_id"), ["institution_id"], unique=False)
    op.create_table(
        "notice_sending",
        sa.Column("channel_id", _key(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params", _json(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("id", _key(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["notice_channel.id"], name=op.f("fk_notice_sending_channel_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_sending")),
    )
    with op.batch_alter_table("notice_sending", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_sending_channel_id"), ["channel_id"], unique=False)
