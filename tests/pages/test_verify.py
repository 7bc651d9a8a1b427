"""/verify in the browser: a dropped PDF, a code from the paper, without scripts, on a phone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.pages.site import Site
from worklist import people
from worklist.queries import parts
from worklist.queries.views import VersionView

FITS = "document.documentElement.scrollWidth <= innerWidth"
DROP = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "报告.pdf", { type: "application/pdf" }));
  const target = document.querySelector("#drop");
  for (const kind of ["dragover", "drop"])
    target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: carried }));
}"""


def signed(site: Site) -> str:
    """A case that reader1 wrote and senior1 signed at the running server, so that its documents are there."""
    world, now = site.world, site.clock()
    placed = world.order(patient=world.patient("77001", "王小东"))
    site.scan(placed)
    reading = world.reading_of(placed).id
    world.write("reader1", reading, at=now)
    world.submit("reader1", reading, at=now)
    world.claim("senior1", reading, at=now)
    token = world.database.write(lambda s: people.create_token(s, world.users["senior1"], "test", people.SCOPES, now))
    _post(site, token, f"/api/readings/{reading}/sign", {})
    return reading


def _post(site: Site, token: str, address: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{site.address}{address}", json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text


def _first(site: Site, report: str) -> tuple[VersionView, bytes]:
    version = site.world.ask(parts.versions, report)[-1]
    return version, site.store.read(site.world.ask(parts.documents, version.id)["pdf"].store_key)


def _drop(page: Page, pdf: bytes) -> None:
    with page.expect_navigation():
        page.evaluate(DROP, base64.b64encode(pdf).decode())


@pytest.fixture(scope="module")
def report(site: Site) -> tuple[VersionView, bytes]:
    return _first(site, signed(site))


@pytest.mark.parametrize("login", ["", "tech1"])
def test_a_pdf_is_dropped(site: Site, report: tuple[VersionView, bytes], login: str) -> None:
    _version, pdf = report
    with site.visit(login) as page:
        page.goto(f"{site.address}/verify")
        _drop(page, pdf)
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "current")
        assert "王*东" in page.locator("#verdict").inner_text()
        assert "王小东" not in page.content()
        altered = bytearray(pdf)
        altered[len(pdf) // 2] ^= 1
        _drop(page, bytes(altered))
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "altered")
        _drop(page, b"%PDF-1.7 something else")
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "foreign")
    assert not site.heard


def test_the_code_is_typed(site: Site, report: tuple[VersionView, bytes]) -> None:
    code = report[0].verification_code.lower()
    with site.visit() as page:
        page.goto(f"{site.address}/verify")
        page.fill("#code", f"{code[:4]}-{code[4:8]}-{code[8:12]}-{code[12:]}")
        page.press("#code", "Enter")
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "current")
        page.fill("#code", "0000-0000-0000-0000")
        page.press("#code", "Enter")
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "unknown")
    assert not site.heard


@pytest.mark.parametrize("size", [{"width": 1366, "height": 768}, {"width": 360, "height": 740}])
def test_without_scripts_and_on_a_phone(
    site: Site, report: tuple[VersionView, bytes], size: ViewportSize, tmp_path: Path
) -> None:
    version, pdf = report
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf)
    context = site.browser.new_context(viewport=size, java_script_enabled=False, locale="zh-CN")
    try:
        page = site.tab(context)
        page.goto(f"{site.address}/verify?code={version.verification_code}")
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "current")
        assert page.evaluate(FITS)
        page.set_input_files("#file", str(file))
        page.click("#with-file button")
        expect(page.locator("#verdict")).to_have_attribute("data-outcome", "current")
        assert page.evaluate(FITS)
    finally:
        context.close()
    assert not site.heard
