"""Desks: what readers, townships and managers work with, calendars, second factors, notices.

Revision: 0004, after 0003.
Long, since Alembic wrote it from the tables; a revision that has been used stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sign_in_failure",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_sign_in_failure")),
    )
    op.create_table(
        "notice_channel",
        sa.Column(
            "institution_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("kinds", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["institution_id"], ["institution.id"], name=op.f("fk_notice_channel_institution_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_channel")),
    )
    with op.batch_alter_table("notice_channel", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_channel_institution_id"), ["institution_id"], unique=False)

    op.create_table(
        "absence",
        sa.Column(
            "user_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_absence_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absence")),
    )
    with op.batch_alter_table("absence", schema=None) as batch_op:
        batch_op.create_index("ix_absence_user", ["user_id", "ends_at"], unique=False)

    op.create_table(
        "break_glass",
        sa.Column(
            "user_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "patient_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("judged_by", sa.Text(), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("judgement", sa.Text(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_break_glass_patient_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_break_glass_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_glass")),
    )
    with op.batch_alter_table("break_glass", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_break_glass_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_break_glass_user_id"), ["user_id"], unique=False)

    op.create_table(
        "calendar_day",
        sa.Column(
            "center_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("date", sa.Text(), nullable=False),
        sa.Column("hours", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_calendar_day_center_id")),
        sa.PrimaryKeyConstraint("center_id", "date", name=op.f("pk_calendar_day")),
    )
    op.create_table(
        "critical_item",
        sa.Column(
            "center_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_critical_item_center_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_critical_item")),
    )
    with op.batch_alter_table("critical_item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_critical_item_center_id"), ["center_id"], unique=False)

    op.create_table(
        "notice",
        sa.Column(
            "user_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_notice_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index("ix_notice_user", ["user_id", "read_at", "at"], unique=False)

    op.create_table(
        "notice_sending",
        sa.Column(
            "channel_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["channel_id"], ["notice_channel.id"], name=op.f("fk_notice_sending_channel_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_sending")),
    )
    with op.batch_alter_table("notice_sending", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_sending_channel_id"), ["channel_id"], unique=False)

    op.create_table(
        "phrase",
        sa.Column(
            "center_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "user_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("shortcut", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("body_part", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_phrase_center_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_phrase_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phrase")),
    )
    with op.batch_alter_table("phrase", schema=None) as batch_op:
        batch_op.create_index("ix_phrase_center", ["center_id", "user_id"], unique=False)

    op.create_table(
        "report_template",
        sa.Column(
            "center_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("shortcut", sa.Text(), nullable=False),
        sa.Column(
            "procedure_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("body_part", sa.Text(), nullable=False),
        sa.Column("sex", sa.Text(), nullable=False),
        sa.Column("is_normal", sa.Boolean(), nullable=False),
        sa.Column("fields", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("impression", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_report_template_center_id")),
        sa.ForeignKeyConstraint(["procedure_id"], ["procedure.id"], name=op.f("fk_report_template_procedure_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_template")),
    )
    with op.batch_alter_table("report_template", schema=None) as batch_op:
        batch_op.create_index("ix_report_template_center", ["center_id", "place"], unique=False)

    op.create_table(
        "saved_view",
        sa.Column(
            "user_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("is_first", sa.Boolean(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_saved_view_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_view")),
        sa.UniqueConstraint("user_id", "page", "name", name=op.f("uq_saved_view_user_id_page_name")),
    )
    op.create_table(
        "shift",
        sa.Column(
            "center_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "user_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("duty", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_shift_center_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_shift_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shift")),
    )
    with op.batch_alter_table("shift", schema=None) as batch_op:
        batch_op.create_index("ix_shift_center", ["center_id", "ends_at", "starts_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_shift_user_id"), ["user_id"], unique=False)

    op.create_table(
        "user_setting",
        sa.Column(
            "user_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_user_setting_user_id")),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_user_setting")),
    )
    op.create_table(
        "partial_file",
        sa.Column(
            "upload_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("fate", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_partial_file_upload_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partial_file")),
    )
    with op.batch_alter_table("partial_file", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_partial_file_touched_at"), ["touched_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_partial_file_upload_id"), ["upload_id"], unique=False)

    op.create_table(
        "case_return",
        sa.Column(
            "reading_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "center_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "institution_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column(
            "by_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answered_by", sa.Text(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["by_id"], ["user.id"], name=op.f("fk_case_return_by_id")),
        sa.ForeignKeyConstraint(["center_id"], ["center.id"], name=op.f("fk_case_return_center_id")),
        sa.ForeignKeyConstraint(["institution_id"], ["institution.id"], name=op.f("fk_case_return_institution_id")),
        sa.ForeignKeyConstraint(["reading_id"], ["reading.id"], name=op.f("fk_case_return_reading_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_return")),
    )
    with op.batch_alter_table("case_return", schema=None) as batch_op:
        batch_op.create_index("ix_case_return_center", ["center_id", "at"], unique=False)
        batch_op.create_index("ix_case_return_institution", ["institution_id", "at"], unique=False)
        batch_op.create_index(batch_op.f("ix_case_return_reading_id"), ["reading_id"], unique=False)

    op.create_table(
        "report_given",
        sa.Column(
            "version_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "by_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["by_id"], ["user.id"], name=op.f("fk_report_given_by_id")),
        sa.ForeignKeyConstraint(["version_id"], ["report_version.id"], name=op.f("fk_report_given_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_given")),
    )
    with op.batch_alter_table("report_given", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_report_given_version_id"), ["version_id"], unique=False)

    op.create_table(
        "submission",
        sa.Column(
            "version_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column(
            "by_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("impression", sa.Text(), nullable=False),
        sa.Column("critical", sa.Text(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["by_id"], ["user.id"], name=op.f("fk_submission_by_id")),
        sa.ForeignKeyConstraint(["version_id"], ["report_version.id"], name=op.f("fk_submission_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
    )
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.create_index("ix_submission_version", ["version_id", "at"], unique=False)
        batch_op.create_index(
            "ix_submission_unseen",
            ["version_id"],
            unique=False,
            sqlite_where=sa.text("seen_at IS NULL"),
            postgresql_where=sa.text("seen_at IS NULL"),
        )

    with op.batch_alter_table("center", schema=None) as batch_op:
        batch_op.add_column(sa.Column("two_person_critical", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("verify_minutes", sa.Integer(), server_default=sa.text("5"), nullable=False))
        batch_op.add_column(
            sa.Column(
                "working_hours",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )

    with op.batch_alter_table("critical_result", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "item_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("is_drill", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(
            sa.Column(
                "verified_by",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column(
                "center_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.alter_column(
            "reading_id",
            existing_type=sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        )
        batch_op.create_index("ix_critical_result_marked", ["marked_at"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_critical_result_center_id"), "center", ["center_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_critical_result_item_id"), "critical_item", ["item_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_critical_result_verified_by"), "user", ["verified_by"], ["id"])

    with op.batch_alter_table("on_duty", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tier", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.execute("UPDATE on_duty SET tier = place + 1")  # they were called one after the other

    with op.batch_alter_table("reading", schema=None) as batch_op:
        batch_op.add_column(sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column(
                "assigned_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("turnaround_minutes", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("image_grade", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("image_grade_reason", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(
            sa.Column(
                "graded_by_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.create_index(batch_op.f("ix_reading_assigned_id"), ["assigned_id"], unique=False)
        batch_op.create_index("ix_reading_created", ["center_id", "created_at"], unique=False)
        batch_op.create_index("ix_reading_signed", ["center_id", "signed_at"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_reading_assigned_id"), "user", ["assigned_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_reading_graded_by_id"), "user", ["graded_by_id"], ["id"])

    with op.batch_alter_table("report_version", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "template_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.add_column(
            sa.Column(
                "values",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'{}'"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "warnings",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.create_index("ix_report_version_signed", ["signed_at"], unique=False)
        batch_op.create_index("ix_report_version_writer", ["writer_id", "id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_report_version_template_id"), "report_template", ["template_id"], ["id"]
        )

    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "order_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("examined_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_upload_order_id"), "order", ["order_id"], ["id"])

    with op.batch_alter_table("upload_file", schema=None) as batch_op:
        batch_op.add_column(sa.Column("original_key", sa.Text(), server_default=sa.text("''"), nullable=False))

    # Not in batch mode: SQLite would copy the table, and its computed columns cannot be copied.
    op.add_column(
        "study",
        sa.Column(
            "proposed_images",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )

    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.add_column(sa.Column("phone", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("email", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("totp_secret", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("totp_confirmed_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("totp_last_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        batch_op.add_column(
            sa.Column(
                "recovery_codes",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("oidc_subject", sa.Text(), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_user_oidc_subject"), ["oidc_subject"])

    with op.batch_alter_table("web_session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("way", sa.Text(), server_default=sa.text("'password'"), nullable=False))

    # What is on record already began when its case was made, and was signed with its first final report.
    op.execute("UPDATE reading SET ready_at = created_at")
    op.execute(
        "UPDATE reading SET signed_at = (SELECT min(v.signed_at) FROM report_version AS v"
        " WHERE v.reading_id = reading.id AND v.status = 'final')"
    )


def downgrade() -> None:
    with op.batch_alter_table("web_session", schema=None) as batch_op:
        batch_op.drop_column("way")

    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_user_oidc_subject"), type_="unique")
        batch_op.drop_column("oidc_subject")
        batch_op.drop_column("recovery_codes")
        batch_op.drop_column("totp_last_step")
        batch_op.drop_column("totp_confirmed_at")
        batch_op.drop_column("totp_secret")
        batch_op.drop_column("email")
        batch_op.drop_column("phone")

    op.drop_column("study", "proposed_images")

    with op.batch_alter_table("upload_file", schema=None) as batch_op:
        batch_op.drop_column("original_key")

    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_upload_order_id"), type_="foreignkey")
        batch_op.drop_column("examined_at")
        batch_op.drop_column("order_id")

    with op.batch_alter_table("report_version", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_report_version_template_id"), type_="foreignkey")
        batch_op.drop_index("ix_report_version_writer")
        batch_op.drop_index("ix_report_version_signed")
        batch_op.drop_column("warnings")
        batch_op.drop_column("values")
        batch_op.drop_column("template_id")

    with op.batch_alter_table("reading", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_reading_graded_by_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_reading_assigned_id"), type_="foreignkey")
        batch_op.drop_index("ix_reading_signed")
        batch_op.drop_index("ix_reading_created")
        batch_op.drop_index(batch_op.f("ix_reading_assigned_id"))
        batch_op.drop_column("graded_by_id")
        batch_op.drop_column("image_grade_reason")
        batch_op.drop_column("image_grade")
        batch_op.drop_column("turnaround_minutes")
        batch_op.drop_column("signed_at")
        batch_op.drop_column("ready_at")
        batch_op.drop_column("assigned_id")
        batch_op.drop_column("claimed_at")

    with op.batch_alter_table("on_duty", schema=None) as batch_op:
        batch_op.drop_column("tier")

    op.execute("DELETE FROM critical_result WHERE reading_id IS NULL")  # drills
    with op.batch_alter_table("critical_result", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_critical_result_center_id"), type_="foreignkey")
        batch_op.alter_column(
            "reading_id",
            existing_type=sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        )
        batch_op.drop_column("center_id")
        batch_op.drop_constraint(batch_op.f("fk_critical_result_verified_by"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_critical_result_item_id"), type_="foreignkey")
        batch_op.drop_index("ix_critical_result_marked")
        batch_op.drop_column("verified_at")
        batch_op.drop_column("verified_by")
        batch_op.drop_column("is_drill")
        batch_op.drop_column("item_id")

    with op.batch_alter_table("center", schema=None) as batch_op:
        batch_op.drop_column("working_hours")
        batch_op.drop_column("verify_minutes")
        batch_op.drop_column("two_person_critical")

    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.drop_index("ix_submission_unseen")
        batch_op.drop_index("ix_submission_version")

    op.drop_table("submission")
    with op.batch_alter_table("report_given", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_report_given_version_id"))

    op.drop_table("report_given")
    with op.batch_alter_table("case_return", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_return_reading_id"))
        batch_op.drop_index("ix_case_return_institution")
        batch_op.drop_index("ix_case_return_center")

    op.drop_table("case_return")
    with op.batch_alter_table("partial_file", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_partial_file_upload_id"))
        batch_op.drop_index(batch_op.f("ix_partial_file_touched_at"))

    op.drop_table("partial_file")
    op.drop_table("user_setting")
    with op.batch_alter_table("shift", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shift_user_id"))
        batch_op.drop_index("ix_shift_center")

    op.drop_table("shift")
    op.drop_table("saved_view")
    with op.batch_alter_table("report_template", schema=None) as batch_op:
        batch_op.drop_index("ix_report_template_center")

    op.drop_table("report_template")
    with op.batch_alter_table("phrase", schema=None) as batch_op:
        batch_op.drop_index("ix_phrase_center")

    op.drop_table("phrase")
    with op.batch_alter_table("notice_sending", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notice_sending_channel_id"))

    op.drop_table("notice_sending")
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.drop_index("ix_notice_user")

    op.drop_table("notice")
    with op.batch_alter_table("critical_item", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_critical_item_center_id"))

    op.drop_table("critical_item")
    op.drop_table("calendar_day")
    with op.batch_alter_table("break_glass", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_break_glass_user_id"))
        batch_op.drop_index(batch_op.f("ix_break_glass_patient_id"))

    op.drop_table("break_glass")
    with op.batch_alter_table("absence", schema=None) as batch_op:
        batch_op.drop_index("ix_absence_user")

    op.drop_table("absence")
    with op.batch_alter_table("notice_channel", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notice_channel_institution_id"))

    op.drop_table("notice_channel")
    op.drop_table("sign_in_failure")
