"""ECGs beside their case: in the unmatched bin, in a repair, in a review."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests import ecg_beats, ecgs
from tests.pages import cardiology
from tests.pages.site import Site
from tests.pages.test_accessibility import faults
from tests.pages.test_ecg_page import MM, READY, picture, pixels
from worklist.facts import ReportText
from worklist.tables import Instance, ReportVersion


@pytest.fixture(scope="module")
def center(site: Site) -> Site:
    """The county with an ECG center."""
    cardiology.open_center(site.world)
    return site


def kept(page: Page, name: str) -> None:
    """A picture for the eye, where a folder is named."""
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def is_drawn(page: Page) -> None:
    page.wait_for_selector(READY)
    assert picture(page)[: round(20 * MM), round(20 * MM) :].any()
    expect(page.locator("[data-measurements] dd").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1366
    assert page.locator("section.imaging").count() == 0, "there is nothing but the ECG"
    assert not faults(page)


def saved(page: Page) -> None:
    with page.expect_response("**/api/readings/*/report"):
        page.keyboard.press("Control+s")
    expect(page.locator(".saved")).to_contain_text(re.compile("已保存|Saved"))


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_who_links_an_unmatched_ecg_sees_it(center: Site, language: str) -> None:
    instance = cardiology.record(center, None, ecgs.recording())
    study = center.world.one(Instance, Instance.id == instance).study_id
    center.world.order("ECG12", patient=center.world.patient("10001", "王小东"))
    for login, base in (("tech1", "/unmatched"), ("admin", "/admin/unmatched")):
        with center.visit(login, language=language) as page:
            page.goto(f"{center.address}{base}/{study}")
            is_drawn(page)
            kept(page, f"unmatched-{login}-{language}")
            page.locator("a[href*='order=']").first.click()
            is_drawn(page)
            expect(page.locator("table.side-by-side")).to_be_visible()


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_who_moves_an_ecg_to_another_patient_sees_it(center: Site, language: str) -> None:
    placed = center.world.order("ECG12", patient=center.world.patient(f"4200{len(language)}", "李秀英"))
    instance = cardiology.record(center, placed, ecgs.recording())
    study = center.world.one(Instance, Instance.id == instance).study_id
    with center.visit("tech1", language=language) as page:
        page.goto(f"{center.address}/studies/{study}/repair")
        is_drawn(page)
        kept(page, f"repair-{language}")


def test_who_moves_images_sees_them_too(center: Site) -> None:
    placed = center.world.order(patient=center.world.patient("42009", "赵敏"))
    study = center.scan(placed)
    with center.visit("tech1") as page:
        page.goto(f"{center.address}/studies/{study}/repair")
        expect(page.locator("section.imaging .place img").first).to_be_visible()


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_a_review_shows_the_numbers_that_it_changed(center: Site, language: str) -> None:
    placed = center.world.order("ECG12", patient=center.world.patient(f"4201{len(language)}", "周娜"))
    cardiology.record(center, placed, ecgs.recording())
    reading, now = center.world.reading_of(placed).id, center.clock()
    center.world.write("heart1", reading, ReportText("窦性心律", "正常心电图"), now)
    with center.visit("heart1", language=language) as page:
        page.goto(f"{center.address}/reading/{reading}")
        page.wait_for_selector(READY)
        page.keyboard.press("Alt+s")
        saved(page)
        kept(page, f"numbers-{language}")
    center.world.submit("heart1", reading, center.clock())
    center.world.claim("heart2", reading, at=center.clock())
    with center.visit("heart2", language=language) as page:
        page.goto(f"{center.address}/reading/{reading}")
        page.wait_for_selector(READY)
        page.fill("[data-number='PR interval']", "176")
        page.fill("[data-number='P axis']", "")
        saved(page)
        page.reload()
        page.wait_for_selector(READY)
        page.locator("summary", has_text="What the draft differs" if language == "en" else "与提交稿").click()
        changes = page.locator(".diff").first
        assert [one.inner_text() for one in changes.locator("del, ins").all()] == ["180 ms", "176 ms", "44°"]
        changes.scroll_into_view_if_needed()
        kept(page, f"review-{language}")
        assert not faults(page)
    center.world.sign("heart2", reading, at=center.clock())
    with center.visit("heart1", language=language) as page:
        page.goto(f"{center.address}/my-reports")
        changed = page.locator("tr", has=page.locator(f"a[href^='/reading/{reading}']"))
        assert [one.inner_text() for one in changed.locator("del, ins").all()] == ["180 ms", "176 ms", "44°"]
        kept(page, f"my-reports-{language}")
        assert not faults(page)
    with center.visit("tech1", language=language) as page:
        page.goto(f"{center.address}/orders/{placed.id}")
        expect(page.locator("dl.measured dd").first).to_contain_text("176 ms")
        kept(page, f"order-{language}")
        assert not faults(page)


def test_the_corrected_qt_of_the_chosen_formula_is_taken_by_one_key(center: Site) -> None:
    placed = center.world.order("ECG12", patient=center.world.patient("42020", "孙浩"))
    heart = ecgs.Heart(said={"heart rate": 100.0, "QT interval": 360.0, "QTc interval": 465.0})
    cardiology.record(center, placed, ecgs.recording(heart))
    reading, now = center.world.reading_of(placed).id, center.clock()
    with center.visit("heart1") as page:
        page.goto(f"{center.address}/reading/{reading}")
        page.wait_for_selector(READY)
        expect(page.locator("[data-corrected] dd")).to_have_text(["465 ms", "427 ms", "422 ms", "430 ms"])
        expect(page.locator("[data-take-qtc]")).to_have_count(0)  # not theirs yet
        page.keyboard.press("Alt+q")
        center.world.claim("heart1", reading, at=now)
        page.reload()
        page.wait_for_selector(READY)
        page.keyboard.press("Alt+s")
        number, method = page.locator("[data-number='QTc interval']"), page.locator("[data-method]")
        expect(number).to_have_value("465")
        page.get_by_role("radio", name="Hodges").check()
        expect(number).to_have_value("465")  # chosen is not taken
        page.keyboard.press("Alt+q")
        expect(number).to_have_value("430")
        expect(method).to_have_value("Hodges")
        saved(page)
        kept(page, "corrected")
        page.reload()
        page.wait_for_selector(READY)
        expect(page.get_by_role("radio", name="Hodges")).to_be_checked()  # remembered
        expect(number).to_have_value("430")
        page.fill("[data-qt]", "")
        expect(page.locator("[data-take-qtc]")).to_be_disabled()
        page.fill("[data-qt]", "400")
        page.get_by_role("radio", name="Fridericia").check()
        page.locator("[data-take-qtc]").click()
        expect(number).to_have_value("474")
        expect(method).to_have_value("Fridericia")
        saved(page)
        assert not faults(page)
    (held,) = center.world.rows(ReportVersion, ReportVersion.reading_id == reading)
    said = {one["name"]: (one["value"], one["method"]) for one in held.measurements}
    assert said["QTc interval"] == (474, "Fridericia")
    assert said["QT interval"] == (360, "")


def marks_of(page: Page) -> int:
    """How many triangles stand on the paper: runs of their green in the row where they are widest."""
    rgb = pixels(page)[:, :, :3]
    green = (rgb[:, :, 1] - rgb[:, :, 0] > 80) & (rgb[:, :, 0] < 60)
    row = green[int(np.argmax(green.sum(axis=1)))]
    return int((np.diff(np.concatenate(([False], row)).astype(int)) == 1).sum())


@pytest.mark.parametrize("language", ["zh_CN", "en"])
def test_what_is_computed_is_advice_beside_the_devices_and_in_no_report(center: Site, language: str) -> None:
    placed = center.world.order("ECG12", patient=center.world.patient(f"4203{len(language)}", "吴桂花"))
    heart = ecgs.Heart(said={"heart rate": 150.0, "PR interval": 180.0})  # twice what there is
    cardiology.record(center, placed, ecgs.recording(heart))
    reading = center.world.reading_of(placed).id
    center.world.claim("heart1", reading, at=center.clock())
    with center.visit("heart1", language=language) as page:
        page.goto(f"{center.address}/reading/{reading}")
        page.wait_for_selector(READY)
        expect(page.locator("[data-computed] dd")).to_have_text("75 bpm" if language == "en" else "75 次/分")
        expect(page.locator("[data-apart]")).to_be_visible()
        expect(page.locator("[data-unclear]")).to_be_hidden()
        assert marks_of(page) == 0
        page.locator("[data-marks]").check()
        assert marks_of(page) == 13  # the last is cut by the end of the strip
        kept(page, f"computed-{language}")
        page.keyboard.press("Alt+s")
        expect(page.locator("[data-number='heart rate']")).to_have_value("150")
        assert not faults(page)


def test_nothing_is_computed_of_noise(center: Site) -> None:
    placed = center.world.order("ECG12", patient=center.world.patient("42040", "杨建国"))
    cardiology.record(center, placed, replace(ecgs.recording(), rhythm=ecg_beats.noise_alone(1)))
    with center.visit("heart1") as page:
        page.goto(f"{center.address}/reading/{center.world.reading_of(placed).id}")
        page.wait_for_selector(READY)
        expect(page.locator("[data-unclear]")).to_be_visible()
        expect(page.locator("[data-computed] dd")).to_have_count(0)
        expect(page.locator("[data-marks]")).to_be_disabled()
