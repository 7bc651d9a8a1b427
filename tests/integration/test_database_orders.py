"""Orders come, change and go as workflow.md says, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.world import World
from worklist.actions import code_mapping, device_settings, order_changes, orders
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import OrderRequest, PatientFacts, PersonName, WorklistQuery
from worklist.people import HUREN
from worklist.queries import devices as device_queries
from worklist.queries import orders as order_queries
from worklist.tables import Order, Patient, SetAside, Transition


def _on_worklist(world: World, device: str = "TS01CT") -> list[str]:
    known = world.device(device)
    items, _ = world.ask(device_queries.worklist_items, known, WorklistQuery(), world.now)
    return [item.accession_number for item in items]


def test_a_new_order_gets_a_number_and_is_on_the_worklist(world: World) -> None:
    answer = world.request("P1", procedure_code="CT-HEAD")
    assert (answer.answer, answer.waiting) == ("OK", False)
    assert len(answer.accession_number) <= 16
    assert _on_worklist(world) == [answer.accession_number]
    assert _on_worklist(world, "TS02DR") == []


def test_the_same_order_again_is_the_same_order(world: World) -> None:
    first = world.request("P1", procedure_code="CT-HEAD")
    again = world.request("P1", procedure_code="CT-HEAD")
    assert (again.answer, again.accession_number) == ("OK", first.accession_number)
    assert len(world.rows(Order)) == 1


def test_the_same_number_from_another_township_is_another_order(world: World) -> None:
    one = world.order(placer_number="P1", town="TS01")
    other = world.order(placer_number="P1", town="TS02")
    assert one.accession_number != other.accession_number
    assert len(world.rows(Patient)) == 2  # 10001 of TS01 and 10001 of TS02 are two people


def test_a_changed_new_order_is_a_change(world: World) -> None:
    placed = world.order("CT-HEAD", placer_number="P1")
    answer = world.request("P1", procedure_code="CT-CHEST", priority="STAT")
    assert (answer.answer, answer.accession_number) == ("OK", placed.accession_number)
    order = world.order_now(placed)
    assert (order.procedure_code, order.priority) == ("CT-CHEST", "STAT")
    assert order.procedure_id == world.procedures["CT-CHEST"]


def test_a_change_of_a_waiting_order_is_done(world: World) -> None:
    placed = world.order(placer_number="P1")
    answer = world.request("P1", "XO", procedure_code="CT-HEAD", clinical_information="头痛三天")
    assert answer.answer == "XR"
    assert world.order_now(placed).clinical_information == "头痛三天"


def test_a_change_for_another_patient_is_refused(world: World) -> None:
    placed = world.order(placer_number="P1")
    answer = world.request("P1", "XO", patient=world.patient("10002", "李四"), clinical_information="x")
    assert (answer.answer, answer.reason) == ("UX", "order_is_for_another_patient")
    assert world.order_now(placed).clinical_information == ""


def test_a_refused_change_leaves_nothing_behind(world: World) -> None:
    placed = world.order(placer_number="P1")
    answer = world.request("P1", "XO", procedure_code="UNMAPPED", clinical_information="x")
    assert (answer.answer, answer.reason) == ("UX", "procedure_not_mapped")
    order = world.order_now(placed)
    assert (order.procedure_code, order.clinical_information) == ("CT-HEAD", "")


def test_a_change_after_the_examination_began_is_refused(world: World) -> None:
    placed = world.order(placer_number="P1")
    world.begin_step(placed)
    answer = world.request("P1", "XO", priority="STAT")
    assert (answer.answer, answer.reason) == ("UX", "order_already_begun")


@pytest.mark.parametrize(("control", "done", "not_done"), [("CA", "CR", "UC"), ("DC", "DR", "UD")])
def test_a_cancellation_before_any_image(world: World, control: str, done: str, not_done: str) -> None:
    placed = world.order(placer_number="P1")
    assert world.request("P1", control).answer == done
    assert world.order_now(placed).state == "cancelled"
    assert world.request("P1", control).answer == done  # sent twice
    assert world.request("P9", control).answer == not_done
    assert _on_worklist(world) == []


@pytest.mark.parametrize(("control", "not_done"), [("CA", "UC"), ("DC", "UD")])
def test_a_cancellation_after_images_closes_nothing_and_is_shown(world: World, control: str, not_done: str) -> None:
    placed = world.order(placer_number="P1")
    world.scan(placed)
    answer = world.request("P1", control)
    assert (answer.answer, answer.reason) == (not_done, "order_has_images")
    order = world.order_now(placed)
    assert (order.state, order.note) == ("in progress", "cancel_refused")


def test_images_in_the_unmatched_bin_stop_a_cancellation_too(world: World) -> None:
    placed = world.order(placer_number="P1")
    world.receive(world.facts(placed, patient_id="99999"))
    assert world.request("P1", "CA").answer == "UC"
    assert world.order_now(placed).state == "scheduled"


def test_a_new_order_under_a_cancelled_number_is_refused(world: World) -> None:
    world.order(placer_number="P1")
    world.request("P1", "CA")
    again = world.request("P1", procedure_code="CT-HEAD", priority="STAT")
    assert (again.answer, again.reason) == ("UA", "order_cancelled")


def test_an_order_for_somebody_else_under_a_known_number_is_refused(world: World) -> None:
    world.order()
    stranger = world.patient("10001", "李四", "F", "19900505")
    answer = world.request("P2", procedure_code="CT-HEAD", patient=stranger)
    assert (answer.answer, answer.reason) == ("UA", "patient_contradicts")
    assert len(world.rows(Order)) == 1
    assert world.one(Patient).name == "王小东"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({"priority": "SOON"}, "priority_unknown"),
        ({"patient": PatientFacts(name=PersonName("王小东"))}, "patient_identifier_missing"),
    ],
)
def test_what_cannot_be_an_order_is_refused_with_the_reason(world: World, says: dict[str, Any], reason: str) -> None:
    answer = world.request("P1", procedure_code="CT-HEAD", **says)
    assert (answer.answer, answer.reason) == ("UA", reason)
    assert world.rows(Order) == []


def test_an_unknown_control_is_refused(world: World) -> None:
    assert world.request("P1", "SC").reason == "order_control_unknown"


def test_an_unmapped_code_waits_until_the_admin_maps_it(world: World) -> None:
    waiting = [world.request(f"P{n}", procedure_code="0712") for n in range(2)]
    elsewhere = world.request("P1", town="TS02", procedure_code="0712")
    assert all(answer.answer == "OK" and answer.waiting for answer in (*waiting, elsewhere))
    assert _on_worklist(world) == []
    device, procedure = world.devices["HIS|TS01"], world.procedures["CT-HEAD"]
    admin = world.actor("admin")
    count = world.do(code_mapping.map_code, admin, device, "0712", procedure, world.now)
    assert count == 2
    assert sorted(_on_worklist(world)) == sorted(answer.accession_number for answer in waiting)
    other = world.one(Order, Order.accession_number == elsewhere.accession_number)
    assert other.state == "placed"  # another sender's 0712 may mean something else
    assert not world.request("P3", procedure_code="0712").waiting


def test_an_order_scheduled_for_tomorrow_answers_tomorrow(world: World) -> None:
    world.order(scheduled_at="20260303090000")
    known = world.device("TS01CT")
    for day, expected in (("20260302", 0), ("20260303", 1)):
        query = WorklistQuery(date_from=day, date_to=day)
        found, _ = world.ask(device_queries.worklist_items, known, query, world.now)
        assert len(found) == expected


def test_a_his_supplied_uid_is_used_unless_it_is_another_patients(world: World) -> None:
    first = world.order(study_instance_uid="1.2.3")
    same = world.order(study_instance_uid="1.2.3")
    other = world.order(study_instance_uid="1.2.3", patient=world.patient("10002", "李四"))
    broken = world.order(study_instance_uid="1.02.3")
    assert first.study_instance_uid == same.study_instance_uid == "1.2.3"
    assert other.study_instance_uid.startswith("2.25.")
    assert broken.study_instance_uid.startswith("2.25.")


def test_a_senders_own_number_is_used_only_where_it_is_trusted(world: World) -> None:
    assert world.order(accession_number="TS0001").accession_number != "TS0001"
    fields = {"trusts_sender_accession": True}
    device = world.devices["HIS|TS01"]
    world.do(device_settings.save_device, HUREN, fields, world.now, id=device)
    assert world.order(accession_number="TS0001").accession_number == "TS0001"
    taken = world.request("P9", procedure_code="CT-HEAD", accession_number="TS0001")
    assert (taken.answer, taken.reason) == ("UA", "accession_number_taken")
    assert world.order(accession_number="too long for a DICOM SH").accession_number.startswith("H")


def test_our_own_numbers_pass_by_one_that_a_trusted_sender_has_used(world: World) -> None:
    fields = {"trusts_sender_accession": True}
    device = world.devices["HIS|TS01"]
    world.do(device_settings.save_device, HUREN, fields, world.now, id=device)
    ours = world.order().accession_number
    following = ours[:-1] + chr(ord(ours[-1]) + 1)
    assert world.order(accession_number=following).accession_number == following
    assert world.order().accession_number not in (ours, following)


def test_a_person_orders_for_their_own_institution(world: World) -> None:
    by = world.actor("doc1")

    def place(code: str) -> Order:
        request = OrderRequest("NW", "", procedure_code=code)
        return world.do(orders.place, by, world.patient(), request, world.now)

    order = place("CT-HEAD")
    assert (order.state, order.placer_issuer, order.placer_number) == ("scheduled", "HUREN", order.accession_number)
    assert order.institution_id == world.institutions["TS01"]
    with pytest.raises(BadInput, match="procedure_unknown"):
        place("0712")


def test_a_person_gives_up_an_order_whose_examination_was_broken_off(world: World) -> None:
    placed = world.order()
    world.end_step(world.begin_step(placed), status="DISCONTINUED")
    assert world.order_now(placed).note == "step_discontinued"
    by = world.actor("tech1")
    with pytest.raises(BadInput, match="reason_missing"):
        world.do(order_changes.abandon, by, placed.id, " ", world.now)
    world.do(order_changes.abandon, by, placed.id, "病人拒绝", world.now)
    assert world.order_now(placed).state == "cancelled"
    last = world.rows(Transition, Transition.thing_id == placed.id)[-1]
    assert (last.verb, last.actor, last.why) == ("abandon", "tech1", "病人拒绝")


def test_an_order_that_is_being_read_is_not_given_up(world: World) -> None:
    placed = world.order()
    world.ready(placed)
    by = world.actor("tech1")
    with pytest.raises(Conflict, match="order_is_being_read"):
        world.do(order_changes.abandon, by, placed.id, "病人拒绝", world.now)
    foreign = world.actor("tech2")
    with pytest.raises(NotFound):
        world.do(order_changes.abandon, foreign, placed.id, "病人拒绝", world.now)


def test_an_order_after_its_images_picks_them_up_from_the_bin(world: World) -> None:
    study_id = world.receive(world.facts(study_instance_uid="1.2.3")).study_id
    assert world.study_now(study_id).link == "unmatched"
    other = world.order(study_instance_uid="1.2.3", patient=world.patient("10002", "李四"))
    assert world.study_now(study_id).link == "unmatched"
    assert other.study_instance_uid != "1.2.3"
    placed = world.order(study_instance_uid="1.2.3", at=world.now + timedelta(minutes=5))
    assert placed.study_instance_uid == "1.2.3"
    assert world.study_now(study_id).link == "matched"
    assert world.order_now(placed).state == "in progress"
    assert world.rows(SetAside) == []


def test_what_waits_for_a_person_is_found_however_many_orders_came_later(world: World) -> None:
    world.request("W1", procedure_code="UNMAPPED")
    waiting = world.one(Order, Order.placer_number == "W1").id
    world.request("W2", procedure_code="UNMAPPED")
    world.request("W2", "CA")  # over: it waits for nobody
    for _number in range(3):
        world.order()
    by = world.actor("tech1")
    found = world.ask(order_queries.listed, by, world.now, waiting=True, limit=2)
    assert [row.id for row in found.items] == [waiting]
    assert found.next == ""
    newest = world.ask(order_queries.listed, by, world.now, state="open", limit=2)
    assert waiting not in [row.id for row in newest.items]
    assert world.ask(order_queries.listed, world.actor("tech2"), world.now, waiting=True).items == ()
