"""The short way of the usual object writes what the long way writes, and leaves everything else to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.world import World
from worklist.actions import studies, usual
from worklist.actions.named_orders import orders_named
from worklist.actions.patients import numbers_for
from worklist.rules.matching import OrderKnown, StudySaid
from worklist.rules.objects import ENHANCED_SR
from worklist.tables import (
    Center,
    Instance,
    LateImages,
    Order,
    OutboxRow,
    Patient,
    PatientIdentifier,
    Series,
    SetAside,
    Study,
    Transition,
)


class Way:
    """Which way objects took: counts those of the short one, or shuts it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, is_open: bool) -> None:
        self.short: list[str] = []
        real = usual.receive

        def receive(session: Session, *rest: Any) -> str | None:
            study_id = real(session, *rest) if is_open else None
            if study_id is not None:
                self.short.append(study_id)
            return study_id

        monkeypatch.setattr(usual, "receive", receive)


def _columns(row: Any, *without: str) -> dict[str, Any]:
    names = (column.name for column in row.__table__.columns)
    return {
        name: getattr(row, name)
        for name in names
        if name not in ("id", "seq", "name_folded", "alphabetic_folded", *without)
    }


def _held(world: World, study_id: str) -> list[Any]:
    """Everything that stands of a study, without the ids that differ."""
    series = {row.id: row for row in world.rows(Series, Series.study_id == study_id)}
    instances = [
        (_columns(one, "study_id", "series_id"), series[one.series_id].series_instance_uid)
        for one in world.rows(Instance, Instance.study_id == study_id)
    ]
    return [
        _columns(world.study_now(study_id)),
        sorted((_columns(row, "study_id") for row in series.values()), key=str),
        sorted(instances, key=str),
        sorted((row.reason, row.store_keys) for row in world.rows(SetAside, SetAside.study_id == study_id)),
        [(row.machine, row.verb, row.target) for row in world.rows(Transition, Transition.thing_id == study_id)],
        sorted((row.state, row.instances) for row in world.rows(LateImages, LateImages.study_id == study_id)),
    ]


@pytest.mark.parametrize("arrives_late", [False, True])
def test_both_ways_write_the_same(world: World, monkeypatch: pytest.MonkeyPatch, arrives_late: bool) -> None:
    placed = world.order()
    one = world.facts(placed, series_instance_uid="1.2.9.1", modality="CT", body_part="")
    made = [replace(one, sop_instance_uid=f"1.2.9.1.{n}", instance_number=n) for n in range(1, 9)]
    kept = [world.stored(f"content {n}") for n in range(20)]
    made[2] = replace(made[2], series_instance_uid="1.2.9.2")
    made[3] = replace(made[3], body_part="HEAD")  # the first that says it
    made[4] = replace(made[4], patient_id="ANOTHER")
    made[5] = replace(made[5], sop_class_uid=ENHANCED_SR)

    def play(is_open: bool) -> tuple[list[Any], list[studies.Receipt], list[str]]:
        with monkeypatch.context() as patch:
            way = Way(patch, is_open)
            receipts = []
            study_id = ""
            for n, facts in enumerate(made):
                if n == 7 and arrives_late:
                    world.check_arrival(study_id, world.now + timedelta(hours=3))
                receipts.append(world.receive(facts, kept[n], at=world.now + timedelta(seconds=n)))
                study_id = receipts[0].study_id
            receipts.append(world.receive(made[1], kept[1]))  # again
            receipts.append(world.receive(made[1], kept[10]))  # the same UID with other content
            receipts.append(world.receive(made[1], kept[10], same_as_held=False))
            return _held(world, study_id), receipts, way.short

    def forget(session: Session) -> None:
        for table in (SetAside, Instance, Series):
            for row in session.query(table):
                session.delete(row)
        session.flush()

    short_held, short_receipts, short = play(True)
    first = short_receipts[0].study_id
    # The second play needs the same UIDs at the same institution: the first study gets out of its way.
    world.database.write(forget)
    world.database.write(lambda s: setattr(s.get_one(Study, first), "study_instance_uid", "1.2.9.999"))
    long_held, long_receipts, none = play(False)
    assert none == []
    assert len(short) == (4 if arrives_late else 5)  # the second, the new series, the SR, and those behind
    assert [replace(r, study_id="") for r in short_receipts] == [replace(r, study_id="") for r in long_receipts]
    assert short_held == long_held


