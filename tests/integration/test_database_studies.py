"""Images and procedure steps find their orders, complete, and are put right by people, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.world import World
from worklist.actions import handing, linking, reading_making, steps, strangers
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import RequestReference
from worklist.queries.stored import store_keys
from worklist.tables import AuditRow, Instance, Order, Reading, SetAside, Study, StudyOrder

QUIET, LONGEST = timedelta(seconds=60), timedelta(minutes=30)


def test_images_find_their_order_and_its_work_begins(world: World) -> None:
    placed = world.order()
    study_id, _uids = world.scan(placed, 2)
    study = world.study_now(study_id)
    assert (study.link, study.arrival, study.instances) == ("matched", "arriving", 2)
    assert world.order_now(placed).state == "in progress"
    assert world.rows(Reading) == []  # routine work is read when all of it is there


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({"patient_id": "10002"}, "patient_differs"),
        ({"patient_id": ""}, "no_patient_id"),
        ({"issuer": "TS02"}, "patient_differs"),
        ({"accession_number": "H999"}, "number_disagrees"),
        ({"accession_number": "H999", "study_instance_uid": "9.9"}, "no_order_with_this_number"),
        ({"accession_number": "", "study_instance_uid": "9.9"}, "no_order_named"),
    ],
)
def test_every_disagreement_goes_to_the_bin_with_its_reason(world: World, says: dict[str, str], reason: str) -> None:
    placed = world.order()
    study = world.study_now(world.receive(world.facts(placed, **says)).study_id)
    assert (study.link, study.link_reason, study.patient_id) == ("unmatched", reason, None)
    assert world.rows(StudyOrder) == []
    assert world.order_now(placed).state == "scheduled"


def test_another_townships_device_cannot_reach_the_order(world: World) -> None:
    placed = world.order(town="TS01")
    receipt = world.receive(world.facts(placed), device="TS02DR")
    study = world.study_now(receipt.study_id)
    assert (study.link, study.link_reason) == ("unmatched", "no_order_with_this_number")
    assert study.institution_id == world.institutions["TS02"]
    assert study.link_params == {"accession_number": placed.accession_number}


def test_the_same_uid_from_two_townships_is_two_studies_and_is_listed(world: World) -> None:
    placed = world.order(town="TS01")
    world.scan(placed)
    world.receive(world.facts(placed), device="TS02DR")
    assert len(world.rows(Study)) == 2
    aside = world.one(SetAside)
    assert (aside.kind, aside.reason) == ("collision", "study_uid_used_by_another_institution")


def test_one_examination_serves_two_orders_and_is_read_once(world: World) -> None:
    head, chest = world.order("CT-HEAD"), world.order("CT-CHEST")
    step = world.begin_step(head, chest)
    facts = world.facts(
        head,
        requests=(
            RequestReference(head.accession_number, head.study_instance_uid),
            RequestReference(chest.accession_number, chest.study_instance_uid),
        ),
    )
    world.receive(facts)
    world.end_step(step, [facts.sop_instance_uid])
    assert world.reading_of(head).id == world.reading_of(chest).id
    assert {o.state for o in world.rows(Order)} == {"performed"}


def test_a_step_that_names_a_second_order_adds_it(world: World) -> None:
    head, chest = world.order("CT-HEAD"), world.order("CT-CHEST")
    world.scan(head)
    world.begin_step(head, chest)
    assert len(world.rows(StudyOrder)) == 2


def test_a_mobile_device_files_under_the_institution_of_the_order_it_names(world: World) -> None:
    placed = world.order("US-ABDOMEN", town="TS02")
    receipt = world.receive(world.facts(placed, modality="US"), device="MOBILE")
    study = world.study_now(receipt.study_id)
    assert (study.institution_id, study.link) == (world.institutions["TS02"], "matched")
    lost = world.receive(world.facts(), device="MOBILE")
    assert lost.outcome == "conflict"
    assert world.one(SetAside).reason == "institution_unclear"


def test_a_complete_list_completes_the_study_at_once(world: World) -> None:
    reading = world.reading(world.ready(images=3))
    assert (reading.state, reading.due_at) == ("unread", world.now + timedelta(minutes=240))
    study = world.one(Study)
    assert (study.arrival, study.expected, study.instances) == ("complete", 3, 3)


def test_a_list_with_a_missing_image_waits_and_says_how_many(world: World) -> None:
    placed = world.order()
    step = world.begin_step(placed)
    study_id, uids = world.scan(placed, 2)
    world.end_step(step, [*uids, "1.2.3.999"])
    study = world.study_now(study_id)
    assert (study.arrival, study.expected, study.instances) == ("arriving", 3, 2)
    assert world.check_arrival(study_id, world.now + QUIET) == world.now + LONGEST
    assert world.check_arrival(study_id, world.now + LONGEST) is None
    assert world.study_now(study_id).arrival == "complete"


def test_without_a_step_the_quiet_period_decides(world: World) -> None:
    placed = world.order()
    study_id, _uids = world.scan(placed)
    assert world.check_arrival(study_id, world.now) == world.now + QUIET
    world.scan(placed, at=world.now + timedelta(seconds=50))
    assert world.check_arrival(study_id, world.now + QUIET) == world.now + timedelta(seconds=110)
    assert world.check_arrival(study_id, world.now + timedelta(seconds=110)) is None
    assert world.reading_of(placed).state == "unread"


def test_a_step_in_progress_for_ever_meets_the_longest_wait(world: World) -> None:
    placed = world.order()
    world.begin_step(placed)
    study_id, _uids = world.scan(placed)
    assert world.check_arrival(study_id, world.now + QUIET) == world.now + LONGEST
    assert world.check_arrival(study_id, world.now + LONGEST) is None
    assert world.study_now(study_id).arrival == "complete"


def test_a_final_step_never_changes_again(world: World) -> None:
    placed = world.order()
    step = world.begin_step(placed)
    with pytest.raises(Conflict, match="step_exists"):
        world.begin_step(placed, uid=step)
    world.end_step(step, status="DISCONTINUED")
    with pytest.raises(Conflict, match="step_is_final"):
        world.end_step(step)
    with pytest.raises(NotFound, match="no_such_step"):
        world.end_step("9.9")
    with pytest.raises(NotFound, match="no_such_step"):
        world.end_step(step, device="TS02DR")


def test_a_step_for_another_patient_begins_no_order(world: World) -> None:
    placed = world.order()
    world.begin_step(placed, patient_id="10002")
    assert world.order_now(placed).state == "scheduled"


def test_a_discontinued_step_asks_a_person(world: World) -> None:
    placed = world.order()
    world.end_step(world.begin_step(placed), status="DISCONTINUED")
    assert world.order_now(placed).note == "step_discontinued"
    by = world.actor("tech1")
    world.do(steps.answer_discontinued, by, placed.id, True, "重扫", world.now)
    order = world.order_now(placed)
    assert (order.state, order.note) == ("scheduled", "")


def test_stat_is_listed_with_its_first_image(world: World) -> None:
    placed = world.order(priority="STAT")
    world.scan(placed)
    reading = world.reading_of(placed)
    assert (reading.state, reading.rank, reading.due_at) == ("unread", 0, world.now + timedelta(minutes=60))


def test_the_same_object_again_is_a_duplicate(world: World) -> None:
    placed = world.order()
    facts, stored = world.facts(placed), world.stored("a")
    first = world.receive(facts, stored)
    again = world.receive(facts, world.stored("a"))
    assert (again.outcome, again.held_key) == ("duplicate", stored.key)
    assert world.study_now(first.study_id).instances == 1


def test_the_same_uid_with_other_bytes_is_compared_and_then_kept_aside(world: World) -> None:
    placed = world.order()
    facts, held = world.facts(placed), world.stored("a")
    world.receive(facts, held)
    other, third = world.stored("b"), world.stored("c")
    assert world.receive(facts, other).outcome == "compare"
    assert world.rows(SetAside) == []
    assert world.receive(facts, other, same_as_held=True).outcome == "duplicate"
    for copy in (other, third):
        assert world.receive(facts, copy, same_as_held=False).outcome == "conflict"
    aside = world.one(SetAside)  # one conflict for the study, however many copies
    assert (aside.reason, aside.store_keys) == ("same_uid_other_content", [other.key, third.key])
    assert world.one(Instance).store_key == held.key  # the first copy stays the one that is shown
    keys = world.database.read(store_keys)
    assert {held.key, other.key, third.key} <= keys


def test_an_object_of_another_patient_never_enters_a_study(world: World) -> None:
    placed = world.order()
    world.scan(placed)
    stranger = world.stored()
    assert world.receive(world.facts(placed, patient_id="10002"), stranger).outcome == "conflict"
    assert world.one(Study).instances == 1
    aside = world.one(SetAside)
    assert (aside.reason, aside.store_keys) == ("patient_differs_in_study", [stranger.key])


def test_a_person_says_whose_the_other_patients_objects_are(world: World) -> None:
    """A wrong number: they are the study's, which from then on leaves whole as its patient. Or they are their own."""
    placed = world.order()
    study_id = world.receive(world.facts(placed)).study_id
    assert world.study_now(study_id).coerced is False
    by = world.actor("admin")
    said: tuple[tuple[strangers.Into, str], ...] = (("this study", "1OOO1"), ("a study of its own", "10002"))
    for into, patient in said:
        facts, stored = world.facts(placed, patient_id=patient), world.stored()
        world.receive(facts, stored)
        row = world.one(SetAside, SetAside.state == "waiting")
        with pytest.raises(BadInput, match="reason_missing"):
            world.ask(strangers.waiting_strangers, by, row.id, " ")
        waiting = world.ask(strangers.waiting_strangers, by, row.id, "why")
        assert waiting.keys == [stored.key]
        receipt = world.do(strangers.file_stranger, by, row.id, waiting, facts, stored, into, world.now)
        again = world.do(strangers.file_stranger, by, row.id, waiting, facts, stored, into, world.now)
        assert (receipt.outcome, again.outcome) == ("stored", "duplicate")
        world.do(strangers.settle_strangers, by, row.id, into, [receipt.study_id], "why", world.now)
        assert world.one(SetAside, SetAside.id == row.id).state == "settled"
        with pytest.raises(Conflict, match="nothing_to_replay"):
            world.ask(strangers.waiting_strangers, by, row.id, "why")
    study = world.study_now(study_id)
    assert (study.instances, study.coerced, study.link) == (2, True, "matched")
    own = world.study_now(receipt.study_id)
    assert own.id != study_id
    assert (own.instances, own.link, own.sent_patient_id) == (1, "unmatched", "10002")
    linked = world.do(
        linking.link, world.actor("tech1"), own.id, [world.order(patient=world.patient("10002")).id], "why", world.now
    )
    assert linked.link == "matched by a person"


