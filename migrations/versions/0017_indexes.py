"""PostgreSQL finds patients' numbers by how they begin through the index, whatever the database's language; and orders
with a note for somebody have an index of their own.

Revision: 0017, after 0016.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

NAME = "ix_patient_identifier_value"


def upgrade() -> None:
    op.drop_index(NAME, "patient_identifier")
    op.create_index(NAME, "patient_identifier", ["value"], postgresql_ops={"value": "text_pattern_ops"})
    noted = sa.text("note != ''")
    op.create_index("ix_order_noted", "order", ["institution_id", "id"], sqlite_where=noted, postgresql_where=noted)


def downgrade() -> None:
    op.drop_index("ix_order_noted", "order")
    op.drop_index(NAME, "patient_identifier")
    op.create_index(NAME, "patient_identifier", ["value"])
