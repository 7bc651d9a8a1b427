"""Images of the wrong patient repaired in one step: withdrawn, moved, read anew, or nothing at all."""

from __future__ import annotations

import pytest

from tests.world import Placed, World, documents_for
from worklist.actions import critical, readings, wrong_patient
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.queries import repairs
from worklist.tables import CriticalResult, Delivery, Order, Reading, ReadingStudy, ReportVersion, Study


def wrong(world: World, *, signed: bool = True) -> tuple[Placed, Placed, str, str]:
    """A study scanned for the wrong patient: the wrong order, the right one, the study, its reading."""
    picked = world.order(patient=world.patient("1"))
    right = world.order(patient=world.patient("2", "陈秀英", "F", "19700101"))
    case = world.ready(picked)
    if signed:
        world.signed(case)
    return picked, right, world.one(Study).id, case


def repair(world: World, login: str, study_id: str, *orders: Placed, why: str = "工作列表选错") -> Study:
    by, ids = world.actor(login), [order.id for order in orders]
    found = world.ask(wrong_patient.prepare, by, study_id, ids, why, world.now)
    made = [(prepared, documents_for(prepared)) for prepared in found]
    return world.do(wrong_patient.repair, by, study_id, ids, why, made, world.now)


def test_what_was_signed_is_withdrawn_and_a_new_reading_waits(world: World) -> None:
    picked, right, study_id, case = wrong(world)
    plan = world.ask(repairs.plan, world.actor("senior1"), study_id, world.now)
    assert plan.may_repair
    assert [(r.report_id, r.told, r.may_withdraw) for r in plan.issued] == [(case, ("HIS of TS01",), True)]
    repair(world, "senior1", study_id, right)
    study, order = world.study_now(study_id), world.order_now(right)
    assert (study.link, study.patient_id, study.coerced) == ("moved", order.patient_id, True)
    assert world.order_now(picked).state == "scheduled", "the first patient is on the worklist again"
    assert world.reading(case).state == "withdrawn"
    assert world.reading(case).patient_id == world.order_now(picked).patient_id, "the record of what was read stays"
    anew = world.reading_of(right)
    assert (anew.state, anew.patient_id) == ("unread", order.patient_id)
    assert not world.rows(ReportVersion, ReportVersion.reading_id == anew.id), "no words are carried over"
    withdrawal = world.one(ReportVersion, ReportVersion.status == "withdrawal")
    assert world.one(Delivery, Delivery.version_id == withdrawal.id).endpoint_id == world.endpoints["TS01"]


def test_before_anything_was_issued_it_is_only_moved(world: World) -> None:
    picked, right, study_id, case = wrong(world, signed=False)
    world.write("reader1", case)
    repair(world, "tech1", study_id, right)
    assert world.reading(case).state == "closed without report"
    assert world.order_now(picked).state == "scheduled"
    assert world.reading_of(right).state == "unread"
    assert not world.rows(ReportVersion, ReportVersion.status == "withdrawal")


@pytest.mark.parametrize(
    ("login", "error"),
    [("tech1", Forbidden), ("admin", Forbidden), ("reader1", Forbidden), ("doc1", Forbidden), ("tech2", NotFound)],
)
def test_only_a_senior_reader_takes_an_issued_report_back(world: World, login: str, error: type[Exception]) -> None:
    _picked, right, study_id, case = wrong(world)
    with pytest.raises((error, NotFound)):
        repair(world, login, study_id, right)
    assert world.reading(case).state == "signed"
    assert world.study_now(study_id).link == "matched"


def test_all_of_it_or_nothing(world: World) -> None:
    _picked, right, study_id, case = wrong(world)
    by = world.actor("senior1")
    found = world.ask(wrong_patient.prepare, by, study_id, [right.id], "选错", world.now)
    made = [(prepared, documents_for(prepared)) for prepared in found]
    world.request(right.placer_number, "CA", patient=world.patient("2", "陈秀英", "F", "19700101"))
    with pytest.raises(Conflict, match="order_cancelled"):
        world.do(wrong_patient.repair, by, study_id, [right.id], "选错", made, world.now)
    assert world.reading(case).state == "signed"
    assert not world.rows(ReportVersion, ReportVersion.status == "withdrawal")


