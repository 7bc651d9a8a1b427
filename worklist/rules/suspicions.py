"""What a device's numbers make one suspect. A suspicion is shown to the reader, who verifies it or does not; nothing is
ever announced because of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from worklist.facts import TIERS, Tier


@dataclass(frozen=True)
class Limit:
    """An entry of a center's list with a limit: suspected `below` it, or `from_on` it and more."""

    item_id: str
    name: str
    name_en: str
    words: str  # how it is worded in a report
    tier: Tier
    measurement: str
    below: int | None
    from_on: int | None


@dataclass(frozen=True)
class Suspicion:
    """What may be so, and the number that says it; `value` is whole, in the unit of `measurement`."""

    item_id: str
    name: str
    name_en: str
    words: str
    tier: Tier
    measurement: str
    value: int


def suspicions(limits: Iterable[Limit], recordings: Iterable[Mapping[str, float]]) -> list[Suspicion]:
    """Each entry once, in the order of the list, by the first of the recordings that passes its limit. Where a graver
    entry is suspected by a measurement, the lesser ones are not named too."""
    said = list(recordings)
    found = []
    for limit in limits:
        values = (round(one[limit.measurement]) for one in said if limit.measurement in one)
        value = next((value for value in values if passes(value, limit.below, limit.from_on)), None)
        if value is not None:
            name, words = (limit.name, limit.name_en), limit.words
            found.append(Suspicion(limit.item_id, *name, words, limit.tier, limit.measurement, value))
    grave = {one.measurement for one in found if one.tier == "critical"}
    return [one for one in found if one.tier == "critical" or one.measurement not in grave]


def passes(value: int, below: int | None, from_on: int | None) -> bool:
    """Whether a number lies beyond a limit."""
    return (below is not None and value < below) or (from_on is not None and value >= from_on)


def gravest(found: Iterable[Suspicion]) -> Literal["", Tier]:
    """The graver of the tiers that are suspected; "" of nothing."""
    tiers = {suspicion.tier for suspicion in found}
    return next((tier for tier in TIERS if tier in tiers), "")
