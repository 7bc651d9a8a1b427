"""Mutual recognition: rules, qualifications, offers and answers; a recognised result is delivered for a second order.

Revision: 0010, after 0009.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _key(name: str, *, needed: bool = True) -> sa.Column[Any]:
    kind = sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=not needed)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False)


def _time(name: str, *, needed: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not needed)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def _refers(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"))


def upgrade() -> None:
    with op.batch_alter_table("institution") as batch_op:
        batch_op.add_column(sa.Column("grade", sa.Text(), server_default=sa.text("''"), nullable=False))
    with op.batch_alter_table("device") as batch_op:
        batch_op.add_column(sa.Column("recognition", sa.Text(), server_default=sa.text("'off'"), nullable=False))
    with op.batch_alter_table("delivery") as batch_op:
        batch_op.drop_constraint(op.f("uq_delivery_version_id_endpoint_id"), type_="unique")
    op.create_index(
        "ix_delivery_report",
        "delivery",
        ["version_id", "endpoint_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'report'"),
        postgresql_where=sa.text("kind = 'report'"),
    )
    op.create_index(
        "ix_delivery_recognised",
        "delivery",
        ["version_id", "endpoint_id", "order_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'recognised'"),
        postgresql_where=sa.text("kind = 'recognised'"),
    )
    op.create_table(
        "recognition_rules",
        sa.Column("number", sa.Integer(), nullable=False),
        _time("effective_from"),
        _json("rules"),
        _text("note"),
        _text("made_by"),
        _time("made_at"),
        _key("id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recognition_rules")),
        sa.UniqueConstraint("number", name=op.f("uq_recognition_rules_number")),
    )
    op.create_table(
        "qualification",
        _key("institution_id"),
        _text("item"),
        _text("mark"),
        _text("region"),
        _text("valid_from"),
        _text("valid_to"),
        _text("note"),
        _text("changed_by"),
        _time("changed_at"),
        _key("id"),
        _refers("qualification", "institution_id", "institution"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qualification")),
    )
    op.create_index(op.f("ix_qualification_institution_id"), "qualification", ["institution_id"])
    op.create_table(
        "recognition",
        _text("state"),
        _key("institution_id"),
        _key("patient_id"),
        _key("procedure_id"),
        _text("laterality"),
        _key("reading_id"),
        _key("result_order_id"),
        _key("result_institution_id"),
        _time("taken_at"),
        sa.Column("rules_number", sa.Integer(), nullable=False),
        _text("item"),
        _text("outcome"),
        _text("duty"),
        _time("until"),
        _json("marks"),
        _json("because"),
        _key("offered_to_id"),
        _time("offered_at"),
        _key("order_id", needed=False),
        _text("adopted"),
        _text("reason"),
        _text("words"),
        sa.Column("patient_told", sa.Boolean(), nullable=False),
        _key("answered_by_id", needed=False),
        _time("answered_at", needed=False),
        _text("challenge"),
        _text("challenged_by"),
        _time("challenged_at", needed=False),
        _key("id"),
        _refers("recognition", "institution_id", "institution"),
        _refers("recognition", "patient_id", "patient"),
        _refers("recognition", "procedure_id", "procedure"),
        _refers("recognition", "reading_id", "reading"),
        _refers("recognition", "result_order_id", "order"),
        _refers("recognition", "result_institution_id", "institution"),
        _refers("recognition", "offered_to_id", "user"),
        _refers("recognition", "order_id", "order"),
        _refers("recognition", "answered_by_id", "user"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recognition")),
    )
    for column in ("patient_id", "reading_id", "order_id"):
        op.create_index(op.f(f"ix_recognition_{column}"), "recognition", [column])
    op.create_index("ix_recognition_offered", "recognition", ["offered_to_id", "patient_id", "reading_id"])
    op.create_index("ix_recognition_institution", "recognition", ["institution_id", "offered_at"])


def downgrade() -> None:
    for table in ("recognition", "qualification", "recognition_rules"):
        op.drop_table(table)
    op.execute("DELETE FROM delivery WHERE kind = 'recognised'")
    op.drop_index("ix_delivery_recognised", "delivery")
    op.drop_index("ix_delivery_report", "delivery")
    with op.batch_alter_table("delivery") as batch_op:
        batch_op.create_unique_constraint(op.f("uq_delivery_version_id_endpoint_id"), ["version_id", "endpoint_id"])
    with op.batch_alter_table("device") as batch_op:
        batch_op.drop_column("recognition")
    with op.batch_alter_table("institution") as batch_op:
        batch_op.drop_column("grade")
