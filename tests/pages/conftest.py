"""One server with one county for each module of page tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.pages.site import Site, open_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Site]:
    """The pages in a real browser; what a browser complained about fails the module's last test that looks."""
    with open_site(tmp_path_factory.mktemp("site"), browser) as opened:
        yield opened
