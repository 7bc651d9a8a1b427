"""The main road as people walk it, at their browsers, in both languages: from an ID card to a report that is given."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.desks import BOTH, Desks, printed, tab_to, text_of
from tests.pages.site import PASSWORD
from tests.unit.worklist.test_identity import card
from worklist.actions import aids
from worklist.people import HUREN
from worklist.tables import ReportVersion

SAID = {
    "zh_CN": ("等待检查", "等待阅片", "已出报告"),
    "en": ("waiting for the examination", "waiting for a reader", "report issued"),
}


@pytest.fixture(scope="module", autouse=True)
def starter(desks: Desks) -> None:
    """The center writes with the starter set."""
    desks.world.do(aids.add_starter, HUREN, desks.world.centers["CH01"], desks.county.clock())


def place_by_card(desks: Desks, page: Page, number: str, name: str) -> str:
    """A technician's order, from the card to the button, with the keyboard; the accession number."""
    page.goto(f"{desks.address}/orders/new")
    expect(page.locator("#who")).to_be_focused()
    page.keyboard.type(number)
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type(name)
    tab_to(page, "#procedure-words")
    page.keyboard.type("tlct")
    expect(page.locator("#procedure-list [aria-selected=true]")).to_contain_text("CT-HEAD")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")  # urgent
    page.keyboard.press("Enter")
    page.keyboard.type("头痛三天，伴呕吐")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/orders/*?done=ordered")
    return page.locator(".case-top .mono").last.inner_text()


def stage(desks: Desks, page: Page, accession: str) -> str:
    """The township's line of an order."""
    page.goto(f"{desks.address}/orders?q={accession}")
    return page.locator("table.lines tbody tr").inner_text()


def read_by_keyboard(desks: Desks, language: str, first: str, second: str) -> None:
    """A reader without a mouse: sign in, find the case, write and submit it, then the next one, then out."""
    with desks.visit(language=language) as page:
        page.goto(f"{desks.address}/sign-in")
        tab_to(page, "#login")
        page.keyboard.type("reader1")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/reading")
        if page.locator("html").get_attribute("lang") != language.replace("_", "-"):
            tab_to(page, "button[name=language]")
            page.keyboard.press("Enter")
            expect(page.locator("html")).to_have_attribute("lang", language.replace("_", "-"))
        line = page.locator(f"tr[data-href='/reading/{first}']")
        expect(line).to_be_visible()
        page.keyboard.press("j")
        for _ in range(20):
            if page.evaluate("document.activeElement.dataset.href") == f"/reading/{first}":
                break
            page.keyboard.press("j")
        expect(line).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/reading/{first}")
        tab_to(page, "form[action$='/claim'] button")
        page.keyboard.press("Enter")
        expect(page.locator(".aids[data-ready]")).to_be_visible()
        tab_to(page, "#findings")
        page.keyboard.press("Alt+n")
        expect(page.locator("#impression")).to_have_value("颅脑CT平扫未见明显异常。")
        page.keyboard.press("Control+End")
        page.keyboard.type(";fc ")
        page.keyboard.type("3")
        expect(page.locator("#impression")).to_have_value("颅脑CT平扫未见明显异常。建议3个月后复查。")
        page.keyboard.press("Control+Enter")
        page.wait_for_url("**/reading?done=submitted")
        page.keyboard.press("n")  # the most urgent one that waits
        page.wait_for_url(f"**/reading/{second}")
        expect(page.locator(".aids[data-ready]")).to_be_visible()
        page.keyboard.press("Alt+t")
        expect(page.locator("[data-template]")).to_be_focused()
        for _ in range(60):
            if "脑出血" in page.locator("[data-template] option:checked").inner_text():
                break
            page.keyboard.press("ArrowDown")
        tab_to(page, "[data-field=侧别]")
        page.keyboard.press("ArrowDown")
        tab_to(page, "[data-field=长径]")
        page.keyboard.type("35")
        tab_to(page, "#impression")
        expect(page.locator("#findings")).to_have_value(re.compile("35mm"))
        page.keyboard.press("Alt+c")
        page.keyboard.type("I02")
        page.keyboard.press("Enter")
        expect(page.locator("#critical-words")).to_have_value("蛛网膜下腔出血")
        page.keyboard.press("Control+Enter")
        expect(page.locator(".note.warnings[role=alert], .note.good[role=status]").first).to_be_visible()
        if "submitted" not in page.url:  # warned once where the words do not fit the order
            tab_to(page, ".note.warnings[role=alert] button")
            page.keyboard.press("Enter")
        page.wait_for_url("**/reading?done=submitted")
        tab_to(page, "form[action='/sign-out'] button")
        page.keyboard.press("Enter")
        page.wait_for_url("**/sign-in*")


