"""The link breaks, the browser crashes, the server is killed: nobody's words are lost, and every image arrives once.

The server is `huren serve` in a process of its own; the browsers come through lines that break or are slow.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, expect

from reading_room.passwords import hash_password
from tests import discs
from tests.integration.killing import Server, storage_faults
from tests.journeys.desks import BOTH, CUT
from tests.pages.site import CHEAP, PASSWORD, Site, phantom
from tests.peers.chromium import FLAGS, NO_GPU
from tests.peers.faults import BadLine, Fault, Way
from tests.peers.link import open_link
from tests.peers.ports import LOOPBACK
from tests.peers.process import installed
from tests.promises.scale import memory_of, note
from worklist.tables import Instance, PartialFile, ReportVersion, UploadFile

UPLOAD = re.compile(r"/upload/\w+")
MB = 1 << 20
MORE_MEMORY = 100  # MiB at most that the server may take for a large upload


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server with some cases that wait; it alone writes to its database once it is started."""
    started = Server(tmp_path_factory.mktemp("cut"), hash_password(PASSWORD, CHEAP))
    try:
        CASES[:] = [case(started, f"8100{n}") for n in range(3)]
        started.start()
        yield started
    finally:
        started.close()


CASES: list[str] = []  # readings that nobody has taken


def case(server: Server, number: str) -> str:
    """An order with one image, complete; returns its reading."""
    world = server.world
    placed = world.order(patient=world.patient(number, "王小东"))
    step, facts = world.begin_step(placed), world.facts(placed)
    world.receive(facts, server.store.put([phantom(facts, 0.5)]))
    world.end_step(step, [facts.sop_instance_uid])
    return world.reading_of(placed).id


@pytest.fixture
def site(server: Server, browser: Browser) -> Site:
    """The pages of the server, which a test before may have left dead."""
    if not server.is_running:
        server.start()
    return Site(server.address, server.world, server.store, browser)


def through(site: Site, port: int) -> Site:
    """The same pages by way of a line."""
    return Site(f"http://{LOOPBACK}:{port}", site.world, site.store, site.browser)


