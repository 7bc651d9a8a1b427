"""Images that exist already, read anew for an order of another township, on both databases: who is told what, and
what becomes of it when images, persons, reports or orders change."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import update

from tests.integration.conftest import NOW
from tests.world import Placed, World
from worklist.actions import grading, handing, linking, order_changes, recognising, reports, routes, wrong_patient
from worklist.errors import BadInput, Conflict, HurenError, NotFound
from worklist.facts import ReportText
from worklist.people import HUREN
from worklist.queries import imaging, reading_list, recognition, recognition_figures
from worklist.queries import orders as seen_orders
from worklist.queries import readings as cases
from worklist.tables import (
    CaseReturn,
    Center,
    CriticalResult,
    Delivery,
    Instance,
    LateImages,
    Notice,
    Order,
    Patient,
    Reading,
    ReadingStudy,
    Recognition,
    ReportDocument,
    ReportVersion,
    Study,
)
from worklist.tables.base import table_of

LATER = NOW + timedelta(days=3)


def old_result(world: World) -> str:
    """王小东's CT at TS01, read and signed: the reading."""
    return world.signed(world.ready()).reading_id


def wanted(world: World, **more: Any) -> Placed:
    """The same person's order at TS02, where they have another number."""
    placed = world.order("CT-HEAD", town="TS02", patient=world.patient("77001"), at=LATER, **more)

    def link(session: Any) -> None:
        here = session.get_one(Patient, session.get_one(Order, placed.id).patient_id)
        first = (
            session.query(Patient).filter(Patient.id != here.id, Patient.name == "王小东").order_by(Patient.id).first()
        )
        here.person_id = first.person_id

    world.do(link)
    return placed


def accept(world: World, placed: Placed, at: Any = LATER, **how: Any) -> Order:
    """doc2 takes the result for the order, as images unless said otherwise."""
    doctor = world.actor("doc2")
    (offer,) = world.do(recognising.offer_for, doctor, placed.id, at)
    assert offer.id
    said: dict[str, Any] = {"adopted": "images", **how}
    return world.do(recognising.accept, doctor, offer.id, at, order_id=placed.id, **said)


def anew_of(world: World) -> Reading:
    """The newest reading anew."""
    return max(world.rows(Reading, Reading.kind == "anew"), key=lambda r: r.id)


def taken(world: World, **more: Any) -> tuple[str, Placed, Reading]:
    """The old reading, the new order, and the case in which the images are read anew."""
    old = old_result(world)
    placed = wanted(world, **more)
    accept(world, placed)
    return old, placed, anew_of(world)


def studies_of(world: World, reading_id: str) -> set[str]:
    return {row.study_id for row in world.rows(ReadingStudy, ReadingStudy.reading_id == reading_id)}


def test_the_case_is_the_new_orders_and_rests_on_the_old_images(world: World) -> None:
    old, placed, reading = taken(world, priority="STAT")
    order = world.order_now(placed)
    assert (order.state, order.note) == ("rereading", "")
    assert reading.institution_id == world.institutions["TS02"]
    assert (reading.patient_id, reading.priority, reading.state) == (order.patient_id, "STAT", "unread")
    assert reading.patient_id != world.reading(old).patient_id
    assert reading.center_id == world.centers["CH01"]
    assert reading.due_at is not None
    assert reading.due_at > LATER
    of = {
        r.id: {s.study_id for s in world.rows(ReadingStudy, ReadingStudy.reading_id == r.id)}
        for r in world.rows(Reading)
    }
    assert of[reading.id] == of[old]
    assert world.reading(old).state == "signed", "the study's own reading is untouched"
    page = world.ask(reading_list.worklist, world.actor("reader1"), LATER)
    assert reading.id in {row.id for row in page.items}
    case = world.ask(cases.case, world.actor("reader1"), reading.id, LATER)
    assert case.anew is not None
    assert (case.anew.institution, case.anew.accession_number) == ("河西乡卫生院", order.accession_number)
    assert (case.anew.changed, case.anew.is_of_another) == ("", False)
    assert case.row.patient_identifier == "77001"
    assert case.others == ()


