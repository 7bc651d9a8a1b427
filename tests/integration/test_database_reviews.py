"""How words change hands, cases returned and answered, questions asked, recalled and taken, leases taken over."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from tests.integration.test_races import _at_once, _winners
from tests.world import TEXT, World
from worklist.actions import handing, looking, readings
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import ReportText
from worklist.queries import leases, reviews
from worklist.queries.views import CaseView
from worklist.tables import CaseReturn, Notice, Reading, Submission


def _case(world: World, login: str, reading_id: str) -> CaseView:
    return world.do(looking.open_case, world.actor(login), reading_id, world.now)


def test_each_change_of_hands_keeps_the_words(world: World) -> None:
    reading_id = world.ready()
    writer, senior = world.actor("reader1"), world.actor("senior1")
    world.write("reader1", reading_id, ReportText("右肺结节", "右肺结节"))
    world.submit("reader1", reading_id)
    world.write("senior1", reading_id, ReportText("左肺结节", "左肺结节"))
    world.do(readings.send_back, senior, reading_id, "请核对侧别", world.now)
    assert world.ask(reviews.unseen, writer) == 1
    world.write("reader1", reading_id, ReportText("左肺结节", "左肺小结节"))
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    world.sign("senior1", reading_id)
    handed = _case(world, "senior1", reading_id).handed
    assert [h.verb for h in handed] == ["sign", "submit", "send back", "submit"]
    assert [h.before.impression for h in handed] == ["左肺小结节", "左肺结节", "右肺结节", ""]
    assert world.ask(reviews.unseen, writer) == 1, "another's look is not the writer's, and signing changed nothing"
    (mine,) = world.ask(reviews.of_mine, writer, world.now).items
    assert (mine.handed.remark, mine.handed.seen) == ("请核对侧别", False)
    world.do(looking.open_case, writer, reading_id, world.now + timedelta(minutes=1))
    assert world.ask(reviews.unseen, writer) == 0
    assert [one.handed.seen for one in world.ask(reviews.of_mine, writer, world.now).items] == [True]
    assert world.ask(reviews.of_mine, senior, world.now).items == ()


def test_words_changed_at_signing_are_news_for_the_writer_and_nobody_else(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.write("senior1", reading_id, ReportText(TEXT.findings, "右肺上叶结节。"))
    world.sign("senior1", reading_id)
    assert world.ask(reviews.unseen, world.actor("reader1")) == 1
    told = world.rows(Notice, Notice.kind == "words changed")
    assert [n.user_id for n in told] == [world.users["reader1"]]
    for login in ("reader2", "senior1", "cityreader", "tech1"):
        assert world.ask(reviews.unseen, world.actor(login)) == 0, login


def test_a_return_is_counted_by_its_reason_and_answered_once(world: World) -> None:
    reading_id = world.ready()
    world.claim("reader1", reading_id)
    by = world.actor("reader1")
    with pytest.raises(BadInput, match="field_wrong"):
        world.do(handing.return_to_sender, by, reading_id, "重拍", world.now, reason="boredom")
    world.do(handing.return_to_sender, by, reading_id, "请屏气后重拍", world.now, reason="motion")
    back = world.one(CaseReturn)
    assert (back.reason, back.words, back.answered_at) == ("motion", "请屏气后重拍", None)
    with pytest.raises(NotFound):
        world.do(handing.answer_return, world.actor("tech2"), back.id, "不是我们的", world.now)
    answers = _at_once(
        [
            partial(world.do, handing.answer_return, world.actor("tech1"), back.id, f"明日{n}点", world.now)
            for n in range(8)
        ]
    )
    assert len(_winners(answers)) == 1
    assert _case(world, "reader1", reading_id).returns[0].answer == world.one(CaseReturn).answer


def test_a_named_expert_is_asked_and_a_colleague_may_answer(world: World) -> None:
    reading_id, city = world.ready(), world.centers["CITY"]
    by = world.actor("reader1")
    world.write("reader1", reading_id)
    with pytest.raises(BadInput, match="not_a_reader_here"):
        world.do(handing.refer, by, reading_id, city, "请会诊", world.now, expert_id=world.users["senior1"])
    with pytest.raises(BadInput, match="no_such_center"):
        world.do(handing.refer, by, reading_id, world.centers["CH01"], "请会诊", world.now)
    world.do(handing.refer, by, reading_id, city, "请会诊", world.now, expert_id=world.users["citysenior"])
    asked = world.one(Reading, Reading.asked_by_id == reading_id)
    assert asked.assigned_id == world.users["citysenior"]
    world.write("cityreader", asked.id, ReportText("", "考虑良性"))
    world.do(handing.answer_referral, world.actor("cityreader"), asked.id, world.now)
    assert world.reading(reading_id).note == "考虑良性"


def test_a_question_is_recalled_by_who_asked_until_it_is_answered(world: World) -> None:
    reading_id = world.ready()
    by, city = world.actor("reader1"), world.actor("cityreader")
    world.write("reader1", reading_id)
    world.do(handing.refer, by, reading_id, world.centers["CITY"], "请会诊", world.now)
    asked = world.one(Reading, Reading.asked_by_id == reading_id)
    world.write("cityreader", asked.id)
    with pytest.raises(Forbidden):
        world.do(handing.recall, world.actor("reader2"), reading_id, "不需要了", world.now)
    with pytest.raises(BadInput, match="reason_missing"):
        world.do(handing.recall, by, reading_id, " ", world.now)

    def recall() -> object:
        return world.do(handing.recall, by, reading_id, "不需要了", world.now)

    def answer() -> object:
        return world.do(handing.answer_referral, city, asked.id, world.now)

    assert len(_winners(_at_once([recall, answer]))) == 1
    assert world.reading(reading_id).state == "drafted"
    assert world.reading(asked.id).state == "closed without report"
    with pytest.raises(Conflict):
        recall()


def test_who_lost_a_case_learns_to_whom_and_why(world: World) -> None:
    reading_id = world.ready()
    world.write("reader1", reading_id)
    ended = world.ask(leases.of_case, world.actor("reader1"), reading_id, world.now + timedelta(hours=2))
    assert ended.mine
    assert ended.has_ended
    world.do(readings.take_over, world.actor("senior1"), reading_id, "急诊", world.now)
    lost = world.ask(leases.of_case, world.actor("reader1"), reading_id, world.now)
    assert (lost.mine, lost.taken_by, lost.taken_why) == (False, "杨主任", "急诊")
    other = world.ask(leases.of_case, world.actor("reader2"), reading_id, world.now)
    assert (other.mine, other.taken_by) == (False, "")
    with pytest.raises(NotFound):
        world.ask(leases.of_case, world.actor("cityreader"), reading_id, world.now)
    assert world.reading(reading_id).claimed_at == world.now


def test_a_reviewer_cannot_make_the_writer_of_record_sign(world: World) -> None:
    """Whoever wrote the words never signs them, however the case goes to and fro meanwhile."""
    reading_id = world.ready()
    world.write("senior1", reading_id)
    world.submit("senior1", reading_id)
    world.write("senior2", reading_id, ReportText("改", "改过"))
    world.do(readings.release, world.actor("senior2"), reading_id, world.now)
    world.claim("senior1", reading_id)
    with pytest.raises(Forbidden, match="signer_is_writer"):
        world.sign("senior1", reading_id)
    assert [s.verb for s in world.rows(Submission)] == ["submit"]
