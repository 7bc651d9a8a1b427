"""The county's people at their desks: real pages of the running county in Chromium, and the keys that they press."""

from __future__ import annotations

import subprocess

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.county import County
from tests.pages.site import PASSWORD, Site

BOTH = pytest.mark.parametrize("language", ["zh_CN", "en"])
CUT = ("net::ERR_", "htmx:")
"""What a browser says of a link that a test cut."""


class Desks(Site):
    """A site in front of a running county."""

    def __init__(self, county: County, browser: Browser) -> None:
        super().__init__(county.address, county.world, county.parts.store, browser)
        self.county = county

    def arrive(self, accession: str, ae: str = "TS01CT", count: int = 2) -> str:
        """The modality asks its worklist, makes the images and says that it is done; returns the reading."""
        county = self.county
        item = county.item(ae, accession)
        files = county.images(item, count)
        step = county.begin_step(ae, item)
        county.send(ae, files)
        assert county.end_step(ae, step, files) == 0
        return str(county.case(accession)["id"])

    def ordered(self, patient: str, name: str, procedure: str = "CT-HEAD", *, priority: str = "R") -> str:
        """An order of the HIS of TS01; its accession number."""
        placer, _answer = self.county.order("TS01", patient, name, procedure, priority=priority)
        return self.county.accession(placer, "tech1")

    def ready(self, patient: str, name: str, procedure: str = "CT-HEAD", *, priority: str = "R") -> tuple[str, str]:
        """An order with its images: accession number and reading."""
        accession = self.ordered(patient, name, procedure, priority=priority)
        return accession, self.arrive(accession)

    def claim(self, page: Page, reading: str) -> None:
        """Open a case and take it."""
        page.goto(f"{self.address}/reading/{reading}")
        page.click("form[action$='/claim'] button")
        expect(page.locator(".aids[data-ready]")).to_be_visible()

    def sign(self, page: Page, secret: str = PASSWORD) -> None:
        """Sign the report that is open, also where its words do not fit the order."""
        page.click("summary[data-key=submit]")
        page.fill("#password", secret)
        page.click("button[formaction$='/sign']")
        self.send_all_the_same(page, sign=True)
        page.wait_for_url("**done=signed*")

    def submit(self, page: Page) -> None:
        """Submit the report that is open."""
        page.click("button[formaction$='/submit']")
        self.send_all_the_same(page)
        page.wait_for_url("**done=submitted*")

    def complaints(self, *expected: str) -> list[str]:
        """What browsers complained about since the last time, but for what a test brought about itself."""
        found = [text for text in self.heard if not any(words in text for words in expected)]
        self.heard.clear()
        return found


def tab_to(page: Page, selector: str, most: int = 120) -> None:
    """Press Tab until the element has the focus: it can be reached without a mouse."""
    for _ in range(most):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never comes to {selector}")


def text_of(pdf: bytes) -> str:
    """The words on the paper, without the blanks and line ends that a page puts between them."""
    ran = subprocess.run(["pdftotext", "-layout", "-", "-"], input=pdf, capture_output=True, check=True)
    return "".join(ran.stdout.decode().split())


def printed(page: Page, button: str) -> str:
    """The words of what a form prints: the PDF opens in another window, which headless Chromium only downloads."""
    fields: list[tuple[str, str]] = page.eval_on_selector(
        button, "b => [...new FormData(b.form)].map(([name, value]) => [name, String(value)])"
    )
    action = page.eval_on_selector(button, "b => b.form.action")
    answer = page.request.post(action, form=dict(fields))
    assert answer.status == 200, answer.text()
    assert answer.headers["content-type"] == "application/pdf"
    return text_of(answer.body())
