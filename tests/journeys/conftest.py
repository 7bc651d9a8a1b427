"""Each journey has a county of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.journeys.county import County, running
from tests.journeys.desks import Desks


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    """A running county with two townships, a center and all its people."""
    with running(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Desks]:
    """A running county whose people sit at browsers; one for the journeys of a module."""
    with running(tmp_path_factory.mktemp("county")) as started:
        yield Desks(started, browser)
