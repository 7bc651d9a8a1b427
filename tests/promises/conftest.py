"""Ten times as much may take ten times as long, where a test says nothing of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promises.scale import SCALE

HERE = Path(__file__).parent
SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder their time."""
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS * max(1, SCALE)))
