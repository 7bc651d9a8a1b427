"""A technician hands in folders, files and ZIPs; the receipt says what the county holds, and why the rest is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import discs
from tests.pages.site import Site
from worklist.tables import Instance, Study, Upload, UploadFile

FILES = 60
BAD = 3


def make_disc(folder: Path, study: str, count: int, **says: object) -> Path:
    """A disc: a directory, a viewer program, and images under names that mean nothing."""
    for number in range(1, count + 1):
        file = folder / "DICOM" / f"S{number // 20}" / f"IM{number:05d}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(discs.image(number, study=study, **says))
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(64))
    (folder / "VIEWER").mkdir()
    (folder / "VIEWER" / "viewer.exe").write_bytes(discs.VIEWER)
    (folder / "autorun.inf").write_text("[autorun]")
    return folder


def hand_in(page: Page, site: Site, origin: str, *, folder: Path | None = None, files: list[Path] | None = None) -> str:
    """Answer the question, choose, and wait for the receipt; returns the upload's id."""
    page.goto(f"{site.address}/upload")
    page.locator(f"input[value='{origin}']").check(force=True)
    if folder is not None:
        page.set_input_files("#folder", str(folder))
    else:
        page.set_input_files("#files", [str(file) for file in files or []])
    page.wait_for_url(re.compile(r"/upload/\w+"), timeout=60_000)
    return page.url.rpartition("/")[2]


def test_a_disc_of_our_own_is_held_and_matched_and_its_viewer_passed_over(site: Site, tmp_path: Path) -> None:
    world = site.world
    placed = world.order()
    disc = make_disc(
        tmp_path / "disc", placed.study_instance_uid, FILES, PatientID="10001", AccessionNumber=placed.accession_number
    )
    for number, bad in enumerate((b"", b"rubbish " * 40, discs.image(999, study="1.2.9")[:300])):
        (disc / f"bad{number}.dcm").write_bytes(bad)
    more = [
        discs.image(number, study=placed.study_instance_uid, AccessionNumber=placed.accession_number)
        for number in range(FILES + 1, FILES + 21)
    ]
    (disc / "rest.zip").write_bytes(discs.zipped({f"../../{n}/图像{n}.dcm": data for n, data in enumerate(more)}))
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/orders")
        page.click("nav a[href='/upload']")
        page.click("#pick-folder")
        expect(page.locator("#first")).to_have_text("请先回答第1个问题。")
        upload_id = hand_in(page, site, "own equipment", folder=disc)
        expect(page.locator(".receipt .verdict")).to_contain_text(f"县级中心已持有 {FILES + 20}/{FILES + 20 + BAD} 幅")
        expect(page.locator(".receipt")).to_contain_text("3个文件未被持有")
        assert page.locator("td", has_text="bad").count() == BAD
        expect(page.locator("main")).to_contain_text("已关联")
        expect(page.locator("main")).to_contain_text(placed.accession_number)
        page.locator("summary").click()
        expect(page.locator("main")).to_contain_text("viewer.exe")
        page.goto(f"{site.address}/upload")
        expect(page.locator(f"a[href='/upload/{upload_id}']")).to_be_visible()
    study = world.one(Study, Study.study_instance_uid == placed.study_instance_uid)
    assert study.link == "matched"
    held = world.rows(Instance, Instance.study_id == study.id)
    assert len(held) == FILES + 20
    assert all(site.store.exists(row.store_key) for row in held)
    rows = world.rows(UploadFile, UploadFile.upload_id == upload_id)
    outcomes = {outcome: sum(row.outcome == outcome for row in rows) for outcome in {row.outcome for row in rows}}
    assert outcomes == {"stored": FILES + 20, "refused": BAD, "ignored": 3}
    assert world.one(Upload, Upload.id == upload_id).announced == len(rows)

    with site.visit("tech1", language="en") as page:  # the same disc again: nothing is held twice
        again = hand_in(page, site, "own equipment", folder=disc)
        expect(page.locator(".receipt .verdict")).to_contain_text(
            f"The county holds {FILES + 20} of {FILES + 23} images."
        )
        expect(page.locator(".receipt")).to_contain_text(f"{FILES + 20} of them it held before.")
    assert again != upload_id
    assert len(world.rows(Instance, Instance.study_id == study.id)) == FILES + 20


def test_another_hospitals_disc_waits_for_a_person_even_if_a_number_is_ours(site: Site, tmp_path: Path) -> None:
    placed = site.world.order(patient=site.world.patient("10003", "王小西"))
    disc = make_disc(tmp_path / "cd", "1.2.826.0.77", 5, PatientID="10003", AccessionNumber=placed.accession_number)
    with site.visit("tech1") as page:
        hand_in(page, site, "other hospital", folder=disc)
        expect(page.locator(".receipt.whole .verdict")).to_contain_text("县级中心已持有 5/5 幅")
        expect(page.locator("main")).to_contain_text("尚无申请单")
        page.click("text=关联到申请单")
        page.wait_for_url("**/unmatched/*")
        expect(page.locator(".note.heed")).to_contain_text("外院")
    assert site.world.one(Study, Study.study_instance_uid == "1.2.826.0.77").link == "unmatched"


def test_a_neighbours_receipt_is_not_there(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    file.write_bytes(discs.image(1, study="1.2.826.0.78"))
    with site.visit("tech1") as page:
        upload_id = hand_in(page, site, "own equipment", files=[file])
    with site.visit("tech2") as page:
        answer = page.goto(f"{site.address}/upload/{upload_id}")
        assert answer is not None
        assert answer.status == 404
        page.goto(f"{site.address}/upload")
        assert page.locator(f"a[href='/upload/{upload_id}']").count() == 0
    with site.visit("admin") as page:
        answer = page.goto(f"{site.address}/upload/{upload_id}")
        assert answer is not None
        assert answer.status == 200
    with site.visit("reader1") as page:
        answer = page.goto(f"{site.address}/upload")
        assert answer is not None
        assert answer.status == 403
    site.heard.clear()  # the console notes each refusal


def test_a_broken_link_is_waited_for_and_nothing_is_sent_twice(site: Site, tmp_path: Path) -> None:
    disc = make_disc(tmp_path / "cd", "1.2.826.0.79", 12)
    with site.visit("tech1") as page:
        broken = 0

        def cut(route) -> None:  # type: ignore[no-untyped-def]
            nonlocal broken
            broken += 1
            if broken in (3, 4):
                route.abort("connectionreset")
            elif broken == 6:  # it arrived, and the answer was lost
                route.fetch()
                route.abort("connectionreset")
            else:
                route.continue_()

        page.route("**/api/uploads/*/files", cut)
        upload_id = hand_in(page, site, "own equipment", folder=disc)
        expect(page.locator(".receipt.whole .verdict")).to_contain_text("县级中心已持有 12/12 幅")
    assert len(site.world.rows(UploadFile, UploadFile.upload_id == upload_id, UploadFile.outcome != "ignored")) == 12
    site.heard.clear()


@pytest.fixture(scope="module", autouse=True)
def _quiet(site: Site) -> object:
    yield
    assert site.heard == []
