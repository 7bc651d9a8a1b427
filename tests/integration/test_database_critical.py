"""Critical results reach a person or climb the ladder, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.world import World
from worklist.actions import critical
from worklist.errors import BadInput, NotFound
from worklist.facts import ReportText
from worklist.tables import CriticalResult, OutboxRow


def _marked(world: World, words: str = "硬膜外血肿", doctor: str = "李医生") -> CriticalResult:
    reading_id = world.ready(world.order(ordering_doctor=doctor))
    by = world.actor("reader1")
    return world.do(critical.mark, by, reading_id, words, world.now)


def test_marking_before_signing_alerts_the_township_at_once(world: World) -> None:
    result = _marked(world)
    assert (result.state, result.institution_id) == ("notified", world.institutions["TS01"])
    assert result.escalate_at == world.now + timedelta(minutes=5)
    job = world.one(OutboxRow, OutboxRow.kind == "escalate_critical")
    assert job.thing_id == result.id


def test_unanswered_it_goes_to_the_townships_doctors_then_to_everyone_on_duty_in_turn(world: World) -> None:
    result = _marked(world)
    seen = []
    when = world.now
    for _ in range(4):
        again = world.do(critical.escalate, result.id, when)
        assert again is not None
        held = world.one(CriticalResult)
        seen.append(((when - world.now).total_seconds() / 60, held.state, [c["who"] for c in held.called]))
        when = again
    assert seen == [
        (0, "notified", []),
        (5, "escalated", ["李医生"]),
        (10, "escalated", ["李医生", "杨主任"]),
        (20, "escalated", ["李医生", "杨主任", "吴主任"]),
    ]


def test_without_an_ordering_doctor_the_townships_doctors_are_named(world: World) -> None:
    result = _marked(world, doctor="")
    world.do(critical.escalate, result.id, world.now + timedelta(minutes=5))
    assert [c["who"] for c in world.one(CriticalResult).called] == ["李医生"]


def test_a_clinician_answers_with_read_back_and_the_ladder_stops(world: World) -> None:
    result = _marked(world)
    doctor, stranger = world.actor("doc1"), world.actor("doc2")
    with pytest.raises(NotFound):
        world.do(critical.acknowledge, stranger, result.id, "血肿", world.now)
    with pytest.raises(BadInput, match="read_back_missing"):
        world.do(critical.acknowledge, doctor, result.id, " ", world.now)
    world.do(critical.acknowledge, doctor, result.id, "硬膜外血肿，急转", world.now)
    held = world.one(CriticalResult)
    assert (held.state, held.answered_by, held.answer_way) == ("acknowledged", "李医生", "page")
    assert world.do(critical.escalate, result.id, world.now + timedelta(hours=1)) is None
    with pytest.raises(BadInput, match="disposition_missing"):
        world.do(critical.dispose, doctor, result.id, "", world.now)
    world.do(critical.dispose, doctor, result.id, "已转县医院", world.now)
    assert world.one(CriticalResult).state == "disposed"


def test_a_telephone_call_is_recorded(world: World) -> None:
    result = _marked(world)
    by = world.actor("reader1")
    with pytest.raises(BadInput, match="who_answered_missing"):
        world.do(critical.record_call, by, result.id, "", "血肿", world.now)
    world.do(critical.record_call, by, result.id, "护士小周", "血肿", world.now)
    held = world.one(CriticalResult)
    assert (held.state, held.answered_by, held.answer_way) == ("acknowledged", "护士小周", "telephone")


def test_it_is_retracted_with_a_reason(world: World) -> None:
    result = _marked(world)
    by = world.actor("reader1")
    with pytest.raises(BadInput, match="reason_missing"):
        world.do(critical.retract, by, result.id, "", world.now)
    world.do(critical.retract, by, result.id, "伪影", world.now)
    assert world.one(CriticalResult).state == "retracted"
    assert world.do(critical.escalate, result.id, world.now + timedelta(hours=1)) is None


def test_other_words_supersede_and_the_same_words_change_nothing(world: World) -> None:
    first = _marked(world)
    by = world.actor("reader1")
    assert first.reading_id
    same = world.do(critical.mark, by, first.reading_id, "硬膜外血肿 ", world.now)
    assert same.id == first.id
    world.do(critical.mark, by, first.reading_id, "硬膜下血肿", world.now)
    assert sorted(c.state for c in world.rows(CriticalResult)) == ["notified", "superseded"]


def test_the_words_in_a_signed_report_mark_one_and_a_withdrawal_retracts_it(world: World) -> None:
    reading_id = world.ready()
    text = ReportText("颅内高密度影", "硬膜外血肿", "硬膜外血肿")
    world.signed(reading_id, text)
    assert world.one(CriticalResult).state == "notified"
    world.withdraw("senior1", reading_id)
    assert world.one(CriticalResult).state == "retracted"


def test_an_answered_result_is_not_alerted_again_when_the_report_is_signed(world: World) -> None:
    result = _marked(world)
    doctor = world.actor("doc1")
    world.do(critical.acknowledge, doctor, result.id, "血肿", world.now)
    assert result.reading_id
    world.signed(result.reading_id, ReportText("高密度影", "血肿", "硬膜外血肿"))
    assert world.one(CriticalResult).state == "acknowledged"
