"""The pages as people meet them: a real server on a free port, a county made by actions, phantoms as images."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from argon2 import PasswordHasher
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from gateway.http import Web
from gateway.store import FolderStore
from huren.app import create_app
from reading_room.passwords import hash_password
from tests import seals
from tests.peers.ports import LOOPBACK, free_port
from tests.world import Placed, World, build
from worklist.database import Database, sqlite_url
from worklist.facts import ObjectFacts, PersonName

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # ten in the morning in Shanghai
PASSWORD = "one long sentence"
OF_LEAVING = ("htmx:sendError", "htmx:afterRequest")
"""What htmx says of a request that was under way when its page was left."""
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def no_scripts(page: Page) -> None:
    """From now on the test fails where somebody's words run: they would open a dialog."""

    def heed(dialog: Dialog) -> None:
        if dialog.type != "beforeunload":
            pytest.fail(f"a script ran: {dialog.message}")
        dialog.accept()  # a page with words that were not kept asks before it is left

    page.on("dialog", heed)


@dataclass
class Site:
    """A running server and the county behind it."""

    address: str
    world: World
    store: FolderStore
    browser: Browser
    began: float = field(default_factory=time.monotonic)
    ahead: timedelta = timedelta(0)
    heard: list[str] = field(default_factory=list)
    """What browsers complained about."""

    def clock(self) -> datetime:
        """The county's time: it begins at `START`, goes on by itself, and a test may put it `ahead`."""
        return START + self.ahead + timedelta(seconds=time.monotonic() - self.began)

    @contextmanager
    def visit(self, login: str = "", *, language: str = "zh_CN", images: str = "previews") -> Iterator[Page]:
        """A page in a browser context of its own, signed in as `login` if one is given.

        `images` is what this browser remembers to show, "" for nothing: the viewer takes seconds to load, so only
        tests that look at images ask for it.
        """
        # Without transitions: a colour that is on its way to another one is nobody's contrast.
        context = self.browser.new_context(
            viewport={"width": 1366, "height": 768}, locale=language.replace("_", "-"), reduced_motion="reduce"
        )
        context.add_init_script(
            f"try {{ localStorage['huren-images'] ??= '{images}' }} catch {{}}" if images else "/* nothing */"
        )
        try:
            page = self.tab(context)
            if login:
                self.sign_in(page, login)
                if page.locator("html").get_attribute("lang") != language.replace("_", "-"):
                    page.locator(".who button[name=language]").click()
            yield page
        finally:
            # A busy machine's Chromium sometimes never closes a context whose page is on its way to the next one.
            for tab in context.pages:
                tab.goto("about:blank")
            context.close()

    def tab(self, context: BrowserContext) -> Page:
        """A further tab; what its console complains about is kept."""
        page = context.new_page()

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not message.text.startswith(OF_LEAVING):
                self.heard.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        return page

    def sign_in(self, page: Page, login: str, password: str = PASSWORD) -> None:
        """Fill in the sign-in form."""
        page.goto(f"{self.address}/sign-in")
        page.fill("#login", login)
        page.fill("#password", password)
        page.click("form[action='/sign-in'] button")

    def send_all_the_same(self, page: Page, *, sign: bool = False) -> None:
        """After a click that submits or signs: a test's words need not fit its order, and the page then warns once."""
        expect(page.locator(".note.warnings[role=alert], .note.good[role=status]").first).to_be_visible()
        if not page.locator(".note.warnings[role=alert]").count():
            return
        self.heard[:] = [text for text in self.heard if "status of 409" not in text]  # how the warning came
        if sign:
            page.fill("#password", PASSWORD)
            page.locator("[formaction$='/sign']").click()
        else:
            page.locator(".note.warnings button").click()

    def scan(self, placed: Placed, slices: int = 5, *, complete: bool = True, **says: object) -> str:
        """Slices of a phantom for an order; returns the study's id."""
        step = self.world.begin_step(placed, at=self.clock())
        uids = []
        study_id = ""
        for number in range(1, slices + 1):
            study_id, uid = self.slice(self.world.facts(placed, instance_number=number, **says), number, slices)
            uids.append(uid)
        announced = uids if complete else [*uids, *(f"1.2.826.9.{n}" for n in range(slices))]
        self.world.end_step(step, announced, at=self.clock())
        return study_id

    def slice(self, facts: ObjectFacts, number: int = 1, of: int = 1) -> tuple[str, str]:
        """One slice received at the door; returns the ids of its study and of itself."""
        stored = self.store.put([phantom(facts, number / max(of, 1))])
        receipt = self.world.receive(facts, stored, at=self.clock())
        return receipt.study_id, facts.sop_instance_uid


def phantom(facts: ObjectFacts, height: float) -> bytes:
    """A CT slice through a skull-like ellipsoid, as Part 10 bytes; `height` in 0 to 1."""
    side = 256
    values = phantom_values(height, side)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, UID(facts.sop_instance_uid)
    ds.Modality = "CT"
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.WindowCenter, ds.WindowWidth = 40, 120
    ds.PixelData = values.astype("<i2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def phantom_values(height: float, side: int) -> NDArray[np.float64]:
    """Hounsfield units of a slice through the phantom, of shape (side, side); `height` in 0 to 1."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    size = 0.35 + 0.5 * float(np.sin(np.pi * min(max(height, 0.05), 0.95)))
    around = (x / (size * 0.8)) ** 2 + (y / size) ** 2
    values = np.full((side, side), -1000.0)
    values[around < 1] = 900
    values[around < 0.86] = 35
    values[((x - 0.12) / 0.09) ** 2 + (y / 0.22) ** 2 < size] = 8
    values[((x + 0.12) / 0.09) ** 2 + (y / 0.22) ** 2 < size] = 8
    values[((x - 0.3) / 0.08) ** 2 + ((y - 0.1) / 0.1) ** 2 < 1] = 65
    values += np.random.default_rng(round(height * 1000)).normal(0, 5, values.shape)
    return values


def name(ideographic: str, alphabetic: str = "") -> PersonName:
    """A name as images carry it."""
    return PersonName(ideographic, alphabetic)


@contextmanager
def open_site(folder: Path, browser: Browser) -> Iterator[Site]:
    """Serve a new county for the length of the block."""
    database = Database(sqlite_url(folder / "huren.db"))
    world = build(database, START, password_hash=hash_password(PASSWORD, CHEAP))
    store = FolderStore(folder / "objects")
    seals.prepare(folder / "seals", world)
    port = free_port()
    site = Site(f"http://{LOOPBACK}:{port}", world, store, browser)
    app = create_app(Web(database, store, site.clock, secure_cookies=False, seals=folder / "seals"))
    config = uvicorn.Config(
        app,
        host=LOOPBACK,
        port=port,
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=5,
    )  # a page that a failed test left open listens for news without end
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="pages-server")
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield site
    finally:
        server.should_exit = True
        thread.join()
        database.close()
