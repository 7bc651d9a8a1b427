"""The township shares results, and the patient sees them: in the browser, on a phone too."""

from __future__ import annotations

import re

from playwright.sync_api import ViewportSize, expect

from tests.pages import samples
from tests.pages.site import Site
from tests.pages.test_ohif import case, sign
from tests.pages.test_verify import FITS

PHONE: ViewportSize = {"width": 375, "height": 740}


def test_a_link_goes_from_the_township_to_a_phone(site: Site) -> None:
    placed, reading = case(site, "77001", list(samples.ct(slices=4, side=64)))
    sign(site, reading)
    order = site.world.order_now(placed)
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders/{order.id}")
        page.click(f"a[href='/sharing/{order.id}']")
        page.fill("#holder", "市人民医院")
        page.click("form .btn-primary")
        page.wait_for_url("**done=shared*")
        link = page.locator("#shares .mono.break").inner_text()
        assert re.fullmatch(re.escape(site.address) + r"/s/[0-9a-z-]+", link)
        expect(page.locator("#shares img.qr")).to_be_visible()
    with site.visit() as phone:
        phone.set_viewport_size(PHONE)
        phone.goto(link)
        expect(phone.locator("#report .btn-primary")).to_be_visible()
        assert phone.evaluate(FITS)
        paper = phone.request.get(site.address + (phone.locator("#report .btn-primary").get_attribute("href") or ""))
        assert paper.body().startswith(b"%PDF")
        images = phone.locator("#images").get_attribute("href") or ""
        phone.set_viewport_size({"width": 1366, "height": 768})
        with phone.expect_response(lambda answer: "/frames/" in answer.url) as frame:
            phone.goto(site.address + images)
        assert frame.value.status == 200
        expect(phone.locator("canvas").first).to_be_visible()
        expect(phone.locator("[role=alert].huren")).to_have_count(0)
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/sharing/{order.id}")
        page.click("#shares details summary")
        expect(page.locator("#shares table tr")).not_to_have_count(0)
        page.click("#shares .btn-outline-danger")
        page.wait_for_url("**done=sharing_ended*")
        code = page.locator("#slip-code").inner_text()
    with site.visit() as patient:
        patient.goto(link)
        expect(patient.locator(".note.heed")).to_be_visible()
        patient.fill("#number", "77001")
        patient.fill("#code", code.replace("-", " ").lower())
        patient.click("form .btn-primary")
        patient.wait_for_url("**/results/*")
        expect(patient.locator("#report .btn-primary")).to_be_visible()
