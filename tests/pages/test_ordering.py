"""A township orders by keyboard and scanner: who it is, what is examined, and what the form makes of mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.pages.site import Site
from tests.unit.worklist.test_identity import card
from worklist.actions import critical
from worklist.facts import ReportText
from worklist.tables import Order, Patient, PatientDocument, PatientIdentifier, ReportGiven, ReportVersion

MAN = card(born="19800305", order="105")
WOMAN = card(born="19900712", order="106")


def picture(page: Page, name: str) -> None:
    """Keep a picture where ``PICTURES`` says."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def scan(page: Page, text: str) -> None:
    """A keyboard wedge: all characters at once, then Enter."""
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def focused(page: Page) -> str:
    """The id of what has the focus."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.name"))


def begin(site: Site, page: Page) -> None:
    """A new order; the first field waits for the scanner."""
    page.goto(f"{site.address}/orders/new")
    expect(page.locator("#who")).to_be_focused()


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_card_is_scanned_and_ordered_by_keyboard_alone(site: Site, language: str) -> None:
    first = card(born="19700305", order="103" if language == "en" else "101")
    name = "郑大海" if language == "en" else "郑大山"
    with site.visit("tech1", language=language) as page:
        for time in range(2):
            begin(site, page)
            scan(page, first)
            if time == 0:  # nobody carries it: a new patient, with what the card says
                expect(page.locator("#name")).to_be_focused()
                assert page.input_value("#document") == first
                assert page.input_value("#birth_date") == "1970-03-05"
                assert page.input_value("#sex") == "M"
                picture(page, f"order-new-{language}")
                page.keyboard.type(name)
                page.focus("#procedure-words")
            else:
                expect(page.locator("#chosen")).to_contain_text(name)
                expect(page.locator("#procedure-words")).to_be_focused()
            page.keyboard.type("tlct")
            expect(page.locator("#procedure-list [role=option]")).to_have_count(1)
            expect(page.locator("#procedure-list [aria-selected=true]")).to_contain_text("CT-HEAD")
            picture(page, f"order-procedure-{language}-{time}")
            page.keyboard.press("Enter")
            expect(page.locator("input[name=priority][value=ROUTINE]")).to_be_focused()
            page.keyboard.press("ArrowRight")  # urgent
            page.keyboard.press("Enter")
            assert focused(page) == "clinical_information"
            page.keyboard.type("头痛三天")
            page.keyboard.press("Control+Enter")
            page.wait_for_url("**/orders/*?done=ordered")
            expect(page.locator("main")).to_contain_text("头痛三天")
    patient = site.world.one(Patient, Patient.name == name)
    assert (patient.birth_date, patient.sex) == ("19700305", "M")
    assert site.world.one(PatientDocument, PatientDocument.patient_id == patient.id).number == first
    number = site.world.one(PatientIdentifier, PatientIdentifier.patient_id == patient.id)
    assert number.value.startswith("P26")
    orders = site.world.rows(Order, Order.patient_id == patient.id)
    assert [o.priority for o in orders] == ["URGENT", "URGENT"], "the second order found the patient of the first"


def test_a_wrong_check_digit_is_said_in_place(site: Site) -> None:
    wrong = MAN[:-1] + ("1" if MAN[-1] != "1" else "2")
    with site.visit("tech1") as page:
        begin(site, page)
        scan(page, wrong)
        expect(page.locator("#flaw-words")).to_contain_text("校验")
        assert page.input_value("#birth_date") == "", "a wrong number says nothing"
        page.fill("#name", "错号人")
        page.fill("#procedure-words", "CT-HEAD")
        page.press("#procedure-words", "Enter")
        page.click("main form .btn-primary")
        expect(page.locator("[role=alert]")).to_have_count(1)
        assert not site.world.rows(Patient, Patient.name == "错号人")
        page.check("[name=document_stands]")
        page.click("main form .btn-primary")
        page.wait_for_url("**/orders/*?done=ordered")


def test_candidates_are_chosen_by_name_and_only_ones_own(site: Site) -> None:
    site.world.order(patient=site.world.patient("51001", "童小满", "F", "19910101"))
    site.world.order(patient=site.world.patient("51002", "童小满", "M", "19720202"))
    with site.visit("tech1") as page:
        begin(site, page)
        scan(page, "童小满")
        expect(page.locator("#who-list [role=option]")).to_have_count(3)  # both, and a new one
        assert page.url.endswith("key=" + page.url.split("key=")[1]), "nothing was sent"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("#chosen")).to_contain_text("51002")
        page.click("#unchoose")
        expect(page.locator("#who")).to_be_focused()
        assert page.input_value("#identifier") == ""
    with site.visit("tech2") as page:
        begin(site, page)
        scan(page, "51001")
        expect(page.locator("#identifier")).to_have_value("51001")  # somebody new here
        assert page.locator("#chosen").is_hidden()


def test_an_input_method_is_left_alone(site: Site) -> None:
    with site.visit("tech1") as page:
        begin(site, page)
        page.focus("#procedure-words")
        page.evaluate(
            """() => { const box = document.getElementById("procedure-words");
                box.dispatchEvent(new CompositionEvent("compositionstart"));
                const enter = {key: "Enter", keyCode: 229, bubbles: true, cancelable: true};
                box.dispatchEvent(new KeyboardEvent("keydown", enter));
            }"""
        )
        expect(page.locator("#procedure-words")).to_be_focused()
        page.fill("#procedure-words", "头颅")
        expect(page.locator("#procedure-list [role=option]").first).to_be_visible()


def test_without_scripts_the_form_works(site: Site) -> None:
    context = site.browser.new_context(java_script_enabled=False)
    page = site.tab(context)
    site.sign_in(page, "tech1")
    page.goto(f"{site.address}/orders/new")
    assert page.locator("#who").is_hidden()
    page.fill("#name", "无脚本")
    page.fill("#document", WOMAN)
    page.select_option("#procedure", "CT-HEAD")
    page.check("[name=priority][value=STAT]")
    page.click("main form .btn-primary")
    assert "done=ordered" in page.url
    context.close()
    assert (
        site.world.one(Order, Order.patient_id == site.world.one(Patient, Patient.name == "无脚本").id).priority
        == "STAT"
    )


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_an_order_is_followed_until_its_report_is_given(site: Site, language: str) -> None:
    number = "52001" if language == "en" else "52002"
    world = site.world
    placed = world.order(patient=world.patient(number, "康长庚", "M", "19650505"))

    def line(page: Page) -> str:
        page.goto(f"{site.address}/orders?q={number}")
        return page.locator("table.lines tbody tr").inner_text()

    said = {
        "zh_CN": ("等待检查", "等待阅片", "", "已出报告"),
        "en": ("waiting for the examination", "waiting for a reader", "being read by", "report issued"),
    }[language]
    with site.visit("tech1", language=language) as page:
        assert said[0] in line(page)
        site.scan(placed)
        assert said[1] in line(page)
        reading = world.reading_of(placed).id
        world.claim("reader1", reading, site.clock())
        if language == "en":
            assert said[2] in line(page)  # who, and since when
        picture(page, f"orders-{language}")
        world.signed(reading, at=site.clock())
        assert said[3] in line(page)
        page.goto(f"{site.address}/orders/{placed.id}")
        page.fill("[name=to]", "女儿 康小妹")
        page.keyboard.press("Enter")
        page.wait_for_url("**?done=given")
        expect(page.locator("#given")).to_contain_text("康小妹")
        assert page.locator("#given form").count() == 0, "given once"
        picture(page, f"order-given-{language}")
        world.correct("reader2", reading, ReportText("改正的所见", "改正的结论"), at=site.clock())
        world.submit("reader2", reading, site.clock())
        world.claim("senior1", reading, site.clock())
        world.sign("senior1", reading, at=site.clock())
        page.goto(f"{site.address}/orders")
        loud = page.locator("#call-back li").filter(has_text="康长庚").first
        expect(loud).to_contain_text("1")
        picture(page, f"orders-call-back-{language}")
        loud.locator("a").press("Enter")
        expect(page.locator("#given .note.wrong")).to_be_visible()
        page.press("#given form [name=to]", "Enter")
        page.wait_for_url("**?done=given")
        expect(page.locator("#given .row-line")).to_have_count(2)
        assert page.locator("#given .note.wrong").count() == 0
    versions = [v.id for v in world.rows(ReportVersion, ReportVersion.reading_id == reading)]
    given = world.rows(ReportGiven, ReportGiven.version_id.in_(versions))
    assert {g.to for g in given} == {"女儿 康小妹", ""}


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_critical_result_is_answered_on_a_phone(site: Site, language: str) -> None:
    world = site.world
    placed = world.order(patient=world.patient(f"5300{language[0]}", "危小急", "F", "19500101"))
    site.scan(placed)
    reading = world.reading_of(placed).id
    world.write("reader1", reading, at=site.clock())
    world.do(critical.mark, world.actor("reader1"), reading, "急性硬膜外血肿", site.clock())
    with site.visit("doc1", language=language) as page:
        page.set_viewport_size({"width": 360, "height": 640})
        page.goto(f"{site.address}/orders")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator(".alarm a").first.press("Enter")
        page.fill("#read_back", "急性硬膜外血肿，已知")
        picture(page, f"phone-{language}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        button = page.locator("form[action$='/acknowledge'] button")
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 30
        button.click()
        page.wait_for_selector(".note.good")
        assert not page.locator("#read_back").count()
