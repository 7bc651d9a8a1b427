"""Rhythms of known beats, and how well `interfaces.ecg.beats` finds them: `python -m tests.ecg_beats [FILE ...]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file

from interfaces.ecg import beats, files, quality, waveforms
from interfaces.ecg.recording import Lead, Recording, Strip
from tests.ecgs import AXES, WAVES

RATE: Final = 500
STEP: Final = 2.5  # µV
NEAR: Final = 0.1  # seconds in which a mark is that beat's (EC57 allows 0.15)
Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """A rhythm: seconds of its beats, and millivolts of the leads."""

    times: Signal
    leads: dict[str, Signal]
    rate: int = RATE

    def strip(self) -> Strip:
        """As a device would have written it."""
        leads = [Lead(name, np.rint(mv * 1000 / STEP).astype(np.int32), STEP) for name, mv in self.leads.items()]
        return quality.twelve(Strip(float(self.rate), tuple(leads)))


def regular(per_minute: float, seconds: float = 10.0) -> Signal:
    """Beats at one rate, the first after 0.4 s, none of them cut by the end."""
    return np.arange(0.4, seconds - 0.25, 60 / per_minute)


def irregular(chance: np.random.Generator, mean: float, spread: float, seconds: float = 10.0) -> Signal:
    """Beats as in atrial fibrillation: each interval by itself, none below 0.3 s."""
    gaps = np.maximum(0.3, chance.normal(mean, spread * mean, int(3 * seconds / mean)))
    times = 0.4 + np.cumsum(gaps)
    return times[times < seconds - 0.25]


def made(
    times: Signal,
    *,
    seconds: float = 10.0,
    rate: int = RATE,
    size: float = 1.0,
    p: bool = True,
    t: float = 1.0,
    wide: Sequence[int] = (),
    small: Sequence[int] = (),
) -> Made:
    """`size` of all waves; `p`: with P waves; `t`: times the height of T; `wide`: which beats are ventricular, 140 ms
    wide and without P; `small`: which are half as high."""
    time = np.arange(round(seconds * rate)) / rate
    leads = {}
    for name in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"):
        total = np.zeros_like(time)
        for number, at in enumerate(times):
            # A T wave comes the sooner the faster the heart is.
            gap = float(np.min(np.diff(times))) if len(times) > 1 else 1.0
            for place, (centre, width, height) in enumerate(WAVES):
                if place == 0 and (not p or number in wide):
                    continue
                if number in wide and place < 4:
                    width, height = width * 3, height * (1.5 if place == 2 else 0.5)
                if number in small:
                    height = height / 2
                if place == 4:
                    height = height * t
                where = min(centre, 0.6 * gap) if place == 4 else centre
                total += height * np.exp(-((time - at - where) ** 2) / (2 * width**2))
        leads[name] = size * AXES.get(name, 0.7) * total
    return Made(np.asarray(times), leads, rate)


def noisy(given: Made, chance: np.random.Generator, millivolts: float) -> Made:
    """Muscle noise: white, of this root mean square, another on each lead."""
    return replace(given, leads={n: mv + chance.normal(0, millivolts, len(mv)) for n, mv in given.leads.items()})


def wandering(given: Made, millivolts: float, hertz: float = 0.3) -> Made:
    """A baseline that goes up and down so far."""
    time = np.arange(len(given.leads["I"])) / given.rate
    shift = {n: millivolts * np.sin(2 * np.pi * hertz * time + place) for place, n in enumerate(given.leads)}
    return replace(given, leads={n: mv + shift[n] for n, mv in given.leads.items()})


def humming(given: Made, millivolts: float) -> Made:
    """50 Hz of the mains."""
    time = np.arange(len(given.leads["I"])) / given.rate
    return replace(given, leads={n: mv + millivolts * np.sin(100 * np.pi * time) for n, mv in given.leads.items()})


def paced(given: Made, before: float, millivolts: float) -> Made:
    """A spike of 4 ms so many seconds before each beat."""
    leads = {name: mv.copy() for name, mv in given.leads.items()}
    for at in given.times - before:
        first = round(at * given.rate)
        for mv in leads.values():
            mv[max(0, first) : first + max(1, round(0.004 * given.rate))] += millivolts
    return replace(given, leads=leads)


def fibrillating(given: Made, chance: np.random.Generator, millivolts: float) -> Made:
    """f waves of about 6 Hz instead of P."""
    time = np.arange(len(given.leads["I"])) / given.rate
    phase = 2 * np.pi * np.cumsum(6 + 0.8 * chance.normal(0, 1, len(time)).cumsum() / np.sqrt(len(time))) / given.rate
    return replace(
        given,
        leads={n: mv + millivolts * np.sin(phase + i) + 0 * time for i, (n, mv) in enumerate(given.leads.items())},
    )


def shaken(given: Made, chance: np.random.Generator) -> Made:
    """Three movements of the arm: jumps of up to 2 mV on the limb leads that die away in 0.3 s."""
    time = np.arange(len(given.leads["I"])) / given.rate
    leads = dict(given.leads)
    for at in chance.uniform(0.5, 9.5, 3):
        gone = np.where(time >= at, np.exp(-(time - at) / 0.1), 0.0)
        for name in ("I", "II"):
            leads[name] = leads[name] + chance.uniform(-2, 2) * gone
    return replace(given, leads=leads)


def lead_off(given: Made, chance: np.random.Generator) -> Made:
    """V1 to V3 with nothing but 1 mV of noise."""
    lost = {name: chance.normal(0, 1, len(given.leads[name])) for name in ("V1", "V2", "V3")}
    return replace(given, leads=given.leads | lost)


PAUSE: Final = np.array([0.4, 1.2, 2.0, 5.0, 5.8, 6.6, 7.4, 8.2, 9.0])
RATES: Final = (32, 45, 60, 75, 100, 150, 190)
CASES: Final[dict[str, Callable[[np.random.Generator], Made]]] = {
    **{f"regular, {rate}/min": partial(lambda rate, _: made(regular(rate)), rate) for rate in RATES},
    "sampled at 250 Hz": lambda _: made(regular(75), rate=250),
    "sampled at 1,000 Hz": lambda _: made(regular(75), rate=1000),
    "muscle noise of 0.1 mV": lambda chance: noisy(made(regular(75)), chance, 0.1),
    "muscle noise of 0.2 mV": lambda chance: noisy(made(regular(75)), chance, 0.2),
    "mains of 0.3 mV": lambda _: humming(made(regular(75)), 0.3),
    "baseline of 3 mV": lambda _: wandering(made(regular(75)), 1.5),
    "a fifth of the height": lambda _: made(regular(75), size=0.2),
    "ventricular pacing": lambda _: paced(made(regular(70), p=False, wide=range(20)), 0.04, 3.0),
    "atrial pacing": lambda _: paced(made(regular(70)), 0.2, 3.0),
    "fibrillation of the atria": lambda chance: fibrillating(made(irregular(chance, 0.7, 0.25), p=False), chance, 0.08),
    "fast fibrillation of the atria": lambda chance: fibrillating(
        made(irregular(chance, 0.45, 0.2), p=False), chance, 0.08
    ),
    "every third beat ventricular": lambda _: made(regular(75), wide=range(2, 30, 3)),
    "T as high as R": lambda _: made(regular(75), t=3.0),
    "a pause of three seconds": lambda _: made(PAUSE),
    "every second beat half as high": lambda _: made(regular(100), small=range(1, 30, 2)),
    "three movements of the arm": lambda chance: shaken(made(regular(75)), chance),
    "three electrodes off": lambda chance: lead_off(made(regular(75)), chance),
}
"""By what is hard about them."""


def case(name: str, seed: int) -> Made:
    """One of the cases, with noise of 0.02 mV besides what it has itself."""
    chance = np.random.default_rng(seed)
    return noisy(CASES[name](chance), chance, 0.02)


@dataclass(frozen=True)
class Score:
    """Beats that there are, that were found, and that were found where there is none; the rates' worst difference."""

    there: int
    found: int
    wrong: int
    worst: float  # beats a minute; infinite where one was not told


