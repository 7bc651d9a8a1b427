"""Route rules as versions of one table, and what they would have done, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.world import World
from worklist.actions import configuration, routes
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import HUREN
from worklist.queries import administration, trying
from worklist.tables import Reading, Route, RouteTable


def rule(
    world: World, name: str, place: int, group: str = "", center: str = "CH01", **conditions: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "place": place,
        "conditions": conditions,
        "center_id": world.centers[center],
        "group_id": world.groups[group] if group else None,
        "enabled": True,
    }


def test_every_save_is_a_version_and_a_reading_keeps_its_rule(world: World) -> None:
    admin = world.actor("admin")
    before = world.ready()
    sent_by = world.reading(before).route_id
    world.do(routes.save_routes, admin, [rule(world, "all", 1)], "one rule is enough", world.now, seen=1)
    first, second = sorted(world.rows(RouteTable), key=lambda t: t.number)
    assert (second.number, second.made_by, second.note) == (2, "admin", "one rule is enough")
    assert world.one(Route, Route.id == sent_by).table_id == first.id
    after = world.reading(world.ready(patient=world.patient("10002", "李四")))
    assert world.one(Route, Route.id == after.route_id).table_id == second.id
    assert after.group_id is None


def test_the_second_of_two_admins_is_told(world: World) -> None:
    admin = world.actor("admin")
    world.do(routes.save_routes, admin, [rule(world, "mine", 1)], "", world.now, seen=1)
    with pytest.raises(Conflict, match="changed_meanwhile"):
        world.do(routes.save_routes, admin, [rule(world, "yours", 1)], "", world.now, seen=1)
    assert [r.name for r in world.ask(administration.routes, admin)] == ["mine"]


def test_rules_with_one_place_keep_the_order_in_which_they_were_written(world: World) -> None:
    admin = world.actor("admin")
    names = [f"rule {n}" for n in range(8)]
    world.do(routes.save_routes, admin, [rule(world, name, 5) for name in names], "", world.now)
    found = world.ask(administration.routes, admin)
    assert [(r.name, r.place) for r in found] == [(name, 5 + n) for n, name in enumerate(names)]
    third = world.do(routes.save_route, admin, {"name": "changed"}, world.now, id=found[2].id)
    assert (third.name, third.place) == ("changed", 7)
    last = world.do(routes.save_route, admin, {"name": "new", "center_id": world.centers["CH01"]}, world.now)
    assert last.place == 22


def test_an_old_version_comes_back_as_a_new_one(world: World) -> None:
    admin = world.actor("admin")
    old = [(r.name, r.conditions, r.group_id) for r in world.ask(administration.routes, admin)]
    world.do(routes.save_routes, admin, [], "nothing", world.now)
    with pytest.raises(Conflict, match="changed_meanwhile"):
        world.do(routes.restore_routes, admin, 1, "", world.now, seen=1)
    with pytest.raises(NotFound, match="no_such_version"):
        world.do(routes.restore_routes, admin, 9, "", world.now, seen=2)
    world.do(routes.restore_routes, admin, 1, "as before", world.now, seen=2)
    assert [(r.name, r.conditions, r.group_id) for r in world.ask(administration.routes, admin)] == old
    versions = world.ask(administration.route_versions, admin).items
    assert [(v.number, v.note, len(v.rules)) for v in versions] == [
        (3, "as before", 2),
        (2, "nothing", 0),
        (1, "首版", 2),
    ]


def test_a_trial_says_who_would_have_read_what_and_changes_nothing(world: World) -> None:
    admin = world.actor("admin")
    long_ago = world.now - timedelta(days=8)
    world.ready(at=long_ago)
    night = world.now + timedelta(hours=12)  # 21:30 in the township
    head = world.ready(world.order("CT-HEAD"), at=world.now)
    chest = world.ready(world.order("CT-CHEST", patient=world.patient("10002", "李四")), at=night)
    chest_dr = world.ready(world.order("DR-CHEST", town="TS02", patient=world.patient("20001", "赵六")), at=night)
    now = night + timedelta(minutes=1)
    readings = len(world.rows(Reading))
    # CT at night goes to the group, TS02 to the city; by day nobody has CT.
    rules = [
        rule(world, "night", 1, group="CT", modalities=["CT"], hours=[["17:30", "08:00"]]),
        rule(world, "upward", 2, center="CITY", institutions=["TS02"]),
    ]
    tried = world.ask(trying.try_routes, admin, rules, 7, now)
    assert (tried.tried, tried.changed, tried.unmatched, tried.is_all) == (3, 2, 1, True)
    rows = {row.reading_id: row for row in tried.rows}
    assert set(rows) == {head, chest_dr}, "what stays where it was is only counted"
    assert chest not in rows
    assert (rows[head].matched, rows[head].before.rule, rows[head].after.rule) == (False, "CT", "")
    assert (rows[head].before.group, rows[head].after.group) == ("CT组", "")
    assert (rows[chest_dr].before.center, rows[chest_dr].after.center) == ("县影像诊断中心", "市影像诊断中心")
    assert rows[chest_dr].study_id
    assert rows[chest_dr].procedure == "胸部正位片"
    assert len(world.rows(Reading)) == readings
    assert world.ask(administration.route_number, admin) == 1
    same = [
        {"name": r.name, "place": r.place, "conditions": r.conditions, "center_id": r.center_id, "group_id": r.group_id}
        for r in world.ask(administration.routes, admin)
    ]
    unchanged = world.ask(trying.try_routes, admin, same, 31, now)
    assert (unchanged.tried, unchanged.changed, unchanged.rows) == (4, 0, ())


def test_a_trial_refuses_what_could_not_be_saved(world: World) -> None:
    admin = world.actor("admin")
    with pytest.raises(BadInput, match="field_missing"):
        world.ask(trying.try_routes, admin, [rule(world, "", 1)], 7, world.now)
    with pytest.raises(BadInput, match="field_wrong"):
        world.ask(trying.try_routes, admin, [], 0, world.now)
    with pytest.raises(BadInput, match="too_many_rules"):
        world.do(routes.save_routes, admin, [rule(world, "x", 1)] * 201, "", world.now)


def test_what_no_rule_fits_goes_to_the_first_center_of_its_discipline_in_trial_and_truth(world: World) -> None:
    admin = world.actor("admin")
    fields = {"institution_id": world.institutions["CITY"], "discipline": "imaging", "name": "第三中心"}
    world.do(configuration.save_center, HUREN, fields, world.now)
    world.do(routes.save_routes, admin, [], "none", world.now)
    reading = world.ready()
    tried = world.ask(trying.try_routes, admin, [], 7, world.now)
    assert (tried.changed, tried.unmatched) == (0, 1)
    (row,) = tried.rows
    assert row.reading_id == reading
    assert row.after.center_id == world.reading(reading).center_id
