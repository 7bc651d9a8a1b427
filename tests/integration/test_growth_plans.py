"""What people ask for all day walks an index, so that it costs the same with a million studies on record.

SQLite is asked how it goes about each statement, without statistics, which is the harder case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from tests.bench.search import seed
from tests.integration.api_desk import Desk, open_desk
from worklist.actions import studies
from worklist.queries import orders, patient_pairs, recognition
from worklist.rules.recognition_starter import RULES
from worklist.tables import Order, Patient

MANY: Final = 3000  # of a few hundred studies a search gathers all, and rightly
GROW: Final = (
    "reading",
    "order",
    "study",
    "series",
    "instance",
    "patient",
    "message",
    "report_version",
    "report_given",
    "transition",
)
PAGES: Final = {
    # an address, who asks, and an index that must be walked
    "/reading": ("reader1", "ix_reading_list"),
    "/reading?status=all": ("reader1", "ix_reading_made"),
    "/reading?status=signed": ("reader1", "ix_reading_made"),
    "/review?status=": ("senior1", "ix_reading_list"),
    "/orders": ("doc1", "ix_order_"),
    "/orders?state=completed": ("doc1", "ix_order_"),
    "/critical": ("senior1", "ix_critical_result_"),
    "/admin/messages": ("admin", ""),
    "/api/worklist": ("reader1", "ix_reading_list"),
    "/api/orders?accession_number=Q000000007": ("doc1", "(accession_number=?)"),
    "/dicom-web/studies?limit=50": ("reader1", "ix_study_day"),
    "/dicom-web/studies?StudyDate=20240101&ModalitiesInStudy=CT": ("reader1", "ix_study_day"),
    "/dicom-web/studies?PatientName=Name10*": ("reader1", "ix_study_coerced"),
    "/dicom-web/studies?AccessionNumber=Q000000007": ("reader1", "ix_study_sent_accession_number"),
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        seed(opened.world, MANY)
        opened.ready()
        yield opened


@pytest.fixture
def plans(desk: Desk) -> Callable[[TestClient, str], list[str]]:
    """The steps by which the database does what one look at an address asks of it."""

    def explain(client: TestClient, path: str) -> list[str]:
        def look() -> None:
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text[:300])

        return steps_of(desk, look)

    return explain


def steps_of(desk: Desk, look: Callable[[], object]) -> list[str]:
    """The steps by which the database does what `look` asks of it, outside writing transactions."""
    asked: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        asked.append((statement, parameters))

    engine = desk.web.database.engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        look()
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    steps: list[str] = []
    with engine.connect() as connection:
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "WITH")):
                found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                steps += [str(row[-1]) for row in found]
    return steps


def test_every_look_walks_indexes(desk: Desk, plans: Callable[[TestClient, str], list[str]]) -> None:
    people = {login for login, _index in PAGES.values()}
    browsers = {login: desk.browser(login) for login in people}
    programs = {login: desk.program(login) for login in people}
    tables = {f"SCAN {name}" for name in GROW}
    for path, (login, index) in PAGES.items():
        is_program = path.startswith(("/api", "/dicom-web"))
        steps = plans(programs[login] if is_program else browsers[login], path)
        # A list that is read from its end by its own key and limited is no walk through the table: the message log.
        walked = [step for step in steps if step in tables and (path, step) != ("/admin/messages", "SCAN message")]
        assert walked == [], (path, steps)
        assert any(index in step for step in steps), (path, steps)
        # Searches for images gather a thousand studies at most before they walk by day (`queries/image_search.py`).
        may_gather = "status=" in path or path.startswith("/dicom-web")
        gathered = [step for step in steps if "COVERING INDEX ix_reading_made" in step and not may_gather]
        assert gathered == [], (path, "gathers all cases of a center", steps)


def test_results_that_serve_are_found_by_the_patient(desk: Desk) -> None:
    home = desk.world.institutions["TS01"]
    someone = desk.world.rows(Order)[0].patient_id

    def look(session: Session) -> list[recognition.Judged]:
        patient = session.get_one(Patient, someone)
        return recognition.judged(session, patient, "CT-HEAD", "", home, RULES, desk.now)

    steps = steps_of(desk, lambda: desk.world.ask(look))
    assert not {f"SCAN {name}" for name in GROW} & set(steps), steps
    assert any("ix_reading_patient_id" in step for step in steps), steps


def test_orders_that_wait_for_somebody_are_found_among_many(desk: Desk) -> None:
    """The ordered index of all orders would be walked to its end for the few that there are."""
    by = desk.world.actor("doc1")
    steps = steps_of(desk, lambda: desk.world.ask(lambda s: orders.listed(s, by, desk.now, waiting=True)))
    assert any("ix_order_noted" in step for step in steps), steps


@pytest.mark.parametrize("path", ["/reading?status=all", "/orders?state=completed"])
def test_a_long_list_is_not_sorted(desk: Desk, plans: Callable[[TestClient, str], list[str]], path: str) -> None:
    steps = plans(desk.browser(PAGES[path][0]), path)
    [at] = [n for n, step in enumerate(steps) if "ix_reading_made" in step or "ix_order_institution (" in step][:1]
    assert "ORDER BY" not in steps[at + 1], steps


def test_an_object_that_is_held_is_found_by_its_uid(desk: Desk) -> None:
    text = str(studies._HELD._statement.compile(dialect=desk.web.database.engine.dialect))
    with desk.web.database.engine.connect() as connection:
        found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("1",) * text.count("?"))
        steps = [str(row[-1]) for row in found]
    assert "(sop_instance_uid=?)" in steps[0], steps


def test_pairs_that_wait_are_asked_one_by_one(desk: Desk) -> None:
    """And not by the ids of all patients whom a township may see."""
    by = desk.world.actor("doc1")
    steps = steps_of(desk, lambda: desk.world.ask(patient_pairs.suggestions, by))
    patients = [step for step in steps if step.split()[:2] in (["SEARCH", "patient"], ["SCAN", "patient"])]
    assert patients
    assert all("(id=?)" in step for step in patients), steps