@BOTH
def test_from_an_id_card_to_the_report_in_the_patient_s_hand(desks: Desks, language: str) -> None:
    county, world = desks.county, desks.world
    number, name = (card(order="201"), "郑大山") if language == "zh_CN" else (card(order="203"), "郑大海")
    with desks.visit("tech1", language=language) as page:
        accession = place_by_card(desks, page, number, name)
        request = page.locator("a[href$='/request.pdf']")
        paper = page.request.get(desks.address + (request.get_attribute("href") or ""))
        words = text_of(paper.body())
        assert accession in words
        assert name in words
        assert "头痛三天" in words
        assert SAID[language][0] in stage(desks, page, accession)

        item = county.item("TS01CT", accession)
        assert name[0] in str(item.PatientName)
        reading = desks.arrive(accession)
        assert SAID[language][1] in stage(desks, page, accession)

    urgent, second = desks.ready(f"7100{language[0]}", "何小急", priority="S")
    read_by_keyboard(desks, language, reading, second)

    with desks.visit("senior1", language=language) as page:
        page.goto(f"{desks.address}/review")
        page.locator(f"tr[data-href='/reading/{reading}'] a.main").press("Enter")
        page.click("form[action$='/claim'] button")
        assert "建议3个月后复查" in page.input_value("#impression")
        page.fill("#impression", "颅脑CT平扫未见明显异常。建议6个月后复查。")
        desks.sign(page)
        page.goto(f"{desks.address}/reading/{second}")
        page.click("form[action$='/claim'] button")
        assert page.input_value("#critical-words") == "蛛网膜下腔出血"
        desks.sign(page)
    with desks.visit("reader1", language=language) as page:
        page.goto(f"{desks.address}/my-reports")
        line = page.locator("tr", has_text=accession)
        assert (line.locator("del").all_inner_texts(), line.locator("ins").all_inner_texts()) == (["3"], ["6"])

    received = county.his["TS01"].wait_for(2 if language == "zh_CN" else 4)
    assert {accession, urgent} <= {part for message in received for part in re.findall(r"[A-Z0-9]{8,16}", str(message))}
    with desks.visit("tech1", language=language) as page:
        assert SAID[language][2] in stage(desks, page, accession)
        page.locator("table.lines a.main").click()
        assert "建议6个月后复查" in page.locator("main").inner_text()
        page.click("a[href^='/reports/']")
        assert "建议6个月后复查" in printed(page, "form[action$='/print'] button")
        page.reload()
        expect(page.locator("#prints tbody tr")).to_have_count(1)
        page.goto(f"{desks.address}/orders?q={urgent}")
        ticks = page.locator("input[name=report]")
        ticks.check()
        assert "何小急" in printed(page, "#together button")
        page.goto(f"{desks.address}/orders?q={accession}")
        page.locator("table.lines a.main").click()
        page.fill("[name=to]", "本人")
        page.keyboard.press("Enter")
        page.wait_for_url("**?done=given")
        expect(page.locator("#given")).to_contain_text("本人")
    (version,) = world.rows(ReportVersion, ReportVersion.reading_id == reading)
    assert (version.state, version.impression) == ("final", "颅脑CT平扫未见明显异常。建议6个月后复查。")
    assert desks.complaints("status of 409") == []
