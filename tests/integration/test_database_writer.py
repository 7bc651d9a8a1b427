"""The connection that writes to SQLite: a batch is durable together, and whoever fails in it takes nobody with it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worklist.database import Database, sqlite_url
from worklist.errors import Conflict, TryLater


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "x.sqlite3"))
    opened.write(lambda s: s.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY)")))
    try:
        yield opened
    finally:
        opened.close()


def _insert(number: int) -> Callable[[Session], int]:
    def work(session: Session) -> int:
        session.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})
        return number

    return work


def _kept(database: Database) -> list[int]:
    return [row[0] for row in database.read(lambda s: s.execute(text("SELECT n FROM t ORDER BY n")).all())]


def _in_one_batch(database: Database, works: list[Callable[[Session], int]]) -> list[Future[int]]:
    """The futures of `works`, which all waited while the writer was held up."""
    go_on, held_up = threading.Event(), threading.Event()

    def hold(_session: Session) -> None:
        held_up.set()
        go_on.wait(30)

    with ThreadPoolExecutor(len(works) + 1) as pool:
        pool.submit(database.write, hold)
        held_up.wait(30)
        futures = [pool.submit(database.write, work) for work in works]
        writer = database._writer
        assert writer is not None
        while len(writer._jobs) < len(works):
            pass
        go_on.set()
    return futures


def test_whoever_fails_in_a_batch_fails_alone(database: Database) -> None:
    def refuse(session: Session) -> int:
        _insert(100)(session)
        raise Conflict("no")

    works = [_insert(1), refuse, _insert(2), _insert(1), _insert(3)]
    first, refused, second, twin, third = _in_one_batch(database, works)
    assert (second.result(), third.result()) == (2, 3)
    assert isinstance(refused.exception(), Conflict)
    # Two of the batch wanted the same row: one has it.
    assert sorted(type(f.exception()).__name__ for f in (first, twin)) == ["IntegrityError", "NoneType"]
    assert _kept(database) == [1, 2, 3]


def test_the_writer_goes_on_after_an_error(database: Database) -> None:
    database.write(_insert(1))
    for _ in range(3):
        with pytest.raises(IntegrityError):
            database.write(_insert(1))
    assert database.write(_insert(2)) == 2
    assert _kept(database) == [1, 2]


def test_work_that_hides_a_lost_transaction_is_not_acknowledged(database: Database) -> None:
    def lose(session: Session) -> int:
        _insert(1)(session)
        driver = session.connection().connection.driver_connection
        assert driver is not None
        driver.execute("ROLLBACK")  # as SQLite does on an I/O error
        return 1

    with pytest.raises(TryLater, match="database_away"):
        database.write(lose)
    assert database.write(_insert(2)) == 2
    assert _kept(database) == [2]


def test_one_closure_does_not_see_what_another_remembered(database: Database) -> None:
    seen: list[int] = []

    def look(session: Session) -> int:
        seen.append(len(session.identity_map) + len(session.new))
        return 0

    for future in _in_one_batch(database, [look] * 5):
        assert future.result() == 0
    assert seen == [0] * 5


def test_a_closed_database_takes_no_work(database: Database) -> None:
    database.close()
    with pytest.raises(TryLater, match="shutting_down"):
        database.write(_insert(1))


def test_a_thread_that_waits_takes_the_turn_and_nobody_is_forgotten(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: database.write(_insert(n)), range(200)))
    assert done == list(range(200)) == _kept(database)


def test_closing_waits_for_what_is_queued(database: Database) -> None:
    futures = _in_one_batch(database, [_insert(n) for n in range(5)])
    database.close()
    assert sorted(f.result() for f in futures) == [0, 1, 2, 3, 4]


def test_a_database_that_stays_locked_is_away(tmp_path: Path, database: Database) -> None:
    other = sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None)
    database.write(lambda s: s.execute(text("PRAGMA busy_timeout = 10")))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TryLater, match="database_away"):
        database.write(_insert(1))
    other.execute("ROLLBACK")
    other.close()
    assert database.write(_insert(2)) == 2
