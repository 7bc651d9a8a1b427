"""Prepared statements say what SQLAlchemy's own say, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, bindparam, delete, exc, insert, literal, select, update
from sqlalchemy.orm import Session

from tests.world import World
from worklist import outbox
from worklist.database import Database, sqlite_url
from worklist.prepared import Prepared, write_new
from worklist.tables import Base, Counter, Device, Institution, OutboxRow, ProcedureStep, Reading, Series, Study
from worklist.tables.base import table_of

_DEVICE = table_of(Device)
_COUNTER = table_of(Counter)
_ALL = select(*_DEVICE.c, literal(True, Boolean()).label("is_held")).where(_DEVICE.c.name != bindparam("name"))
_ONE = select(_DEVICE.c.id).where(_DEVICE.c.id == bindparam("id")).limit(1)
_COUNT = insert(_COUNTER).values(name=bindparam("counter"), value=bindparam("number"))


def test_rows_and_their_types_are_the_same(world: World) -> None:
    """Times come back aware, lists as lists, truths as truths."""

    def both(session: Session) -> tuple[list[Any], list[Any]]:
        session.execute(update(Device).values(last_seen_at=world.now))
        usual = session.connection().execute(_ALL, {"name": ""}).mappings().all()
        prepared = Prepared(_ALL).rows(session, {"name": ""})
        return [dict(row) for row in usual], [row._asdict() for row in prepared]

    usual, prepared = world.database.write(both)
    assert prepared == usual
    assert len(prepared) > 1
    assert {type(row["enabled"]) for row in prepared} == {bool}
    assert {row["last_seen_at"] for row in prepared} == {world.now}


def test_a_value_that_is_not_given_is_an_error(world: World) -> None:
    with pytest.raises((KeyError, exc.StatementError)):
        world.ask(Prepared(_ONE).first, {"other": "x"})


def test_what_it_writes_stands_and_a_failure_has_its_usual_name(world: World) -> None:
    count = Prepared(_COUNT)
    world.database.write(lambda session: count.run(session, {"counter": "beds", "number": 7}))
    assert [row.value for row in world.rows(Counter, Counter.name == "beds")] == [7]
    with pytest.raises(exc.IntegrityError):
        world.database.write(lambda session: count.run(session, {"counter": "beds", "number": 8}))
    up = Prepared(
        update(_COUNTER)
        .where(_COUNTER.c.name == bindparam("counter"))
        .values(value=_COUNTER.c.value + 1)
        .returning(_COUNTER.c.value)
    )
    assert world.database.write(lambda session: up.rows(session, {"counter": "beds"})[0].value) == 8


def _row(world: World, table: type[Base], id: str) -> dict[str, Any]:
    every = table_of(table)
    with world.database.engine.connect() as connection:
        return dict(connection.execute(select(every).where(every.c.id == id)).mappings().one())


def test_a_new_row_is_the_one_that_a_flush_writes(world: World) -> None:
    """With every default, time, list and computed column; and the session goes on with it as with one it has read."""
    town, order = world.institutions["TS01"], world.order()
    patient = world.order_now(order).patient_id

    def study() -> Study:
        return Study(
            id="a" * 26, institution_id=town, study_instance_uid="1.2.3", arrival="arriving", link="unlinked",
            sent_name="王^小东", sent_requests=[["A1", "1.2.3", "", ""]], first_at=world.now, last_at=world.now,
        )  # fmt: skip

    def series() -> Series:
        return Series(id="b" * 26, study_id="a" * 26, series_instance_uid="1.2.3.1", number=None)

    def reading() -> Reading:
        return Reading(
            id="c" * 26, state="unread", center_id=world.centers["CH01"], patient_id=patient, institution_id=town,
            priority="STAT", rank=0, due_at=world.now, created_at=world.now,
        )  # fmt: skip

    made = (study, series, reading)

    def forget(session: Session) -> None:
        for make in reversed(made):
            session.execute(delete(type(make())).where(type(make()).id == make().id))

    for write in (Session.add, write_new):

        def work(session: Session, write: Any = write) -> None:
            for make in made:
                thing = make()
                write(session, thing)
                session.flush()
                assert thing in session
                assert thing not in session.new
                assert not session.is_modified(thing)

        world.database.write(work)
        rows = [_row(world, type(make()), make().id) for make in made]
        if write is Session.add:
            flushed = rows
            world.database.write(forget)
    assert rows == flushed
    assert rows[0]["name_folded"] == "王小东"

    def go_on(session: Session) -> None:
        thing = Series(study_id="a" * 26, series_instance_uid="1.2.3.2")
        write_new(session, thing)
        thing.instances = 3
        session.flush()
        assert session.get_one(Series, thing.id) is thing

    world.database.write(go_on)
    assert world.one(Series, Series.series_instance_uid == "1.2.3.2").instances == 3


def test_a_class_whose_rows_may_hold_two_kinds_of_nothing_is_not_prepared(world: World) -> None:
    step = ProcedureStep(state="in progress", device_id=world.devices["TS01CT"], sop_instance_uid="1.2")
    with pytest.raises(ValueError, match="not a class"):
        world.database.write(lambda session: write_new(session, step))


def test_a_job_has_the_columns_that_a_flush_gives_it(world: World) -> None:
    def work(session: Session) -> None:
        outbox.put(session, "check_arrival", "x", world.now, order_key="k")
        session.add(
            OutboxRow(kind="check_arrival", thing_id="x", due_at=world.now, order_key="k", created_at=world.now)
        )

    world.database.write(work)
    put, added = world.rows(OutboxRow, OutboxRow.thing_id == "x")
    names = [column.name for column in table_of(OutboxRow).c if column.name != "seq"]
    assert [getattr(put, name) for name in names] == [getattr(added, name) for name in names]


def test_what_depends_on_its_values_is_not_prepared(tmp_path: Path) -> None:
    town = table_of(Institution).c
    many = Prepared(select(town.id).where(town.id.in_(bindparam("ids", expanding=True))))
    unnamed = Prepared(insert(_DEVICE), ["id", "name"])  # the other columns' values are made in Python
    database = Database(sqlite_url(tmp_path / "huren.db"))
    try:
        with pytest.raises(ValueError, match="not a statement"):
            database.read(lambda session: many.rows(session, {"ids": ["x"]}))
        with pytest.raises(ValueError, match="not a statement"):
            database.write(lambda session: unnamed.run(session, {"id": "x", "name": "y"}))
    finally:
        database.close()
