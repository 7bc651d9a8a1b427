"""An ECG of twelve leads and ten seconds: from the click in the reading list to the drawn waves, and how even the
frames come while calipers move. Headless Chromium on the machine of the server, as on a PC without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

from gateway.http import COOKIE
from gateway.store import FolderStore
from tests import ecgs
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate, percentile
from tests.bench.pages import sign_in
from tests.integration.killing import Server, utc_now
from tests.pages import cardiology
from tests.peers import chromium
from tests.peers.ports import LOOPBACK
from tests.world import World

READER: Final = "heart1"
MOVES: Final = 120  # of the pointer, one in each frame
_CLOCK: Final = """
const now = () => performance.timeOrigin + performance.now();
document.addEventListener("click", () => sessionStorage.setItem("bench-click", String(now())), true);
new MutationObserver(() => {
  const paper = document.querySelector(".ecg-paper");
  if (!paper?.dataset.ready || window.benchDrawn) return;
  window.benchDrawn = -1;
  // The frame after the one in which it was drawn has it on the screen.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    window.benchDrawn = now() - Number(sessionStorage.getItem("bench-click"));
  }));
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-ready"] });
"""
_FRAMES: Final = """async (moves) => {
  const paper = document.querySelector(".ecg-paper");
  const box = paper.querySelector("canvas").getBoundingClientRect();
  const fire = (kind, x) => paper.dispatchEvent(new PointerEvent(kind, {
    bubbles: true, button: 0, pointerId: 1, clientX: box.left + x, clientY: box.top + box.height / 2,
  }));
  paper.setPointerCapture = () => {};
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  fire("pointerdown", 100);
  let last = await frame();
  const times = [];
  for (let i = 1; i <= moves; i++) {
    fire("pointermove", 100 + 4 * i);
    const at = await frame();
    times.push(at - last);
    last = at;
  }
  fire("pointerup", 100 + 4 * moves);
  return times;
}"""


@dataclass(frozen=True)
class _Place:
    """What `cardiology.record` asks of a site."""

    world: World
    store: FolderStore

    def clock(self) -> datetime:
        """Now."""
        return utc_now()


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    clicks = 3 if quick else 15
    drawn = Figure("ECG, from the click in the list to the drawn waves, p50", "ms", (Goal("", 300, 300),))
    slow = Figure("ECG, from the click in the list to the drawn waves, p95", "ms")
    frames = Figure("ECG, time between two frames while calipers move, p95", "ms", (Goal("", 17, 17),))
    with ExitStack() as closing:
        server = Server(folder / "huren")
        closing.callback(server.close)
        world = server.world
        cardiology.open_center(world)
        placed = world.order("ECG12", patient=world.patient("90001", "王小东"))
        cardiology.record(_Place(world, server.store), placed, ecgs.recording())
        secret = server.database.write(lambda s: sign_in(s, world.users[READER]))
        server.start()
        browser = closing.enter_context(chromium.running(chromium.NO_GPU))

        def turn(repetition: int) -> None:
            times, between = _opened(browser, server, world.reading_of(placed).id, secret, clicks)
            if repetition:
                drawn.add(HUREN, percentile(times, 0.5))
                slow.add(HUREN, percentile(times, 0.95))
                frames.add(HUREN, percentile(between, 0.95))

        turns: dict[str, Callable[[int], None]] = {HUREN: turn}
        alternate(turns, repetitions)
    figures = [drawn, slow, frames]
    say(", ".join(f"{figure.what} {figure.middle(HUREN):.0f} ms" for figure in figures))
    return figures, []


def _opened(
    browser: Browser, server: Server, reading: str, secret: str, clicks: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of each click, in a browser that has been here before, and between the frames of one drag."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    context.add_cookies([{"name": COOKIE, "value": secret, "domain": LOOPBACK, "path": "/"}])
    context.add_init_script(_CLOCK)
    page = context.new_page()
    times = [_click(page, server.address, reading) for _ in range(clicks + 1)][1:]
    between = page.evaluate(_FRAMES, MOVES)
    context.close()
    return times, between


def _click(page: Page, address: str, reading: str) -> float:
    page.goto(f"{address}/reading")
    page.locator(f"a[href='/reading/{reading}']").click()
    page.wait_for_function("() => window.benchDrawn > 0", timeout=60_000)
    return float(page.evaluate("window.benchDrawn"))