def score(name: str, seeds: int = 20) -> Score:
    """How one of the cases went."""
    there = found = wrong = 0
    worst = 0.0
    for seed in range(seeds):
        times = case(name, seed).times.tolist()
        said = beats.find(case(name, seed).strip())
        near = sum(any(abs(one - at) <= NEAR for one in said.times) for at in times)
        there += len(times)
        found += near
        wrong += len(said.times) - near
        true = 60 * (len(times) - 1) / (times[-1] - times[0])
        worst = max(worst, abs(said.rate - true) if said.rate is not None else float("inf"))
    return Score(there, found, wrong, worst)


def noise_alone(seed: int) -> Strip:
    """Electrodes on a table: noise, hum and a wandering baseline."""
    none = made(np.zeros(0))
    return humming(wandering(noisy(none, np.random.default_rng(seed), 0.05), 0.5), 0.05).strip()


def drowned(seed: int) -> Strip:
    """A heart that nobody could read."""
    return noisy(made(regular(75)), np.random.default_rng(seed), 0.5).strip()


def real(paths: Sequence[Path]) -> dict[str, Recording]:
    """Recordings of people, with the rate or the interval that their device measured: pydicom's, and those in files."""
    found = {"pydicom's sample": waveforms.read(dcmread(str(get_testdata_file("waveform_ecg.dcm"))))}
    for path in paths:
        data = path.read_bytes()
        read = waveforms.read(dcmread(path)) if path.suffix == ".dcm" else files.read(data)
        found[path.name] = read
    return found


def said_rate(recording: Recording) -> float | None:
    """The device's ventricular rate; None where it says none."""
    numbers = recording.measurements
    return numbers.get("heart rate") or (60000 / numbers["RR interval"] if "RR interval" in numbers else None)


def main() -> None:
    """Write the table of docs/decisions/0045."""
    for name in CASES:
        got = score(name)
        row = f"| {name} | {got.found} of {got.there} | {got.wrong} | {got.worst:.1f} |\n"
        sys.stdout.write(row)
    for what, strip in (("noise alone", noise_alone), ("muscle noise of 0.5 mV", drowned)):
        told = sum(bool(beats.find(strip(seed)).times) for seed in range(50))
        sys.stdout.write(f"{what}: beats told in {told} of 50\n")
    for name, recording in real([Path(name) for name in sys.argv[1:]]).items():
        got_real = beats.find(quality.twelve(recording.rhythm))
        sys.stdout.write(f"{name}: {got_real.rate} (device {said_rate(recording)}), {len(got_real.times)} beats\n")


if __name__ == "__main__":
    main()
