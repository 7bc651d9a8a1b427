"""Take the pictures of docs/pictures/: every page of a served demo county, in both languages, light and dark.

    .venv/bin/python scripts/take_pictures.py [--missing] [NAME ...]

Needs what `make dev` installs and Chromium and pdftoppm (`make peers`). The county is made anew in a temporary folder,
on free ports of the loopback address; nothing else is spoken to. With names, only those pictures are taken;
with --missing, only those that are not there.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Error, Page

HERE: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))
from tests import pictures  # noqa: E402 -- found only now
from tests.peers import chromium  # noqa: E402

PICTURES: Final = Path(os.environ.get("PICTURES", HERE / "docs" / "pictures"))
HUREN: Final = [sys.executable, "-m", "huren.cli"]
PDFTOPPM: Final = "/usr/bin/pdftoppm"
LOOPBACK: Final = "127.0.0.1"
SCREEN: Final = {"width": 1366, "height": 768}  # the commonest old screen of a township
PHONE: Final = {"width": 390, "height": 780}
COLOURS: Final = 160  # of a picture: pages are flat, and images of the viewer grey
DRAWN: Final = 8_000  # milliseconds after the viewer's canvas is there
READY_WITHIN: Final = 400.0  # seconds

Go = Callable[[Page, str], None]
"""Brings a page from wherever it is to what the picture shows; the second argument is the server's address."""


@dataclass(frozen=True)
class Shot:
    """A picture: its name, who looks, and where."""

    name: str
    login: str
    go: Go
    is_main: bool = False  # taken in English and dark too
    is_phone: bool = False
    last: bool = False  # changes something: taken when the others are done


def at(path: str) -> Go:
    """Simply that address."""
    return lambda page, address: _open(page, address + path)


def through(path: str, selector: str, then: Go | None = None) -> Go:
    """The first link of a page that fits `selector`; it is followed by its address."""

    def go(page: Page, address: str) -> None:
        _open(page, address + path)
        href = page.locator(selector).first.get_attribute("href", timeout=5000) or ""
        _open(page, address + href)
        if then is not None:
            then(page, address)

    return go


def click(path: str, selector: str) -> Go:
    """An address, and a click there."""

    def go(page: Page, address: str) -> None:
        _open(page, address + path)
        page.locator(selector).first.click()
        page.wait_for_timeout(200)

    return go


def viewer(page: Page, _address: str) -> None:
    """The images beside the report have been drawn."""
    button = page.locator("[data-show=viewer]").first
    if button.is_visible():
        button.click()
    page.frame_locator("iframe").locator("canvas").first.wait_for(timeout=60_000)
    page.wait_for_timeout(DRAWN)


def keys(page: Page, address: str) -> None:
    """The list of keys."""
    _open(page, f"{address}/reading")
    page.keyboard.press("?")
    page.wait_for_timeout(300)


def drawn(page: Page, _address: str) -> None:
    """An ECG that the person has claimed, with its waves drawn."""
    button = page.locator("form[action$='/claim'] button").first
    if button.is_visible():
        button.click()
        page.wait_for_load_state()
    page.locator(".ecg-paper[data-ready]").wait_for()
    page.wait_for_timeout(300)


def begun(page: Page, address: str) -> None:
    """A case that the person has claimed, with its images drawn."""
    button = page.locator("form[action$='/claim'] button").first
    if button.is_visible():
        button.click()
        page.wait_for_load_state()
    viewer(page, address)


def uploaded(page: Page, address: str) -> None:
    """Stills of an ultrasound that sends no DICOM, added to an order; then the receipt, or what is chosen of them."""
    _open(page, f"{address}/upload")
    if page.locator("main .lines a[href^='/upload/']").count():
        return
    _open(page, f"{address}/orders")
    href = page.locator("main tr:not(.dim) a.main").first.get_attribute("href") or ""
    _open(page, address + "/upload?order=" + href.rpartition("/")[2])
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"图像{number}.jpg" for number in range(1, 7)]
        for number, file in enumerate(files, start=1):
            file.write_bytes(pictures.jpeg(pictures.fan(number, colour=number % 2 == 0)))
        page.locator("#pick-files").wait_for()
        if page.locator("#examined_at").is_visible():
            page.fill("#examined_at", time.strftime("%Y-%m-%dT%H:%M"))
        page.set_input_files("#files", [str(file) for file in files])
        page.wait_for_url("**/upload/0*", timeout=60_000)


def receipt(page: Page, address: str) -> None:
    """The receipt of the upload."""
    uploaded(page, address)
    through("/upload", "main .lines a[href^='/upload/']")(page, address)


