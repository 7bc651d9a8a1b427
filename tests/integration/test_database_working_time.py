"""Working time where it counts: due times, turnaround, the calendar's changes, and who keeps them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from tests.world import World
from worklist.actions import calendars, handing
from worklist.errors import BadInput, Forbidden, NotFound
from worklist.facts import ReportText
from worklist.queries import rota
from worklist.tables import AuditRow, CalendarDay, Center, Study

OFFICE: Final = [["08:00", "12:00"], ["14:00", "17:30"]]
WEEK: Final[list[Any]] = [OFFICE] * 5 + [[], []]
SHANGHAI: Final = ZoneInfo("Asia/Shanghai")


def local(text: str) -> datetime:
    """A local time of the county."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


FRIDAY: Final = local("2026-03-06T17:00")
MONDAY: Final = local("2026-03-09T08:00")


@pytest.fixture
def office(world: World) -> World:
    """The county, whose center works in the week only."""
    world.do(calendars.save_week, world.actor("manager"), world.centers["CH01"], WEEK, world.now)
    return world


def test_routine_waits_for_monday_and_stat_does_not(office: World) -> None:
    routine = office.reading(office.ready(at=FRIDAY))
    urgent = office.reading(office.ready(at=FRIDAY, priority="URGENT"))
    stat = office.reading(office.ready(at=FRIDAY, priority="STAT"))
    assert routine.ready_at == urgent.ready_at == stat.ready_at == FRIDAY
    assert (routine.due_at, urgent.due_at) == (local("2026-03-09T11:30"), local("2026-03-09T09:30"))
    assert stat.due_at == FRIDAY + timedelta(hours=1)


def test_a_center_without_hours_counts_round_the_clock(world: World) -> None:
    reading_id = world.ready(at=FRIDAY)
    assert world.reading(reading_id).due_at == FRIDAY + timedelta(hours=4)
    world.signed(reading_id, at=MONDAY)
    assert world.reading(reading_id).turnaround_minutes == 63 * 60


def test_turnaround_counts_working_time_to_the_first_final_report(office: World) -> None:
    reading_id = office.ready(at=FRIDAY)
    office.signed(reading_id, at=local("2026-03-09T09:10"))
    signed = office.reading(reading_id)
    assert (signed.signed_at, signed.turnaround_minutes) == (local("2026-03-09T09:10"), 30 + 70)
    later = local("2026-03-09T15:00")
    office.correct("reader2", reading_id, ReportText("改", "改"), at=later)
    office.submit("reader2", reading_id, at=later)
    office.claim("senior2", reading_id, at=later)
    office.sign("senior2", reading_id, at=later)
    assert office.reading(reading_id).signed_at == signed.signed_at


def test_images_that_still_arrive_start_nothing(office: World) -> None:
    placed = office.order(priority="STAT")
    office.scan(placed, 2, at=FRIDAY)
    reading = office.reading_of(placed)
    assert reading.ready_at is None
    office.check_arrival(office.one(Study).id, FRIDAY + timedelta(hours=1))
    assert office.reading_of(placed).ready_at == FRIDAY + timedelta(hours=1)


def test_a_returned_case_starts_anew_when_its_images_are_there_again(office: World) -> None:
    placed = office.order()
    reading_id = office.ready(placed, at=FRIDAY)
    office.claim("reader1", reading_id, at=FRIDAY)
    office.do(handing.return_to_sender, office.actor("reader1"), reading_id, "模糊", FRIDAY)
    returned = office.reading(reading_id)
    assert (returned.ready_at, returned.due_at) == (None, None)
    office.ready(placed, at=MONDAY + timedelta(hours=1))
    again = office.reading(reading_id)
    assert (again.state, again.ready_at) == ("unread", MONDAY + timedelta(hours=1))
    assert again.due_at == local("2026-03-09T15:00")
    office.signed(reading_id, at=MONDAY + timedelta(hours=2))
    assert office.reading(reading_id).turnaround_minutes == 60


