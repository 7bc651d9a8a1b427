"""Studies that are shown as another patient's than their bytes say have an index: a search by name asks for them.

Revision: 0019, after 0018.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

NAME = "ix_study_coerced"


def upgrade() -> None:
    # As each of the two writes the condition: SQLite knows no truth values of its own.
    op.create_index(
        NAME, "study", ["patient_id"], sqlite_where=sa.text("coerced = 1"), postgresql_where=sa.text("coerced")
    )


def downgrade() -> None:
    op.drop_index(NAME, "study")