def chosen_images(page: Page, address: str) -> None:
    """Images chosen for the illustrated report."""
    receipt(page, address)
    href = page.locator("a[href^='/report-images/']").first.get_attribute("href") or ""
    _open(page, address + href)
    for number in (1, 3):
        page.locator("[data-image]").nth(number).click()
    page.wait_for_timeout(800)


def verified(page: Page, address: str) -> None:
    """A report whose PDF was handed in for checking."""
    paper = printed_report(page, address)
    _open(page, f"{address}/verify")
    page.set_input_files("input[type=file]", {"name": "report.pdf", "mimeType": "application/pdf", "buffer": paper})
    page.locator("main form button").last.click()
    page.wait_for_load_state()


def printed_report(page: Page, address: str, of: str = "DR") -> bytes:
    """The sealed PDF of a signed report; `of` stands in the procedure's name."""
    through("/orders", f"main .lines tr.dim:has-text('{of}') a.main")(page, address)
    href = page.locator("main a[href^='/reports/']").first.get_attribute("href", timeout=5000) or ""
    return page.request.get(f"{address}{href}/paper.pdf").body()


def printed_ecg(page: Page, address: str) -> bytes:
    """That of an ECG, with its waves."""
    return printed_report(page, address, "心电图")


def printed_request(page: Page, address: str) -> bytes:
    """The request that goes to the device with the patient."""
    through("/orders", "main .lines tr:not(.dim) a.main")(page, address)
    return page.request.get(f"{page.url}/request.pdf").body()


def routes_tried(page: Page, address: str) -> None:
    """What another order of the first rules would have changed."""
    click("/admin/routes", "#rules tbody tr:nth-child(3) button:has-text('↓')")(page, address)
    page.wait_for_load_state()
    page.locator("button[value=try]").first.click()
    page.wait_for_load_state()
    page.wait_for_timeout(300)


def new_order(page: Page, address: str) -> None:
    """An order as far as a technician has typed it."""
    _open(page, f"{address}/orders/new")
    page.fill("#who", "蔡明亮")
    page.wait_for_timeout(900)
    page.keyboard.press("Escape")
    page.fill("#name", "蔡明亮")
    page.select_option("#sex", "M")
    page.fill("#birth_date", "1961-05-17")


def offered(page: Page, address: str) -> None:
    """What an order form shows of somebody whom another township examined not long ago."""
    _open(page, f"{address}/orders")
    taken = page.locator("main .lines tr:has-text('DR')", has_text=re.compile("互认|recognised"))
    name = taken.locator("a.main").first.inner_text(timeout=5000).split()[0]
    _open(page, f"{address}/orders/new")
    page.keyboard.type(name)
    page.locator("#who-list [role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#chosen").wait_for()
    page.keyboard.type("DRCHEST")
    page.keyboard.press("Enter")
    page.locator("#offers input[type=radio]").first.wait_for()
    page.locator("#offers").scroll_into_view_if_needed()


def sharing(page: Page, address: str) -> None:
    """The page on which a signed report is shared."""
    through("/orders", "main .lines tr.dim a.main")(page, address)
    _open(page, address + (page.locator("a[href^='/sharing/']").first.get_attribute("href", timeout=5000) or ""))


def shared(page: Page, address: str) -> None:
    """A report that is shared by a link."""
    sharing(page, address)
    if not page.locator("#shares .mono.break").count():
        page.fill("#holder", "市人民医院")
        page.click("form .btn-primary")
        page.wait_for_load_state()


def results(page: Page, address: str) -> None:
    """What whoever has the link sees."""
    shared(page, address)
    _open(page, page.locator("#shares .mono.break").first.inner_text())