def test_a_holiday_moves_what_is_due_and_taking_it_back_too(office: World) -> None:
    manager, center = office.actor("manager"), office.centers["CH01"]
    reading_id = office.ready(at=FRIDAY)
    stat = office.ready(at=FRIDAY, priority="STAT")
    before = office.reading(stat).due_at
    assert office.do(calendars.set_days, manager, center, "20260309", "20260310", [], "清明", FRIDAY) == 2
    assert office.reading(reading_id).due_at == local("2026-03-11T11:30")
    # The Sunday is worked instead.
    office.do(calendars.set_days, manager, center, "20260308", "20260308", OFFICE, "调休", FRIDAY)
    assert office.reading(reading_id).due_at == local("2026-03-08T11:30")
    assert office.do(calendars.remove_days, manager, center, "20260308", "20260310", FRIDAY) == 3
    assert office.reading(reading_id).due_at == local("2026-03-09T11:30")
    assert office.reading(stat).due_at == before
    assert office.rows(CalendarDay) == []
    actions = [row.action for row in office.rows(AuditRow, AuditRow.thing == "center")]
    assert actions.count("calendar days set") == 2
    assert actions.count("calendar days removed") == 1


def test_a_signed_case_keeps_the_promise_it_was_measured_by(office: World) -> None:
    reading_id = office.ready(at=FRIDAY)
    due = office.reading(reading_id).due_at
    office.signed(reading_id, at=FRIDAY)
    office.do(
        calendars.set_days, office.actor("manager"), office.centers["CH01"], "20260309", "20260310", [], "", FRIDAY
    )
    assert office.reading(reading_id).due_at == due


def test_cases_that_are_joined_are_due_with_the_earlier_one(office: World) -> None:
    first = office.ready(at=FRIDAY)
    second = office.ready(at=FRIDAY + timedelta(minutes=10), priority="URGENT")
    office.claim("reader1", first, at=FRIDAY)
    office.do(handing.join, office.actor("reader1"), first, second, "一并", FRIDAY)
    joined = office.reading(first)
    assert (joined.ready_at, joined.due_at) == (FRIDAY, local("2026-03-09T09:40"))


@pytest.mark.parametrize(
    ("week", "code"),
    [
        ([[]] * 7, "week_never_works"),
        ([OFFICE] * 6, "working_hours_wrong"),
        ([[["12:00", "08:00"]]] + [[]] * 6, "working_hours_wrong"),
        ([[["08:00"]]] + [[]] * 6, "working_hours_wrong"),
        ([None] * 7, "working_hours_wrong"),
    ],
)
def test_a_week_that_is_none(world: World, week: list[Any], code: str) -> None:
    with pytest.raises(BadInput, match=code):
        world.do(calendars.save_week, world.actor("manager"), world.centers["CH01"], week, world.now)


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [("20260230", "20260301", "days_wrong"), ("20260302", "20260301", "days_wrong"), ("20260101", "20280101", "range")],
)
def test_days_that_are_none(world: World, first: str, last: str, code: str) -> None:
    with pytest.raises(BadInput, match=code):
        world.do(calendars.set_days, world.actor("manager"), world.centers["CH01"], first, last, [], "", world.now)


def test_only_its_manager_and_the_admin_keep_a_calendar(world: World) -> None:
    own, other = world.centers["CH01"], world.centers["CITY"]
    world.do(calendars.save_week, world.actor("admin"), other, WEEK, world.now)
    with pytest.raises(NotFound):
        world.do(calendars.save_week, world.actor("manager"), other, WEEK, world.now)
    with pytest.raises(Forbidden):
        world.do(calendars.save_week, world.actor("senior1"), own, WEEK, world.now)
    assert world.one(Center, Center.id == own).working_hours == []


def test_the_preview_says_when_an_order_would_be_due(office: World) -> None:
    found = office.ask(
        rota.would_be_due, office.actor("manager"), office.centers["CH01"], FRIDAY, {"STAT": 60, "ROUTINE": 240}
    )
    assert dict(found) == {
        "STAT": FRIDAY + timedelta(hours=1),
        "URGENT": local("2026-03-09T09:30"),
        "ROUTINE": local("2026-03-09T11:30"),
    }
