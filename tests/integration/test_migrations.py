"""Migrations make exactly the tables that the code declares, on both databases, and can be run again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, Table, create_engine, select

from huren.migrate import current, differences, newest, upgrade
from worklist.database import sqlite_url
from worklist.facts import USUAL_OPERATIONS

EMPTY = {int: 0, bool: False, dict: [], list: []}


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


def test_what_an_older_database_holds_is_carried_over(url: str) -> None:
    """0002 → 0003: route rules become version 1, a flag a list of operations, national numbers documents."""
    upgrade(url, "0002")
    engine = create_engine(url)
    at = datetime(2026, 3, 2, tzinfo=UTC)
    with engine.begin() as connection:
        put(
            connection,
            "institution",
            id="i1",
            code="CH01",
            name="县医院",
            level="county",
            timezone="UTC",
            created_at=at,
        )
        put(connection, "center", id="c1", institution_id="i1", discipline="imaging", name="影像")
        for number in (1, 2):
            put(connection, "route", id=f"r{number}", place=number, name=f"规则{number}", center_id="c1", enabled=True)
            put(connection, "device", id=f"d{number}", name="CT", may_retrieve=number == 1, enabled=True, created_at=at)
            put(connection, "patient", id=f"p{number}", name="王小东", created_at=at)
        put(connection, "patient_identifier", id="n1", patient_id="p1", issuer="CH01", value="7", kind="MR")
        put(
            connection,
            "patient_identifier",
            id="n2",
            patient_id="p1",
            issuer="CN",
            value="110101199003074477",
            kind="NI",
        )
        put(connection, "patient_identifier", id="n3", patient_id="p2", issuer="CN/DE", value="C01X", kind="PPN")
    assert upgrade(url) == newest()
    with engine.connect() as connection:
        assert rows(connection, "route_table", "number") == [(1,)]
        assert rows(connection, "route", "name", "table_id") == [("规则1", "r1"), ("规则2", "r1")]
        operations: dict[Any, Any] = dict(rows(connection, "device", "id", "operations"))
        assert ("retrieve" in operations["d1"], "retrieve" in operations["d2"]) == (True, False)
        assert operations["d2"] == list(USUAL_OPERATIONS)
        assert rows(connection, "patient", "id", "person_id") == [("p1", "p1"), ("p2", "p2")]
        assert rows(connection, "patient_identifier", "id") == [("n1",)]
        assert rows(connection, "patient_document", "patient_id", "kind", "country", "number") == [
            ("p1", "NI", "CN", "110101199003074477"),
            ("p2", "PPN", "DE", "C01X"),
        ]
        assert differences(connection) == []
    engine.dispose()


def put(connection: Connection, name: str, /, **values: object) -> None:
    """A row of a table as it is in this database now; whatever is not said is empty."""
    table = Table(name, MetaData(), autoload_with=connection)
    for column in table.columns:
        if column.name not in values and not column.nullable:
            values[column.name] = EMPTY.get(column.type.python_type, "")
    connection.execute(table.insert().values(values))


def rows(connection: Connection, name: str, *columns: str) -> list[Any]:
    """These columns of all rows, by key."""
    table = Table(name, MetaData(), autoload_with=connection)
    key = table.c.id
    return [tuple(row) for row in connection.execute(select(*(table.c[c] for c in columns)).order_by(key))]
