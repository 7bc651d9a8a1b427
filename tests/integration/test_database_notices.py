"""Notices and the full ladder of critical results, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from tests.world import World
from worklist.actions import break_glass, calling, configuration, critical, handing, notices, readings, rota
from worklist.errors import Conflict, Forbidden, NotFound
from worklist.facts import ReportText
from worklist.queries import critical as critical_queries
from worklist.queries import figures, orders
from worklist.queries import notices as notice_queries
from worklist.queries.figure_views import Period
from worklist.tables import CriticalResult, Delivery, Notice, OnDuty, OutboxRow, User


def told(world: World, login: str) -> list[tuple[str, dict[str, Any]]]:
    """Unread notices of a person: kind and params."""
    rows = world.ask(notice_queries.mine, world.actor(login), only_unread=True)
    return [(n.kind, n.params) for n in rows]


def kinds(world: World, login: str) -> list[str]:
    """Kinds of a person's unread notices."""
    return [kind for kind, _params in told(world, login)]


def two_people(world: World) -> None:
    """The center asks for a second doctor before a critical result is announced."""
    fields = {"two_person_critical": True, "verify_minutes": 3}
    world.do(configuration.save_center, world.actor("admin"), fields, world.now, world.centers["CH01"])


def test_a_notice_is_given_once_until_it_is_read(world: World) -> None:
    id = world.users["reader1"]

    def tell(address: str) -> int:
        params = {"accession_number": "A1"}
        return world.do(notices.tell, [id, None, id], "case assigned", params, address, world.now)

    assert tell("/reading/1") == 1
    assert tell("/reading/1") == 0
    assert tell("/reading/2") == 1
    first = world.rows(Notice, Notice.address == "/reading/1")[0]
    with pytest.raises(NotFound):
        world.do(notices.read, world.actor("reader2"), first.id, world.now)
    assert world.do(notices.read, world.actor("reader1"), first.id, world.now) == "/reading/1"
    assert tell("/reading/1") == 1
    assert world.ask(notice_queries.unread, world.actor("reader1")) == 2
    world.do(notices.read_all, world.actor("reader1"), world.now)
    assert world.ask(notice_queries.unread, world.actor("reader1")) == 0
    assert len(world.ask(notice_queries.mine, world.actor("reader1"))) == 3


def test_people_are_told_of_what_became_of_their_work_and_never_who_the_patient_is(world: World) -> None:
    placed = world.order()
    reading_id = world.ready(placed)
    world.claim("reader1", reading_id)
    world.write("reader1", reading_id)
    world.submit("reader1", reading_id)
    world.claim("senior1", reading_id)
    world.do(readings.send_back, world.actor("senior1"), reading_id, "请补充", world.now)
    ((kind, params),) = told(world, "reader1")
    assert kind == "case sent back"
    assert params == {"accession_number": placed.accession_number, "by": world.actor("senior1").shown}
    world.claim("reader1", reading_id)
    world.do(readings.take_over, world.actor("senior1"), reading_id, "急", world.now)
    assert kinds(world, "reader1") == ["case taken over", "case sent back"]
    world.do(handing.return_to_sender, world.actor("senior1"), reading_id, "运动伪影", world.now)
    assert kinds(world, "tech1") == kinds(world, "doc1") == ["case returned"]
    assert kinds(world, "doc2") == []


def test_a_withdrawn_report_is_told_to_who_ordered(world: World) -> None:
    reading_id = world.ready(world.order())
    world.signed(reading_id)
    assert kinds(world, "doc1") == []
    world.withdraw("senior1", reading_id)
    assert kinds(world, "tech1") == kinds(world, "doc1") == ["report changed"]


def test_the_auditor_is_told_when_the_glass_is_broken(world: World) -> None:
    placed = world.order()
    patient = world.order_now(placed).patient_id
    assert patient is not None
    world.do(break_glass.open_patient, world.actor("doc2"), patient, "昏迷送来急诊", world.now)
    assert kinds(world, "auditor") == ["glass broken"]


