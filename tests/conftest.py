"""Fixtures for real peers (tests/peers), and how hypothesis searches."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from playwright.sync_api import Browser, expect
from pynetdicom import AE
from pynetdicom.association import Association

from gateway.dimse.answers import keep_answers
from tests.peers import chromium, postgres
from tests.peers.his import His

# The settings of the person who runs the tests are not the tests' settings.
for name in [name for name in os.environ if name.startswith("HUREN_")]:
    del os.environ[name]

# No deadline for one example: two cores carry several test processes, and a slow moment is no fault.
hypothesis.settings.register_profile("huren", deadline=None, print_blob=True)
hypothesis.settings.load_profile("huren")

# How long a page may take to show what is expected of it: no measure of speed, only the end of patience.
expect.set_options(timeout=30_000)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _answers_are_kept() -> Iterator[None]:
    """The modalities that tests play with pynetdicom lose no answer on a busy machine."""
    associate = AE.associate

    @functools.wraps(associate)
    def with_answers(*arguments: Any, **named: Any) -> Association:
        association = associate(*arguments, **named)
        keep_answers(association)
        return association

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AE, "associate", with_answers)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """One PostgreSQL server for each test process."""
    with postgres.running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.Postgres) -> Iterator[str]:
    """SQLAlchemy's URL of an empty PostgreSQL database of the test's own."""
    with postgres_server.database() as url:
        yield url


# One for each module, since Playwright's event loop would stand in the way of other modules' asyncio.run.
@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A headless Chromium; a test opens contexts of its own in it. A module that needs WebGL says
    ``GRAPHICS = chromium.EMULATED_GPU``."""
    with chromium.running(getattr(request.module, "GRAPHICS", chromium.NO_GPU)) as started:
        yield started


@pytest.fixture
def his() -> Iterator[His]:
    """A township's HIS that receives reports; it accepts everything unless told otherwise."""
    listener = His()
    yield listener
    listener.go_away()
