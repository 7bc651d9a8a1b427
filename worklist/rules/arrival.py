"""Have all images of a study come?

A completed procedure step counts only when it lists instances and all of them are held. Without such a list a
quiet period decides, and a longest wait ends every waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Step:
    """A procedure step of the study: its state and what it lists, None where it lists nothing."""

    state: str
    instances: tuple[str, ...] | None


@dataclass(frozen=True)
class Arrival:
    """`complete` now, or look again at `look_again`. `expected` is how many the devices listed, None if unknown."""

    complete: bool
    expected: int | None
    missing: int
    look_again: datetime | None = None


def judge(
    steps: Sequence[Step],
    held: frozenset[str],
    last_at: datetime,
    now: datetime,
    quiet: timedelta,
    longest: timedelta,
) -> Arrival:
    """Judge a study by its steps, the SOP Instance UIDs held, and the time of its newest object (aware UTC)."""
    listed = [set(step.instances) for step in steps if step.instances and step.state != "in progress"]
    expected = frozenset().union(*listed) if listed else None
    missing = len(expected - held) if expected is not None else 0
    count = len(expected) if expected is not None else None
    running = any(step.state == "in progress" for step in steps)
    silent = any(step.state == "completed" and not step.instances for step in steps)
    if expected is not None and not missing and not running and not silent:
        return Arrival(True, count, 0)
    wait = longest if running or missing else quiet
    end = last_at + wait
    if now >= end:
        return Arrival(True, count, missing)
    return Arrival(False, count, missing, end)
