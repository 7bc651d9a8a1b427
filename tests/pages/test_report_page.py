"""The report as people open and print it, and the images that a reader chooses for it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.pages.site import PASSWORD, Site
from worklist.tables import ReportPrint, ReportVersion


def _with_previews(page: Page, address: str) -> None:
    """Open a case with previews in place of OHIF, as this browser was told before."""
    page.evaluate("localStorage.setItem('huren-images', 'previews')")
    page.goto(address)
    expect(page.locator(".viewer .picture img")).to_be_visible()


@pytest.fixture(scope="module")
def reading(site: Site) -> str:
    """A case with five slices that reader1 has claimed."""
    placed = site.world.order()
    site.scan(placed)
    reading_id = site.world.reading_of(placed).id
    site.world.claim("reader1", reading_id, at=site.clock())
    return reading_id


def test_a_reader_chooses_images_in_the_previews(site: Site, reading: str) -> None:
    with site.visit("reader1") as page:
        _with_previews(page, f"{site.address}/reading/{reading}")
        pick = page.locator("[data-pick]")
        chosen = page.locator(".key-images li")
        pick.click()
        expect(pick).to_have_attribute("aria-pressed", "true")
        expect(chosen).to_have_count(1)
        page.locator(".viewer [data-step='1']").click()
        expect(pick).to_have_attribute("aria-pressed", "false")
        pick.click()
        expect(chosen).to_have_count(2)
        page.locator(".viewer [data-step='1']").click()
        pick.click()
        expect(chosen).to_have_count(3)
        chosen.nth(1).locator("button").click()
        expect(chosen).to_have_count(2)
        # Saved by itself with the words; a reload shows the same choice.
        page.fill("#findings", "左肺下叶见结节。")
        page.fill("#impression", "左肺下叶结节。")
        expect(page.locator(".saved")).to_contain_text("已保存")
        draft = site.world.one(ReportVersion, ReportVersion.reading_id == reading)
        assert len(draft.key_images) == 2
        page.reload()
        expect(page.locator(".key-images li")).to_have_count(2)
        assert page.locator(".key-images img").first.evaluate("i => i.decode().then(() => i.naturalWidth)") > 0
        page.locator("[formaction$='/submit']").click()
        site.send_all_the_same(page)
        page.wait_for_url("**/reading?done=submitted")


def test_the_senior_signs_and_the_page_shows_the_document(site: Site, reading: str) -> None:
    with site.visit("senior1") as page:
        _with_previews(page, f"{site.address}/reading/{reading}")
        page.locator("form[action$='/claim'] button").click()
        expect(page.locator(".key-images li")).to_have_count(2)
        page.locator("summary[data-key=submit]").click()
        page.fill("#password", PASSWORD)
        page.locator("[formaction$='/sign']").click()
        site.send_all_the_same(page, sign=True)
        page.wait_for_url("**/review?done=signed")
        page.goto(f"{site.address}/reports/{reading}")
        frame = page.locator("iframe.paper")
        expect(frame).to_be_visible()
        source = frame.get_attribute("src") or ""
        answer = page.request.get(site.address + source)
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.body().startswith(b"%PDF-")


def test_the_township_prints_and_every_print_is_listed(site: Site, reading: str) -> None:
    with site.visit("tech1") as page:
        order = site.world.rows(ReportVersion, ReportVersion.reading_id == reading)[0]
        page.goto(f"{site.address}/orders")
        page.locator("a[href^='/orders/']:not([href$='/new']):not([href$='/csv'])").first.click()
        page.locator(f"a[href='/reports/{reading}']").click()
        for number in (1, 2):
            with page.context.expect_page() as opened:
                page.locator("form[action$='/print'] button").first.click()
            opened.value.close()
            page.reload()
            expect(page.locator("#prints tbody tr")).to_have_count(number)
        rows = site.world.rows(ReportPrint, ReportPrint.version_id == order.id)
        assert sorted(row.number for row in rows) == [1, 2]


def test_no_browser_complained_about_the_document(site: Site) -> None:
    assert site.heard == []
