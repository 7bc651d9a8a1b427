"""Critical results and notices in the browser: the bell, verifying, the ladder, answering on a telephone, drills."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.pages.site import Site
from worklist.actions import calling, configuration, critical
from worklist.tables import CriticalResult, Patient, User


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_second_doctor_is_told_by_the_bell_and_verifies(site: Site, language: str) -> None:
    world = site.world
    center = world.centers["CH01"]
    fields = {"two_person_critical": True}
    world.do(configuration.save_center, world.actor("admin"), fields, site.clock(), center)
    world.do(lambda s: setattr(s.get_one(User, world.users["doc1"]), "phone", "13800000000"))
    on_call = world.ask(calling.on_call, center, site.clock())[0][0]
    login = next(login for login, id in world.users.items() if id == on_call)
    result = world.do(critical.mark, world.actor("reader1"), world.ready(at=site.clock()), "脑出血", site.clock())
    world.do(configuration.save_center, world.actor("admin"), {"two_person_critical": False}, site.clock(), center)
    with site.visit(login, language=language) as page:
        page.goto(f"{site.address}/account")
        page.click(".bell > summary")
        page.locator(".bell li button").first.click()
        page.wait_for_url(f"**/critical/{result.id}")
        page.click(f"form[action='/critical/{result.id}/verify'] button")
        page.wait_for_url("**?done=verified")
        assert page.locator("a[href='tel:13800000000']").count() >= 1
        assert page.locator("form[action$='/call']").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
    assert world.one(CriticalResult, CriticalResult.id == result.id).state == "notified"
    with site.visit("doc1", language=language) as page:
        page.set_viewport_size({"width": 360, "height": 640})
        page.goto(f"{site.address}/critical/{result.id}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.fill("#read_back", "脑出血，已知悉")
        page.click("form[action$='/acknowledge'] button")
        page.wait_for_url("**?done=answered")
        page.fill("#disposition", "已转院")
        page.click("form[action$='/dispose'] button")
        page.wait_for_url("**?done=disposed")
    assert world.one(CriticalResult, CriticalResult.id == result.id).state == "disposed"


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_manager_begins_a_drill_which_is_loud_about_being_one(site: Site, language: str) -> None:
    world = site.world
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/critical")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        page.click("details.fold > summary")
        page.select_option("#center_id", world.centers["CH01"])
        page.select_option("#institution_id", world.institutions["TS01"])
        page.fill("#words", "气胸")
        page.click("form[action='/critical/drill'] button")
        page.wait_for_url("**?done=drill_begun")
        assert page.locator(".drill").count() == 1
    with site.visit("doc1", language=language) as page:
        page.goto(f"{site.address}/orders")
        assert page.locator("#alarm .tag.bad").count() == 1
        page.click("#alarm a")
        expect(page.locator(".drill")).to_have_count(1)
        page.fill("#read_back", "气胸")
        page.click("form[action$='/acknowledge'] button")
        page.wait_for_url("**?done=answered")
    with site.visit("manager", language=language) as page:
        page.goto(f"{site.address}/critical?drills=1")
        page.locator("tbody tr a.main").first.click()
        page.click("details.fold > summary")
        page.fill("#why", "演练完成")
        page.click("form[action$='/retract'] button")
        page.wait_for_url("**?done=saved")


def test_the_report_is_a_page_and_a_file_without_patients(site: Site) -> None:
    world, at = site.world, site.clock()
    placed = world.order()
    reading_id = world.ready(placed, at=at)
    result = world.do(critical.mark, world.actor("reader1"), reading_id, "主动脉夹层", at)
    world.do(critical.escalate, result.id, at + timedelta(minutes=5))
    with site.visit("manager") as page:
        page.goto(f"{site.address}/critical?period=month")
        assert "loud" in (page.locator("tbody tr").first.get_attribute("class") or "")
        text = page.request.get(f"{site.address}/critical/report.csv?period=month").text()
    assert "主动脉夹层" in text
    assert placed.accession_number in text
    patient = world.one(Patient, Patient.id == world.reading(reading_id).patient_id)
    assert patient.name
    assert patient.name not in text


def test_notices_are_listed_and_marked_as_read(site: Site) -> None:
    world, at = site.world, site.clock()
    world.do(critical.mark, world.actor("reader1"), world.ready(at=at), "肺栓塞", at)
    with site.visit("doc1") as page:
        page.goto(f"{site.address}/notices")
        assert page.locator("tbody tr:not(.dim)").count() >= 1
        page.click("form[action='/notices/read'] button")
        expect(page.locator("tbody tr:not(.dim)")).to_have_count(0)
        expect(page.locator(".bell .count")).to_have_count(0)
