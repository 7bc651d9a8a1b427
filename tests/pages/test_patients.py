"""Patients in the browser: unknown, found, corrected, compared, merged and parted; a wrong patient repaired."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.integration.test_database_admissions import told_with
from tests.pages.site import PASSWORD, Site
from tests.unit.worklist.test_identity import card
from worklist.tables import Order, Patient, PatientMerge, Reading, ReportVersion, Study


def _picture(page: Page, name: str) -> None:
    """A picture at the smallest size that a ward's screen has, where somebody asked for pictures."""
    folder = os.environ.get("PICTURES")
    if folder:
        language = page.locator("html").get_attribute("lang")
        page.screenshot(path=Path(folder) / f"{name}-{language}.png")


def _no_sideways(page: Page) -> None:
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_an_unknown_patient_is_one_click_and_is_identified_later(site: Site) -> None:
    known = site.world.order(patient=site.world.patient("30001", "赵铁柱", "M", "19700101"))
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders/new")
        page.click("main a[href='/orders/new?unknown=1']")
        page.wait_for_selector("input[name=unknown]", state="attached")
        _picture(page, "unknown")
        _no_sideways(page)
        page.fill("#procedure-words", "CT-HEAD")
        page.press("#procedure-words", "Enter")
        page.click("main form[action='/orders/new'] button.btn-primary")
        page.wait_for_url("**/orders/*?done=ordered")
        assert "无名氏" in page.locator(".case-top").inner_text()
        order = site.world.one(Order, Order.id == page.url.split("/")[-1].split("?")[0])
        assert order.state == "scheduled"
        page.goto(f"{site.address}/patients")
        assert "无名氏" in page.locator("main section").first.inner_text()
        _picture(page, "patients")
        page.goto(f"{site.address}/patients/{order.patient_id}")
        _picture(page, "alias")
        page.click("main .card-header a[href$='/compare']")
        page.fill("input[name=q]", "zhaotie")
        page.click("main form.filters button")
        page.click("main table.lines a.btn")
        page.wait_for_selector("#why-identify")
        _picture(page, "identify")
        page.fill("#why-identify", "家属带来身份证")
        page.click("main form[action$='/join'] button.btn-primary")
        page.wait_for_url("**/patients/*?done=identified")
        _picture(page, "patient")
    assert site.world.one(Order, Order.id == order.id).patient_id == site.world.order_now(known).patient_id


def test_a_mistyped_patient_is_corrected_on_the_order_page(site: Site) -> None:
    placed = site.world.order(patient=site.world.patient("30002", "刘小红", "F", "19800101"))
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders/new")
        page.fill("#identifier", "30002")
        page.fill("#name", "刘晓宏")
        page.select_option("#sex", "M")
        page.fill("#procedure-words", "CT-HEAD")
        page.press("#procedure-words", "Enter")
        page.click("main form[action='/orders/new'] button.btn-primary")
        assert "刘小红" in page.locator("main .note.heed").inner_text()
        _picture(page, "contradicts")
        assert site.world.order_now(placed).patient_id
        page.check("input[name=record][value=correct]")
        page.fill("#why", "登记时听错")
        page.click("main form[action='/orders/new'] button.btn-primary")
        page.wait_for_url("**/orders/*?done=ordered")
    patient = site.world.one(Patient, Patient.id == site.world.order_now(placed).patient_id)
    assert (patient.name, patient.sex) == ("刘晓宏", "M")


def test_a_patient_is_corrected_and_a_wrong_document_is_shown_as_wrong(site: Site) -> None:
    patient_id = told_with(site.world, card(order="017")[:17] + "?", "TS01", value="30003", name="钱小六")
    with site.visit("doc1") as page:
        page.goto(f"{site.address}/patients/{patient_id}")
        assert page.locator("dl.facts .tag.bad").count() == 1
        page.locator("main details.card.fold summary").first.click()
        assert "^" not in page.input_value("form[action$='/correct'] #name")
        page.fill("form[action$='/correct'] #name", "钱晓六")
        page.fill("form[action$='/correct'] #why", "户口本核对")
        _picture(page, "correct")
        page.click("form[action$='/correct'] button.btn-primary")
        page.wait_for_url("**?done=corrected")
    assert site.world.one(Patient, Patient.id == patient_id).name == "钱晓六"


def test_two_patients_are_merged_and_parted_on_a_page(site: Site) -> None:
    one, other = (
        site.world.order_now(site.world.order(patient=site.world.patient(v, "孙大圣", "M", "19620202"))).patient_id
        for v in ("31001", "31002")
    )
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/patients/{one}/compare?other={other}")
        _picture(page, "compare")
        _no_sideways(page)
        page.fill("#why-merge", "重复建档")
        page.click("form:has(#why-merge) button.btn-danger")
        page.wait_for_url("**/patients/merges/*?done=people_merged")
        _picture(page, "merge")
        merge = site.world.one(PatientMerge, PatientMerge.retired_id == other)
        assert merge.moved["order"]
        page.locator("main details.more summary").last.click()
        panel = page.locator("main details.more .panel").last.bounding_box()
        assert panel is not None
        assert panel["x"] >= (page.locator("main section.card").last.bounding_box() or panel)["x"], "nothing is cut"
        page.fill("#why-undo", "是两兄弟")
        page.click("form[action$='/undo'] button")
        page.wait_for_selector("main .note.good")
        _picture(page, "parted")
    assert site.world.one(Patient, Patient.id == other).merged_into_id is None


