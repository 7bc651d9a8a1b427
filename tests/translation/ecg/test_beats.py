"""Beats are found where they are known to be, and nothing is said where they do not stand out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.ecg import beats, quality
from interfaces.ecg.recording import Lead, Strip
from tests import ecg_beats

SHAKEN = "three movements of the arm"
NOISE = "muscle noise of 0.2 mV"


@pytest.mark.parametrize("name", [name for name in ecg_beats.CASES if name not in (SHAKEN, NOISE)])
def test_every_beat_is_found_and_no_other(name: str) -> None:
    got = ecg_beats.score(name, seeds=4)
    assert (got.found, got.wrong) == (got.there, 0)
    assert got.worst <= 1


@pytest.mark.parametrize(("name", "wrong"), [(SHAKEN, 0.1), (NOISE, 0.05)])
def test_what_disturbs_a_recording_adds_few_beats(name: str, wrong: float) -> None:
    got = ecg_beats.score(name, seeds=8)
    assert got.found >= 0.98 * got.there
    assert got.wrong <= wrong * got.there


def test_nothing_is_said_of_what_nobody_could_read() -> None:
    for seed in range(10):
        assert beats.find(ecg_beats.noise_alone(seed)) == beats.Beats()
        assert beats.find(ecg_beats.drowned(seed)) == beats.Beats()
    nothing = Strip(500.0, tuple(Lead(name, np.zeros(5000, np.int32), 2.5) for name in ("I", "II")))
    assert beats.find(nothing) == beats.Beats()
    assert beats.find(Strip(500.0, ())) == beats.Beats()


def test_too_short_too_slow_and_too_few_is_not_told() -> None:
    short = ecg_beats.made(ecg_beats.regular(75, 2.5), seconds=2.5).strip()
    assert beats.find(short) == beats.Beats()
    slow = ecg_beats.made(ecg_beats.regular(75)).strip()
    slow = replace(slow, rate=50.0)
    assert beats.find(slow) == beats.Beats()
    two = ecg_beats.made(np.array([1.0, 3.0]), seconds=4.0).strip()
    assert beats.find(two).rate is None


def test_samples_that_the_device_has_not_are_bridged() -> None:
    strip = ecg_beats.made(ecg_beats.regular(75)).strip()
    unknown = np.zeros(5000, bool)
    unknown[2120:2180] = True  # between two beats
    strip = replace(strip, leads=tuple(replace(lead, unknown=unknown) for lead in strip.leads))
    assert np.allclose(beats.find(strip).times, ecg_beats.regular(75), atol=0.02)


def test_recordings_of_people_give_the_rate_of_their_device() -> None:
    for name, recording in ecg_beats.real(()).items():
        found, said = beats.find(quality.twelve(recording.rhythm)), ecg_beats.said_rate(recording)
        assert found.rate is not None, name
        if said is not None:
            assert abs(found.rate - said) <= 2, name
        assert len(found.times) == round(recording.rhythm.seconds * found.rate / 60), name
