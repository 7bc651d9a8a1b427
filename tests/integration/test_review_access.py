"""Nobody sees what is not theirs through a page: tokens, remarks among readers, and looks that must be on record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api_desk import Desk, open_desk
from worklist.actions import critical, devices, reading_making, readings
from worklist.facts import Caller
from worklist.tables import AuditRow, Order, RefusedCaller, Study


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as found:
        yield found


def test_a_token_opens_no_page(desk: Desk) -> None:
    """Pages ask nobody for scopes."""
    reading_id = desk.ready()
    order_id = desk.world.one(Order).id
    for login, address in (("reader1", f"/reading/{reading_id}"), ("reader1", "/reading"), ("tech1", "/orders")):
        assert desk.program(login).get(address).status_code == 403, address
    assert desk.program("tech1").get(f"/orders/{order_id}").status_code == 403
    assert desk.browser("reader1").get(f"/reading/{reading_id}").status_code == 200


def test_looks_through_a_page_are_on_record(desk: Desk) -> None:
    report_id = desk.signed()
    order_id, study_id = desk.world.one(Order).id, desk.world.one(Study).id
    reader, technician = desk.browser("reader1"), desk.browser("tech1")
    for client, address, action in (
        (reader, f"/reading/{report_id}", "case opened"),
        (technician, f"/orders/{order_id}", "order opened"),
        (technician, f"/reports/{report_id}", "report opened"),
        (technician, f"/studies/{study_id}", "study opened"),
    ):
        assert not desk.world.rows(AuditRow, AuditRow.action == action)
        assert client.get(address).status_code == 200
        row = desk.world.one(AuditRow, AuditRow.action == action)
        assert row.patient_id == desk.world.one(Order).patient_id


def test_remarks_among_readers_stay_with_them(desk: Desk) -> None:
    reading_id = desk.in_review()
    desk.world.do(readings.send_back, desk.world.actor("senior1"), reading_id, "写得太草率", desk.now)
    order_id = desk.world.one(Order).id
    answer = desk.program("tech1").get(f"/api/orders/{order_id}")
    assert answer.status_code == 200
    assert "写得太草率" not in answer.text
    assert "写得太草率" not in desk.browser("tech1").get(f"/orders/{order_id}").text


def test_a_critical_result_without_an_order_alerts_the_township(desk: Desk) -> None:
    world = desk.world
    study_id = world.receive(world.facts(patient_id="E1")).study_id
    reading = world.do(reading_making.open_emergency, world.actor("tech1"), study_id, "急", desk.now)
    world.do(critical.mark, world.actor("reader1"), reading.id, "主动脉夹层", desk.now)
    page = desk.browser("doc1").get("/orders")
    assert "主动脉夹层" in page.text
    assert "主动脉夹层" not in desk.browser("doc2").get("/orders").text


@pytest.mark.parametrize(
    "typed",
    [
        {"identifier": "a\\b"},
        {"identifier": "x" * 65},
        {"identifier": "1\n2"},
        {"name": "王\\五"},
        {"name": "王\x01"},
        {"birth_date": "２０００００００"},
        {"laterality": "<b>"},
    ],
)
def test_what_no_worklist_can_carry_is_refused_in_the_form(desk: Desk, typed: dict[str, str]) -> None:
    client = desk.browser("tech1")
    form = {"identifier": "9", "name": "王五", "procedure": "CT-HEAD", "priority": "ROUTINE"} | typed
    answer = client.post("/orders/new", data=form, follow_redirects=False)
    assert answer.status_code == 422
    assert not desk.world.rows(Order)


def test_whoever_tries_many_names_fills_no_disk(desk: Desk) -> None:
    for number in range(devices.MOST_NAMES + 20):
        caller = Caller("dimse", "10.0.0.9", f"AE{number}", called=f"X{number}")
        desk.world.do(devices.refuse_caller, caller, "calling_ae_unknown", desk.now)
    desk.world.do(devices.refuse_caller, Caller("dimse", "10.0.0.9", "*", called="Y"), "calling_ae_unknown", desk.now)
    rows = desk.world.rows(RefusedCaller)
    assert len(rows) == devices.MOST_NAMES + 1
    assert next(r for r in rows if r.claimed == devices.OTHERS).times == 21