def test_a_second_doctor_verifies_before_it_is_announced(world: World) -> None:
    two_people(world)
    reading_id = world.ready(world.order())
    reader, senior = world.actor("reader1"), world.actor("senior1")
    result = world.do(critical.mark, reader, reading_id, "硬膜外血肿", world.now)
    assert (result.state, result.notified_at) == ("detected", None)
    doctor = world.actor("doc1")
    assert world.ask(orders.criticals, doctor) == []
    with pytest.raises(NotFound):
        world.do(critical.acknowledge, doctor, result.id, "血肿", world.now)
    with pytest.raises(NotFound):
        world.ask(critical_queries.one, doctor, result.id, world.now)
    assert kinds(world, "doc1") == []
    on_list = {u for tier in world.ask(calling.on_call, world.centers["CH01"], world.now) for u in tier}
    for login, id in world.users.items():
        assert (kinds(world, login) == ["critical verify"]) == (id in on_list), login
    with pytest.raises(Forbidden, match="second_person_needed"):
        world.do(critical.verify, reader, result.id, world.now)
    later = world.now + timedelta(minutes=1)
    world.do(critical.verify, senior, result.id, later)
    held = world.one(CriticalResult)
    assert (held.state, held.verified_by, held.notified_at) == ("notified", senior.id, later)
    assert held.escalate_at == later + timedelta(minutes=5)
    assert kinds(world, "doc1") == kinds(world, "tech1") == ["critical"]
    assert not [login for login in world.users if "critical verify" in kinds(world, login)]
    assert world.do(critical.announce_unverified, result.id, later + timedelta(minutes=9)) is None
    page = world.ask(critical_queries.one, doctor, result.id, later)
    assert page.may_acknowledge
    assert not page.row.is_unverified
    world.do(critical.acknowledge, doctor, result.id, "血肿", later)
    assert kinds(world, "doc1") == kinds(world, "tech1") == []
    assert kinds(world, "reader1") == ["critical answered"]


def test_what_nobody_verifies_in_time_is_announced_and_says_so(world: World) -> None:
    two_people(world)
    reading_id = world.ready(world.order())
    result = world.do(critical.mark, world.actor("reader1"), reading_id, "硬膜外血肿", world.now)
    assert world.one(OutboxRow, OutboxRow.kind == critical.VERIFY_JOB).thing_id == result.id
    due = world.do(critical.announce_unverified, result.id, world.now)
    assert due == world.now + timedelta(minutes=3)
    assert world.do(critical.announce_unverified, result.id, due) is None
    held = world.one(CriticalResult)
    assert (held.state, held.verified_by, held.escalate_at) == ("notified", None, due + timedelta(minutes=5))
    assert world.one(OutboxRow, OutboxRow.kind == "escalate_critical").thing_id == result.id
    (view,) = world.ask(orders.criticals, world.actor("doc1"))
    assert view.is_unverified


def test_alone_at_night_one_doctor_looks_twice(world: World) -> None:
    two_people(world)
    hours = {"preliminary_hours": [("00:00", "23:59")]}
    world.do(configuration.save_center, world.actor("admin"), hours, world.now, world.centers["CH01"])
    reading_id = world.ready(world.order())
    reader = world.actor("reader1")
    result = world.do(critical.mark, reader, reading_id, "硬膜外血肿", world.now)
    world.do(critical.verify, reader, result.id, world.now)
    assert world.one(CriticalResult).state == "notified"


def test_writing_and_signing_are_two_looks(world: World) -> None:
    two_people(world)
    reading_id = world.ready(world.order())
    world.signed(reading_id, ReportText("见出血灶。", "脑出血。", "急性脑出血"))
    held = world.one(CriticalResult)
    assert (held.state, held.verified_by) == ("notified", held.marked_by)
    assert not world.ask(orders.criticals, world.actor("doc1"))[0].is_unverified


def test_the_ladder_climbs_from_the_township_through_the_tiers_of_the_rota(world: World) -> None:
    center, manager = world.centers["CH01"], world.actor("manager")
    hour = timedelta(hours=1)
    for login, duty in (("reader2", "first call"), ("senior2", "second call")):
        who = world.users[login]
        world.do(rota.add_shift, manager, center, who, duty, world.now - hour, world.now + hour, world.now)
    reading_id = world.ready(world.order(ordering_doctor="周医生"))
    result = world.do(critical.mark, world.actor("reader1"), reading_id, "硬膜外血肿", world.now)
    for minutes in (5, 10, 20):
        world.do(critical.escalate, result.id, world.now + timedelta(minutes=minutes))
    called = world.one(CriticalResult).called
    doctor, first, second = (world.users[login] for login in ("doc1", "reader2", "senior2"))
    assert [c["users"] for c in called] == [[doctor], [first], [second]]
    assert called[0]["who"].startswith("周医生, ")
    assert kinds(world, "reader2") == kinds(world, "senior2") == ["critical"]
    page = world.ask(critical_queries.one, world.actor("reader1"), result.id, world.now)
    assert [[p.name for p in call.people] for call in page.calls][1] == [world.actor("reader2").shown]


