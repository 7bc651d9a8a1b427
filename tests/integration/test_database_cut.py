"""The connection to PostgreSQL breaks before any one of the statements of a request: whoever asked is told to try
again, never that something unforeseen happened, and asking again does it."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, event

from tests.integration.api_desk import Desk, open_desk
from worklist.database import Database
from worklist.tables import Reading

EVENTS: Final = ("before_cursor_execute", "commit", "rollback", "savepoint", "rollback_savepoint", "release_savepoint")


class Scissors:
    """Cut the connection to the server before its n-th word to it from now on."""

    def __init__(self, database: Database) -> None:
        self.left = 0
        for name in EVENTS:
            event.listen(database.engine, name, self._word)

    def _word(self, connection: Connection, *_more: Any) -> None:
        self.left -= 1
        if self.left == 0:
            driver: Any = connection.connection.driver_connection
            with socket.socket(fileno=os.dup(driver.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def desk(tmp_path: Path, postgres_url: str) -> Iterator[Desk]:
    with open_desk(tmp_path, postgres_url) as opened:
        yield opened


def cuts(scissors: Scissors, ask: Callable[[], Any], every: int = 1) -> int:
    """Ask with a cut before the first word, then `every` words later and so on, until it is answered without one.
    Returns how many cuts it took."""
    for number in itertools.count():
        scissors.left = 1 + number * every
        answer = ask()
        if scissors.left > 0:
            assert answer.status_code in (200, 409), answer.text  # 409: it was done, and the answer was cut
            scissors.left = 0
            return number
        assert answer.status_code in (200, 409, 503), (scissors.left, answer.text)
    raise AssertionError("no end")


def test_a_report_is_written_and_signed_over_a_line_that_breaks(desk: Desk) -> None:
    reading_id = desk.ready()
    place = f"/api/readings/{reading_id}"
    scissors = Scissors(desk.world.database)
    writer, signer = desk.program("reader1"), desk.program("senior1")
    steps: list[Callable[[], Any]] = [
        lambda: writer.get("/api/worklist"),
        lambda: writer.post(f"{place}/claim"),
        lambda: writer.put(f"{place}/report", json={"findings": "右肺结节。", "impression": "建议复查。"}),
        lambda: writer.post(f"{place}/submit"),
        lambda: signer.post(f"{place}/claim"),
    ]
    for step in steps:
        assert cuts(scissors, step) > 3
    assert cuts(scissors, lambda: signer.post(f"{place}/sign"), every=7) > 3
    assert [row.state for row in desk.world.rows(Reading)] == ["signed"]
