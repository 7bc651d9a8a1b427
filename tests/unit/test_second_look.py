"""Which failures `make test` looks at again: pages that were late, never a loss."""

from __future__ import annotations

import pytest

from tests.__main__ import MOST_MODULES, may_look_again

PAGE, JOURNEY = "tests/pages/test_manager.py", "tests/journeys/test_at_once.py"


def test_a_few_late_pages_are_looked_at_again() -> None:
    assert may_look_again([PAGE])
    assert may_look_again([PAGE, JOURNEY])


@pytest.mark.parametrize(
    "modules",
    [
        [],
        ["tests/integration/test_kill_signing.py"],
        [PAGE, "tests/promises/test_orders.py"],
        [f"tests/pages/test_{number}.py" for number in range(MOST_MODULES + 1)],
    ],
)
def test_losses_and_heaps_are_not(modules: list[str]) -> None:
    assert not may_look_again(modules)
