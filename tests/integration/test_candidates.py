"""Which orders are offered for images without one, and what is said of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.actions import code_mapping, configuration, order_changes, routes
from worklist.rules import serving
from worklist.tables import Order, Patient, Study


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def _bin(desk: Desk) -> str:
    """A CT study that nobody ordered."""
    return desk.world.receive(desk.world.facts(patient_id="E1")).study_id


def _laboratory(desk: Desk) -> Order:
    fields = {"code": "CBC", "name": "血常规", "discipline": "laboratory"}
    desk.world.do(configuration.save_procedure, desk.world.actor("admin"), fields, desk.now)
    return desk.world.order_now(desk.world.order("CBC", patient=desk.world.patient("501", "甲")))


def _not_accepted(desk: Desk) -> Order:
    placed = desk.world.order("UNMAPPED-CODE", patient=desk.world.patient("502", "乙"))
    order = desk.world.order_now(placed)
    assert order.state == "placed"
    return order


def _other_modality(desk: Desk) -> Order:
    return desk.world.order_now(desk.world.order("US-ABDOMEN", patient=desk.world.patient("503", "丙")))


def _cancelled(desk: Desk) -> Order:
    placed = desk.world.order(patient=desk.world.patient("504", "丁"))
    desk.world.do(order_changes.abandon, desk.world.actor("tech1"), placed.id, "重复", desk.now)
    return desk.world.order_now(placed)


@pytest.mark.parametrize(
    ("make", "reason", "said"),
    [
        (_laboratory, "order_without_images", "The order is for specimens"),
        (_not_accepted, "order_not_accepted", "not accepted yet"),
        (_other_modality, "order_of_other_modality", "The order is for US"),
        (_cancelled, "order_cancelled", "The order is cancelled."),
    ],
)
def test_an_order_that_cannot_have_the_images_is_not_offered(desk: Desk, make: Any, reason: str, said: str) -> None:
    study_id, other = _bin(desk), make(desk)
    fitting = desk.world.order("CT-CHEST", patient=desk.world.patient("509", "戊"))
    program, browser = desk.program("tech1"), desk.browser("tech1")
    offered = program.get(f"/api/studies/{study_id}/candidates").json()["items"]
    assert [row["id"] for row in offered] == [fitting.id]
    page = browser.get(f"/unmatched/{study_id}?lang=en&q={other.accession_number}").text
    assert said in page
    assert other.accession_number in page
    assert f"order={other.id}" not in page
    assert said not in browser.get(f"/unmatched/{study_id}?lang=en&q={fitting.accession_number}").text
    assert said not in browser.get(f"/unmatched/{study_id}?lang=en").text
    linked = program.post(f"/api/studies/{study_id}/link", json={"order_ids": [other.id], "reason": "核对"})
    if reason == "order_of_other_modality":
        assert linked.status_code == 200, "a person may know that something else was examined"
    else:
        assert code_of(linked) == reason


def test_the_repair_page_says_it_too(desk: Desk) -> None:
    picked = desk.world.order(patient=desk.world.patient("510", "己"))
    study_id, _uids = desk.world.scan(picked)
    other = _laboratory(desk)
    page = desk.browser("tech1").get(f"/studies/{study_id}/repair?lang=en&q={other.accession_number}").text
    assert "The order is for specimens" in page
    assert f"order={other.id}" not in page


def test_a_radiograph_is_offered_orders_under_any_of_its_names(desk: Desk) -> None:
    study_id = desk.world.receive(desk.world.facts(patient_id="E2", modality="CR")).study_id
    placed = desk.world.order("DR-CHEST", patient=desk.world.patient("511", "庚"))
    offered = desk.program("tech1").get(f"/api/studies/{study_id}/candidates").json()["items"]
    assert [row["id"] for row in offered] == [placed.id]


@pytest.mark.parametrize(
    ("made", "fits"),
    [
        (("CT",), {"CT"}),
        (("DX", "SR"), {"CR", "DX", "DR"}),
        (("PT", "CT"), {"PT", "CT"}),
        (("SC",), set()),
        (("",), set()),
    ],
)
def test_what_such_images_can_be_ordered_as(made: tuple[str, ...], fits: set[str]) -> None:
    assert serving.fitting(made) == fits


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("to_bin", [True, False])
def test_a_repair_says_what_it_did(desk: Desk, signed: bool, to_bin: bool) -> None:
    picked = desk.world.order(patient=desk.world.patient("512", "辛"))
    right = desk.world.order(patient=desk.world.patient("513", "壬"))
    reading_id = desk.world.ready(picked, at=desk.now)
    study_id = desk.world.one(Study).id
    if signed:
        desk.world.write("reader1", reading_id, at=desk.now)
        desk.world.submit("reader1", reading_id, at=desk.now)
        desk.world.claim("senior1", reading_id, at=desk.now)
        assert desk.program("senior1").post(f"/api/readings/{reading_id}/sign").status_code == 200
    browser = desk.browser("senior1")
    form = {"why": "选错", "password": "correct horse 42", "order": "" if to_bin else right.id}
    form["to_bin"] = "1" if to_bin else ""
    answer = browser.post(f"/studies/{study_id}/repair?lang=en", data=form, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    said = browser.get(f"{answer.headers['location']}&lang=en").text
    assert ("What was issued is withdrawn" in said) is signed
    assert ("Nothing had been issued" in said) is not signed
    assert ("unmatched bin" in said.split("<main")[1]) is to_bin


def test_people_are_shown_by_their_names(desk: Desk) -> None:
    one, other = (
        desk.world.order_now(desk.world.order(patient=desk.world.patient(v, "孙大圣", "M", "19620202"))).patient_id
        for v in ("521", "522")
    )
    tech, admin = desk.browser("tech1"), desk.browser("admin")
    merged = tech.post(f"/patients/{one}/join", data={"how": "merge", "other": other, "keep": one, "why": "重复"})
    assert merged.status_code == 200
    assert "张技师" in merged.text.split("<main")[1]
    assert "tech1" not in merged.text.split("<main")[1]
    assert 'title="tech1"' in admin.get(str(merged.url)).text
    line = desk.program("admin").get(f"/api/patients/{one}").json()["merges"][0]
    assert (line["by"], line["by_name"]) == ("tech1", "张技师")
    assert desk.world.one(Patient, Patient.id == other).merged_into_id == one


def test_route_versions_and_code_mappings_name_people(desk: Desk) -> None:
    world, admin = desk.world, desk.browser("admin")
    rules = [{"name": "所有", "place": 1, "conditions": {}, "center_id": world.centers["CH01"], "group_id": None}]
    world.do(routes.save_routes, world.actor("admin"), rules, "只留一条", desk.now)
    device = world.devices["HIS|TS01"]
    world.do(code_mapping.map_code, world.actor("admin"), device, "X1", world.procedures["CT-HEAD"], desk.now)
    for path in ("/admin/routes/versions", f"/admin/devices/{device}/codes"):
        shown = admin.get(path).text.split("<main")[1]
        assert '<span title="admin">信息科</span>' in shown, path


def test_a_refused_panel_is_open_with_what_was_typed(desk: Desk) -> None:
    patient_id = desk.world.order_now(desk.world.order()).patient_id
    browser = desk.browser("tech1")
    form = {"kind": "NI", "number": "1" * 41, "why": ""}
    refused = browser.post(f"/patients/{patient_id}/add-document", data=form)
    assert refused.status_code == 422
    panels = refused.text.split("<details")
    assert " open>" in next(p for p in panels if "/add-document" in p).split("<summary")[0] + ">"
    assert " open" not in next(p for p in panels if 'action="' in p and "/correct" in p).split("<summary")[0]
