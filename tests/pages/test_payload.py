"""What a township's line must carry: a first visit below 300 kB, a later one below 50 kB, without images and viewer."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from tests.pages.site import Site

FIRST = 300_000  # bytes over the wire, headers included
LATER = 50_000


class Meter:
    """Counts what a page's requests bring over the wire."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        self.files: dict[str, int] = {}
        self._names: dict[str, str] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.loadingFinished", self._came)

    def _asked(self, event: dict[str, Any]) -> None:
        self._names[event["requestId"]] = event["request"]["url"]

    def _came(self, event: dict[str, Any]) -> None:
        size = int(event["encodedDataLength"])
        self.bytes += size
        name = self._names.get(event["requestId"], "?")
        self.files[name] = self.files.get(name, 0) + size


@pytest.mark.parametrize(
    ("login", "pages"),
    [
        ("tech1", ("/orders", "/orders/new", "/patients", "/upload")),
        ("reader1", ("/reading",)),
        ("senior1", ("/review",)),
    ],
)
def test_a_visit_stays_within_its_budget(site: Site, login: str, pages: tuple[str, ...]) -> None:
    for number in range(30001, 30041):
        site.world.order(patient=site.world.patient(str(number), "周杰"))
    with site.visit() as page:
        first = Meter(page)
        site.sign_in(page, login)
        expect(page.locator("html")).to_have_attribute("data-live", "on")
        assert 0 < first.bytes < FIRST, sorted(first.files.items(), key=lambda item: -item[1])[:10]
        for address in pages:
            page.goto(site.address + address)  # the page's own scripts come with it the first time
            later = Meter(page)
            page.goto(site.address + address)
            page.wait_for_load_state()
            assert 0 < later.bytes < LATER, (address, sorted(later.files.items(), key=lambda item: -item[1])[:10])


def test_pages_and_files_come_packed(site: Site) -> None:
    with site.visit() as page:
        seen: dict[str, str] = {}

        def hear(answer: Response) -> None:
            seen.setdefault(answer.url.removeprefix(site.address), answer.headers.get("content-encoding", ""))

        page.on("response", hear)
        page.goto(f"{site.address}/sign-in")
        assert {seen["/sign-in"], *(way for name, way in seen.items() if "tabler" in name or "htmx" in name)} == {
            "gzip"
        }
