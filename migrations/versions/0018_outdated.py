"""A report that was given and has a newer version since is marked, so that those are found without all others.

Revision: 0018, after 0017.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NAME = "ix_report_given_outdated"
MARK = """
    UPDATE report_given SET is_outdated = TRUE
    WHERE version_id IN (SELECT id FROM report_version WHERE state = 'superseded')
    AND NOT EXISTS (
        SELECT 1 FROM report_version AS had JOIN reading_order AS covered ON covered.reading_id = had.reading_id
        JOIN reading_order AS same ON same.order_id = covered.order_id
        JOIN report_version AS newer ON newer.reading_id = same.reading_id
        JOIN report_given AS again ON again.version_id = newer.id
        WHERE had.id = report_given.version_id AND newer.state != 'superseded'
    )
"""


def upgrade() -> None:
    with op.batch_alter_table("report_given") as table:
        table.add_column(sa.Column("is_outdated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(MARK)
    with op.batch_alter_table("report_given") as table:
        table.alter_column("is_outdated", server_default=None)
    where = sa.text("is_outdated")
    op.create_index(NAME, "report_given", ["version_id"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index(NAME, "report_given")
    with op.batch_alter_table("report_given") as table:
        table.drop_column("is_outdated")
