"""Figures of one run: what was measured, for Huren and its peers, in repetitions that alternate between them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

HUREN: Final = "Huren"
STEADY: Final = 0.75  # the worst repetition is at least this share of the median, or the figure is called unsteady

Unit = Literal["/s", "MB/s", "ms", "MiB"]
RATES: Final = ("/s", "MB/s")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Goal:
    """A ratio to reach against `peer`, or with an empty `peer` a highest value in the figure's own unit."""

    peer: str
    must: float
    aim: float


@dataclass
class Figure:
    """One thing measured: for each side, one value per repetition. In `RATES` more is better, else less."""

    what: str
    unit: Unit
    goals: tuple[Goal, ...] = ()
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, side: str, value: float) -> None:
        """The value of one repetition."""
        self.values.setdefault(side, []).append(value)

    def middle(self, side: str) -> float:
        """The median of the repetitions."""
        return median(self.values[side])

    def worst(self, side: str) -> float:
        """The worst repetition."""
        return (min if self.unit in RATES else max)(self.values[side])

    def is_steady(self, side: str) -> bool:
        """Whether the worst repetition is near enough to the median."""
        low, high = sorted((self.middle(side), self.worst(side)))
        return low >= STEADY * high

    def ratio(self, peer: str) -> float:
        """How many times better Huren's median is than the peer's: above 1 Huren is ahead."""
        ours, theirs = self.middle(HUREN), self.middle(peer)
        return ours / theirs if self.unit in RATES else theirs / ours

    def verdict(self) -> str:
        """Which goals are reached; empty where there is none, or their peers were not there."""
        return "; ".join(self._verdict(goal) for goal in self.goals if not goal.peer or goal.peer in self.values)

    def _verdict(self, goal: Goal) -> str:
        if goal.peer:
            have = self.ratio(goal.peer)
            reached, best = have >= goal.must, have >= goal.aim
            wanted = f"{goal.must:g}× {goal.peer}"
        else:
            have = self.middle(HUREN)
            reached, best = have <= goal.must, have <= goal.aim
            wanted = f"{goal.must:g} {self.unit}"
        return f"{wanted}: {'reached' if reached else 'not reached'}{', aim too' if best and reached else ''}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def alternate(sides: Mapping[str, Callable[[int], None]], repetitions: int) -> None:
    """Run every side once to warm up (repetition 0), then all of them in turn, `repetitions` times.

    What one side left in the page cache is written out before the next one's turn.
    """
    for repetition in range(repetitions + 1):
        for turn in sides.values():
            os.sync()
            turn(repetition)