def test_a_study_that_is_matched_after_such_filing_leaves_as_its_patient_too(world: World) -> None:
    first = world.facts()
    study_id = world.receive(first).study_id
    other, stored = world.facts(study_instance_uid=first.study_instance_uid, patient_id="1OOO1"), world.stored()
    world.receive(other, stored)
    row, by = world.one(SetAside), world.actor("admin")
    waiting = world.ask(strangers.waiting_strangers, by, row.id, "why")
    world.do(strangers.file_stranger, by, row.id, waiting, other, stored, "this study", world.now)
    world.do(strangers.settle_strangers, by, row.id, "this study", [study_id], "why", world.now)
    world.order(study_instance_uid=first.study_instance_uid)
    study = world.study_now(study_id)
    assert (study.link, study.coerced) == ("matched", True)


def test_a_person_links_what_the_rule_would_not(world: World) -> None:
    placed = world.order()
    study_id = world.receive(world.facts(placed, patient_id="1001O")).study_id
    by = world.actor("tech1")
    with pytest.raises(BadInput, match="reason_missing"):
        world.do(linking.link, by, study_id, [placed.id], "", world.now)
    world.do(linking.link, by, study_id, [placed.id], "号码输错", world.now)
    assert world.study_now(study_id).link == "matched by a person"
    noted = world.one(AuditRow, AuditRow.action == "study linked by a person")
    assert (noted.actor, noted.why, noted.detail["was"]) == ("tech1", "号码输错", "patient_differs")


