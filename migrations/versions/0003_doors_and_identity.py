"""Doors and identity: versioned routes, what a device may do, certificates, persons, visits, results of others.

Revision: 0003, after 0002.
Long, since Alembic wrote it from the tables; a revision that has been used stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "route_table",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route_table")),
        sa.UniqueConstraint("number", name=op.f("uq_route_table_number")),
    )
    op.create_table(
        "device_certificate",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column(
            "device_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_device_certificate_device_id")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_device_certificate")),
    )
    with op.batch_alter_table("device_certificate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_certificate_device_id"), ["device_id"], unique=False)

    op.create_table(
        "match_suggestion",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "first_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "second_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("reasons", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["first_id"], ["patient.id"], name=op.f("fk_match_suggestion_first_id")),
        sa.ForeignKeyConstraint(["second_id"], ["patient.id"], name=op.f("fk_match_suggestion_second_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_suggestion")),
        sa.UniqueConstraint("first_id", "second_id", name=op.f("uq_match_suggestion_first_id_second_id")),
    )
    with op.batch_alter_table("match_suggestion", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_match_suggestion_second_id"), ["second_id"], unique=False)
        batch_op.create_index("ix_match_suggestion_state", ["state", "id"], unique=False)

    op.create_table(
        "patient_document",
        sa.Column(
            "patient_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_patient_document_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_document")),
        sa.UniqueConstraint(
            "patient_id", "kind", "country", "number", name=op.f("uq_patient_document_patient_id_kind_country_number")
        ),
    )
    with op.batch_alter_table("patient_document", schema=None) as batch_op:
        batch_op.create_index("ix_patient_document_number", ["number", "kind"], unique=False)

    op.create_table(
        "patient_merge",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "survivor_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "retired_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("moved", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "message_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column(
            "by_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=False),
        sa.Column("undone_why", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["retired_id"], ["patient.id"], name=op.f("fk_patient_merge_retired_id")),
        sa.ForeignKeyConstraint(["survivor_id"], ["patient.id"], name=op.f("fk_patient_merge_survivor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_merge")),
    )
    with op.batch_alter_table("patient_merge", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_merge_retired_id"), ["retired_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_patient_merge_survivor_id"), ["survivor_id"], unique=False)

    op.create_table(
        "visit",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "institution_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "patient_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("patient_class", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("doctor", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.Text(), nullable=False),
        sa.Column("told_at", sa.Text(), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["institution_id"], ["institution.id"], name=op.f("fk_visit_institution_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_visit_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visit")),
        sa.UniqueConstraint("institution_id", "number", name=op.f("uq_visit_institution_id_number")),
    )
    with op.batch_alter_table("visit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_visit_patient_id"), ["patient_id"], unique=False)

    op.create_table(
        "outside_report",
        sa.Column(
            "institution_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "device_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "message_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "patient_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "order_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.Text(), nullable=False),
        sa.Column("reported_at", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("lines", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "superseded_by_id",
            sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "id", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_outside_report_device_id")),
        sa.ForeignKeyConstraint(["institution_id"], ["institution.id"], name=op.f("fk_outside_report_institution_id")),
        sa.ForeignKeyConstraint(["order_id"], ["order.id"], name=op.f("fk_outside_report_order_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patient.id"], name=op.f("fk_outside_report_patient_id")),
        sa.ForeignKeyConstraint(
            ["superseded_by_id"], ["outside_report.id"], name=op.f("fk_outside_report_superseded_by_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outside_report")),
    )
    with op.batch_alter_table("outside_report", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outside_report_message_id"), ["message_id"], unique=False)
        batch_op.create_index("ix_outside_report_number", ["issuer", "number"], unique=False)
        batch_op.create_index(batch_op.f("ix_outside_report_order_id"), ["order_id"], unique=False)
        batch_op.create_index("ix_outside_report_patient", ["patient_id", "id"], unique=False)

    with op.batch_alter_table("code_mapping", schema=None) as batch_op:
        batch_op.add_column(sa.Column("made_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("made_by", sa.Text(), server_default=sa.text("''"), nullable=False))

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.Text(), server_default=sa.text("'report'"), nullable=False))
        batch_op.add_column(
            sa.Column(
                "order_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.add_column(sa.Column("order_state", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(
            sa.Column(
                "error_params",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.alter_column("version_id", existing_type=sa.VARCHAR(length=64), nullable=True)
        batch_op.alter_column("reading_id", existing_type=sa.VARCHAR(length=64), nullable=True)
        batch_op.drop_index(batch_op.f("ix_delivery_state"))
        batch_op.create_index("ix_delivery_state", ["state", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_order_id"), ["order_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_delivery_order_id"), "order", ["order_id"], ["id"])

    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.add_column(sa.Column("checks", sa.Text(), server_default=sa.text("'off'"), nullable=False))
        batch_op.add_column(
            sa.Column(
                "field_overrides",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "operations",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text('\'["store","worklist","mpps","commitment","orders","patients","results"]\''),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "transfer_syntaxes",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "receive_only_hours",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "worklist_extras",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "echoes",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("echoed_at", sa.DateTime(timezone=True), nullable=True))

    # What a device may was a flag; it is a list now.
    op.execute(
        sa.text(
            'UPDATE device SET operations = \'["store","worklist","mpps","commitment","retrieve",'
            '"orders","patients","results"]\' WHERE may_retrieve'
        )
    )
    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.drop_column("may_retrieve")

    with op.batch_alter_table("device_address", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tls", sa.Boolean(), server_default=sa.false(), nullable=False))

    with op.batch_alter_table("endpoint", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tls", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("trusted", sa.Text(), server_default=sa.text("''"), nullable=False))
        batch_op.add_column(sa.Column("order_status", sa.Boolean(), server_default=sa.false(), nullable=False))

    with op.batch_alter_table("institution", schema=None) as batch_op:
        batch_op.add_column(sa.Column("order_days", sa.Integer(), server_default=sa.text("'30'"), nullable=False))

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "findings",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "patient_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.drop_index(batch_op.f("ix_message_order"))
        batch_op.create_index("ix_message_order", ["order_id", "seq"], unique=False)
        batch_op.create_index("ix_message_at", ["at"], unique=False)
        batch_op.create_index("ix_message_control_id", ["control_id"], unique=False)
        batch_op.create_index("ix_message_device", ["device_id", "seq"], unique=False)
        batch_op.create_index("ix_message_direction", ["direction", "seq"], unique=False)
        batch_op.create_index("ix_message_kind", ["kind", "seq"], unique=False)
        batch_op.create_index("ix_message_patient", ["patient_id", "seq"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_message_patient_id"), "patient", ["patient_id"], ["id"])

    with op.batch_alter_table("order", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "specimens",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "steps",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                server_default=sa.text("'[]'"),
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index("ix_order_placer_number", ["placer_number"], unique=False)

    with op.batch_alter_table("patient", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "person_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                server_default=sa.text("''"),
                nullable=False,
            )
        )
        batch_op.add_column(
            sa.Column(
                "merged_into_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                nullable=True,
            )
        )
        batch_op.create_index("ix_patient_birth_date", ["birth_date"], unique=False)

    # Everybody is a person of their own until somebody is linked.
    op.execute(sa.text("UPDATE patient SET person_id = id"))
    with op.batch_alter_table("patient", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_person_id"), ["person_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_patient_merged_into_id"), ["merged_into_id"], unique=False)
        batch_op.create_index("ix_patient_phone", ["phone"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_patient_merged_into_id"), "patient", ["merged_into_id"], ["id"])

    with op.batch_alter_table("route", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "table_id",
                sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"),
                server_default=sa.text("''"),
                nullable=False,
            )
        )

    # The rules of today are the first version of the table.
    op.execute(
        sa.text(
            "INSERT INTO route_table (id, number, note, made_by, made_at) "
            "SELECT id, 1, '', 'huren', CURRENT_TIMESTAMP FROM route ORDER BY id LIMIT 1"
        )
    )
    op.execute(sa.text("UPDATE route SET table_id = (SELECT id FROM route_table WHERE number = 1)"))
    with op.batch_alter_table("route", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_route_place"))
        batch_op.create_index("ix_route_place", ["table_id", "place"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_route_table_id"), "route_table", ["table_id"], ["id"])

    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.add_column(sa.Column("coerced", sa.Boolean(), server_default="0", nullable=False))
        batch_op.create_index("ix_study_device", ["device_id", "last_at"], unique=False)

    # Numbers of a country are evidence of who somebody is, and nobody's key.
    op.execute(
        sa.text(
            "INSERT INTO patient_document (id, patient_id, kind, country, number) "
            "SELECT id, patient_id, CASE kind WHEN 'NNCHN' THEN 'NI' ELSE kind END, "
            "CASE WHEN issuer LIKE 'CN/%' THEN substr(issuer, 4) ELSE 'CN' END, value "
            "FROM patient_identifier WHERE kind IN ('NI', 'NNCHN', 'PPN')"
        )
    )
    op.execute(sa.text("DELETE FROM patient_identifier WHERE kind IN ('NI', 'NNCHN', 'PPN')"))

    # Where a person said whose images they are, they are shown as that patient's.
    op.execute(sa.text("UPDATE study SET coerced = TRUE WHERE link IN ('matched by a person', 'moved')"))
