"""Images read anew, in a browser: chosen on the order form, told to the reader, and back on the order's page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import ecgs
from tests.pages import cardiology
from tests.pages.site import Site
from tests.pages.test_ecg_page import READY
from worklist.tables import Order, Patient, Reading


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_township_has_existing_images_read_anew(site: Site, language: str) -> None:
    number, name = ("88011", "宋春梅") if language == "zh_CN" else ("88012", "宋秋月")
    world, now = site.world, site.clock()
    placed = world.order("CT-HEAD", patient=world.patient(number, name, "F", "19700101"))
    site.scan(placed)
    world.signed(world.reading_of(placed).id, at=now)
    who = world.patient(f"7{number}", name, "F", "19700101")
    theirs = world.order_now(world.order("CT-HEAD", town="TS02", patient=who))
    first = world.order_now(placed).patient_id
    world.do(lambda s: setattr(s.get_one(Patient, theirs.patient_id), "person_id", first))  # one person, linked
    with site.visit("doc2", language=language) as page:
        page.goto(f"{site.address}/orders/{theirs.id}/recognition")
        expect(page.locator("#offers")).to_contain_text("河西乡卫生院")
        page.locator("input[value^='images:']").check()
        picture(page, f"anew-offer-{language}")
        page.locator(".card .actions button.btn-primary").click()
        page.wait_for_url("**done=read_anew")
        expect(page.locator("#recognised")).to_be_visible()
        picture(page, f"anew-order-{language}")
    order = world.one(Order, Order.id == theirs.id)
    assert order.state == "rereading"
    reading = world.one(Reading, Reading.kind == "anew", Reading.patient_id == order.patient_id).id
    with site.visit("reader1", language=language) as page:
        page.goto(f"{site.address}/reading")
        row = page.locator("tr", has_text=order.accession_number)
        expect(row.locator(".tag.heed").first).to_be_visible()
        picture(page, f"anew-list-{language}")
        page.goto(f"{site.address}/reading/{reading}")
        expect(page.locator("#anew")).to_contain_text(order.accession_number)
        expect(page.locator("#anew")).to_contain_text("河西乡卫生院")
        page.click("form[action$='/claim'] button")
        expect(page.locator(".aids[data-ready]")).to_be_visible()
        expect(page.locator("#image-grade")).to_have_count(0)
        picture(page, f"anew-top-{language}")
        page.fill("#findings", "颅内未见异常密度影。")
        page.fill("#impression", "颅脑CT平扫未见异常。")
        page.locator("details.more.up summary", has_text="More" if language == "en" else "更多").click()
        expect(page.locator("button[formaction$='/return']")).to_be_visible()
        picture(page, f"anew-case-{language}")
        page.keyboard.press("Escape")
        page.locator("button[formaction$='/save']").click()
        page.wait_for_url("**done=saved*")
    world.submit("reader1", reading, site.clock())
    world.claim("senior1", reading, site.clock())
    world.sign("senior1", reading, at=site.clock())
    with site.visit("doc2", language=language) as page:
        page.goto(f"{site.address}/orders/{theirs.id}")
        expect(page.locator("main")).to_contain_text("颅脑CT平扫未见异常。")
        picture(page, f"anew-home-{language}")
    assert not site.heard


def test_an_ecg_is_read_anew_on_its_paper(site: Site) -> None:
    """A township has the ECG of another one read anew: the cardiologist sees the waves, and writes the new report."""
    cardiology.open_center(site.world)
    world, now = site.world, site.clock()
    placed = world.order("ECG12", patient=world.patient("88013", "宋冬青", "F", "19700101"))
    cardiology.record(site, placed, ecgs.recording())
    old = world.reading_of(placed).id
    world.write("heart1", old, at=now)
    world.submit("heart1", old, now)
    world.claim("heart2", old, now)
    world.sign("heart2", old, at=now)
    who = world.patient("788013", "宋冬青", "F", "19700101")
    theirs = world.order_now(world.order("ECG12", town="TS02", patient=who))
    first = world.order_now(placed).patient_id
    world.do(lambda s: setattr(s.get_one(Patient, theirs.patient_id), "person_id", first))
    with site.visit("doc2") as page:
        page.goto(f"{site.address}/orders/{theirs.id}/recognition")
        page.locator("input[value^='images:']").check()
        page.locator(".card .actions button.btn-primary").click()
        page.wait_for_url("**done=read_anew")
    reading = world.one(Reading, Reading.kind == "anew", Reading.patient_id == theirs.patient_id).id
    with site.visit("heart1") as page:
        page.goto(f"{site.address}/reading/{reading}")
        page.wait_for_selector(READY)
        expect(page.locator("#anew")).to_contain_text(theirs.accession_number)
        picture(page, "anew-ecg")
    assert not site.heard
