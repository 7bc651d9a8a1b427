"""The readers' list: filters, order, the next case, saved views; and what moved since the last look."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest

from tests.world import TEXT, World
from worklist.actions import desk, handing, readings
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import close_session, open_session
from worklist.queries import desk as kept
from worklist.queries import reading_list
from worklist.queries.news import News, Watch
from worklist.queries.reading_list import Filters
from worklist.tables import Notice, Reading, WebSession


def listed(world: World, login: str = "reader1", **filters: object) -> list[str]:
    """The ids of the list as somebody narrows it."""
    page = world.ask(reading_list.worklist, world.actor(login), world.now, Filters(**filters))  # type: ignore[arg-type]
    return [row.id for row in page.items]


def assign(world: World, reading_id: str, login: str) -> None:
    """Give a case to somebody, as a manager does."""

    def work(session, _by, _now):  # type: ignore[no-untyped-def]
        session.get_one(Reading, reading_id).assigned_id = world.users[login]

    world.do(work, world.actor("manager"), world.now)


def test_filters_narrow_together(world: World) -> None:
    head = world.ready(world.order("CT-HEAD", priority="STAT", patient=world.patient("10002", "李静")))
    chest = world.ready(world.order("CT-CHEST"))
    other = world.ready(world.order("CT-HEAD", patient=world.patient("10003", "王小东")))
    assert listed(world, priority="STAT") == [head]
    assert listed(world, body_part="CHEST") == [chest]
    assert set(listed(world, modality="CT")) == {head, chest, other}
    assert listed(world, modality="CT", q="李静") == [head]
    assert listed(world, modality="MR") == []
    assert listed(world, site=world.institutions["TS02"]) == []
    assert set(listed(world, site=world.institutions["TS01"], whose="free")) == {head, chest, other}
    world.claim("reader1", chest)
    assert listed(world, whose="mine") == [chest]
    assert listed(world, "reader2", whose="mine") == []
    assert set(listed(world, whose="free")) == {head, other}
    assign(world, other, "reader1")
    assert listed(world, whose="assigned") == [other]
    world.now += timedelta(days=1)
    assert set(listed(world, overdue=True)) == {head, chest, other}


@pytest.mark.parametrize("q", ["王小东", "小东", "wxd", "WangXiaoDong", "10003"])
def test_text_finds_name_pinyin_initials_and_number(world: World, q: str) -> None:
    world.ready(world.order(patient=world.patient("10002", "李静")))
    wanted = world.ready(world.order(patient=world.patient("10003", "王小东")))
    assert listed(world, q=q) == [wanted]
    assert listed(world, q="nobody") == []


def test_what_is_assigned_to_me_comes_first_among_equals(world: World) -> None:
    first, second = world.ready(), world.ready(world.order(patient=world.patient("10002", "李静")))
    stat = world.ready(world.order(priority="STAT", patient=world.patient("10003", "王小东")))
    assign(world, second, "reader1")
    assert listed(world) == [stat, second, first]
    assert listed(world, "reader2") == [stat, first, second]


def test_the_next_case_passes_over_what_others_have(world: World) -> None:
    first, second = world.ready(), world.ready(world.order(patient=world.patient("10002", "李静")))

    def following(login: str, **filters: object) -> str:
        chosen = Filters(**filters)  # type: ignore[arg-type]
        return world.ask(reading_list.next_case, world.actor(login), world.now, chosen)

    assert following("reader1") == first
    assert following("reader1", q="李静") == second
    assert following("reader1", modality="MR") == ""
    assign(world, first, "reader2")
    assert following("reader1") == second
    world.claim("reader2", second)
    assert following("reader1") == ""
    assert following("reader2") == first


def test_a_line_says_who_reads_it_and_since_when(world: World) -> None:
    reading = world.ready()
    began = world.now
    world.claim("reader1", reading)
    world.now += timedelta(minutes=7)
    world.claim("reader1", reading)  # the lease goes on, it does not begin again
    row = world.ask(reading_list.worklist, world.actor("reader2"), world.now).items[0]
    assert (row.holder_id, row.claimed_at) == (world.users["reader1"], began)


def test_views_are_one_s_own(world: World) -> None:
    reader, other = world.actor("reader1"), world.actor("reader2")
    view = world.do(desk.save_view, reader, "reading", "  夜班  STAT ", {"priority": "STAT", "q": ""})
    assert [asdict(v) for v in world.ask(kept.views, reader, "reading")] == [
        {"id": view.id, "page": "reading", "name": "夜班 STAT", "query": {"priority": "STAT"}, "is_first": False}
    ]
    assert world.ask(kept.views, other) == []
    for attempt in (desk.delete_view, desk.open_with):
        with pytest.raises(NotFound, match="no_such_view"):
            world.do(attempt, other, view.id)
    again = world.do(desk.save_view, reader, "reading", "夜班 STAT", {"modality": "CT"})
    assert again.id == view.id
    second = world.do(desk.save_view, reader, "reading", "CT", {"modality": "CT"})
    world.do(desk.open_with, reader, view.id)
    world.do(desk.open_with, reader, second.id)
    assert [v.is_first for v in world.ask(kept.views, reader, "reading")] == [False, True]
    with pytest.raises(Conflict, match="view_name_taken"):
        world.do(desk.rename_view, reader, second.id, "夜班 STAT")
    for n in range(desk.MOST_VIEWS - 2):
        world.do(desk.save_view, reader, "reading", str(n), {})
    with pytest.raises(Conflict, match="too_many_views"):
        world.do(desk.save_view, reader, "reading", "one more", {})
    with pytest.raises(BadInput, match="field_wrong"):
        world.do(desk.save_view, reader, "nowhere", "x", {})


def test_settings_are_kept_and_checked(world: World) -> None:
    reader = world.actor("reader1")
    world.do(desk.choose_theme, reader, "dark")
    world.do(desk.choose_theme, reader, "light")
    world.do(desk.choose_columns, reader, ["due", "state"])
    assert world.ask(kept.settings, reader) == {"theme": "light", "columns": ["patient", "due", "state"]}
    assert world.ask(kept.settings, world.actor("reader2")) == {}
    with pytest.raises(BadInput):
        world.do(desk.choose_theme, reader, "pink")
    with pytest.raises(BadInput):
        world.do(desk.choose_columns, reader, ["patient", "patient"])


def look(world: World, watch: Watch, *sessions: str) -> News:
    """One look at what moved."""
    return world.ask(watch.look, world.now, sessions)


def kinds(news: News) -> set[str]:
    """Of what moved, whosoever it is."""
    return {kind for kind, _whose in news.moved}


def test_a_move_is_news_for_its_institution_and_center_only(world: World) -> None:
    watch = Watch()
    look(world, watch)
    placed = world.order(town="TS02")
    assert {whose for _kind, whose in look(world, watch).moved} == {world.institutions["TS02"]}
    reading = world.ready(placed)
    whose = {id for _kind, id in look(world, watch).moved}
    assert whose == {world.institutions["TS02"], world.centers["CH01"]}
    world.claim("reader1", reading)
    look(world, watch)
    world.do(handing.refer, world.actor("reader1"), reading, world.centers["CITY"], "why", world.now)
    (consultation,) = (r.id for r in world.rows(Reading) if r.id != reading)
    look(world, watch)
    world.claim("cityreader", consultation)
    assert {id for _kind, id in look(world, watch).moved} == {world.centers["CITY"]}, "what centers ask each other"


def test_each_look_finds_what_moved_since_the_one_before(world: World) -> None:
    watch = Watch()
    assert look(world, watch) == News()
    reading = world.ready()
    assert kinds(look(world, watch)) == {"reading", "order"}
    assert look(world, watch).moved == frozenset()
    world.claim("reader1", reading)
    assert "reading" in kinds(look(world, watch))
    world.do(readings.release, world.actor("reader1"), reading, world.now)
    assert "reading" in kinds(look(world, watch))
    world.claim("reader1", reading)
    look(world, watch)
    world.now += timedelta(hours=9)
    assert "reading" in kinds(look(world, watch)), "the lease ran out"
    for _turn in range(25):  # marks move on meanwhile
        assert look(world, watch).moved == frozenset()
    world.order()
    assert kinds(look(world, watch)) >= {"order"}


def test_a_notice_is_news_for_its_person_only(world: World) -> None:
    watch = Watch()
    look(world, watch)
    world.do(
        lambda s, _by, _now: s.add(Notice(user_id=world.users["doc1"], kind="x", at=world.now)),
        world.actor("doc1"),
        world.now,
    )
    assert look(world, watch).moved == {("notice", world.users["doc1"])}
    assert look(world, watch).moved == frozenset()


def test_a_look_tells_which_sessions_are_over(world: World) -> None:
    watch = Watch()
    for _person in range(2):
        world.do(lambda s, _by, _now: open_session(s, world.users["reader1"], "::1", world.now), None, None)
    here, gone = (row.id for row in world.rows(WebSession))
    assert look(world, watch, here, gone).ended == frozenset()
    world.do(lambda s, _by, _now: close_session(s, gone), None, None)
    assert look(world, watch, here, gone).ended == {gone}
    world.now += timedelta(hours=13)
    assert look(world, watch, here).ended == {here}


def test_words_are_not_needed_to_be_found(world: World) -> None:
    reading = world.ready()
    world.write("reader1", reading, TEXT)
    assert listed(world, status="drafted", whose="mine") == [reading]
