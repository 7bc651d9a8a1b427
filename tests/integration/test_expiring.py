"""Orders that nobody performs leave the worklist by themselves, on record, and late images of them are not lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.store import FolderStore
from tests.working import worker_of
from tests.world import Placed, World
from worklist.actions import expiring, linking, steps, studies
from worklist.facts import ProcedureStepFacts, RequestReference, WorklistQuery
from worklist.people import HUREN
from worklist.queries import devices as device_queries
from worklist.queries import orders as order_queries
from worklist.tables import AuditRow, Institution, OutboxRow, SetAside, Study, Transition

DAYS = 30  # of every institution that says nothing else


def _close(world: World, days: float) -> int:
    """Run the job that many days from now, to its end; how many batches it took."""
    batches = 1
    while world.do(expiring.expire_orders, world.now + timedelta(days=days)):
        batches += 1
    return batches


def _state(world: World, placed: Placed) -> str:
    return world.order_now(placed).state


def test_a_walk_in_order_answers_to_today_until_it_is_closed(world: World) -> None:
    placed = world.order()
    for days in (0, 1, DAYS):
        later = world.now + timedelta(days=days)
        (item,), _ = world.ask(
            device_queries.worklist_items, world.device("TS01CT"), WorklistQuery(date_from="", date_to=""), later
        )
        assert item.accession_number == placed.accession_number
    _close(world, DAYS - 0.01)
    assert _state(world, placed) == "scheduled"
    _close(world, DAYS + 0.01)
    assert _state(world, placed) == "cancelled"
    assert world.ask(device_queries.worklist_items, world.device("TS01CT"), WorklistQuery(), world.now) == ([], False)


def test_a_scheduled_order_is_closed_so_many_days_after_its_day(world: World) -> None:
    local_day = world.now + timedelta(days=10)
    placed = world.order(scheduled_at=f"{local_day:%Y%m%d}0800")
    _close(world, DAYS + 9)
    assert _state(world, placed) == "scheduled"
    _close(world, DAYS + 12)
    assert _state(world, placed) == "cancelled"


def test_each_institution_waits_as_long_as_it_says(world: World) -> None:
    here, there = world.order(town="TS01"), world.order("DR-CHEST", town="TS02")
    world.do(lambda s: setattr(s.get_one(Institution, world.institutions["TS02"]), "order_days", 3))
    _close(world, 4)
    assert (_state(world, here), _state(world, there)) == ("scheduled", "cancelled")


def test_the_close_is_on_record_and_on_the_order_s_page(world: World) -> None:
    placed = world.order()
    _close(world, DAYS + 1)
    moves = world.rows(Transition, Transition.thing_id == placed.id)
    assert [(m.verb, m.actor, m.why) for m in moves][-1] == ("expire", HUREN.name, "order_expired")
    assert world.one(AuditRow, AuditRow.action == "order expired").thing_id == placed.id
    detail = world.ask(order_queries.detail, world.actor("tech1"), placed.id, world.now)
    assert (detail.row.state, detail.row.note) == ("cancelled", "order_expired")


def test_an_order_of_an_unmapped_code_is_closed_too(world: World) -> None:
    answer = world.request("P9", procedure_code="UNKNOWN")
    assert answer.waiting
    _close(world, DAYS + 1)
    (closed,) = world.rows(Transition, Transition.verb == "expire")
    assert closed.source == "placed"


def test_an_order_that_has_an_image_or_a_step_is_left_alone(world: World) -> None:
    imaged, begun, strange = world.order(), world.order(), world.order()
    scanner = world.device("TS01CT")
    # Images and a step whose patient differs: they wait for a person, and so does the order.
    facts = world.facts(imaged, patient_id="somebody else")
    world.do(studies.receive_object, scanner, facts, world.stored(), world.now)
    reference = RequestReference(begun.accession_number, begun.study_instance_uid)
    step = ProcedureStepFacts("1.2.3.4.5", "IN PROGRESS", (reference,), patient_id="somebody else")
    world.do(steps.create_step, scanner, step, world.now)
    assert _state(world, imaged) == _state(world, begun) == "scheduled"
    _close(world, DAYS + 1)
    assert (_state(world, imaged), _state(world, begun), _state(world, strange)) == (
        "scheduled",
        "scheduled",
        "cancelled",
    )


def test_an_order_that_came_back_to_the_worklist_waits_as_long_again(world: World) -> None:
    """Its images were another patient's: taken off it weeks later, it is scheduled again."""
    placed, other = world.order(), world.order(patient=world.patient("10002", "李四"))
    scanner = world.device("TS01CT")
    facts = world.facts(placed)
    world.do(studies.receive_object, scanner, facts, world.stored(), world.now)
    (study,) = world.rows(Study)
    later = world.now + timedelta(days=25)
    world.do(linking.move_study, world.actor("tech1"), study.id, [other.id], "挑错病人", later)
    assert _state(world, placed) == "scheduled"
    _close(world, DAYS + 1)
    assert _state(world, placed) == "scheduled"
    _close(world, 25 + DAYS + 1)
    assert _state(world, placed) == "cancelled"


