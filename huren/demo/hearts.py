"""Hearts of the demo: twelve leads computed from a few waves, so that nobody's recording is shown.

A beat is a sum of Gaussians with a height for each lead; III and the augmented leads follow from I and II. They are for
looking at, not for testing algorithms: no real heart is as even.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from interfaces.ecg.recording import TWELVE, Cart, Filters, Lead, Recording, Strip, from_fiducials

HERTZ: Final = 500
SECONDS: Final = 10.0
STEP: Final = 2.5  # µV
BEAT: Final = 1.2  # seconds of the representative beat, its R at BEAT_R
BEAT_R: Final = 0.4

Volts = NDArray[np.float64]

_MEASURED: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_HEIGHTS: Final[Mapping[str, tuple[float, ...]]] = {  # mV of each lead, in the order of _MEASURED
    "P": (0.08, 0.14, 0.06, 0.06, 0.06, 0.07, 0.07, 0.07),
    "Q": (-0.05, -0.06, 0.0, 0.0, 0.0, -0.05, -0.08, -0.08),
    "R": (0.62, 1.05, 0.25, 0.45, 0.85, 1.4, 1.3, 1.0),
    "S": (-0.1, -0.15, -0.9, -1.3, -0.8, -0.45, -0.2, -0.1),
    "T": (0.2, 0.3, -0.05, 0.45, 0.5, 0.45, 0.35, 0.28),
}
_QRS: Final = {"Q": (-0.026, 0.008), "R": (0.0, 0.011), "S": (0.03, 0.011)}  # seconds from R, width in seconds
_P: Final = (-0.155, 0.022)


@dataclass(frozen=True)
class Heart:
    """What a heart does. `rate` is in beats a minute; `injury` is the ST segment's height in mV by lead."""

    rate: float = 72.0
    is_sinus: bool = True
    injury: Mapping[str, float] = field(default_factory=dict)
    statements: tuple[str, ...] = ("窦性心律", "正常心电图")


SINUS: Final = Heart()
FIBRILLATING: Final = Heart(96.0, is_sinus=False, statements=("心房颤动", "异常心电图"))
INFARCT: Final = Heart(
    58.0,
    injury={"I": -0.12, "II": 0.24, "V1": 0.02, "V2": -0.14, "V3": -0.1},
    statements=("窦性心动过缓", "下壁ST段抬高，急性心肌梗死可能", "异常心电图"),
)


def record(heart: Heart, at: datetime, seed: int) -> Recording:
    """Ten seconds of a heart, begun `at` (aware), with its representative beat, as a cart would measure it."""
    chance = np.random.default_rng(seed)
    heart = Heart(heart.rate * chance.uniform(0.93, 1.07), heart.is_sinus, heart.injury, heart.statements)
    beats = _beats(heart, chance)
    time = np.arange(round(HERTZ * SECONDS)) / HERTZ
    rhythm = {
        name: sum((_beat(heart, name, time - r) for r in beats), start=_ground(heart, name, time, chance))
        for name in _MEASURED
    }
    within = np.arange(round(HERTZ * BEAT)) / HERTZ - BEAT_R
    marks = _marks(heart)
    rr = 60_000 / heart.rate
    qt = marks["T offset"] - marks["QRS onset"]
    said = {
        "heart rate": round(heart.rate),
        "RR interval": round(rr),
        "QTc interval": round(qt / math.sqrt(rr / 1000)),  # Bazett
        "QRS axis": _axis(),
    }
    return Recording(
        format="DICOM",
        rhythm=_strip(rhythm),
        beat=_strip({name: _beat(heart, name, within) for name in _MEASURED}),
        measurements=from_fiducials(said, marks),
        fiducials=marks,
        statements=heart.statements,
        recorded_at=at,
        filters=Filters(0.05, 150.0, 50.0),
        cart=Cart("Huren demo", "Cart"),
    )


def _beats(heart: Heart, chance: np.random.Generator) -> list[float]:
    """Seconds at which there is an R: with the breath, or without any order."""
    rr = 60 / heart.rate
    at, beats = -rr * chance.uniform(0.2, 0.8), []
    while at < SECONDS + 1:
        beats.append(at)
        breath = 1 + 0.03 * math.sin(2 * math.pi * at / 4)
        at += rr * (breath if heart.is_sinus else chance.uniform(0.62, 1.5))
    return beats


def _beat(heart: Heart, name: str, at: Volts) -> Volts:
    """Millivolts of one beat in one measured lead; its R is at 0 s."""
    place = _MEASURED.index(name)
    stretch = math.sqrt(60 / heart.rate)
    waves = {**_QRS, "T": (0.27 * stretch, 0.045 * stretch)}
    if heart.is_sinus:
        waves["P"] = _P
    total = np.zeros_like(at)
    for wave, (centre, width) in waves.items():
        total += _HEIGHTS[wave][place] * np.exp(-((at - centre) ** 2) / (2 * width**2))
    plateau = (np.tanh((at - 0.05) / 0.012) - np.tanh((at - 0.27 * stretch) / 0.06)) / 2  # from the J point into T
    lifted: Volts = total + heart.injury.get(name, 0.0) * plateau
    return lifted


def _ground(heart: Heart, name: str, time: Volts, chance: np.random.Generator) -> Volts:
    """What lies beneath the beats: breath, muscles, and in fibrillation the atria."""
    ground = 0.03 * np.sin(2 * np.pi * 0.23 * time + chance.uniform(0, 6)) + chance.normal(0, 0.006, len(time))
    if not heart.is_sinus:
        size = 0.07 if name in ("II", "V1") else 0.03
        for hertz in (5.3, 6.1, 7.4):
            ground += size * np.sin(2 * np.pi * hertz * time + chance.uniform(0, 6)) / 1.7
    return ground


def _strip(measured: Mapping[str, Volts]) -> Strip:
    whole = {name: np.rint(values * 1000 / STEP) for name, values in measured.items()}
    one, two = whole["I"], whole["II"]
    whole |= {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    return Strip(float(HERTZ), tuple(Lead(name, np.rint(whole[name]).astype(np.int32), STEP) for name in TWELVE))


def _marks(heart: Heart) -> dict[str, float]:
    """Points of the representative beat, in milliseconds from its beginning."""
    r, stretch = 1000 * BEAT_R, math.sqrt(60 / heart.rate)
    marks = {"QRS onset": r - 44, "QRS offset": r + 50, "T offset": round(r + 1000 * (0.27 + 2.2 * 0.045) * stretch)}
    return {"P onset": r - 205, "P offset": r - 105, **marks} if heart.is_sinus else marks


def _axis() -> float:
    """Degrees of the QRS in the frontal plane, of its net heights in I and aVF."""
    one, two = (_HEIGHTS["R"][place] + _HEIGHTS["S"][place] for place in (0, 1))
    return round(math.degrees(math.atan2((two - one / 2) * 2 / math.sqrt(3), one)))
