"""An order form in a browser: a result that serves is shown as soon as it is known who and what, and is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.pages.site import Site
from worklist.tables import Order, Patient, Recognition


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_result_of_another_township_is_seen_before_ordering_and_taken(site: Site, language: str) -> None:
    number, name = ("88001", "贺春兰") if language == "zh_CN" else ("88002", "贺秋菊")
    world, now = site.world, site.clock()
    placed = world.order("CT-HEAD", patient=world.patient(number, name, "F", "19700101"))
    site.scan(placed)
    reading = world.reading_of(placed).id
    world.signed(reading, at=now)
    theirs = world.order_now(world.order("DR-CHEST", town="TS02", patient=world.patient(number, name, "F", "19700101")))
    first = world.order_now(placed).patient_id
    world.do(lambda s: setattr(s.get_one(Patient, theirs.patient_id), "person_id", first))  # one person, linked
    with site.visit("doc2", language=language) as page:
        page.goto(f"{site.address}/orders/new")
        page.keyboard.type(number)
        expect(page.locator("#who-list [aria-selected=true]")).to_contain_text(name)
        page.keyboard.press("Enter")
        expect(page.locator("#chosen")).to_contain_text(name)
        page.keyboard.type("CT-HEAD")
        page.keyboard.press("Enter")
        offers = page.locator("#offers")
        expect(offers).to_contain_text("河西乡卫生院")
        expect(offers.locator("input[value='new']")).to_have_count(1)
        offers.scroll_into_view_if_needed()
        if folder := os.environ.get("PICTURES"):
            page.screenshot(path=Path(folder) / f"offer-{language}.png")
        offers.locator("input[value^='report:']").check()
        page.locator("#order-form button.btn-primary").click()
        page.wait_for_url("**/orders/*?done=recognised")
        expect(page.locator("#recognised a[href^='/reports/']")).to_be_visible()
        if folder:
            page.screenshot(path=Path(folder) / f"recognised-{language}.png")
    order = world.one(Order, Order.state == "recognised", Order.patient_value == number)
    assert world.one(Recognition, Recognition.order_id == order.id).adopted == "report"
    assert not site.heard
