"""How much room the disk of the images has, in three words."""

from __future__ import annotations

from typing import Final

STATES: Final = ("enough", "low", "full")
"""From good to bad: ``low`` is below the warning, ``full`` below the reserve, where images are refused."""
MARGIN: Final = 1.05
"""A mark is left again only this far above it, so that a disk at its mark does not ring all day."""


def state_of(free: int, warning: int, reserve: int, before: str = "enough") -> str:
    """What `free` bytes mean, where the marks are at `warning` and `reserve` bytes and the disk was `before`."""
    held = STATES.index(before)
    if free < reserve * (MARGIN if held >= STATES.index("full") else 1):
        return "full"
    return "low" if free < warning * (MARGIN if held >= STATES.index("low") else 1) else "enough"