def test_an_image_behind_a_signature_is_told_also_while_the_study_arrives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.signed(reading_id)
    world.begin_step(placed)  # the patient is on the table again: nothing is complete yet
    study = world.one(Study)
    (first, *_) = world.rows(Instance)
    series = world.one(Series, Series.id == first.series_id)
    one = world.facts(placed, series_instance_uid=series.series_instance_uid)
    world.receive(one)  # the study arrives again
    assert world.study_now(study.id).arrival == "arriving"
    way = Way(monkeypatch, is_open=True)
    image = replace(one, sop_instance_uid="1.2.9.1.77")
    report = replace(one, sop_instance_uid="1.2.9.1.78", sop_class_uid=ENHANCED_SR)
    for facts in (image, report):
        world.receive(facts)
    assert way.short == [study.id, study.id]
    told = [uid for uid, _sha in world.one(LateImages).instances]
    assert told == [one.sop_instance_uid, image.sop_instance_uid]


def test_the_last_object_that_a_step_listed_completes_the_study(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = world.order()
    made = [
        replace(world.facts(placed), series_instance_uid="1.2.9.1", sop_instance_uid=f"1.2.9.1.{n}") for n in range(3)
    ]
    study_id = world.receive(made[0]).study_id
    step = world.begin_step(placed)
    world.end_step(step, instances=[(facts.sop_instance_uid) for facts in made])
    way = Way(monkeypatch, is_open=True)
    world.receive(made[1])
    assert world.study_now(study_id).arrival == "arriving"
    world.receive(made[2])
    assert way.short == [study_id, study_id]
    assert world.study_now(study_id).arrival == "complete"


def test_a_study_is_looked_at_when_there_can_be_news(world: World) -> None:
    """At once where a step may list its images, else after the shortest quiet period."""
    alone, named = world.order(), world.order(patient=world.patient("10002", "李小西"))
    world.begin_step(named)
    quiet = min(center.quiet_seconds for center in world.rows(Center))
    due = {}
    for placed in (alone, named):
        study_id, _images = world.scan(placed)
        due[placed] = world.one(OutboxRow, OutboxRow.thing_id == study_id, OutboxRow.kind == "check_arrival").due_at
    assert quiet > 0
    assert due == {alone: world.now + timedelta(seconds=quiet), named: world.now}


def test_orders_are_known_by_the_same_numbers_as_through_the_orm(world: World) -> None:
    """Also by those of a patient who has several, from several institutions."""
    for value in ("10001", "10002"):
        world.order(patient=world.patient(value, "王小东"))
    world.order("DR-CHEST", town="TS02")

    def add(session: Session) -> None:
        for patient in session.scalars(select(Patient)):
            session.add(PatientIdentifier(patient_id=patient.id, issuer="TS01/LAB", value=f"L{patient.id}"))
            session.add(PatientIdentifier(patient_id=patient.id, issuer="CITY", value=f"C{patient.id}"))

    world.database.write(add)
    for order in world.rows(Order):
        said = StudySaid(order.study_instance_uid, (order.accession_number, "NONE"), ("1.2.3",), "", "", ())
        (known,) = world.ask(orders_named, said, order.institution_id)
        numbers = numbers_for(order)
        assert len(numbers) == 1 + (order.patient_issuer == "TS01")
        assert known == OrderKnown(
            id=order.id,
            state=order.state,
            accession_number=order.accession_number,
            study_instance_uid=order.study_instance_uid,
            institution_id=order.institution_id,
            patient_value=order.patient_value,
            patient_issuer=order.patient_issuer,
            default_issuer=order.institution.code,
            numbers=numbers,
        )
        elsewhere = next(id for id in world.institutions.values() if id != order.institution_id)
        assert world.ask(orders_named, said, elsewhere) == []