def test_without_shifts_the_tiers_of_the_list_are_called_together(world: World) -> None:
    center = world.centers["CH01"]

    def together(session: Session) -> None:
        for row in session.query(OnDuty).filter(OnDuty.center_id == center):
            row.tier = 1

    world.do(together)
    (tier,) = world.ask(calling.on_call, center, world.now)
    assert len(tier) == 2


def test_a_telephone_number_is_shown_to_who_must_call(world: World) -> None:
    def phone(session: Session) -> None:
        session.get_one(User, world.users["doc1"]).phone = "13800000000"

    world.do(phone)
    result = world.do(critical.mark, world.actor("reader1"), world.ready(world.order()), "硬膜外血肿", world.now)
    page = world.ask(critical_queries.one, world.actor("reader1"), result.id, world.now)
    assert [(p.name, p.phone) for p in page.doctors] == [(world.actor("doc1").shown, "13800000000")]
    assert (page.may_record_call, page.may_acknowledge) == (True, False)


def test_a_drill_goes_up_the_ladder_and_nowhere_else(world: World) -> None:
    manager, center, town = world.actor("manager"), world.centers["CH01"], world.institutions["TS01"]
    with pytest.raises(Forbidden):
        world.do(critical.drill, world.actor("reader1"), center, town, "演练", world.now)
    result = world.do(critical.drill, manager, center, town, "演练：脑出血", world.now)
    with pytest.raises(Conflict, match="drill_is_running"):
        world.do(critical.drill, manager, center, town, "演练", world.now)
    assert told(world, "doc1") == [("critical", {"drill": True})]
    (view,) = world.ask(orders.criticals, world.actor("doc1"))
    assert (view.is_drill, view.reading_id, view.patient_name.shown) == (True, "", "")
    world.do(critical.escalate, result.id, world.now + timedelta(minutes=5))
    assert world.one(CriticalResult).step == 1
    doctor = world.actor("doc1")
    world.do(critical.acknowledge, doctor, result.id, "收到演练", world.now + timedelta(minutes=6))
    world.do(critical.dispose, doctor, result.id, "演练结束", world.now + timedelta(minutes=8))
    assert world.one(CriticalResult).state == "disposed"
    day = world.now.date()
    period = Period(day - timedelta(days=1), day + timedelta(days=1), ZoneInfo("Asia/Shanghai"))
    assert world.ask(figures.criticals, manager, period) == []
    assert world.rows(Delivery) == []
    assert world.ask(critical_queries.of_period, manager, period.since, period.until) == []
    (line,) = world.ask(critical_queries.of_period, manager, period.since, period.until, drills=True)
    assert (line.to_notify, line.to_answer, line.to_dispose) == (0, 6, 2)
    assert (line.answered_in_time, line.disposed_in_time, line.is_open) == (True, True, False)


def test_the_report_shows_open_ones_first_and_late_ones_as_late(world: World) -> None:
    reader, doctor = world.actor("reader1"), world.actor("doc1")
    early = world.do(critical.mark, reader, world.ready(world.order()), "脑出血", world.now)
    late = world.do(critical.mark, reader, world.ready(world.order()), "气胸", world.now + timedelta(minutes=1))
    world.do(critical.acknowledge, doctor, late.id, "气胸", world.now + timedelta(minutes=31))
    world.do(critical.dispose, doctor, late.id, "转院", world.now + timedelta(minutes=71))
    since, until = world.now - timedelta(hours=1), world.now + timedelta(hours=2)
    lines = world.ask(critical_queries.of_period, world.actor("manager"), since, until)
    assert [(line.row.id, line.is_open) for line in lines] == [(early.id, True), (late.id, False)]
    assert (lines[1].to_answer, lines[1].answered_in_time) == (30, False)
    assert (lines[1].to_dispose, lines[1].disposed_in_time) == (40, False)
    assert world.ask(critical_queries.of_period, world.actor("doc2"), since, until) == []
