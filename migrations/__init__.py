"""Alembic migrations, beside the floors: they know worklist's tables and nothing above."""
