"""Migrations make exactly the tables that the code declares, on both databases, and can be run again."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import create_engine

from huren.migrate import current, differences, newest, upgrade
from worklist.database import sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "new" / "huren.sqlite3")
    return str(request.getfixturevalue("postgres_url"))


def test_the_migrated_database_has_the_tables_of_the_code(url: str) -> None:
    assert upgrade(url) == newest()
    engine = create_engine(url)
    with engine.connect() as connection:
        assert current(connection) == newest()
        assert differences(connection) == []
    engine.dispose()


def test_migrating_again_changes_nothing(url: str) -> None:
    upgrade(url)
    assert upgrade(url) == newest()


def test_two_processes_that_migrate_at_once_both_succeed(url: str) -> None:
    failed: list[BaseException] = []

    def migrate() -> None:
        try:
            upgrade(url)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            failed.append(error)

    threads = [Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