def test_it_is_read_signed_and_sent_home_under_the_new_identity(world: World) -> None:
    old, placed, reading = taken(world)
    before = len(world.rows(Instance))
    version = world.signed(reading.id, ReportText("所见。", "重新阅片印象。"), LATER + timedelta(hours=1))
    assert world.order_now(placed).state == "completed"
    (delivery,) = world.rows(Delivery, Delivery.version_id == version.id)
    assert (delivery.kind, delivery.endpoint_id) == ("report", world.endpoints["TS02"])
    assert world.rows(Delivery, Delivery.kind == "recognised") == [], "the old report is not this order's"
    assert len(world.rows(Instance)) == before, "nothing is filed in the other institution's study"
    assert {d.kind for d in world.rows(ReportDocument, ReportDocument.version_id == version.id)} == {"pdf"}
    shown = world.ask(seen_orders.detail, world.actor("doc2"), placed.id, LATER)
    assert [v.impression for v in shown.versions] == ["重新阅片印象。"]
    assert shown.row.reading_id == reading.id
    with pytest.raises(NotFound):
        world.ask(seen_orders.detail, world.actor("doc1"), placed.id, LATER)
    # Counted once as a case of its center, and as an examination saved; never offered as an examination of its own.
    found = world.ask(recognition_figures.figures, world.actor("manager"), NOW, LATER + timedelta(days=1))
    assert [(f.offered, f.accepted) for f in found] == [(1, 1)]
    period = (Reading.signed_at.is_not(None), Reading.kind.in_(("primary", "anew")))
    assert len(world.rows(Reading, *period)) == 2
    rules = world.ask(recognition.rules_at, LATER).rules
    patient = world.database.read(lambda s: s.get_one(Patient, reading.patient_id))
    results = world.database.read(
        lambda s: recognition.judged(
            s, patient, "CT-HEAD", "", world.institutions["TS02"], rules, LATER + timedelta(hours=2)
        )
    )
    assert [r.reading_id for r in results] == [old]


def test_the_report_says_whose_images_when_and_that_nobody_was_examined(world: World) -> None:
    _old, placed, reading = taken(world)
    world.write("reader1", reading.id, at=LATER)
    world.submit("reader1", reading.id, LATER)
    world.claim("senior1", reading.id, LATER)
    prepared = world.ask(reports.prepare, world.actor("senior1"), reading.id, LATER)
    report = prepared.report
    order = world.order_now(placed)
    assert (report.patient_id, report.institution_code) == ("77001", "TS02")
    assert [o.accession_number for o in report.orders] == [order.accession_number]
    assert report.images_of == "河西乡卫生院"
    assert report.observed_at is not None
    assert report.observed_at < LATER - timedelta(days=2), "the images' time, not the order's"
    assert report.images_said.startswith("以既有影像重新阅片，未做新检查：2026-03-0")
    assert not prepared.filing.is_filed


def test_the_device_of_the_township_finds_nothing_to_examine(world: World) -> None:
    _old, placed, _reading = taken(world)
    step = world.begin_step(placed, device="TS02DR", at=LATER)
    _study, uids = world.scan(placed, 1, device="TS02DR", at=LATER)
    world.end_step(step, uids, device="TS02DR", at=LATER)
    assert world.order_now(placed).state == "rereading", "images that come all the same decide nothing"
    held = world.study_now(_study)
    assert (held.link, held.link_reason) == ("unmatched", "order_rereading")


def test_only_images_are_read_anew_and_only_where_they_are_held(world: World) -> None:
    old_result(world)
    placed = wanted(world)
    with pytest.raises(BadInput, match="field_wrong"):
        accept(world, placed, adopted="report", read_anew=True)
    assert accept(world, placed, adopted="images", read_anew=False).state == "recognised"
    assert world.rows(Reading, Reading.kind == "anew") == []


