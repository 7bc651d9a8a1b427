"""A technician hands in folders, files and ZIPs; the receipt says what the county holds, and why the rest is not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests import discs
from tests.pages.site import Site
from tests.peers.link import open_link
from tests.peers.process import installed
from worklist.tables import Instance, PartialFile, Study, Upload, UploadFile

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
    expect(page.locator("#pick-folder")).to_be_enabled()
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
        page.click("#pick-folder")  # which waits until the page is ready
        expect(page.locator("#first")).to_have_text("请先回答第1个问题。")
        upload_id = hand_in(page, site, "own equipment", folder=disc)
        expect(page.locator(".receipt .verdict")).to_contain_text(f"县级中心已持有 {FILES + 20}/{FILES + 20 + BAD} 幅")
        expect(page.locator(".receipt")).to_contain_text("3个文件未被持有")
        assert page.locator("td", has_text="bad").count() == BAD
        expect(page.locator("main")).to_contain_text("已关联")
        expect(page.locator("main")).to_contain_text(placed.accession_number)
        page.locator("main summary").click()
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
    disc = make_disc(tmp_path / "cd", "1.2.826.0.79", 240)
    with site.visit("tech1") as page:
        broken = 0
        batches: list[int] = []

        def cut(route: Route) -> None:
            nonlocal broken
            broken += 1
            batches.append((route.request.post_data_buffer or b"").count(b"X-File-Name:"))
            if broken in (2, 3):
                route.abort("connectionreset")
            elif broken == 4:  # it arrived, and the answer was lost
                route.fetch()
                route.abort("connectionreset")
            else:
                route.continue_()

        page.route("**/api/uploads/*/batches", cut)
        upload_id = hand_in(page, site, "own equipment", folder=disc)
        expect(page.locator(".receipt.whole .verdict")).to_contain_text("县级中心已持有 240/240 幅")
    assert max(batches) >= 20  # not a round trip for each
    assert len(batches) <= 24
    assert len(site.world.rows(UploadFile, UploadFile.upload_id == upload_id, UploadFile.outcome != "ignored")) == 240
    site.heard.clear()


def _offsets(page: Page) -> list[int]:
    """Where the pieces that this page sends begin, as it goes on."""
    found: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            found.append(int(request.headers["upload-offset"]))

    page.on("request", note)
    return found


def _received(site: Site) -> int:
    """Bytes of partial files that the server has acknowledged."""
    return sum(row.received for row in site.world.rows(PartialFile, PartialFile.fate == {}))


def _until(page: Page, look: Callable[[], bool]) -> None:
    """Let the browser go on until `look` is content."""
    for _ in range(400):
        if look():
            return
        page.wait_for_timeout(50)
    raise AssertionError("waited in vain")


def _choose(page: Page, address: str, file: Path) -> None:
    page.goto(f"{address}/upload")
    expect(page.locator("#pick-files")).to_be_enabled()
    page.locator("input[value='own equipment']").check(force=True)
    page.set_input_files("#files", str(file))


def test_a_large_file_goes_on_where_the_link_broke_and_after_the_browser_was_closed(site: Site, tmp_path: Path) -> None:
    """断网续传: the link is cut in the middle of a file; later the browser is closed, and another one goes on."""
    file = tmp_path / "超声动态.dcm"
    file.write_bytes(discs.image(1, study="1.2.826.0.80", side=3000))
    assert file.stat().st_size > 17 << 20
    with open_link(int(site.address.rpartition(":")[2])) as link:
        with site.visit("tech1") as page:
            offsets = _offsets(page)
            link.cut_after(6 << 20)
            _choose(page, link.address, file)
            _until(page, lambda: link.is_cut)
            expect(page.locator(".said")).to_contain_text("网络中断")
            _until(page, lambda: _received(site) >= 5 << 20)  # what came of the piece that was cut off
            link.mend()
            link.cut_after(6 << 20)
            _until(page, lambda: len(offsets) >= 2 and link.is_cut and _received(site) >= 10 << 20)
            page.click("#pause")
            expect(page.locator("#pause")).to_have_text("继续")
            page.close(run_before_unload=False)
        assert offsets[0] == 0
        assert all(offset >= 5 << 20 for offset in offsets[1:])
        link.mend()
        with site.visit("tech1", language="en") as page:
            offsets = _offsets(page)
            page.goto(f"{link.address}/upload")
            expect(page.locator(".note.heed")).to_contain_text("it goes on where it stopped")
            _choose(page, link.address, file)
            page.wait_for_url(re.compile(r"/upload/\w+"), timeout=60_000)
            expect(page.locator(".receipt.whole .verdict")).to_contain_text("The county holds 1 of 1 images.")
            upload_id = page.url.rpartition("/")[2]
    assert offsets[0] >= 10 << 20
    (row,) = site.world.rows(UploadFile, UploadFile.upload_id == upload_id)
    assert (row.outcome, row.size) == ("stored", file.stat().st_size)
    held = site.world.one(Instance, Instance.sop_instance_uid == row.sop_instance_uid)
    assert site.store.read(held.store_key).endswith(file.read_bytes()[-1_000_000:])
    assert site.store.partial_files.ids() == []
    site.heard.clear()


def test_an_upload_that_was_broken_off_does_not_send_again_what_is_held(site: Site, tmp_path: Path) -> None:
    disc = make_disc(tmp_path / "cd", "1.2.826.0.81", 120)
    with site.visit("tech1") as page:
        page.route(
            "**/api/uploads/*/batches",
            lambda route: route.continue_() if b"IM00001" in (route.request.post_data_buffer or b"") else route.abort(),
        )
        page.goto(f"{site.address}/upload")
        expect(page.locator("#pick-folder")).to_be_enabled()
        page.locator("input[value='own equipment']").check(force=True)
        page.set_input_files("#folder", str(disc))
        stored = page.locator(".tallies .stored")
        expect(stored).not_to_have_text("0")
        held = int(stored.inner_text())
        upload_id = max(row.id for row in site.world.rows(Upload))
        page.close(run_before_unload=False)
    with site.visit("tech1", language="en") as page:
        page.goto(f"{site.address}/upload/{upload_id}")
        page.click("text=Choose the same folder again")
        expect(page.locator("#pick-folder")).to_be_enabled()
        page.set_input_files("#folder", str(disc))
        page.wait_for_url(re.compile(r"/upload/\w+$"), timeout=60_000)
        expect(page.locator(".receipt.whole .verdict")).to_contain_text("The county holds 120 of 120 images.")
    assert 0 < held < 120
    rows = site.world.rows(UploadFile, UploadFile.upload_id == upload_id)
    assert [row.outcome for row in rows if row.outcome != "ignored"] == ["stored"] * 120, "nothing came twice"
    site.heard.clear()


def test_what_a_disc_says_is_shown_before_it_is_sent(site: Site, tmp_path: Path) -> None:
    disc = make_disc(tmp_path / "cd", "1.2.826.0.82", 4, PatientID="77", PatientName="Li^Si=李^四")
    files = [str(path.relative_to(disc)) for path in sorted((disc / "DICOM").rglob("IM*"))]
    for path in disc.rglob("IM*"):  # DCMTK wants names as PS3.10 allows them
        path.rename(path.with_name(path.name))
    (disc / "DICOMDIR").unlink()
    subprocess.run(
        [installed("dcmmkdir", "dcmtk"), "+I", "-Nxc", "-W", "+D", "DICOMDIR", *files],
        cwd=disc,
        check=True,
        capture_output=True,
    )
    placed = site.world.order()
    with site.visit("tech1") as page:
        page.goto(f"{site.address}/upload?order={placed.id}")
        expect(page.locator("#pick-folder")).to_be_enabled()
        page.fill("#examined_at", "2026-03-02T01:00")
        page.set_input_files("#folder", str(disc))
        expect(page.locator(".contents .note.wrong")).to_contain_text("王小东")
        expect(page.locator(".contents")).to_contain_text("李四")
        expect(page.locator(".contents td.number")).to_have_text("4")
        assert site.world.rows(Upload, Upload.order_id == placed.id) == []
        page.click("[data-send]")
        page.wait_for_url(re.compile(r"/upload/\w+$"), timeout=60_000)
        expect(page.locator(".receipt .verdict")).to_contain_text("4/4")
    assert site.world.one(Study, Study.study_instance_uid == "1.2.826.0.82").link == "unmatched"


@pytest.fixture(scope="module", autouse=True)
def _quiet(site: Site) -> object:
    yield
    assert site.heard == []