SHOTS: Final = (
    Shot("sign-in", "", at("/sign-in"), is_main=True),
    Shot("verify", "", at("/verify")),
    Shot("orders", "tech1", at("/orders"), is_main=True),
    Shot("order-new", "tech1", new_order, is_main=True),
    Shot("order-list", "tech1", at("/orders/csv")),
    Shot("order", "tech2", through("/orders", "main tr.dim a.main")),
    Shot("order-returned", "tech2", through("/orders", "main .urgent-list a, main .lines a.main")),
    Shot("order-offered", "doctor2", offered),
    Shot("sharing", "tech2", sharing),
    Shot("shared", "tech2", shared, last=True),
    Shot("results", "tech2", results, last=True),
    Shot("results-phone", "tech2", results, is_phone=True, last=True),
    Shot("patients", "tech1", at("/patients")),
    Shot("patient", "tech1", through("/patients", "main .lines a.main")),
    Shot("upload-receipt", "tech3", receipt),
    Shot("report-images", "tech3", chosen_images),
    Shot("upload", "tech3", at("/upload")),
    Shot("verified", "tech2", verified),
    Shot("unmatched", "tech3", at("/unmatched")),
    Shot("critical", "doctor1", at("/critical"), is_main=True),
    Shot("critical-one", "doctor1", through("/critical", "main a[href^='/critical/0']")),
    Shot("critical-phone", "doctor1", at("/critical"), is_phone=True),
    Shot("critical-one-phone", "doctor1", through("/critical", "main a[href^='/critical/0']"), is_phone=True),
    Shot("break-glass", "doctor2", at("/break-glass")),
    Shot("break-glass-patient", "doctor2", through("/break-glass", ".opening a")),
    Shot("notices-menu", "tech1", click("/orders", ".bell summary")),
    Shot("notices", "reader1", at("/notices")),
    Shot("reading", "reader1", at("/reading"), is_main=True),
    Shot("case", "reader1", through("/reading", "main tr.stat a.main", begun), is_main=True),
    Shot("reading-ecg", "heart1", at("/reading")),
    Shot("case-ecg", "heart1", through("/reading", "main tr.stat a.main", drawn), is_main=True),
    Shot("my-reports", "reader1", at("/my-reports")),
    Shot("phrases", "senior1", at("/aids/phrases")),
    Shot("templates", "senior1", at("/aids/templates")),
    Shot("template", "senior1", through("/aids/templates", "main .lines a.main")),
    Shot("critical-list", "senior1", at("/aids/critical")),
    Shot("review", "senior1", at("/review"), is_main=True),
    Shot("review-case", "senior1", through("/review", "main .lines a.main", begun), last=True),
    Shot("keys", "reader1", keys),
    Shot("manager", "manager", at("/manager"), is_main=True),
    Shot("manager-figures", "manager", at("/manager/figures?period=month"), is_main=True),
    Shot("manager-cases", "manager", at("/manager/cases?kind=open")),
    Shot("manager-rota", "manager", at("/manager/rota")),
    Shot("manager-calendar", "manager", at("/manager/calendar")),
    Shot("manager-assign", "manager", at("/manager/assign")),
    Shot("manager-arriving", "manager", at("/manager/arriving")),
    Shot("recognition", "manager", at("/manager/recognition?period=month")),
    Shot("recognition-rules", "manager", at("/manager/recognition/rules")),
    Shot("recognition-versions", "manager", at("/manager/recognition/rules/versions")),
    Shot("recognition-qualifications", "manager", at("/manager/recognition/qualifications")),
    Shot("recognition-tariffs", "manager", at("/manager/recognition/tariffs")),
    Shot("critical-report", "manager", at("/critical")),
    Shot("deliveries", "admin", at("/admin/deliveries")),
    Shot("messages", "admin", at("/admin/messages")),
    Shot("message", "admin", through("/admin/messages", "main .lines a.main, main .lines a[href^='/admin/messages/']")),
    Shot("set-aside", "admin", at("/admin/set-aside")),
    Shot("unmatched-one", "admin", through("/admin/unmatched", "main .lines a.main, main .lines a", viewer)),
    Shot("devices", "admin", at("/admin/devices"), is_main=True),
    Shot("device", "admin", through("/admin/devices", "main .lines a[href^='/admin/devices/']")),
    Shot("routes", "admin", at("/admin/routes")),
    Shot("routes-tried", "admin", routes_tried),
    Shot("centers", "admin", at("/admin/centers")),
    Shot("center", "admin", through("/admin/centers", "main .lines a")),
    Shot("institutions", "admin", at("/admin/institutions")),
    Shot("procedures", "admin", at("/admin/procedures")),
    Shot("archive", "admin", at("/admin/archive")),
    Shot("channels", "admin", at("/admin/channels")),
    Shot("endpoint", "admin", through("/admin/endpoints", "main .lines a")),
    Shot("story", "admin", through("/admin/messages", "main a[href$='/story']")),
    Shot("people", "security", at("/people")),
    Shot("person", "security", through("/people", "main .lines a.main, main .lines a")),
    Shot("audit", "auditor", at("/audit"), is_main=True),
    Shot("audit-openings", "auditor", at("/audit/break-glass")),
    Shot("account", "reader2", at("/account")),
    Shot("second-factor", "reader2", at("/account/second-factor")),
)

