"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.peers.process import installed

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
EMULATED_GPU = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]  # WebGL, for OHIF
NO_GPU = ["--disable-gpu"]  # as on a PC without one that Chromium trusts: it paints by itself, without the emulation


@contextmanager
def running(graphics: list[str] = EMULATED_GPU) -> Iterator[Browser]:
    """Run a headless browser for the length of the block, with `EMULATED_GPU` or `NO_GPU`. Raises PeerMissing.

    Playwright keeps an event loop in this thread until the block ends, so code in it cannot call asyncio.run.
    """
    program = installed("/usr/bin/chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS + graphics)
        try:
            yield browser
        finally:
            browser.close()
