"""Who holds a report that is no longer the newest is called back, on both databases."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from tests.world import World
from worklist.actions import giving
from worklist.errors import Conflict
from worklist.facts import ReportText
from worklist.queries import orders
from worklist.tables import Reading, ReportGiven

MARK = importlib.import_module("migrations.versions.0018_outdated").MARK
BETTER = ReportText("右肺上叶结节。", "右肺结节，建议复查。")


def called_back(world: World) -> list[str]:
    """Accession numbers on the list of the township's doctor."""
    rows = world.ask(orders.call_back, world.actor("doc1"), world.now)
    return [row.accession_number for row in rows]


def corrected(world: World, reading_id: str) -> None:
    """A second version, read and signed by others."""
    world.correct("reader1", reading_id, BETTER)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    world.sign("senior1", reading_id)


def test_a_correction_calls_back_until_the_new_version_is_given(world: World) -> None:
    placed, other = world.order(), world.order(patient=world.patient("10002", "李梅"))
    reading_id, kept = world.ready(placed), world.ready(other)
    for one in (reading_id, kept):
        world.signed(one)
        world.do(giving.give, world.actor("doc1"), one, 1, "", world.now)
    assert called_back(world) == []
    corrected(world, reading_id)
    assert called_back(world) == [placed.accession_number]
    assert world.ask(orders.call_back, world.actor("doc2"), world.now) == []
    with pytest.raises(Conflict, match="report_has_newer_version"):
        world.do(giving.give, world.actor("doc1"), reading_id, 1, "", world.now)
    world.do(giving.give, world.actor("doc1"), reading_id, 2, "女儿", world.now)
    assert called_back(world) == []
    assert not any(row.is_outdated for row in world.rows(ReportGiven))


def test_a_withdrawal_calls_back_too(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.signed(reading_id)
    world.do(giving.give, world.actor("doc1"), reading_id, 1, "", world.now)
    world.withdraw("senior1", reading_id)
    assert called_back(world) == [placed.accession_number]
    (anew,) = (row.id for row in world.rows(Reading) if row.id != reading_id)
    world.signed(anew, BETTER)
    (row,) = world.ask(orders.call_back, world.actor("doc1"), world.now)
    assert (row.outdated, row.report_version) == ("report", 1)
    world.do(giving.give, world.actor("doc1"), anew, 1, "", world.now)
    assert called_back(world) == []


def test_what_was_never_given_calls_nobody(world: World) -> None:
    reading_id = world.ready()
    world.signed(reading_id)
    corrected(world, reading_id)
    assert called_back(world) == []


def test_giving_and_correcting_at_the_same_moment_leaves_nobody_with_an_old_report(world: World) -> None:
    """Whichever was first: the old version was given and is called back, or it was not given."""
    for number in range(6):
        placed = world.order(patient=world.patient(f"2000{number}", "周一"))
        reading_id = world.ready(placed)
        world.signed(reading_id)
        world.correct("reader1", reading_id, BETTER)
        world.submit("reader1", reading_id)
        world.claim("senior1", reading_id)

        def give(reading_id: str = reading_id) -> str:
            try:
                world.do(giving.give, world.actor("doc1"), reading_id, 1, "", world.now + timedelta(seconds=1))
            except Conflict as refused:
                return refused.code
            return ""

        with ThreadPoolExecutor(2) as both:
            given = both.submit(give)
            both.submit(world.sign, "senior1", reading_id).result()
        assert given.result() in ("", "report_has_newer_version")
        assert (placed.accession_number in called_back(world)) == (given.result() == "")


def test_the_mark_is_what_the_migration_would_make_of_it(world: World) -> None:
    """The rule of migration 0018, asked of rows that the actions marked."""
    for number in range(4):
        reading_id = world.ready(world.order(patient=world.patient(f"3000{number}", "吴用")))
        world.signed(reading_id)
        if number:
            world.do(giving.give, world.actor("doc1"), reading_id, 1, "", world.now)
        if number > 1:
            corrected(world, reading_id)
        if number > 2:
            world.do(giving.give, world.actor("doc1"), reading_id, 2, "", world.now)
    marked = {row.id for row in world.rows(ReportGiven, ReportGiven.is_outdated)}

    def again(session: Session) -> None:
        session.connection().exec_driver_sql("UPDATE report_given SET is_outdated = FALSE")
        session.connection().exec_driver_sql(MARK)

    world.do(again)
    assert len(marked) == 1
    assert {row.id for row in world.rows(ReportGiven, ReportGiven.is_outdated)} == marked
