"""Growth: an institution's orders and a center's cases in the order in which they were made.

Revision: 0006, after 0005.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_order_institution", "order", ["institution_id", "id"])
    op.create_index("ix_reading_made", "reading", ["center_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_reading_made", "reading")
    op.drop_index("ix_order_institution", "order")
