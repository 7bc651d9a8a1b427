"""Where the QRS complexes of a rhythm are, and how many there are a minute: advice beside what the device says.

After Pan and Tompkins (IEEE Trans Biomed Eng 1985; 32: 230), on all leads at once and without haste: the whole strip is
there. Spikes narrower than 8 ms (pacing) go by a running median; a band of 5 to 20 Hz keeps the QRS; the slope is
squared, averaged over 100 ms and its root taken; each lead counts by how far its peaks stand above its own floor, so
that a noisy one counts little. A beat is a peak above a share of the usual height of the highest, 240 ms or more from
the next. Where peaks do not stand out, nothing is said. docs/decisions/0045 has what it was tried on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from interfaces.ecg.recording import Lead, Strip

LONGEST: Final = 120.0  # seconds that are looked at
SHORTEST: Final = 3.0
LOWEST, HIGHEST = 5.0, 20.0  # Hz in which a QRS is
SPIKE: Final = 0.008  # seconds: what is narrower is no heart's
AVERAGED: Final = 0.1  # seconds
APART: Final = 0.24  # seconds between two beats
SHARE: Final = 0.4  # of the usual height of a beat
SLOWEST: Final = 30.0  # beats a minute at which the usual height is still that of beats
CLEAR: Final = 3.0  # times the floor that beats must be high
AROUND: Final = 0.06  # seconds around a peak in which the middle of its QRS is

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Beats:
    """`times` are seconds from the beginning; `rate` is the mean ventricular rate in whole beats a minute, None of
    fewer than three beats."""

    times: tuple[float, ...] = ()
    rate: int | None = None


def find(strip: Strip) -> Beats:
    """The beats of a rhythm; none where it is too short, too slowly sampled, or where beats do not stand out."""
    count = min(min((len(lead.samples) for lead in strip.leads), default=0), int(LONGEST * strip.rate))
    if count < SHORTEST * strip.rate or strip.rate < 4 * HIGHEST:
        return Beats()
    leads = [lead for lead in (_microvolts(lead, count) for lead in strip.leads) if lead is not None]
    banded = [_band(_without_spikes(lead, strip.rate), strip.rate) for lead in leads]
    steep = _together([_steepness(lead, strip.rate) for lead in banded])
    peaks = _peaks(steep, strip.rate)
    if not len(peaks):
        return Beats()
    far = np.sum(np.abs(banded), axis=0)
    times = tuple(round(_middle(far, peak, strip.rate), 3) for peak in peaks)
    rate = round(60 * (len(times) - 1) / (times[-1] - times[0])) if len(times) > 2 else None
    return Beats(times, rate)


def _microvolts(lead: Lead, count: int) -> Signal | None:
    """Around its middle; what the device has not is bridged. None where nothing was recorded."""
    values = lead.microvolts()[:count]
    known = np.isfinite(values)
    if known.sum() < count / 2 or np.ptp(values[known]) == 0:
        return None
    values = np.interp(np.arange(count), np.flatnonzero(known), values[known])
    return values - np.median(values)


def _without_spikes(values: Signal, rate: float) -> Signal:
    reach = max(1, round(SPIKE * rate))
    padded = np.pad(values, reach, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)


def _band(values: Signal, rate: float) -> Signal:
    """Without delay. Both edges fall over an octave; the ends are mirrored, so that none of them rings."""
    reach = min(len(values) - 1, round(rate))
    mirrored = np.pad(values, reach, mode="reflect", reflect_type="odd")
    hertz = np.fft.rfftfreq(len(mirrored), 1 / rate)
    gain = 1 / (1 + (LOWEST / np.maximum(hertz, 1e-9)) ** 6) / (1 + (hertz / HIGHEST) ** 6)
    made: Signal = np.fft.irfft(np.fft.rfft(mirrored) * gain, len(mirrored))
    return made[reach:-reach]


def _steepness(values: Signal, rate: float) -> Signal:
    width = max(1, round(AVERAGED * rate))
    squared = np.gradient(values) ** 2
    return np.sqrt(np.convolve(squared, np.full(width, 1 / width), mode="same"))


def _together(leads: list[Signal]) -> Signal:
    """Each lead by its own height, and by how clearly it is above its own floor."""
    made = np.zeros_like(leads[0]) if leads else np.zeros(0)
    for lead in leads:
        height, floor = np.quantile(lead, 0.97), np.median(lead)
        if height > floor:
            made += lead / height * (1 - floor / height) ** 2
    return made


def _peaks(steep: Signal, rate: float) -> NDArray[np.intp]:
    if not len(steep):
        return np.zeros(0, np.intp)
    inner = steep[1:-1]
    tops = np.flatnonzero((inner > steep[:-2]) & (inner >= steep[2:])) + 1
    tops = _apart(tops, steep, APART * rate)
    least = max(2, round(len(steep) / rate * SLOWEST / 60))  # at least so many of the tops are beats
    if len(tops) < 2:
        return np.zeros(0, np.intp)
    usual = float(np.median(np.sort(steep[tops])[::-1][:least]))
    beats: NDArray[np.intp] = tops[steep[tops] >= SHARE * usual]
    floor = float(np.median(steep))
    return beats if usual >= CLEAR * floor else np.zeros(0, np.intp)


def _apart(tops: NDArray[np.intp], steep: Signal, apart: float) -> NDArray[np.intp]:
    """The highest first; none that is nearer than `apart` samples to a higher one."""
    held: list[int] = []
    for top in tops[np.argsort(steep[tops])[::-1]].tolist():
        if all(abs(top - other) >= apart for other in held):
            held.append(top)
    return np.array(sorted(held), np.intp)


def _middle(far: Signal, peak: int, rate: float) -> float:
    """Where the leads together are farthest from their middle."""
    reach = round(AROUND * rate)
    first = max(0, peak - reach)
    return float(first + int(np.argmax(far[first : peak + reach + 1]))) / rate