def until(page: Page, look: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Let the browser go on until `look` is content."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        page.wait_for_timeout(50)


# ------------------------------------------------------------------------------------------------ writing


def claim(site: Site, page: Page, reading: str) -> None:
    """Take a case, and begin to write."""
    page.goto(f"{site.address}/reading/{reading}")
    page.click("form[action$='/claim'] button")
    expect(page.locator(".aids[data-ready]")).to_be_visible()
    page.focus("#findings")


def held(site: Site, reading: str) -> str:
    """The findings that the server holds."""
    versions = site.world.rows(ReportVersion, ReportVersion.reading_id == reading)
    return versions[0].findings if versions else ""


@BOTH
def test_words_typed_while_the_link_breaks_come_back(server: Server, site: Site, language: str) -> None:
    reading = CASES.pop()
    with open_link(server.web_port) as link:
        far = through(site, link.port)
        with far.visit("reader1", language=language) as page:
            page.on("dialog", lambda dialog: dialog.accept())
            claim(far, page, reading)
            page.keyboard.type("断网以前的话。")
            until(page, lambda: held(site, reading) == "断网以前的话。", "the first words")
            link.cut_after(500)  # in the middle of the next save
            page.keyboard.type("正在断网时的话。")
            expect(page.locator(".saved.wrong")).to_contain_text(KEPT[language])
            page.keyboard.type("断网以后的话。")
            with contextlib.suppress(Error):  # there is nobody to load it from
                page.reload()
            page.wait_for_url("chrome-error://**")
            link.mend()
            page.goto(f"{far.address}/reading/{reading}")
            words = "断网以前的话。正在断网时的话。断网以后的话。"
            expect(page.locator("#findings")).to_have_value(words)
            until(page, lambda: held(site, reading) == words, "all the words")
    assert [text for text in far.heard if not any(words in text for words in CUT)] == []


KEPT = {"zh_CN": "尚未保存", "en": "kept in this browser"}


def test_words_survive_a_killed_server_a_crashed_tab_and_a_killed_browser(
    server: Server, site: Site, tmp_path: Path
) -> None:
    reading = CASES.pop()
    profile = tmp_path / "profile"
    with open_link(server.web_port) as link:
        far = through(site, link.port)
        context = browser_of(far, profile)
        page = far.tab(context)
        far.sign_in(page, "reader1")
        claim(far, page, reading)
        page.keyboard.type("一、服务器正常。")
        until(page, lambda: held(site, reading), "the first words")
        server.kill()
        page.keyboard.type("二、服务器停了。")
        expect(page.locator(".saved.wrong")).to_be_visible()
        server.start()
        # The page tries again by itself.
        until(page, lambda: held(site, reading) == "一、服务器正常。二、服务器停了。", "the words of meanwhile")

        link.cut_after(0)
        page.keyboard.type("三、页面崩溃了。")
        expect(page.locator(".saved.wrong")).to_be_visible()
        with page.expect_event("crash"):
            crash = context.new_cdp_session(page)
            with contextlib.suppress(Error):
                crash.send("Page.navigate", {"url": "chrome://crash"})
        link.mend()
        page = far.tab(context)
        page.goto(f"{far.address}/reading/{reading}")
        expect(page.locator("#findings")).to_have_value("一、服务器正常。二、服务器停了。三、页面崩溃了。")
        until(page, lambda: "页面崩溃" in held(site, reading), "the words of the tab")

        link.cut_after(0)
        page.focus("#findings")
        page.keyboard.press("Control+End")
        page.keyboard.type("四、浏览器没了。")
        until(page, lambda: written(profile, "四、浏览器没了。"), "the browser to write to its disk")
        kill_browser(profile)
        with contextlib.suppress(Error):
            context.close()
        link.mend()
        context = browser_of(far, profile)
        page = far.tab(context)
        page.goto(f"{far.address}/reading/{reading}")
        if "/sign-in" in page.url:  # where the browser had not written its cookies yet
            far.sign_in(page, "reader1")
            page.goto(f"{far.address}/reading/{reading}")
        expect(page.locator("#findings")).to_have_value(re.compile("四、浏览器没了。$"))
        until(page, lambda: held(site, reading).endswith("四、浏览器没了。"), "the words of the browser")
        context.close()
    assert storage_faults(server) == []


def browser_of(site: Site, profile: Path) -> BrowserContext:
    """A browser of one's own, with a profile that stays on disk."""
    return site.browser.browser_type.launch_persistent_context(
        profile, executable_path=installed("/usr/bin/chromium", "chromium"), args=FLAGS + NO_GPU, locale="zh-CN"
    )


def written(profile: Path, words: str) -> bool:
    """Whether the profile on disk has words that a page kept."""
    files = (profile / "Default" / "Local Storage" / "leveldb").glob("*.log")
    return any(words.encode("utf-16-le") in file.read_bytes() for file in files)


def kill_browser(profile: Path) -> None:
    """SIGKILL for the browser of a profile, and for nothing else."""
    wanted = f"--user-data-dir={profile}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if wanted in words and not any(word.startswith(b"--type=") for word in words):
                os.kill(int(folder.name), signal.SIGKILL)


# ------------------------------------------------------------------------------------------------ uploading


def send(site: Site, page: Page, *, folder: Path | None = None, file: Path | None = None) -> None:
    """Choose a folder or a file; it begins at once."""
    page.goto(f"{site.address}/upload")
    expect(page.locator("#pick-folder")).to_be_enabled()
    page.locator("input[value='own equipment']").check(force=True)
    page.set_input_files("#folder" if folder else "#files", str(folder or file))


def offsets_of(page: Page) -> list[int]:
    """Where the pieces that a page sends begin, as it goes on."""
    found: list[int] = []

    def note_offset(request: Request) -> None:
        if request.method == "PATCH":
            found.append(int(request.headers["upload-offset"]))

    page.on("request", note_offset)
    return found


def received(site: Site) -> int:
    """Bytes of partial files that were acknowledged."""
    return sum(row.received for row in site.world.rows(PartialFile, PartialFile.fate == {}))


def check(server: Server, upload: str, study: str, count: int) -> None:
    """What an upload brought is there once, whole, and nothing is left of the sending."""
    rows = server.world.rows(UploadFile, UploadFile.upload_id == upload)
    assert [row.outcome for row in rows] == ["stored"] * count
    instances = [row for row in server.world.rows(Instance) if row.sop_instance_uid.startswith(f"{study}.1.")]
    assert len({row.sop_instance_uid for row in instances}) == len(instances) == count
    assert server.store.partial_files.ids() == []
    assert storage_faults(server) == []


VERDICT = {"zh_CN": "县级中心已持有 {0}/{0} 幅", "en": "The county holds {0} of {0} images."}


@BOTH
def test_180_of_180_over_a_line_that_breaks_and_a_server_that_is_killed(
    server: Server, site: Site, tmp_path: Path, language: str
) -> None:
    study = f"1.2.826.0.{ {'zh_CN': 91, 'en': 92}[language] }"
    for number in range(1, 180):
        (tmp_path / f"IM{number:04}.dcm").write_bytes(discs.image(number, study=study))
    large = tmp_path / "IM0180.dcm"
    large.write_bytes(discs.image(180, study=study, side=2700))
    assert large.stat().st_size > 13 * MB
    way = Fault("breaks", up=Way(rate=4 * MB, cut_at=3 * MB))
    with BadLine(server.web_port, lambda _number: way) as line:
        far = through(site, line.port)
        with far.visit("tech1", language=language) as page:
            offsets = offsets_of(page)
            send(far, page, folder=tmp_path)
            until(page, lambda: received(site) >= 5 * MB, "the first pieces")
            before, connections = received(site), line.connections
            sent = len(offsets)
            server.kill()
            server.start()
            page.wait_for_url(UPLOAD, timeout=90_000)
            expect(page.locator(".receipt.whole .verdict")).to_contain_text(VERDICT[language].format(180))
            upload = page.url.rpartition("/")[2]
            assert min(offsets[sent:]) >= before, "what was acknowledged before the kill was sent again"
            assert line.connections > connections
    check(server, upload, study, 180)
    big = server.world.one(Instance, Instance.sop_instance_uid == f"{study}.1.180")
    assert server.store.read(big.store_key).endswith(large.read_bytes()[-MB:])


def test_an_upload_over_two_megabits_and_300_ms(server: Server, site: Site, tmp_path: Path) -> None:
    """Row 20 at the true rate; the line is cut after each megabyte."""
    study = "1.2.826.0.93"
    for number in range(1, 6):
        (tmp_path / f"IM{number:04}.dcm").write_bytes(discs.image(number, study=study, side=100))
    (tmp_path / "IM0006.dcm").write_bytes(discs.image(6, study=study, side=1100))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size > 2.5e6
    way = Fault("2 Mbit/s", up=Way(rate=250_000, delay=0.15, piece=4096, cut_at=MB), down=Way(rate=250_000, delay=0.15))
    began = time.monotonic()
    with BadLine(server.web_port, lambda _number: way) as line:
        far = through(site, line.port)
        with far.visit("tech1") as page:
            offsets = offsets_of(page)
            send(far, page, folder=tmp_path)
            page.wait_for_url(UPLOAD, timeout=120_000)
            expect(page.locator(".receipt.whole .verdict")).to_contain_text(VERDICT["zh_CN"].format(6))
            upload = page.url.rpartition("/")[2]
    assert sorted(set(offsets)) == offsets, "every piece went on where the one before had stopped"
    assert len(offsets) >= 3
    check(server, upload, study, 6)
    note(20, bytes=size, connections=line.connections, seconds=round(time.monotonic() - began, 1))


def test_a_file_of_300_mb_takes_no_memory(server: Server, site: Site, tmp_path: Path) -> None:
    study, side, frames = "1.2.826.0.94", 4096, 9
    file = tmp_path / "IM0001.dcm"
    ds = discs.dataset(1, study=study)
    del ds.PixelData
    ds.Rows, ds.Columns, ds.NumberOfFrames = side, side, frames
    pixels = side * side * 2 * frames
    with file.open("wb") as out:  # a hole: nobody's disk has to hold it
        out.write(discs.encoded(ds) + b"\xe0\x7f\x10\x00OW\0\0" + pixels.to_bytes(4, "little"))
        out.truncate(out.tell() + pixels)
    assert file.stat().st_size > 300e6
    began = time.monotonic()
    memory = []
    with site.visit("tech1") as page:
        before = memory_of(server.pid, "RssAnon")
        send(site, page, file=file)

        def arrived() -> bool:
            memory.append(memory_of(server.pid, "RssAnon") - before)
            return UPLOAD.search(page.url) is not None

        until(page, arrived, "300 MB", 120)
        expect(page.locator(".receipt.whole .verdict")).to_contain_text(VERDICT["zh_CN"].format(1))
        upload = page.url.rpartition("/")[2]
    assert max(memory) < MORE_MEMORY
    check(server, upload, study, 1)
    note(20, bytes=file.stat().st_size, memory=max(memory), seconds=round(time.monotonic() - began, 1))
