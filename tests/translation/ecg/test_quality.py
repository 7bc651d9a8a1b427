"""What is told at once while the patient still lies there, and the leads that follow from I and II."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.ecg.quality import Demands, faults, twelve
from interfaces.ecg.recording import TWELVE, Recording
from tests import ecgs


def codes(given: Recording, demands: Demands | None = None) -> dict[str, dict[str, object]]:
    """The faults of a recording, by code."""
    return {fault.code: dict(fault.params) for fault in faults(given, demands or Demands())}


def test_a_good_recording_has_no_fault() -> None:
    assert codes(ecgs.recording()) == {}


def test_limb_leads_that_follow_from_two_are_not_missing() -> None:
    assert codes(ecgs.recording(ecgs.Heart(leads=("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")))) == {}
    assert codes(ecgs.recording(ecgs.Heart(leads=("I", "V1", "V2", "V3", "V4", "V5", "V6")))) == {
        "ecg_leads_missing": {"leads": "II III aVR aVL aVF"}
    }


@pytest.mark.parametrize("name", ["I", "V4"])
def test_a_lead_that_hangs_in_the_air_is_named(name: str) -> None:
    given = ecgs.recording()
    noise = np.random.default_rng(1).integers(-1, 2, 5000).astype(np.int32)
    leads = tuple(replace(lead, samples=noise) if lead.name == name else lead for lead in given.rhythm.leads)
    assert codes(replace(given, rhythm=replace(given.rhythm, leads=leads))) == {"ecg_leads_flat": {"leads": name}}


def test_too_coarse_and_too_short() -> None:
    given = ecgs.recording(ecgs.Heart(hertz=250, seconds=4))
    assert codes(given) == {
        "ecg_rate_too_low": {"rate": "250", "least": "500"},
        "ecg_too_short": {"seconds": "4.0", "least": "8"},
    }
    assert codes(given, Demands(rate=250, seconds=4)) == {}


def test_derived_leads_obey_einthoven_and_goldberger() -> None:
    given = ecgs.recording(ecgs.Heart(leads=("V1", "II", "I")))
    strip = twelve(given.rhythm)
    assert strip.names == ("I", "II", "III", "aVR", "aVL", "aVF", "V1")
    one, two, three, right, left, foot = (lead.microvolts() for lead in strip.leads[:6])
    assert np.allclose(one + three, two)
    assert np.allclose(right + left + foot, 0)
    assert np.allclose(right, -(one + two) / 2)
    assert np.allclose(left, (one - three) / 2)


def test_what_was_recorded_is_never_replaced() -> None:
    given = ecgs.recording()
    strip = twelve(replace(given.rhythm, leads=tuple(reversed(given.rhythm.leads))))
    assert strip.names == TWELVE
    assert all(strip.lead(lead.name) is lead for lead in given.rhythm.leads)
    # Steps that differ: nothing is made.
    one, two = (lead for lead in given.rhythm.leads if lead.name in ("I", "II"))
    assert twelve(replace(given.rhythm, leads=(one, replace(two, step=5.0)))).names == ("I", "II")
