"""Images and documents: reports as documents, uploads, query/retrieve, storage commitment.

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "commitment",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "device_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("transaction_uid", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("ae_title", sa.Text(), nullable=False),
        sa.Column("institutions", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("references", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("failures", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_commitment_device_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment")),
        sa.UniqueConstraint("device_id", "transaction_uid", name=op.f("uq_commitment_device_id_transaction_uid")),
    )
    op.create_table(
        "upload",
        sa.Column(
            "by_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "institution_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("announced", sa.Integer(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["by_id"], ["user.id"], name=op.f("fk_upload_by_id")),
        sa.ForeignKeyConstraint(["institution_id"], ["institution.id"], name=op.f("fk_upload_institution_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.create_index("ix_upload_institution", ["institution_id", "at"], unique=False)

    op.create_table(
        "upload_file",
        sa.Column(
            "upload_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "study_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_upload_file_study_id")),
        sa.ForeignKeyConstraint(["upload_id"], ["upload.id"], name=op.f("fk_upload_file_upload_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_file")),
        sa.UniqueConstraint("upload_id", "place", name=op.f("uq_upload_file_upload_id_place")),
    )
    with op.batch_alter_table("upload_file", schema=None) as batch_op:
        batch_op.create_index("ix_upload_file_name", ["upload_id", "name"], unique=False)
        batch_op.create_index("ix_upload_file_outcome", ["upload_id", "outcome"], unique=False)

    op.create_table(
        "report_document",
        sa.Column(
            "version_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("store_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["version_id"], ["report_version.id"], name=op.f("fk_report_document_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_document")),
        sa.UniqueConstraint("version_id", "kind", name=op.f("uq_report_document_version_id_kind")),
    )
    with op.batch_alter_table("report_document", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_report_document_sha256"), ["sha256"], unique=False)

    op.create_table(
        "report_print",
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
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("marked", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["by_id"], ["user.id"], name=op.f("fk_report_print_by_id")),
        sa.ForeignKeyConstraint(["version_id"], ["report_version.id"], name=op.f("fk_report_print_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_print")),
        sa.UniqueConstraint("version_id", "number", name=op.f("uq_report_print_version_id_number")),
    )
    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.add_column(sa.Column("may_retrieve", sa.Boolean(), server_default=sa.text("false"), nullable=False))

    with op.batch_alter_table("device_address", schema=None) as batch_op:
        batch_op.add_column(sa.Column("port", sa.Integer(), nullable=True))

    with op.batch_alter_table("endpoint", schema=None) as batch_op:
        batch_op.add_column(sa.Column("pdf", sa.Text(), server_default=sa.text("'none'"), nullable=False))

    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "version_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.create_index(
            "ix_instance_document",
            ["study_id"],
            unique=False,
            sqlite_where=sa.text("version_id IS NOT NULL"),
            postgresql_where=sa.text("version_id IS NOT NULL"),
        )
        batch_op.create_index(batch_op.f("ix_instance_version_id"), ["version_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_instance_version_id"), "report_version", ["version_id"], ["id"])

    with op.batch_alter_table("institution", schema=None) as batch_op:
        batch_op.add_column(sa.Column("address", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("paper", sa.Text(), server_default=sa.text("'A4'"), nullable=False))

    with op.batch_alter_table("reading", schema=None) as batch_op:
        batch_op.create_index("ix_reading_holder", ["holder_id", "held_until"], unique=False)

    with op.batch_alter_table("report_version", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "key_images",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("verification_code", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.create_index(batch_op.f("ix_report_version_verification_code"), ["verification_code"], unique=False)

    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.add_column(sa.Column("prepared_key", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(
            sa.Column("prepared_instances", sa.Integer(), server_default=sa.text("'0'"), nullable=False)
        )
        batch_op.create_index("ix_series_modality", ["modality", "study_id"], unique=False)
        batch_op.create_index("ix_series_uid", ["series_instance_uid"], unique=False)

    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "name_folded",
                sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
                sa.Computed("lower(replace(replace(sent_name, '^', ''), ' ', ''))", persisted=True),
                nullable=True,
            )
        )
        batch_op.add_column(
            sa.Column(
                "alphabetic_folded",
                sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
                sa.Computed("lower(sent_name_alphabetic)", persisted=True),
                nullable=True,
            )
        )
        batch_op.create_index("ix_study_alphabetic_folded", ["alphabetic_folded"], unique=False)
        batch_op.create_index("ix_study_day", ["study_date", "id"], unique=False)
        batch_op.create_index("ix_study_institution_day", ["institution_id", "study_date", "id"], unique=False)
        batch_op.create_index("ix_study_name_folded", ["name_folded"], unique=False)
        batch_op.create_index("ix_study_sent_accession_number", ["sent_accession_number"], unique=False)
        batch_op.create_index("ix_study_sent_patient_id", ["sent_patient_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.drop_index("ix_study_sent_patient_id")
        batch_op.drop_index("ix_study_sent_accession_number")
        batch_op.drop_index("ix_study_name_folded")
        batch_op.drop_index("ix_study_institution_day")
        batch_op.drop_index("ix_study_day")
        batch_op.drop_index("ix_study_alphabetic_folded")
        batch_op.drop_column("alphabetic_folded")
        batch_op.drop_column("name_folded")

    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.drop_index("ix_series_uid")
        batch_op.drop_index("ix_series_modality")
        batch_op.drop_column("prepared_instances")
        batch_op.drop_column("prepared_key")

    with op.batch_alter_table("report_version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_report_version_verification_code"))
        batch_op.drop_column("verification_code")
        batch_op.drop_column("key_images")

    with op.batch_alter_table("reading", schema=None) as batch_op:
        batch_op.drop_index("ix_reading_holder")

    with op.batch_alter_table("institution", schema=None) as batch_op:
        batch_op.drop_column("paper")
        batch_op.drop_column("address")

    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_instance_version_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_instance_version_id"))
        batch_op.drop_index(
            "ix_instance_document",
            sqlite_where=sa.text("version_id IS NOT NULL"),
            postgresql_where=sa.text("version_id IS NOT NULL"),
        )
        batch_op.drop_column("version_id")

    with op.batch_alter_table("endpoint", schema=None) as batch_op:
        batch_op.drop_column("pdf")

    with op.batch_alter_table("device_address", schema=None) as batch_op:
        batch_op.drop_column("port")

    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.drop_column("may_retrieve")

    op.drop_table("report_print")
    with op.batch_alter_table("report_document", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_report_document_sha256"))

    op.drop_table("report_document")
    with op.batch_alter_table("upload_file", schema=None) as batch_op:
        batch_op.drop_index("ix_upload_file_outcome")
        batch_op.drop_index("ix_upload_file_name")

    op.drop_table("upload_file")
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.drop_index("ix_upload_institution")

    op.drop_table("upload")
    op.drop_table("commitment")