PAPERS: Final = {
    "printed-report": printed_report,
    "printed-request": printed_request,
    "printed-ecg": printed_ecg,
}


def main(names: list[str]) -> None:
    """Take the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    only_missing = "--missing" in names
    names = [name for name in names if name != "--missing"]
    wanted = [shot for shot in SHOTS if not names or shot.name in names]
    with county() as (address, passwords), chromium.running() as browser:
        if "papers" in names or not (names or only_missing):
            with visit(browser, address, "tech2", passwords["tech2"], "zh") as page:
                papers(page, address)
        for scheme, language in (("light", "zh"), ("light", "en"), ("dark", "zh"), ("dark", "en")):
            here = [s for s in wanted if s.is_main or (scheme, language) != ("dark", "en")]
            if only_missing:
                here = [s for s in here if not (PICTURES / f"{s.name}-{language}-{scheme}.png").exists()]
            for login in dict.fromkeys(shot.login for shot in here):
                with visit(browser, address, login, passwords.get(login, ""), language) as page:
                    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                    for shot in sorted((s for s in here if s.login == login), key=lambda s: s.last):
                        take(page, address, shot, f"{shot.name}-{language}-{scheme}.png")


def papers(page: Page, address: str) -> None:
    """The printed report and the printed request."""
    for name, fetch in PAPERS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "paper.pdf"
            file.write_bytes(fetch(page, address))
            subprocess.run([PDFTOPPM, "-r", "100", "-png", "-singlefile", file, file.with_suffix("")], check=True)
            save(file.with_suffix(".png").read_bytes(), PICTURES / f"{name}.png")


def take(page: Page, address: str, shot: Shot, name: str) -> None:
    """One picture under a name; one that cannot be taken is told, and the others are taken all the same."""
    page.set_viewport_size(PHONE if shot.is_phone else SCREEN)  # type: ignore[arg-type]
    try:
        shot.go(page, address)
        save(page.screenshot(), PICTURES / name)
    except Error as error:
        print(f"{name}: {str(error).splitlines()[0]}", flush=True)


def save(data: bytes, path: Path) -> None:
    """A picture with few colours, a third of the size."""
    few = Image.open(BytesIO(data)).convert("RGB").quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE)
    few.save(path, "PNG", optimize=True)
    print(path.name, path.stat().st_size // 1024, "kB", flush=True)


@contextmanager
def visit(browser: Browser, address: str, login: str, password: str, language: str) -> Iterator[Page]:
    """A page in a browser of its own, signed in."""
    locale = {"zh": "zh-CN", "en": "en"}[language]
    context = browser.new_context(viewport=SCREEN, locale=locale)  # type: ignore[arg-type]
    page = context.new_page()
    try:
        if login:
            _open(page, f"{address}/sign-in")
            page.fill("#login", login)
            page.fill("#password", password)
            page.click("form[action='/sign-in'] button")
            if page.locator("html").get_attribute("lang") != locale:
                page.locator(".who button[name=language]").click()
        yield page
    finally:
        context.close()


@contextmanager
def county() -> Iterator[tuple[str, dict[str, str]]]:
    """A served demo county on free ports; its address, and the passwords by login."""
    with tempfile.TemporaryDirectory(prefix="huren-pictures-") as fresh:
        folder = os.environ.get("COUNTY", fresh)  # one that is there already, while pages are being mended
        port = _free_port()
        around = {
            **os.environ,
            "HUREN_DATA": folder,
            "HUREN_WEB_PORT": str(port),
            "HUREN_DIMSE_PORT": str(_free_port()),
            "HUREN_MLLP_PORT": str(_free_port()),
            "HUREN_DIMSE_TLS_PORT": "0",
            "HUREN_MLLP_TLS_PORT": "0",
            "PYTHONPATH": str(HERE),
        }
        log = Path(folder) / "run.log"
        with log.open("wb") as out:
            server = subprocess.Popen([*HUREN, "run"], env=around, stdout=out, stderr=out)
        try:
            address = f"http://{LOOPBACK}:{port}"
            _wait(address, server, log)
            if not os.environ.get("QUICK"):  # one case with all its slices and its HL7, as a newcomer plays it
                subprocess.run([*HUREN, "demo", "--once"], env=around, check=True, stdout=subprocess.DEVNULL)
            lines = (Path(folder) / "first-run-passwords.txt").read_text("utf-8").splitlines()
            yield address, dict(line.split("\t") for line in lines)
        finally:
            server.terminate()
            server.wait()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state()
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(150)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):  # noqa: S310 -- our own address
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text("utf-8")[-3000:]) from None
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
