"""Pages ask the database a number of times that does not depend on how much there is to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from tests.integration.api_desk import Desk, open_desk
from worklist.actions import critical

MOST = {True: 80, False: 50}  # statements of a case's page, and of any list
ONCE = 4  # far fewer than the rows that come
LISTS = {
    "/reading": "reader1",
    "/reading?status=all": "reader1",
    "/my-reports": "reader1",
    "/review?status=": "senior1",
    "/critical": "senior1",
    "/orders": "doc1",
    "/patients?q=100": "doc1",
    "/manager": "manager",
    "/admin/messages": "admin",
    "/admin/deliveries": "admin",
    "/api/worklist": "reader1",
    "/api/orders": "doc1",
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


@pytest.fixture
def statements(desk: Desk) -> Callable[[TestClient, str], int]:
    """How many statements one look at an address takes, when the words of its templates are known already."""
    said: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement)

    def count(client: TestClient, path: str) -> int:
        client.get(path)
        said.clear()
        event.listen(desk.web.database.engine, "before_cursor_execute", hear)
        try:
            answer = client.get(path)
        finally:
            event.remove(desk.web.database.engine, "before_cursor_execute", hear)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        assert len(said) <= MOST[path.startswith("/reading/")], (path, len(said))
        return len(said)

    return count


def _more(desk: Desk, patients: int) -> None:
    """Cases in every state, each of a patient of their own."""
    world = desk.world
    for number in range(patients):
        who = world.patient(
            value=f"100{desk.world._next()}", name=f"王{'大' * number}小"
        )  # some may be the same person
        desk.ready(patient=who)
        desk.in_review(patient=who)
        signed = desk.signed(patient=who)
        by = world.actor("senior1")
        world.database.write(
            lambda s, signed=signed, by=by: critical.mark(s, by, signed, "主动脉夹层", desk.now)  # type: ignore[misc]
        )


def test_lists_take_the_same_statements_for_one_row_and_for_many(
    desk: Desk, statements: Callable[[TestClient, str], int]
) -> None:
    people = {login: desk.browser(login) for login in set(LISTS.values())}
    _more(desk, 2)
    few = {path: statements(people[login], path) for path, login in LISTS.items()}
    _more(desk, 8)
    many = {path: statements(people[login], path) for path, login in LISTS.items()}
    # What is asked only where there is something of a kind (pairs that may be one person) is asked once.
    grown = {path: (few[path], many[path]) for path in LISTS if many[path] > few[path] + ONCE}
    assert grown == {}


def test_a_case_takes_the_same_statements_with_one_prior_and_with_many(
    desk: Desk, statements: Callable[[TestClient, str], int]
) -> None:
    reader = desk.browser("reader1")
    case, first = desk.ready(), desk.signed()
    few = statements(reader, f"/reading/{case}")
    for _ in range(4):
        desk.signed()
    many = statements(reader, f"/reading/{case}")
    assert first in reader.get(f"/reading/{case}").text
    assert many == few
