"""The order form as a browser sends it: one order for each form, and a number that somebody else is known under."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_desk import Desk, code_of, open_desk
from worklist.tables import AuditRow, Order, Patient

ORDER = {"identifier": "41001", "name": "何满仓", "sex": "M", "procedure": "CT-HEAD", "priority": "ROUTINE"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as made:
        yield made


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    return found[1] if found else ""


def _form(browser: Any) -> dict[str, str]:
    """A fresh order form, filled in."""
    page = browser.get("/orders/new")
    assert page.status_code == 200
    return {**ORDER, "key": _field(page.text, "key")}


def _send(browser: Any, form: dict[str, str]) -> Any:
    return browser.post("/orders/new", data=form, follow_redirects=False)


def test_a_form_sent_again_shows_the_order_that_it_placed(desk: Desk) -> None:
    browser = desk.browser("tech1")
    form = _form(browser)
    first, again = _send(browser, form), _send(browser, form)
    order = desk.world.one(Order)
    assert first.headers["location"] == f"/orders/{order.id}?done=ordered"
    assert again.headers["location"] == f"/orders/{order.id}?done=ordered_before"
    assert "nothing was ordered again" in browser.get(f"{again.headers['location']}&lang=en").text
    assert _send(browser, _form(browser)).headers["location"].endswith("?done=ordered"), "a new form is a new wish"
    assert len(desk.world.rows(Order)) == 2


def test_a_form_that_was_changed_after_ordering_asks_first(desk: Desk) -> None:
    browser = desk.browser("tech1")
    form = _form(browser)
    _send(browser, form)
    changed = form | {"procedure": "CT-CHEST"}
    refused = _send(browser, changed)
    assert refused.status_code == 409
    assert desk.world.one(Order).accession_number in refused.text
    assert len(desk.world.rows(Order)) == 1
    fresh = _field(refused.text, "key")
    assert fresh not in ("", form["key"])
    assert _send(browser, changed | {"key": fresh}).status_code == 303
    assert len(desk.world.rows(Order)) == 2


def test_a_key_is_its_owners(desk: Desk) -> None:
    form = _form(desk.browser("tech1"))
    _send(desk.browser("tech1"), form)
    other = _send(desk.browser("tech2"), form)
    assert other.headers["location"].endswith("?done=ordered")
    assert len(desk.world.rows(Order)) == 2


def test_a_refused_form_keeps_its_key(desk: Desk) -> None:
    browser = desk.browser("tech1")
    form = _form(browser)
    refused = _send(browser, form | {"birth_date": "2099-01-01"})
    assert refused.status_code == 422
    assert _field(refused.text, "key") == form["key"]
    assert _send(browser, form).status_code == 303


def test_a_program_may_send_its_order_again(desk: Desk) -> None:
    program = desk.program("doc1")
    body = {"patient": {"identifier": "41002", "name": "何小满"}, "procedure_code": "CT-HEAD"}
    key = {"Idempotency-Key": "his-20260302-17"}
    first, again = (program.post("/api/orders", json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]
    other = program.post("/api/orders", json=body | {"priority": "STAT"}, headers=key)
    assert (other.status_code, code_of(other)) == (409, "key_was_used")
    assert program.post("/api/orders", json=body).json()["id"] != first.json()["id"], "without a key each is a wish"
    assert code_of(desk.program("doc1", "read").post("/api/orders", json=body, headers=key)) == "token_lacks_scope"


def _contradicted(desk: Desk, browser: Any) -> tuple[dict[str, str], Order]:
    """A form whose name and sex are not those of the number's record, refused and shown again with the choices."""
    placed = desk.world.order(patient=desk.world.patient("41001", "何满红", "F", "19800101"))
    form = _form(browser)
    refused = _send(browser, form)
    assert refused.status_code == 422
    assert "何满红" in refused.text
    known = _field(refused.text, "known")
    order = desk.world.order_now(placed)
    assert known == order.patient_id
    return form | {"known": known}, order


def _patient(desk: Desk, order: Order) -> Patient:
    return desk.world.one(Patient, Patient.id == order.patient_id)


def test_the_record_is_used_as_it_is(desk: Desk) -> None:
    browser = desk.browser("tech1")
    form, before = _contradicted(desk, browser)
    assert _send(browser, form | {"record": "keep"}).status_code == 303
    patient = _patient(desk, before)
    assert (patient.name, patient.sex, patient.birth_date) == ("何满红", "F", "19800101")
    assert {order.patient_id for order in desk.world.rows(Order)} == {patient.id}
    assert len(desk.world.rows(Order)) == 2
    assert not desk.world.rows(AuditRow, AuditRow.action == "patient corrected")


def test_the_record_is_corrected_on_record(desk: Desk) -> None:
    browser = desk.browser("tech1")
    form, before = _contradicted(desk, browser)
    without = _send(browser, form | {"record": "correct"})
    assert without.status_code == 422
    assert len(desk.world.rows(Order)) == 1
    assert 'value="correct" checked' in without.text
    assert _send(browser, form | {"record": "correct", "why": "登记时听错"}).status_code == 303
    patient = _patient(desk, before)
    assert (patient.name, patient.sex) == ("何满仓", "M")
    row = desk.world.one(AuditRow, AuditRow.action == "patient corrected")
    assert (row.actor, row.why, row.patient_id) == ("tech1", "登记时听错", patient.id)


@pytest.mark.parametrize("record", ["keep", "correct"])
def test_a_choice_counts_only_for_the_record_that_was_shown(desk: Desk, record: str) -> None:
    browser = desk.browser("tech1")
    form, _before = _contradicted(desk, browser)
    other = desk.world.order_now(desk.world.order(patient=desk.world.patient("41009", "苏小小", "F", "19900909")))
    refused = _send(browser, form | {"identifier": "41009", "record": record, "why": "登记时听错"})
    assert refused.status_code == 422
    assert _field(refused.text, "known") == other.patient_id
    assert _patient(desk, other).name == "苏小小"
    assert len(desk.world.rows(Order)) == 2