def test_a_person_links_only_at_home_and_to_one_patient(world: World) -> None:
    own, foreign = world.order(town="TS01"), world.order(town="TS02")
    other = world.order(patient=world.patient("10002", "李四"))
    study_id = world.receive(world.facts(own, patient_id="1001O")).study_id

    def link(login: str, *orders: str) -> None:
        by = world.actor(login)
        world.do(linking.link, by, study_id, list(orders), "why", world.now)

    with pytest.raises(NotFound, match="no_such_study"):
        link("tech2", foreign.id)
    with pytest.raises(NotFound, match="no_such_order"):
        link("tech1", foreign.id)
    with pytest.raises(NotFound, match="no_such_order"):
        link("admin", foreign.id)
    with pytest.raises(BadInput, match="orders_of_different_patients"):
        link("tech1", own.id, other.id)
    assert world.study_now(study_id).link == "unmatched"


def test_a_study_is_moved_to_the_right_patient_before_signing(world: World) -> None:
    wrong, right = world.order(), world.order(patient=world.patient("10002", "李四"))
    reading_id = world.ready(wrong)
    study_id = world.one(Study).id
    by = world.actor("admin")
    world.do(linking.move_study, by, study_id, [right.id], "选错病人", world.now)
    assert world.reading(reading_id).state == "closed without report"
    assert world.order_now(wrong).state == "scheduled"
    fresh = world.reading_of(right)
    assert (fresh.state, fresh.patient_id) == ("unread", world.order_now(right).patient_id)


