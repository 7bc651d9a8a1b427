"""The rota, cases given by hand, and figures, on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from tests.world import World
from worklist.actions import assigning, critical, rota
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.queries import figure_cases, figures, to_assign, today
from worklist.queries import rota as rotas
from worklist.queries.figure_cases import Behind
from worklist.queries.figure_views import Period
from worklist.tables import AuditRow, CaseReturn, CriticalResult, Reading, Shift

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
MONDAY: Final = date(2026, 3, 2)


def local(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    """A local time of the county."""
    return datetime(2026, month, day, hour, minute, tzinfo=SHANGHAI).astimezone(UTC)


def put(world: World, login: str, duty: str, starts: datetime, ends: datetime) -> Shift:
    """A shift, by the manager."""
    return world.do(
        rota.add_shift,
        world.actor("manager"),
        world.centers["CH01"],
        world.users[login],
        duty,
        starts,
        ends,
        world.now,
    )


def on_duty(world: World, duty: str, at: datetime) -> list[str]:
    """Logins of who is on a duty."""
    logins = {id: login for login, id in world.users.items()}
    return [logins[id] for id in world.ask(rotas.on_duty, world.centers["CH01"], duty, at)]


def test_who_is_on_duty_now(world: World) -> None:
    put(world, "reader1", "first call", local(2, 17, 30), local(3, 8))
    put(world, "reader2", "first call", local(2, 20), local(3, 8))
    put(world, "senior1", "second call", local(2, 17, 30), local(3, 8))
    assert on_duty(world, "first call", local(2, 17, 29)) == []
    assert on_duty(world, "first call", local(2, 17, 30)) == ["reader1"]
    assert on_duty(world, "first call", local(2, 23)) == ["reader1", "reader2"]
    assert on_duty(world, "second call", local(2, 23)) == ["senior1"]
    assert on_duty(world, "first call", local(3, 8)) == []


def test_who_is_away_is_on_no_duty(world: World) -> None:
    manager, center = world.actor("manager"), world.centers["CH01"]
    put(world, "reader1", "first call", local(2, 0), local(4, 0))
    away = world.do(
        rota.add_absence, manager, center, world.users["reader1"], local(3, 0), local(3, 12), world.now, note="进修"
    )
    assert on_duty(world, "first call", local(2, 12)) == ["reader1"]
    assert on_duty(world, "first call", local(3, 1)) == []
    assert world.ask(rotas.is_absent, world.users["reader1"], local(3, 1))
    assert not world.ask(rotas.is_absent, world.users["reader1"], local(3, 12))
    world.do(rota.remove_absence, manager, center, away.id, world.now)
    assert on_duty(world, "first call", local(3, 1)) == ["reader1"]


def test_a_week_is_copied_once_and_says_what_is_missing(world: World) -> None:
    manager, center = world.actor("manager"), world.centers["CH01"]
    for day in range(2, 9):
        put(world, "reader1", "first call", local(day, 8), local(day + 1, 0) if day == 8 else local(day + 1, 8))
    put(world, "reader1", "reading", local(4, 8), local(4, 12))
    week = world.ask(rotas.week, manager, center, MONDAY, world.now)
    assert [(g.duty, g.starts_at, g.ends_at) for g in week.gaps if g.duty == "first call"] == [
        ("first call", local(2, 0), local(2, 8))
    ]
    assert week.unmanned == ("review", "second call")
    assert world.do(rota.copy_week, manager, center, local(2, 0), local(9, 0), world.now) == 8
    assert world.do(rota.copy_week, manager, center, local(2, 0), local(9, 0), world.now) == 0
    assert on_duty(world, "first call", local(10, 12)) == ["reader1"]
    assert [a.action for a in world.rows(AuditRow, AuditRow.action == "rota copied")] == ["rota copied"]
    empty = world.ask(rotas.week, manager, center, MONDAY + timedelta(days=70), world.now)
    assert (empty.gaps, empty.unmanned) == ((), ())


def test_a_rota_is_its_managers(world: World) -> None:
    shift = put(world, "reader1", "reading", local(2, 8), local(2, 12))
    city = world.centers["CITY"]
    with pytest.raises(NotFound, match="no_such_center"):
        world.do(
            rota.add_shift,
            world.actor("manager"),
            city,
            world.users["cityreader"],
            "reading",
            local(2, 8),
            local(2, 9),
            world.now,
        )
    with pytest.raises(NotFound, match="no_such_shift"):
        world.do(rota.remove_shift, world.actor("citysenior"), shift.id, world.now)
    with pytest.raises(Forbidden):
        world.ask(rotas.week, world.actor("senior1"), world.centers["CH01"], MONDAY, world.now)
    with pytest.raises(BadInput, match="not_a_reader_here"):
        put(world, "cityreader", "reading", local(2, 8), local(2, 9))
    for duty, starts, ends, code in (
        ("cooking", local(2, 8), local(2, 9), "duty_unknown"),
        ("reading", local(2, 9), local(2, 8), "times_wrong"),
        ("reading", local(2, 8), local(20, 8), "shift_too_long"),
    ):
        with pytest.raises(BadInput, match=code):
            put(world, "reader1", duty, starts, ends)


def give(world: World, ids: list[str], login: str | None, *, by: str = "manager", **more: Any) -> assigning.Assigned:
    """Cases given to somebody."""
    user_id = world.users[login] if login else None
    return world.do(assigning.assign, world.actor(by), ids, user_id, "分流", world.now, **more)


def test_cases_are_given_and_freed_with_a_reason(world: World) -> None:
    first, second = world.ready(), world.ready()
    assert give(world, [first, second], "reader2").done == (first, second)
    assert world.reading(first).assigned_id == world.users["reader2"]
    row = world.rows(AuditRow, AuditRow.action == "case assigned")[0]
    assert (row.why, row.detail["to"]) == ("分流", world.users["reader2"])
    give(world, [first], None)
    assert world.reading(first).assigned_id is None
    page = world.ask(
        to_assign.cases,
        world.actor("manager"),
        world.centers["CH01"],
        world.now,
        filters={"who": world.users["reader2"]},
    )
    assert [(c.id, c.assigned) for c in page.items] == [(second, "刘医师")]
    given = {
        c.name: c.given for c in world.ask(to_assign.readers, world.actor("manager"), world.centers["CH01"], world.now)
    }
    assert given == {"陈医师": 0, "刘医师": 1, "杨主任": 0, "吴主任": 0}


def test_a_case_that_somebody_reads_stays_theirs_unless_it_is_taken_over(world: World) -> None:
    held, free = world.ready(), world.ready()
    world.write("reader1", held)
    done = give(world, [held, free], "reader2")
    assert (done.done, done.refused) == ((free,), ((held, "held_by_another"),))
    assert world.reading(held).holder_id == world.users["reader1"]
    assert give(world, [held], "reader1").done == (held,)  # they have it already
    assert give(world, [held], "reader2", take_over=True).done == (held,)
    taken = world.reading(held)
    assert (taken.holder_id, taken.assigned_id, taken.state) == (None, world.users["reader2"], "drafted")
    assert world.rows(AuditRow, AuditRow.action == "case taken over")[0].detail == {"from": world.users["reader1"]}


def test_who_cannot_be_given_a_case(world: World) -> None:
    case, reviewed = world.ready(), world.ready()
    world.write("reader1", reviewed)
    world.submit("reader1", reviewed)
    assert give(world, [reviewed], "reader2").refused == ((reviewed, "reviewer_needed"),)
    assert give(world, [reviewed], "senior1").done == (reviewed,)
    with pytest.raises(BadInput, match="not_a_reader_here"):
        give(world, [case], "cityreader")
    with pytest.raises(NotFound):
        give(world, [case], "reader2", by="senior1")
    signed = world.ready()
    world.signed(signed)
    assert give(world, [signed], "reader2").refused == ((signed, "nothing_to_read"),)
    world.do(
        rota.add_absence,
        world.actor("manager"),
        world.centers["CH01"],
        world.users["reader2"],
        world.now - timedelta(hours=1),
        world.now + timedelta(hours=1),
        world.now,
    )
    with pytest.raises(Conflict, match="reader_is_absent"):
        give(world, [case], "reader2")
    for ids, why, code in (([], "x", "nothing_chosen"), ([case], " ", "reason_missing")):
        with pytest.raises(BadInput, match=code):
            world.do(assigning.assign, world.actor("manager"), ids, None, why, world.now)


WEEK: Final = Period(MONDAY, MONDAY + timedelta(days=6), SHANGHAI)
NOW: Final = local(2, 16)


@pytest.fixture
def busy(world: World) -> World:
    """Signed on time and late, open, returned, critical, from two townships."""
    for minutes in (30, 60, 300):  # routine: 240 minutes
        reading_id = world.ready(at=local(2, 9))
        world.signed(reading_id, at=local(2, 9) + timedelta(minutes=minutes))
    dr = world.ready(procedure="DR-CHEST", town="TS02", priority="URGENT", at=local(2, 9))
    world.signed(dr, at=local(2, 10))
    world.ready(at=local(2, 10))  # overdue since 14:00
    world.claim("reader1", world.ready(at=local(2, 15)), at=local(2, 15, 50))
    review = world.ready(at=local(2, 15))
    world.write("reader2", review, at=local(2, 15))
    world.submit("reader2", review, at=local(2, 15))
    marked = world.ready(at=local(2, 15))
    world.do(critical.mark, world.actor("reader1"), marked, "出血", local(2, 15))
    world.scan(world.order(), 2, at=local(2, 15, 59))
    return world


def test_today_counts_what_is_open_and_lists_it(busy: World) -> None:
    manager = busy.actor("manager")
    rows = busy.ask(today.today, manager, NOW)
    one = next(r for r in rows if r.site.id == busy.institutions["TS01"])
    assert (one.waiting, one.reading, one.in_review, one.overdue, one.returned, one.arriving) == (2, 1, 1, 1, 0, 1)
    for kind, count in (("waiting", 2), ("being read", 1), ("in review", 1), ("overdue", 1), ("open", 4)):
        page = busy.ask(figure_cases.cases, manager, Behind(kind), NOW)
        assert len(page.items) == count, kind


def test_a_period_is_counted_and_every_number_has_its_cases(busy: World) -> None:
    manager = busy.actor("manager")
    (all_,) = busy.ask(figures.turnaround, manager, WEEK)
    assert (all_.count, all_.measured, all_.median, all_.p90) == (4, 4, 60, 300)
    assert (all_.limited, all_.on_time) == (4, 3)
    by_site = {r.key: (r.count, r.on_time) for r in busy.ask(figures.turnaround, manager, WEEK, "", "site")}
    assert by_site == {busy.institutions["TS01"]: (3, 2), busy.institutions["TS02"]: (1, 1)}
    by_procedure = {r.name: r.count for r in busy.ask(figures.turnaround, manager, WEEK, "", "procedure")}
    assert by_procedure == {"头颅CT平扫": 3, "胸部正位片": 1}
    by_priority = {r.key: r.count for r in busy.ask(figures.turnaround, manager, WEEK, "", "priority")}
    assert by_priority == {"ROUTINE": 3, "URGENT": 1}
    assert [(r.key, r.count) for r in busy.ask(figures.turnaround, manager, WEEK, "", "modality")] == [("CT", 4)]
    for behind, count in (
        (Behind("signed", period=WEEK), 4),
        (Behind("late", period=WEEK), 1),
        (Behind("on time", period=WEEK, site=busy.institutions["TS01"]), 2),
        (Behind("signed", period=WEEK, procedure=busy.procedures["DR-CHEST"]), 1),
        (Behind("signed", period=WEEK, modality="CT"), 4),
        (Behind("received", period=WEEK), 8),
        (Behind("critical", period=WEEK), 1),
        (Behind("written", period=WEEK, person=busy.users["reader1"]), 4),
        (Behind("reviewed", period=WEEK, person=busy.users["senior1"]), 4),
    ):
        assert len(busy.ask(figure_cases.cases, manager, behind, NOW).items) == count, behind
    trend = busy.ask(figures.trend, manager, WEEK)
    assert len(trend) == 7
    assert (trend[0].first, trend[0].last, trend[0].received, trend[0].signed) == (MONDAY, MONDAY, 8, 4)
    assert sum(t.received + t.signed for t in trend[1:]) == 0
    work = {w.name: (w.written, w.reviewed, w.signed) for w in busy.ask(figures.workload, manager, WEEK)}
    assert work == {"陈医师": (4, 0, 0), "杨主任": (0, 4, 4)}
    before = Period(MONDAY - timedelta(days=7), MONDAY - timedelta(days=1), SHANGHAI)
    assert busy.ask(figures.turnaround, manager, before) == []


def test_returns_and_grades_by_site(busy: World) -> None:
    manager = busy.actor("manager")
    one = busy.rows(Reading, Reading.state == "signed")[0]

    def note(session: Any) -> None:
        for reason, at in (("a", local(2, 12)), ("b", local(2, 13)), ("a", local(20, 12))):
            session.add(
                CaseReturn(
                    reading_id=one.id,
                    center_id=one.center_id,
                    institution_id=one.institution_id,
                    reason=reason,
                    by_id=busy.users["reader1"],
                    at=at,
                )
            )
        for grade, reading in zip(("A", "A", "C"), session.query(Reading).order_by(Reading.id), strict=False):
            reading.image_grade = grade

    busy.database.write(note)
    rows = {r.site.id: r for r in busy.ask(figures.returns, manager, WEEK)}
    row = rows[one.institution_id]
    assert (row.received, row.returned, row.reasons) == (7, 2, {"a": 1, "b": 1})
    behind = Behind("returns", period=WEEK, reason="b")
    assert [r.id for r in busy.ask(figure_cases.cases, manager, behind, NOW).items] == [one.id]
    grades = {r.site.id: r.grades for r in busy.ask(figures.grades, manager, WEEK)}
    assert grades[busy.institutions["TS01"]] == {"A": 2, "C": 1}
    assert len(busy.ask(figure_cases.cases, manager, Behind("graded", period=WEEK, grade="none"), NOW).items) == 5


def test_critical_results_are_timed_and_drills_are_none(busy: World) -> None:
    result = busy.one(CriticalResult)

    def answer(session: Any) -> None:
        row = session.get_one(CriticalResult, result.id)
        row.notified_at = row.marked_at + timedelta(minutes=1)
        row.answered_at = row.marked_at + timedelta(minutes=8)
        row.closed_at = row.marked_at + timedelta(minutes=45)

    busy.database.write(answer)
    (row,) = busy.ask(figures.criticals, busy.actor("manager"), WEEK)
    assert (row.marked, row.to_notify, row.to_answer, row.to_dispose) == (1, 1, 7, 45)
    assert (row.answered_in_time, row.disposed_in_time, row.disposed) == (1, 0, 1)

    def drill(session: Any) -> None:
        session.get_one(CriticalResult, result.id).is_drill = True

    busy.database.write(drill)
    assert busy.ask(figures.criticals, busy.actor("manager"), WEEK) == []


def test_nobody_sees_figures_of_another_center(busy: World) -> None:
    for login in ("citysenior", "senior1", "tech1", "admin", "auditor"):
        by = busy.actor(login)
        assert busy.ask(today.today, by, NOW) == []
        assert busy.ask(figures.turnaround, by, WEEK) == []
        assert busy.ask(figures.returns, by, WEEK) == []
        assert busy.ask(figures.workload, by, WEEK) == []
        assert busy.ask(figure_cases.cases, by, Behind("open"), NOW).items == ()
        with pytest.raises(NotFound, match="no_such_center"):
            busy.ask(today.today, by, NOW, busy.centers["CH01"])
    with pytest.raises(NotFound, match="no_such_center"):
        busy.ask(figures.trend, busy.actor("manager"), WEEK, busy.centers["CITY"])


def test_pages_of_cases_follow_each_other_without_loss(busy: World) -> None:
    manager = busy.actor("manager")
    for behind in (Behind("signed", period=WEEK), Behind("received", period=WEEK), Behind("open")):
        whole = [r.id for r in busy.ask(figure_cases.cases, manager, behind, NOW).items]
        found: list[str] = []
        after = ""
        while True:
            page = busy.ask(figure_cases.cases, manager, behind, NOW, after=after, limit=2)
            found += [r.id for r in page.items]
            after = page.next
            if not after:
                break
        assert found == whole
    with pytest.raises(BadInput):
        busy.ask(figure_cases.cases, manager, Behind("signed"), NOW)


def test_the_number_of_statements_does_not_grow(busy: World) -> None:
    manager = busy.actor("manager")
    counted: list[str] = []
    event.listen(busy.database.engine, "before_cursor_execute", lambda *a: counted.append(a[2]))

    def all_of_it() -> int:
        counted.clear()
        busy.ask(today.today, manager, NOW)
        for query in (figures.returns, figures.grades, figures.criticals, figures.workload, figures.trend):
            busy.ask(query, manager, WEEK)
        return len(counted)

    before = all_of_it()
    for town in ("TS01", "TS02"):
        for _ in range(3):
            busy.signed(busy.ready(town=town, at=local(2, 9)), at=local(2, 11))
            busy.ready(town=town, at=local(2, 11))
    assert all_of_it() == before