def test_a_report_issued_meanwhile_is_not_moved_under(world: World) -> None:
    _picked, right, study_id, case = wrong(world, signed=False)
    by = world.actor("senior1")
    assert world.ask(wrong_patient.prepare, by, study_id, [right.id], "选错", world.now) == []
    world.signed(case)
    with pytest.raises(Conflict, match="somebody_was_faster"):
        world.do(wrong_patient.repair, by, study_id, [right.id], "选错", [], world.now)
    assert world.study_now(study_id).link == "matched"


def test_a_critical_result_alarms_the_right_patient_s_side_though_the_wrong_one_answered(world: World) -> None:
    picked, right, study_id, case = wrong(world, signed=False)
    result = world.do(critical.mark, world.actor("reader1"), case, "主动脉夹层", world.now)
    world.do(critical.acknowledge, world.actor("doc1"), result.id, "主动脉夹层，收到", world.now)
    world.signed(case)
    assert world.ask(repairs.plan, world.actor("senior1"), study_id, world.now).criticals == ("主动脉夹层",)
    repair(world, "senior1", study_id, right)
    states = {r.patient_id: r.state for r in world.rows(CriticalResult)}
    assert states == {world.order_now(picked).patient_id: "retracted", world.order_now(right).patient_id: "notified"}


def test_where_nobody_knows_whose_it_is_it_goes_to_the_bin(world: World) -> None:
    _picked, _right, study_id, case = wrong(world)
    repair(world, "senior1", study_id)
    assert world.study_now(study_id).link == "unmatched"
    assert world.study_now(study_id).patient_id is None
    assert world.reading(case).state == "withdrawn"
    open_ones = world.rows(Reading, Reading.state.in_(("unread", "drafted")))
    assert not open_ones


def test_an_alarm_never_goes_to_nobody(world: World) -> None:
    _picked, _right, study_id, case = wrong(world, signed=False)
    world.do(critical.mark, world.actor("reader1"), case, "主动脉夹层", world.now)
    world.signed(case)
    with pytest.raises(Conflict, match="critical_result_is_open"):
        repair(world, "senior1", study_id)
    assert world.reading(case).state == "signed"


def test_other_images_of_the_case_stay_with_their_patient(world: World) -> None:
    picked, right, study_id, case = wrong(world)
    other, _uids = world.scan(picked, study_instance_uid="1.2.3.4.99")
    assert world.rows(ReadingStudy, ReadingStudy.reading_id == case, ReadingStudy.study_id == other)
    repair(world, "senior1", study_id, right)
    assert world.study_now(other).patient_id == world.order_now(picked).patient_id
    assert world.order_now(picked).state != "scheduled", "it still has images"
    again = [
        r for r in world.rows(Reading, Reading.state == "unread") if r.patient_id == world.study_now(other).patient_id
    ]
    covered = {rs.study_id for r in again for rs in world.rows(ReadingStudy, ReadingStudy.reading_id == r.id)}
    assert covered == {other}


def test_what_makes_no_sense_is_refused(world: World) -> None:
    picked, right, study_id, _case = wrong(world)
    with pytest.raises(BadInput, match="orders_are_its_own"):
        repair(world, "senior1", study_id, picked)
    with pytest.raises(BadInput, match="reason_missing"):
        repair(world, "senior1", study_id, right, why=" ")
    theirs = world.order("DR-CHEST", town="TS02", patient=world.patient("9"))
    with pytest.raises(NotFound):
        repair(world, "senior1", study_id, theirs)


def test_a_correction_in_progress_does_not_stand_in_the_way(world: World) -> None:
    from worklist.facts import ReportText

    _picked, right, study_id, case = wrong(world)
    world.correct("reader1", case, ReportText("改", "改"))
    repair(world, "senior1", study_id, right)
    assert world.reading(case).state == "withdrawn"
    assert world.one(Order, Order.id == right.id).state in ("in progress", "performed")
    with pytest.raises(NotFound):
        world.ask(readings.get, world.actor("citysenior"), case)