def test_a_study_under_an_issued_report_does_not_move(world: World) -> None:
    wrong, right = world.order(), world.order(patient=world.patient("10002", "李四"))
    world.signed(world.ready(wrong))
    study_id = world.one(Study).id
    by = world.actor("admin")
    with pytest.raises(Conflict, match="report_rests_on_study"):
        world.do(linking.move_study, by, study_id, [right.id], "选错病人", world.now)
    with pytest.raises(Conflict, match="report_rests_on_study"):
        world.do(linking.unlink, by, study_id, "选错病人", world.now)


def test_a_reading_that_keeps_other_images_no_longer_answers_the_order_without_any(world: World) -> None:
    head, chest = world.order("CT-HEAD"), world.order("CT-CHEST")
    first = world.ready(head)
    second = world.ready(chest)
    by = world.actor("reader1")
    from worklist.actions import readings

    world.do(handing.join, by, first, second, "一次扫描", world.now)
    moved = world.one(Study, Study.study_instance_uid == chest.study_instance_uid)
    admin = world.actor("admin")
    world.do(linking.unlink, admin, moved.id, "选错", world.now)
    covered = world.database.read(lambda s: [o.id for o in readings.orders_of(s, s.get_one(Reading, first))])
    assert covered == [head.id]
    assert world.order_now(chest).state == "scheduled"


def test_a_phantom_is_rejected_and_can_be_linked_later(world: World) -> None:
    study_id = world.receive(world.facts()).study_id
    by = world.actor("admin")
    world.do(linking.reject, by, study_id, "质控模体", world.now)
    assert world.study_now(study_id).link == "rejected"
    placed = world.order()
    world.do(linking.link, by, study_id, [placed.id], "不是模体", world.now)
    assert world.study_now(study_id).link == "matched by a person"


def test_an_emergency_is_read_before_it_is_linked_and_signed_only_afterwards(world: World) -> None:
    study_id = world.receive(world.facts()).study_id
    by = world.actor("tech1")
    opened = world.do(reading_making.open_emergency, by, study_id, "车祸", world.now)
    assert (opened.priority, opened.patient_id) == ("STAT", None)
    world.write("reader1", opened.id)
    world.submit("reader1", opened.id)
    world.claim("senior1", opened.id)
    with pytest.raises(Conflict, match="study_not_linked"):
        world.sign("senior1", opened.id)
    placed = world.order(priority="STAT")
    world.do(linking.link, by, study_id, [placed.id], "已登记", world.now)
    assert world.reading_of(placed).id == opened.id
    assert world.sign("senior1", opened.id).status == "final"


def test_an_object_that_names_no_study_time_has_none(world: World) -> None:
    facts = replace(world.facts(world.order()), study_date="20260302", study_time="")
    world.receive(facts)
    assert world.one(Study).study_time == ""
    assert world.one(Study).acquired_at is None
