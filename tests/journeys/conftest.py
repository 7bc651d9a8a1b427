"""Each journey has a county of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.county import County, running


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    """A running county with two townships, a center and all its people."""
    with running(tmp_path) as started:
        yield started
