"""The county of `tests.world`, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.world import World, build
from worklist.database import Database, sqlite_url

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)  # 09:30 in the township


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A county on a SQLite file, and again on PostgreSQL."""
    url = sqlite_url(tmp_path / "huren.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    database = Database(url)
    try:
        yield build(database, NOW)
    finally:
        database.close()
