"""Whether a recording can be read, told while the patient still lies there, and the leads that follow from others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from interfaces.ecg.recording import TWELVE, Lead, Recording, Strip
from worklist.facts import Fault

FLAT: Final = 20.0  # µV between the highest and the lowest sample: less than a fifth of a millimetre on paper


@dataclass(frozen=True)
class Demands:
    """What a center asks of a recording: Hz, seconds, and the leads that must be there or follow from others."""

    rate: float = 500.0
    seconds: float = 8.0
    leads: tuple[str, ...] = TWELVE


def faults(recording: Recording, demands: Demands) -> tuple[Fault, ...]:
    """What is wrong with a recording, the gravest first; nothing where it can be read."""
    strip = twelve(recording.rhythm)
    found = []
    if missing := [name for name in demands.leads if strip.lead(name) is None]:
        found.append(Fault("ecg_leads_missing", {"leads": " ".join(missing)}))
    measured = [lead for lead in recording.rhythm.leads if lead.name in demands.leads]
    if flat := [lead.name for lead in measured if is_flat(lead)]:
        found.append(Fault("ecg_leads_flat", {"leads": " ".join(flat)}))
    if recording.rhythm.rate < demands.rate:
        found.append(Fault("ecg_rate_too_low", {"rate": f"{recording.rhythm.rate:g}", "least": f"{demands.rate:g}"}))
    shortest = min((_known(lead) for lead in measured), default=0) / recording.rhythm.rate
    if shortest < demands.seconds:
        found.append(Fault("ecg_too_short", {"seconds": f"{shortest:.1f}", "least": f"{demands.seconds:g}"}))
    return tuple(found)


def is_flat(lead: Lead) -> bool:
    """Whether an electrode was off: nothing that a heart could have drawn."""
    values = lead.microvolts()
    values = values[np.isfinite(values)]
    return len(values) == 0 or float(values.max() - values.min()) < FLAT


def _known(lead: Lead) -> int:
    return len(lead.samples) if lead.unknown is None else int((~lead.unknown).sum())


def twelve(strip: Strip) -> Strip:
    """The twelve leads in the order of reading, then any others.

    Where III, aVR, aVL or aVF are not recorded they follow from I and II (Einthoven, Goldberger): the samples are
    whole numbers again, of half a step for the augmented ones. Nothing is made where I and II do not fit together.
    """
    held = {lead.name: lead for lead in strip.leads}
    first, second = held.get("I"), held.get("II")
    if first is not None and second is not None and _fit(first, second):
        one, two = first.samples, second.samples
        half, unknown = first.step / 2, _either(first, second)
        for lead in (
            Lead("III", two - one, first.step, 0.0, unknown),
            Lead("aVR", -(one + two), half, -2 * first.zero, unknown),
            Lead("aVL", 2 * one - two, half, first.zero, unknown),
            Lead("aVF", 2 * two - one, half, first.zero, unknown),
        ):
            held.setdefault(lead.name, lead)
    order = [held[name] for name in TWELVE if name in held]
    return replace(strip, leads=(*order, *(lead for lead in strip.leads if lead.name not in TWELVE)))


def _fit(first: Lead, second: Lead) -> bool:
    same = (first.step, first.zero) == (second.step, second.zero)
    return same and len(first.samples) == len(second.samples)


def _either(first: Lead, second: Lead) -> NDArray[np.bool_] | None:
    if first.unknown is None:
        return second.unknown
    return first.unknown if second.unknown is None else first.unknown | second.unknown
