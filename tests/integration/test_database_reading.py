"""Reading: leases, drafts, review, return, referral, joining, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.world import TEXT, World
from worklist.actions import handing, readings
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import ReportText
from worklist.queries import reading_list
from worklist.tables import AuditRow, Order, Reading, ReportVersion, Study

OTHER = ReportText("右肺上叶结节。", "右肺结节，建议复查。")


def test_a_lease_keeps_others_away_until_it_runs_out(world: World) -> None:
    reading_id = world.ready()
    world.claim("reader1", reading_id)
    with pytest.raises(Conflict, match="held_by_another"):
        world.claim("reader2", reading_id, world.now + timedelta(minutes=29))
    world.claim("reader2", reading_id, world.now + timedelta(minutes=30))
    assert world.reading(reading_id).holder_id == world.users["reader2"]


def test_expiry_changes_neither_state_nor_words(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    later = world.now + timedelta(hours=5)
    world.claim("reader2", reading_id, later)
    assert world.reading(reading_id).state == "drafted"
    assert world.one(ReportVersion).impression == TEXT.impression


def test_a_reader_whose_lease_ran_out_and_was_taken_writes_nothing(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    later = world.now + timedelta(hours=5)
    world.claim("reader2", reading_id, later)
    by = world.actor("reader1")
    with pytest.raises(Conflict, match="not_held_by_you"):
        world.do(readings.save_draft, by, reading_id, OTHER, None, later)


def test_writing_on_an_old_draft_is_refused_and_loses_nobodys_words(world: World) -> None:
    reading_id = world.ready()
    first = world.write("reader1", reading_id)
    world.write("reader1", reading_id, OTHER, revision=first.revision)
    with pytest.raises(Conflict, match="draft_is_newer") as refused:
        world.write("reader1", reading_id, TEXT, revision=first.revision)
    assert refused.value.params["revision"] == first.revision + 1
    assert world.one(ReportVersion).impression == OTHER.impression


def test_giving_the_case_back_keeps_the_draft(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    by, other = world.actor("reader1"), world.actor("reader2")
    with pytest.raises(Conflict, match="not_held_by_you"):
        world.do(readings.release, other, reading_id, world.now)
    world.do(readings.release, by, reading_id, world.now)
    world.claim("reader2", reading_id)
    assert world.one(ReportVersion).findings == TEXT.findings


def test_only_a_senior_takes_over_and_says_why(world: World) -> None:
    reading_id = world.ready()
    world.claim("reader1", reading_id)
    reader, senior = world.actor("reader2"), world.actor("senior1")
    with pytest.raises(Forbidden):
        world.do(readings.take_over, reader, reading_id, "急", world.now)
    with pytest.raises(BadInput, match="reason_missing"):
        world.do(readings.take_over, senior, reading_id, "", world.now)
    world.do(readings.take_over, senior, reading_id, "急", world.now)
    assert world.reading(reading_id).holder_id == world.users["senior1"]
    assert world.one(AuditRow, AuditRow.action == "case taken over").detail == {"from": world.users["reader1"]}


def test_an_empty_impression_is_not_submitted(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id, ReportText("有所见", " "))
    with pytest.raises(BadInput, match="impression_missing"):
        world.submit("reader1", reading_id)


def test_a_plain_reader_does_not_claim_a_review(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    with pytest.raises(Forbidden):
        world.claim("reader2", reading_id)


def test_the_reviewer_sends_a_draft_back_with_remarks(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    by = world.actor("senior1")
    world.do(readings.send_back, by, reading_id, "请补充纵隔", world.now)
    reading = world.reading(reading_id)
    assert (reading.state, reading.note, reading.holder_id) == ("drafted", "请补充纵隔", None)


def _return(world: World, reading_id: str, why: str = "运动伪影") -> None:
    by = world.actor("reader1")
    world.claim("reader1", reading_id)
    world.do(handing.return_to_sender, by, reading_id, why, world.now)


def test_a_returned_case_is_on_the_worklist_again_under_its_number(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    _return(world, reading_id)
    order, reading = world.order_now(placed), world.reading(reading_id)
    assert (order.state, order.note, order.accession_number) == ("scheduled", "returned", placed.accession_number)
    assert (reading.state, reading.note, reading.due_at) == ("returned", "运动伪影", None)


def test_a_repeat_as_a_new_study_joins_the_reading(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    _return(world, reading_id)
    later = world.now + timedelta(hours=1)
    study_id, _uids = world.scan(placed, at=later, study_instance_uid="1.2.3.4")
    assert world.reading(reading_id).state == "unread"
    world.check_arrival(study_id, later + timedelta(minutes=30))
    reading = world.reading(reading_id)
    assert (reading.state, reading.due_at) == ("unread", later + timedelta(minutes=30 + 240))
    assert world.reading_of(placed).id == reading_id
    assert world.order_now(placed).state == "performed"


def test_a_repeat_under_the_same_study_uid_joins_the_reading_too(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    _return(world, reading_id)
    later = world.now + timedelta(hours=1)
    step = world.begin_step(placed, at=later)
    study_id, uids = world.scan(placed, 2, at=later)
    world.end_step(step, uids, at=later)
    world.check_arrival(study_id, later + timedelta(minutes=1))
    reading = world.reading(reading_id)
    assert (world.study_now(study_id).arrival, reading.state) == ("complete", "unread")
    assert reading.due_at is not None
    order = world.order_now(placed)
    assert (order.state, order.note) == ("performed", "")


def test_a_returned_case_stays_returned_while_nothing_new_comes(world: World) -> None:
    placed = world.order(priority="STAT")
    study_id, _uids = world.scan(placed)  # read while it still arrives
    reading_id = world.reading_of(placed).id
    _return(world, reading_id)
    world.check_arrival(study_id, world.now + timedelta(hours=1))
    assert world.study_now(study_id).arrival == "complete"
    assert world.reading(reading_id).state == "returned"


def test_closing_without_report_ends_the_orders(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.write("reader1", reading_id)
    reader, senior = world.actor("reader1"), world.actor("senior1")
    with pytest.raises(Forbidden):
        world.do(handing.close, reader, reading_id, "重复申请", world.now)
    world.do(handing.close, senior, reading_id, "重复申请", world.now)
    order = world.order_now(placed)
    assert (order.state, order.note) == ("cancelled", "closed_without_report")
    assert world.one(ReportVersion).state == "discarded"


def _refer(world: World, reading_id: str) -> Reading:
    by, city = world.actor("reader1"), world.centers["CITY"]
    world.write("reader1", reading_id)
    world.do(handing.refer, by, reading_id, city, "疑难", world.now)
    return world.one(Reading, Reading.kind == "consultation")


def test_a_referral_goes_up_and_its_opinion_comes_back(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    consultation = _refer(world, reading_id)
    assert consultation.center_id == world.centers["CITY"]
    with pytest.raises(NotFound):
        world.claim("reader2", consultation.id)
    world.write("cityreader", consultation.id, OTHER)
    by = world.actor("cityreader")
    world.do(handing.answer_referral, by, consultation.id, world.now)
    asked = world.reading(reading_id)
    assert (asked.state, asked.note) == ("drafted", f"{OTHER.findings}\n{OTHER.impression}")
    assert world.write("reader1", reading_id, OTHER).revision > 0
    assert world.order_now(placed).state == "performed"


def test_a_declined_referral_goes_back_and_the_order_stays(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    consultation = _refer(world, reading_id)
    by = world.actor("citysenior")
    world.do(handing.close, by, consultation.id, "图像不足", world.now)
    asked, order = world.reading(reading_id), world.order_now(placed)
    assert (asked.state, asked.note) == ("drafted", "图像不足")
    assert (order.state, order.note) == ("performed", "")


def test_a_consultation_is_not_signed(world: World) -> None:
    consultation = _refer(world, world.ready())
    world.write("cityreader", consultation.id, OTHER)
    world.submit("cityreader", consultation.id)
    world.claim("citysenior", consultation.id)
    with pytest.raises(Conflict, match="consultation_is_answered_not_signed"):
        world.sign("citysenior", consultation.id)


def test_two_cases_of_one_patient_are_joined_and_split_until_signing(world: World) -> None:
    head, chest = world.order("CT-HEAD"), world.order("CT-CHEST", priority="STAT")
    first, second = world.ready(head), world.ready(chest)
    by = world.actor("reader1")
    world.do(handing.join, by, first, second, "一次扫描", world.now)
    joined = world.reading(first)
    assert (joined.priority, joined.rank) == ("STAT", 0)
    assert world.reading(second).state == "closed without report"
    assert {o.state for o in world.rows(Order)} == {"performed"}
    own = world.do(handing.split, by, first, chest.id, "分开报告", world.now)
    covered = world.database.read(lambda s: [o.id for o in readings.orders_of(s, s.get_one(Reading, own.id))])
    assert covered == [chest.id]
    with pytest.raises(Conflict, match="nothing_to_split"):
        world.do(handing.split, by, first, head.id, "再分", world.now)
    world.signed(first)
    third = world.ready(world.order())
    with pytest.raises(Conflict, match="cannot_join"):
        world.do(handing.join, by, first, third, "晚了", world.now)


def test_a_case_under_correction_takes_no_other_orders(world: World) -> None:
    first = world.ready()
    world.signed(first)
    second = world.ready(world.order("CT-CHEST"))
    world.correct("reader1", first, OTHER)
    by = world.actor("reader1")
    with pytest.raises(Conflict, match="already_issued"):
        world.do(handing.join, by, first, second, "晚了", world.now)


def test_cases_of_two_patients_are_never_joined(world: World) -> None:
    first = world.ready()
    second = world.ready(world.order(patient=world.patient("10002", "李四")))
    by = world.actor("senior1")
    with pytest.raises(BadInput, match="not_the_same_patient"):
        world.do(handing.join, by, first, second, "why", world.now)


def test_the_list_shows_the_most_urgent_first_and_pages_without_gaps(world: World) -> None:
    made = [
        world.ready(world.order(priority=priority), at=world.now + timedelta(minutes=n))
        for n, priority in enumerate(("ROUTINE", "STAT", "URGENT", "ROUTINE", "STAT"))
    ]
    by = world.actor("reader1")
    seen: list[str] = []
    after = ""
    while True:
        page = world.ask(reading_list.worklist, by, world.now, after=after, limit=2)
        seen += [row.id for row in page.items]
        after = page.next
        if not after:
            break
    assert seen == [made[1], made[4], made[2], made[0], made[3]]
    assert len(world.rows(Study)) == 5