def test_a_suggestion_is_decided_by_the_admin(site: Site) -> None:
    told_with(site.world, card(order="231"), "TS01", value="32001", name="吴小妹")
    told_with(site.world, card(order="231"), "TS02", value="32002", name="吴晓妹")
    with site.visit("admin") as page:
        page.goto(f"{site.address}/patients/suggestions")
        _picture(page, "suggestions")
        _no_sideways(page)
        page.click("main table.lines tr:has-text('吴小妹') a.btn")
        page.wait_for_selector("table.side-by-side")
        _picture(page, "suggestion")
        page.locator("main details.more summary").first.click()
        page.fill("#why-confirm", "身份证原件核对")
        page.click("form[action$='/confirm'] button")
        page.wait_for_url("**/patients/suggestions?done=people_linked")
    people = {p.person_id for p in site.world.rows(Patient, Patient.name.in_(("吴小妹", "吴晓妹")))}
    assert len(people) == 1


def test_the_wrong_patient_is_repaired_in_one_action_on_a_page(site: Site) -> None:
    world = site.world
    picked = world.order(patient=world.patient("33001", "郑成功", "M", "19600102"))
    right = world.order(patient=world.patient("33002", "陈秀英", "F", "19700101"))
    study_id = site.scan(picked, 3)
    case = world.reading_of(picked).id
    world.write("reader1", case, at=site.clock())
    world.submit("reader1", case, at=site.clock())
    world.claim("senior1", case, at=site.clock())
    with site.visit("senior1") as page:  # its documents are real: the withdrawal is made from them
        page.goto(f"{site.address}/reading/{case}")
        page.locator("summary[data-key=submit]").click()
        page.fill("#password", PASSWORD)
        page.locator("[formaction$='/sign']").click()
        site.send_all_the_same(page, sign=True)
        page.wait_for_url("**/review?done=signed")
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/studies/{study_id}/repair?order={right.id}")
        assert page.locator("form[action$='/repair']").count() == 0, "a technician takes no report back"
    for login, language in (("senior1", "en"), ("senior1", "zh_CN")):
        with site.visit(login, language=language) as page:
            page.goto(f"{site.address}/studies/{study_id}/repair?q=33002")
            _picture(page, "repair-choose")
            page.click("main table.lines a.btn")
            page.wait_for_selector("ol.plan")
            _picture(page, "repair")
            _no_sideways(page)
            assert "HIS of TS01" in page.locator("ol.plan").inner_text(), "who is told stands there before"
            if language == "en":
                continue
            page.fill("#why", "工作列表选错患者")
            page.fill("#password", "not my password")
            page.click("form[action$='/repair'] button.btn-danger")
            expect(page.locator("[role=alert]")).to_have_count(1)
            assert world.reading(case).state == "signed"
            page.fill("#password", PASSWORD)
            page.click("form[action$='/repair'] button.btn-danger")
            page.wait_for_url("**?done=repaired")
            assert page.locator(".case-top .name").inner_text() == "陈秀英", "as whom the images are known now"
            assert "33001" in page.locator("main .note.heed").inner_text(), "and what they say themselves"
    assert world.reading(case).state == "withdrawn"
    assert world.study_now(study_id).patient_id == world.order_now(right).patient_id
    anew = world.reading_of(right)
    assert anew.state == "unread"
    assert not world.rows(ReportVersion, ReportVersion.reading_id == anew.id)
    code = world.one(ReportVersion, ReportVersion.reading_id == case, ReportVersion.status == "final").verification_code
    with site.visit() as page:
        page.goto(f"{site.address}/verify/{code}")
        assert page.locator(".verdict, main").first.inner_text()
    assert world.rows(Reading, Reading.id == case)
    assert world.rows(Study, Study.id == study_id)


def test_in_english_too(site: Site) -> None:
    patient = site.world.rows(Patient, Patient.name == "赵铁柱")[0]
    with site.visit("admin", language="en") as page:
        for path, name in (
            ("/patients", "patients"),
            (f"/patients/{patient.id}", "patient"),
            ("/patients/suggestions", "suggestions"),
        ):
            page.goto(f"{site.address}{path}")
            _picture(page, name)
            _no_sideways(page)
    with site.visit("tech1", language="en") as page:
        page.goto(f"{site.address}/patients/{patient.id}/compare?q=sun")
        _picture(page, "compare-search")
        page.goto(f"{site.address}/orders/new?unknown=1")
        _picture(page, "unknown")


def test_nothing_was_wrong_in_the_browser(site: Site) -> None:
    wrong = [line for line in site.heard if "status of 4" not in line]
    assert not wrong, wrong