def test_a_study_that_was_unlinked_cannot_be_read_anew(world: World) -> None:
    old = old_result(world)
    placed = wanted(world)
    doctor = world.actor("doc2")
    (offer,) = world.do(recognising.offer_for, doctor, placed.id, LATER)
    study = world.one(ReadingStudy, ReadingStudy.reading_id == old).study_id

    lost = update(table_of(Study)).where(table_of(Study).c.id == study).values(link="unmatched")
    world.do(lambda s: s.execute(lost))
    with pytest.raises(Conflict, match="no_images_to_read_anew"):
        world.do(recognising.accept, doctor, offer.id, LATER, adopted="images", read_anew=True, order_id=placed.id)
    assert world.order_now(placed).state == "scheduled"


def test_two_who_accept_at_once_open_one_case(world: World) -> None:
    old_result(world)
    placed = wanted(world)
    doctor = world.actor("doc2")
    (offer,) = world.do(recognising.offer_for, doctor, placed.id, LATER)
    barrier, ends = Barrier(2), []

    def one() -> None:
        barrier.wait()
        try:
            world.do(recognising.accept, doctor, offer.id, LATER, adopted="images", order_id=placed.id)
            ends.append("taken")
        except HurenError as error:
            ends.append(error.code)

    both = [Thread(target=one) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(ends)[-1] == "taken"
    assert len(world.rows(Reading, Reading.kind == "anew")) == 1
    assert set(ends) - {"taken"} <= {"cannot_move", "somebody_was_faster"}


def test_images_that_do_not_do_send_the_order_to_be_examined(world: World) -> None:
    _old, placed, reading = taken(world)
    world.write("reader1", reading.id, at=LATER)
    world.do(handing.return_to_sender, world.actor("reader1"), reading.id, "未包括后颅窝", LATER)
    order = world.order_now(placed)
    assert (order.state, order.note) == ("scheduled", "images_do_not_do")
    assert world.reading(reading.id).state == "closed without report"
    assert world.one(Recognition).state == "given up"
    assert world.rows(CaseReturn) == [], "no fault of the township"
    assert {n.kind for n in world.rows(Notice, Notice.address == f"/orders/{placed.id}")} == {"images do not do"}
    # It is examined like any other order now, and its own reading is a primary one.
    own = world.ready(placed, at=LATER)
    assert world.reading(own).kind == "primary"
    assert world.order_now(placed).note == ""
    world.signed(own, at=LATER)
    assert world.order_now(placed).state == "completed"


def test_its_his_may_cancel_what_went_back_to_be_examined(world: World) -> None:
    _old, placed, reading = taken(world)
    refused = world.request(placed.placer_number, "CA", town="TS02", patient=world.patient("77001"), at=LATER)
    assert not refused.accepted
    assert world.order_now(placed).state == "rereading"
    world.claim("reader1", reading.id, LATER)
    world.do(handing.return_to_sender, world.actor("reader1"), reading.id, "层厚过大", LATER)
    assert world.request(placed.placer_number, "CA", town="TS02", patient=world.patient("77001"), at=LATER).accepted
    assert world.order_now(placed).state == "cancelled"


def test_the_township_cancels_until_somebody_reads(world: World) -> None:
    _old, placed, reading = taken(world)
    doctor = world.actor("doc2")
    world.claim("reader1", reading.id, LATER)
    with pytest.raises(Conflict, match="order_is_being_read"):
        world.do(order_changes.abandon, doctor, placed.id, "误点", LATER)
    later = LATER + timedelta(days=1)  # the lease is over, and nothing was written
    world.do(order_changes.abandon, doctor, placed.id, "误点", later)
    assert world.order_now(placed).state == "cancelled"
    assert world.reading(reading.id).state == "closed without report"
    assert world.one(Recognition).state == "given up"


def test_a_case_closed_without_report_counts_as_nothing_saved(world: World) -> None:
    _old, placed, reading = taken(world)
    world.do(handing.close, world.actor("senior1"), reading.id, "申请作废", LATER)
    assert world.order_now(placed).state == "cancelled"
    found = world.ask(recognition_figures.figures, world.actor("manager"), NOW, LATER + timedelta(days=1))
    assert [(f.offered, f.accepted, f.declined) for f in found] == [(1, 0, 0)]


def test_a_withdrawn_report_is_read_anew_once_more(world: World) -> None:
    _old, placed, reading = taken(world)
    world.signed(reading.id, at=LATER)
    world.withdraw("senior1", reading.id, "误诊", at=LATER)
    again = anew_of(world)
    assert again.id != reading.id
    assert (again.state, again.note) == ("unread", "误诊")
    assert world.order_now(placed).state == "rereading"
    withdrawal = world.one(ReportVersion, ReportVersion.reading_id == reading.id, ReportVersion.status == "withdrawal")
    assert [d.endpoint_id for d in world.rows(Delivery, Delivery.version_id == withdrawal.id)] == [
        world.endpoints["TS02"]
    ]
    world.signed(again.id, at=LATER + timedelta(hours=1))
    assert world.order_now(placed).state == "completed"


def test_the_first_report_may_change_and_the_reader_is_told(world: World) -> None:
    old, placed, reading = taken(world)
    sent = len(world.rows(Delivery, Delivery.institution_id == world.institutions["TS02"]))
    world.withdraw("senior1", old, "写错", at=LATER + timedelta(minutes=5))
    assert len(world.rows(Delivery, Delivery.institution_id == world.institutions["TS02"])) == sent
    case = world.ask(cases.case, world.actor("reader1"), reading.id, LATER)
    assert case.anew is not None
    assert case.anew.changed == "withdrawn"
    world.signed(reading.id, at=LATER + timedelta(hours=1))
    assert world.order_now(placed).state == "completed"


def test_images_of_another_person_are_not_signed(world: World) -> None:
    _old, placed, reading = taken(world)
    world.write("reader1", reading.id, at=LATER)
    world.submit("reader1", reading.id, LATER)
    world.claim("senior1", reading.id, LATER)

    def part(session: Any) -> None:
        patient = session.get_one(Patient, reading.patient_id)
        patient.person_id = patient.id

    world.do(part)
    case = world.ask(cases.case, world.actor("senior1"), reading.id, LATER)
    assert case.anew is not None
    assert case.anew.is_of_another
    with pytest.raises(Conflict, match="images_of_another_person"):
        world.sign("senior1", reading.id, at=LATER)
    world.do(handing.return_to_sender, world.actor("senior1"), reading.id, "不是同一人", LATER)
    assert world.order_now(placed).state == "scheduled"


def test_a_wrong_patient_takes_the_images_from_a_case_that_nobody_signed(world: World) -> None:
    old, placed, reading = taken(world)
    study = world.one(ReadingStudy, ReadingStudy.reading_id == reading.id).study_id
    other = world.order("CT-HEAD", patient=world.patient("10002", "李大海"), at=LATER)
    repaired(world, study, [other.id])
    assert world.reading(old).state == "withdrawn"
    assert world.reading(reading.id).state == "closed without report"
    assert (world.order_now(placed).state, world.order_now(placed).note) == ("scheduled", "images_do_not_do")
    assert world.one(Recognition).state == "given up"


def repaired(world: World, study: str, orders: list[str]) -> None:
    senior = world.actor("senior1")
    prepared = world.ask(wrong_patient.prepare, senior, study, orders, "张冠李戴", LATER)
    made = [(p, world.documents(p)) for p in prepared]
    world.do(wrong_patient.repair, senior, study, orders, "张冠李戴", made, LATER)


def test_a_wrong_patient_withdraws_what_was_read_anew_too(world: World) -> None:
    old, placed, reading = taken(world)
    world.signed(reading.id, at=LATER)
    study = world.one(ReadingStudy, ReadingStudy.reading_id == reading.id).study_id
    other = world.order("CT-HEAD", patient=world.patient("10002", "李大海"), at=LATER)
    with pytest.raises(Conflict, match="report_rests_on_study"):
        world.do(linking.move_study, world.actor("tech1"), study, [other.id], "张冠李戴", LATER)
    repaired(world, study, [other.id])
    assert {world.reading(id).state for id in (old, reading.id)} == {"withdrawn"}
    withdrawals = world.rows(ReportVersion, ReportVersion.status == "withdrawal")
    assert len(withdrawals) == 2
    assert (world.order_now(placed).state, world.order_now(placed).note) == ("scheduled", "images_do_not_do")
    assert [r.state for r in world.rows(Reading, Reading.kind == "anew", Reading.id != reading.id)] == [
        "closed without report"
    ]


def test_another_center_that_read_anew_withdraws_its_own_report_first(world: World) -> None:
    old_result(world)
    city = [
        {
            "name": "河东",
            "place": 1,
            "conditions": {"institutions": ["TS02"]},
            "center_id": world.centers["CITY"],
            "group_id": None,
        },
        {"name": "rest", "place": 2, "conditions": {}, "center_id": world.centers["CH01"], "group_id": None},
    ]
    world.do(routes.save_routes, HUREN, city, "河东归市里", LATER)
    placed = wanted(world)
    accept(world, placed)
    reading = anew_of(world)
    assert reading.center_id == world.centers["CITY"], "by the new order's route"
    (study,) = studies_of(world, reading.id)
    (seen,) = world.ask(
        imaging.open_studies,
        world.actor("citysenior"),
        imaging.Root("reading", reading.id),
        world.study_now(study).study_instance_uid,
        LATER,
    )
    assert seen.id == study
    with pytest.raises(NotFound):
        world.claim("reader1", reading.id, LATER)
    other = world.order("CT-HEAD", patient=world.patient("10002", "李大海"), at=LATER)
    assert world.ask(wrong_patient.may_repair, world.actor("senior1"), study)
    issue_at_the_city(world, reading.id)
    with pytest.raises(Conflict, match="read_anew_elsewhere"):
        repaired(world, study, [other.id])


def issue_at_the_city(world: World, reading_id: str) -> None:
    """The city's people may sign alone."""
    row = world.reading(reading_id)
    world.do(lambda s: setattr(s.get_one(Center, row.center_id), "two_people", False))
    world.write("citysenior", reading_id, at=LATER)
    world.sign("citysenior", reading_id, at=LATER)


def test_late_images_of_the_study_are_a_task_for_both(world: World) -> None:
    old, placed, reading = taken(world)
    world.signed(reading.id, at=LATER)
    first = world.one(Order, Order.id != placed.id)
    again = Placed(first.id, first.accession_number, first.study_instance_uid, first.patient_value, "TS01", "")
    world.scan(again, 1, at=LATER + timedelta(hours=1))
    assert {t.reading_id for t in world.rows(LateImages)} == {old, reading.id}
    assert len(world.rows(Reading)) == 2, "and no third case"


def test_a_critical_result_alarms_who_ordered(world: World) -> None:
    _old, _placed, reading = taken(world)
    world.signed(reading.id, ReportText("所见。", "脑出血。", "脑出血"), LATER)
    (alarm,) = world.rows(CriticalResult)
    assert (alarm.institution_id, alarm.patient_id) == (world.institutions["TS02"], reading.patient_id)


def test_nothing_is_joined_or_graded_in_it(world: World) -> None:
    _old, _placed, reading = taken(world)
    world.claim("reader1", reading.id, LATER)
    with pytest.raises(Conflict, match="images_graded_where_made"):
        world.do(grading.grade_images, world.actor("reader1"), reading.id, "A", "", LATER)
    own = world.order("CT-CHEST", town="TS02", patient=world.patient("77001"), at=LATER)
    primary = world.ready(own, at=LATER)
    with pytest.raises(Conflict, match="cannot_join"):
        world.do(handing.join, world.actor("reader1"), primary, reading.id, "同一人", LATER)
