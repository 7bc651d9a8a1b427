"""图文报告: stills of a device without DICOM, added to their order, chosen by the township, printed by the reader."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests import pictures
from tests.pages.site import Site
from worklist.tables import Instance, Study


def test_stills_are_added_chosen_and_proposed_to_the_reader(site: Site, tmp_path: Path) -> None:
    placed = site.world.order("US-ABDOMEN")
    files = []
    for number in range(1, 9):
        file = tmp_path / f"图像{number}.jpg"
        file.write_bytes(pictures.jpeg(pictures.fan(number, colour=number % 2 == 0)))
        files.append(file)
    paper = tmp_path / "测量.pdf"
    paper.write_bytes(pictures.pdf())
    with site.visit("tech1", language="en") as page:
        page.goto(f"{site.address}/orders/{placed.id}")
        page.click(f"a[href='/upload?order={placed.id}']")
        expect(page.locator("#pick-files")).to_be_enabled()
        page.click("#pick-files")
        expect(page.locator("#first")).to_be_visible()  # when was it?
        page.fill("#examined_at", "2026-03-02T01:30")
        page.set_input_files("#files", [str(file) for file in [*files, paper]])
        page.wait_for_url(re.compile(r"/upload/\w+$"), timeout=60_000)
        expect(page.locator(".receipt.whole .verdict")).to_contain_text("The county holds 9 of 9 images.")
        expect(page.locator("main")).to_contain_text(placed.accession_number)
        page.click("a[href^='/report-images/']")
        expect(page.locator("[data-image]")).to_have_count(8)
        for at in (4, 1, 2):
            page.locator("[data-image]").nth(at).click()
        page.locator("[data-image] img").last.evaluate("i => i.decode()")
        page.click("form.report-images button.btn-primary")
        page.wait_for_url("**?done=proposed")
    study = site.world.one(Study, Study.study_instance_uid == placed.study_instance_uid)
    assert study.link == "matched"
    uids = {
        row.number: row.sop_instance_uid for row in site.world.rows(Instance, Instance.study_id == study.id) if row.rows
    }
    assert study.proposed_images == [[uids[number], 1] for number in (5, 2, 3)]
    site.ahead += timedelta(hours=6)  # nothing more came: the study is complete
    site.world.check_arrival(study.id, site.clock())
    reading = site.world.reading_of(placed)
    site.world.claim("reader1", reading.id, at=site.clock())
    with site.visit("reader1", language="en") as page:
        page.goto(f"{site.address}/reading/{reading.id}")
        chosen = page.locator(".key-images li")
        expect(chosen).to_have_count(3)
        expect(page.locator("a[href$='/paper.pdf']")).to_be_visible()
        chosen.nth(1).locator("button").click()
        expect(chosen).to_have_count(2)
        page.click("[data-take-proposed]")
        expect(chosen).to_have_count(3)


@pytest.fixture(scope="module", autouse=True)
def _quiet(site: Site) -> object:
    yield
    assert site.heard == []
