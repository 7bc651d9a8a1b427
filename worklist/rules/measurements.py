"""The numbers of an ECG report: which there are, in which unit, and whose each of them is.

A reader accepts what the device measured or writes their own number. Nobody has to say which of the two it is: a
number that stands in a recording of the case is the device's, any other the reader's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from worklist.errors import BadInput
from worklist.facts import Measurement

FORMULAS: Final = ("Bazett", "Fridericia", "Framingham", "Hodges")
"""Of the corrected QT."""
CORRECTED: Final = "QTc interval"
_FARTHEST: Final = 9999


@dataclass(frozen=True)
class Kind:
    """A measurement of a report. `unit` is UCUM; outside `least` to `most` it is doubted, not refused."""

    unit: str
    least: int
    most: int


KINDS: Final = {
    "heart rate": Kind("/min", 20, 300),
    "PR interval": Kind("ms", 60, 500),
    "QRS duration": Kind("ms", 40, 260),
    "QT interval": Kind("ms", 200, 700),
    CORRECTED: Kind("ms", 250, 700),
    "P axis": Kind("deg", -180, 180),
    "QRS axis": Kind("deg", -180, 180),
    "T axis": Kind("deg", -180, 180),
}
"""By name, in the order in which they are shown. `interfaces.ecg.recording.KINDS` has the codes."""


def read(given: Iterable[tuple[str, int, str]], device: Iterable[Mapping[str, float]]) -> tuple[Measurement, ...]:
    """What a reader gave as (name, value, formula), in the order of `KINDS`, each with its source.

    `device` are the measurements of the case's recordings, by name, in the same units.

    Raises
    ------
    BadInput
        ``field_wrong``: a name that there is not, or twice; a number of more than four digits; a formula that there
        is not, or of something else than the corrected QT.
    """
    said = list(device)
    found: dict[str, Measurement] = {}
    for name, value, method in given:
        if name not in KINDS or name in found or abs(value) > _FARTHEST:
            raise BadInput("field_wrong", field="measurements")
        if method and (name != CORRECTED or method not in FORMULAS):
            raise BadInput("field_wrong", field="measurements")
        is_device = any(name in one and round(one[name]) == value for one in said)
        found[name] = Measurement(name, value, KINDS[name].unit, "device" if is_device else "reader", method)
    return tuple(found[name] for name in KINDS if name in found)


def doubts(measurements: Iterable[Measurement]) -> list[tuple[str, str]]:
    """(name, value with its unit) of those that no heart is likely to have."""
    return [
        (one.name, f"{one.value} {one.unit}")
        for one in measurements
        if one.name in KINDS and not KINDS[one.name].least <= one.value <= KINDS[one.name].most
    ]


def changed(
    old: Iterable[Measurement], new: Iterable[Measurement]
) -> list[tuple[str, Measurement | None, Measurement | None]]:
    """The numbers that differ in value or formula, by name and in the order of `KINDS`: each as it was and as it is,
    None where it was not there. Whose a number is follows from the recordings and is nobody's change."""
    before, now = {one.name: one for one in old}, {one.name: one for one in new}
    pairs = ((name, before.get(name), now.get(name)) for name in KINDS)
    return [(name, was, now_is) for name, was, now_is in pairs if _said(was) != _said(now_is)]


def _said(one: Measurement | None) -> tuple[int, str] | None:
    return (one.value, one.method) if one is not None else None


def as_json(measurements: Iterable[Measurement]) -> list[dict[str, Any]]:
    """Measurements as a report version keeps them."""
    return [asdict(one) for one in measurements]


def from_json(kept: Iterable[Mapping[str, Any]]) -> tuple[Measurement, ...]:
    """Measurements that a report version keeps."""
    return tuple(Measurement(**one) for one in kept)
