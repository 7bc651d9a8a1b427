"""OHIF's time to the first image, over our DICOMweb and over Orthanc's: the same viewer, the same CT, one browser.

OHIF measures itself and prints to the console: `studyToFirstImage` from the opened study to the first image on the
screen, `scriptToView` from its first script. Orthanc serves the same files of OHIF itself (its plugin ServeFolders),
so that nothing stands between the two. Each repetition has a browser profile of its own: nothing is cached. Without a
graphics card the browser renders in software, on the cores that it shares with the server.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Request

from gateway.http import COOKIE
from reading_room import viewer
from tests.bench import county, peers
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate
from tests.bench.pages import READER, sign_in
from tests.bench.reading import ORTHANC, Ct, send, wait_until_prepared
from tests.bench.receive import PATIENT
from tests.integration.killing import Server
from tests.peers import chromium
from tests.peers.ports import LOOPBACK
from worklist.tables import Reading

LONGEST: Final = 120  # seconds for one study
TIMERS: Final = ("studyToFirstImage", "scriptToView")
_PRINTED: Final = re.compile(r"(\w+): ([0-9.]+) ?(ms|s)")
SETTINGS: Final = Path(viewer.__file__).parent / "static" / "ohif-config.js"


@dataclass
class Side:
    """One server with the viewer: where the study is shown, the cookie that opens it, and what was asked of it."""

    name: str
    address: str
    cookie: str = ""
    requests: dict[str, int] = field(default_factory=dict)  # of the last repetition, by what they ask for
    accepted: set[str] = field(default_factory=set)  # Accept headers of requests for frames

    def show(self, browser: Browser) -> dict[str, float]:
        """OHIF's timers in milliseconds, and `opened`: from the address to the first image as we saw it."""
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        if self.cookie:
            context.add_cookies([{"name": COOKIE, "value": self.cookie, "domain": LOOPBACK, "path": "/"}])
        page, printed, complaints = context.new_page(), dict[str, float](), list[str]()
        self.requests = {}
        began = time.perf_counter()

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                complaints.append(message.text[:200])
            if (said := _PRINTED.fullmatch(message.text.strip())) and said[1] in TIMERS:
                printed[said[1]] = float(said[2]) * (1000 if said[3] == "s" else 1)
                printed.setdefault("opened", 1000 * (time.perf_counter() - began))

        def note(request: Request) -> None:
            if (kind := _kind(request.url)) is not None:
                self.requests[kind] = self.requests.get(kind, 0) + 1
                if kind == "frames":
                    self.accepted.add(request.headers.get("accept", ""))

        page.on("console", hear)
        page.on("request", note)
        page.goto(self.address, wait_until="commit", timeout=1000 * LONGEST)
        while TIMERS[0] not in printed:
            assert time.perf_counter() - began < LONGEST, (self.name, printed, self.requests, page.url, complaints)
            page.wait_for_timeout(20)  # lets Playwright hear
        context.close()
        return printed


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    ct, notes = Ct(20 if quick else 200), list[str]()
    if not viewer.installed():
        return [], ["OHIF is not installed, and its first image left out of this run."]
    what = f"OHIF, CT of {ct.slices} slices"
    goal = (Goal(ORTHANC, 1, 0),)
    figures = {
        "studyToFirstImage": Figure(f"{what}, studyToFirstImage", "ms", goal),
        "opened": Figure(f"{what}, from the address to the first image", "ms", goal),
    }
    with ExitStack() as closing:
        server = Server(folder / "huren")
        closing.callback(server.close)
        uids = tuple(f"{ct.series}.{n}" for n in range(1, ct.slices + 1))
        case = county.Case(ct.slices, f"V{ct.slices}", study_instance_uid=ct.study, patient_value=PATIENT)
        county.place(server.world, [case])
        county.announce(server.world, case, uids)
        secret = server.database.write(lambda s: sign_in(s, server.world.users[READER]))
        server.start()
        send(server.dimse_port, "HUREN", ct, random.Random(2))
        wait_until_prepared(server, 1)
        [reading] = server.world.rows(Reading)
        sides = [Side(HUREN, server.address + viewer.address([ct.study], case=reading.id), secret)]
        if why := peers.missing("Orthanc") or peers.missing_dicomweb() or peers.missing_serve_folders():
            notes.append(why)
        else:
            files = _files(folder / "ohif", ct)
            peer = closing.enter_context(peers.orthanc(folder / "Orthanc", settings=peers.serving(files)))
            send(peer.port, "ORTHANC", ct, random.Random(2))
            sides.append(Side(ORTHANC, f"http://{LOOPBACK}:{peer.http_port}/ohif/index.html"))
        browser = closing.enter_context(chromium.running())

        def turn(side: Side, repetition: int) -> None:
            printed = side.show(browser)
            for name, figure in figures.items():
                if repetition:
                    figure.add(side.name, printed[name])

        turns: dict[str, Callable[[int], Any]] = {side.name: partial(turn, side) for side in sides}
        alternate(turns, repetitions)
    for figure in figures.values():
        say(f"{figure.what}: " + ", ".join(f"{s} {figure.middle(s):,.0f} {figure.unit}" for s in figure.values))
    for side in sides:
        asked = ", ".join(f"{count} {kind}" for kind, count in sorted(side.requests.items()))
        notes.append(f"OHIF asked {side.name} until its first image for: {asked}.")
    accepted = sorted(set().union(*(side.accepted for side in sides)))
    notes.append(f"Frames were asked for with Accept: {'; or '.join(accepted)}.")
    return list(figures.values()), notes


def _files(folder: Path, ct: Ct) -> Path:
    """OHIF's files as Orthanc serves them, with our settings except for where the images are."""
    shutil.copytree(viewer.FILES, folder, ignore=shutil.ignore_patterns("*.gz"))
    (folder / "index.html").write_text(viewer.document("zh-CN", "/ohif/settings.js"), "utf-8")
    settings = SETTINGS.read_text("utf-8")
    ours = re.compile(r"^const root = .*$", re.MULTILINE)
    assert len(ours.findall(settings)) == 1
    # A folder has no page for each address: the viewer is told where it is before it starts.
    study = f"/ohif/viewer?StudyInstanceUIDs={ct.study}"
    theirs = f'const root = "/dicom-web"; history.replaceState(null, "", "{study}");'
    settings = ours.sub(theirs, settings).replace(
        'thumbnailRendering: "thumbnailDirect"', 'thumbnailRendering: "wadors"'
    )
    (folder / "settings.js").write_text(settings, "utf-8")
    return folder


def _kind(url: str) -> str | None:
    """What of a DICOMweb door an address asks for."""
    if "/dicom-web/" not in url:
        return None
    last = url.partition("?")[0].rstrip("/").split("/")
    return "frames" if "frames" in last else "searches" if last[-1] in ("studies", "series", "instances") else last[-1]
