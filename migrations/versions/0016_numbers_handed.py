"""The numbers of an ECG's report as they changed hands, beside its words.

Revision: 0016, after 0015.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    numbers = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("submission", sa.Column("measurements", numbers, nullable=True))


def downgrade() -> None:
    op.drop_column("submission", "measurements")
