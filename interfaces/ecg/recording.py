"""One ECG recording, whatever it was written as.

Samples stay the whole numbers that the device wrote, each lead with the size of one step: nothing is resampled,
filtered or rounded on the way in, and a recording leaves as exact as it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from interfaces.ecg.codes import KINDS
from worklist.facts import PersonName

TWELVE: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The leads of a standard recording, in the order in which they are read."""
FIDUCIALS: Final = ("P onset", "P offset", "QRS onset", "QRS offset", "T offset")
"""Points of a representative beat, in the order of time."""


@dataclass(frozen=True, eq=False)
class Lead:
    """Samples of one electrode pair. Microvolts are ``(samples + zero) * step``.

    `samples` has the shape (number of samples,) and the dtype int32; `step` is in microvolts, `zero` in steps.
    `unknown` marks samples that the device says it has not (same shape, bool), or is None where it has them all.
    """

    name: str
    samples: NDArray[np.int32]
    step: float
    zero: float = 0.0
    unknown: NDArray[np.bool_] | None = None

    def microvolts(self) -> NDArray[np.float64]:
        """The voltages in µV, of the same shape; NaN where the device has none."""
        values: NDArray[np.float64] = (self.samples.astype(np.float64) + self.zero) * self.step
        if self.unknown is not None:
            values[self.unknown] = np.nan
        return values


@dataclass(frozen=True, eq=False)
class Strip:
    """Leads that were recorded together: a rhythm, or the representative beat made of it. `rate` is in Hz."""

    rate: float
    leads: tuple[Lead, ...]

    @property
    def seconds(self) -> float:
        """How long the longest lead is."""
        return max((len(lead.samples) for lead in self.leads), default=0) / self.rate

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the leads, as they came."""
        return tuple(lead.name for lead in self.leads)

    def lead(self, name: str) -> Lead | None:
        """The lead of this name."""
        return next((lead for lead in self.leads if lead.name == name), None)


@dataclass(frozen=True)
class Filters:
    """What the device says it filtered, in Hz; None where it says nothing."""

    high_pass: float | None = None
    low_pass: float | None = None
    notch: float | None = None


@dataclass(frozen=True)
class Subject:
    """Whom the recording says it is of. Numbers are without their issuer here, and identify nobody yet."""

    patient_id: str = ""
    name: PersonName = field(default_factory=PersonName)
    birth_date: str = ""  # YYYYMMDD
    sex: str = ""  # M, F, O or ""
    order_number: str = ""


@dataclass(frozen=True)
class Cart:
    """The device that made the recording, in its own words."""

    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    software: str = ""


@dataclass(frozen=True, eq=False)
class Recording:
    """An ECG as the device made it. Measurements and statements are the device's, never a person's.

    `measurements` is by the names of `KINDS`, in their units; `fiducials` by the names of `FIDUCIALS`, in
    milliseconds from the beginning of `beat`. `recorded_at` is the device's clock: aware where it names its zone,
    local to it and naive where it does not, None where it says nothing.
    """

    format: str
    rhythm: Strip
    beat: Strip | None = None
    measurements: dict[str, float] = field(default_factory=dict)
    fiducials: dict[str, float] = field(default_factory=dict)
    statements: tuple[str, ...] = ()
    recorded_at: datetime | None = None
    filters: Filters = field(default_factory=Filters)
    subject: Subject = field(default_factory=Subject)
    cart: Cart = field(default_factory=Cart)


def from_fiducials(said: dict[str, float], fiducials: dict[str, float]) -> dict[str, float]:
    """Intervals that follow from the device's own marks, beneath those that it says itself. All in ms."""
    between = {
        "P duration": ("P onset", "P offset"),
        "PR interval": ("P onset", "QRS onset"),
        "QRS duration": ("QRS onset", "QRS offset"),
        "QT interval": ("QRS onset", "T offset"),
    }
    found = {
        name: round(fiducials[last] - fiducials[first], 3)
        for name, (first, last) in between.items()
        if first in fiducials and last in fiducials
    }
    return in_order({**found, **said})


def in_order(measurements: dict[str, float]) -> dict[str, float]:
    """The measurements in the order of `KINDS`; others are left out."""
    return {name: measurements[name] for name in KINDS if name in measurements}


def whole(values: Iterable[float]) -> NDArray[np.int32]:
    """Samples that a reader holds as floats, as the whole numbers they were.

    Raises
    ------
    ValueError
        If one of them is no whole number of 32 bits.
    """
    given = np.asarray(values, dtype=np.float64)
    rounded = np.rint(given)
    if not np.array_equal(given, rounded) or (len(given) and np.abs(rounded).max() >= 2**31):
        raise ValueError("samples are not whole numbers")
    return rounded.astype(np.int32)