def test_many_are_closed_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "BATCH", 2)
    placed = [world.order() for _ in range(5)]
    assert _close(world, DAYS + 1) == 3
    assert {_state(world, one) for one in placed} == {"cancelled"}


def test_late_images_of_a_closed_order_wait_in_the_bin_with_the_reason(world: World) -> None:
    placed = world.order()
    _close(world, DAYS + 1)
    later = world.now + timedelta(days=DAYS + 2)
    world.do(studies.receive_object, world.device("TS01CT"), world.facts(placed), world.stored(), later)
    (study,) = world.rows(Study)
    assert (study.link, study.link_reason) == ("unmatched", "order_cancelled")
    # A person places the order anew and links them.
    again = world.order()
    world.do(linking.link, world.actor("tech1"), study.id, [again.id], "过期后补做", later)
    assert world.study_now(study.id).link == "matched by a person"
    assert _state(world, again) == "in progress"


def test_an_order_keeps_its_study_instance_uid_from_the_day_it_was_placed(world: World) -> None:
    placed = world.order(placer_number="P1")
    (first,), _ = world.ask(device_queries.worklist_items, world.device("TS01CT"), WorklistQuery(), world.now)
    world.request("P1", "XO", procedure_code="CT-CHEST", scheduled_at="202703010800")
    later = world.now + timedelta(days=5)
    (second,), _ = world.ask(device_queries.worklist_items, world.device("TS01CT"), WorklistQuery(), later)
    assert first.study_instance_uid == second.study_instance_uid == placed.study_instance_uid
    assert second.procedure_code == "CT-CHEST"


def test_the_job_runs_daily_and_is_planned_once(world: World, tmp_path: object) -> None:
    placed = world.order()
    clock = [world.now + timedelta(days=DAYS + 1)]
    store = FolderStore(tmp_path / "objects")  # type: ignore[operator]
    worker = worker_of(world.database, store, lambda: clock[0])
    world.do(expiring.plan, clock[0])
    world.do(expiring.plan, clock[0])  # a second start of the server
    assert len(world.rows(OutboxRow, OutboxRow.kind == expiring.JOB)) == 1
    worker.run_due(100)
    assert _state(world, placed) == "cancelled"
    rows = world.rows(OutboxRow, OutboxRow.kind == expiring.JOB)
    assert sorted(row.stage for row in rows) == ["done", "due"]
    second = world.order(at=clock[0])
    clock[0] += timedelta(hours=23)
    worker.run_due(100)
    assert len(world.rows(OutboxRow, OutboxRow.kind == expiring.JOB)) == 2
    clock[0] += timedelta(days=DAYS + 1)
    worker.run_due(100)
    assert _state(world, second) == "cancelled"
    world.do(expiring.plan, clock[0])
    due = world.rows(OutboxRow, OutboxRow.kind == expiring.JOB, OutboxRow.stage == "due")
    assert len(due) == 1
    assert world.rows(SetAside) == []
