"""A recording as a browser draws it: a head in JSON, and behind it the samples as the device wrote them.

The body begins with the number of bytes of the head (32 bits, little endian); the head is padded with blanks so that
the samples behind it begin at a multiple of four. Each lead's samples are 16 or 32 bits, little endian, at the place
that the head says. Nothing is resampled or rounded: µV = (sample + `zero`) * `step`. `computed` is advice of ours
beside the device's `measurements`: seconds of the beats, and their rate (`beats.Beats`).
"""

from __future__ import annotations

import io
import json
import math
import struct
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from interfaces.ecg import beats, quality, waveforms
from interfaces.ecg.recording import Lead, Recording, Strip
from worklist.errors import BadInput

LONGEST: Final = 120.0  # seconds that are sent; the head says how many there are
MOST_LEADS: Final = 32  # in each strip
MOST_WORDS: Final = 4000  # characters of all statements together


def of_file(data: bytes | memoryview) -> bytes:
    """A stored DICOM waveform object as `packed` writes it.

    Raises
    ------
    BadInput
        ``bad_waveform``, and as `waveforms.read`.
    """
    try:
        ds = dcmread(io.BytesIO(data))
    except InvalidDicomError as error:
        raise BadInput("bad_waveform") from error
    if not ds.original_encoding[1]:
        raise BadInput("bad_waveform")  # samples of a big endian file (retired, PS3.5 A.3) would be other numbers
    return packed(waveforms.read(ds))


def packed(recording: Recording, longest: float = LONGEST) -> bytes:
    """The twelve leads in the order of reading (`quality.twelve`), at most `longest` seconds of them."""
    pieces: list[bytes] = []
    rhythm = quality.twelve(recording.rhythm)
    head = {
        "seconds": rhythm.seconds,
        "rhythm": _strip(_cut(rhythm, longest), pieces),
        "beat": _strip(quality.twelve(recording.beat), pieces) if recording.beat else None,
        "measurements": _finite(recording.measurements),
        "computed": asdict(beats.find(rhythm)),
        "fiducials": _finite(recording.fiducials),
        "statements": _within(recording.statements, MOST_WORDS),
        "recorded_at": recording.recorded_at.isoformat() if recording.recorded_at else "",
        "filters": asdict(recording.filters),
        "cart": asdict(recording.cart),
    }
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return b"".join((struct.pack("<I", len(text)), text, *pieces))


def _cut(strip: Strip, longest: float) -> Strip:
    most = max(1, int(longest * strip.rate))
    leads = tuple(
        replace(
            lead,
            samples=lead.samples[:most],
            unknown=lead.unknown[:most] if lead.unknown is not None else None,
        )
        for lead in strip.leads
    )
    return replace(strip, leads=leads)


def _strip(strip: Strip, pieces: list[bytes]) -> dict[str, Any]:
    return {"rate": strip.rate, "leads": [_lead(lead, pieces) for lead in strip.leads[:MOST_LEADS]]}


def _lead(lead: Lead, pieces: list[bytes]) -> dict[str, Any]:
    """`at` is the first byte behind the head; `unknown` are pairs of the first sample and the one behind the last."""
    least, most = (int(lead.samples.min()), int(lead.samples.max())) if len(lead.samples) else (0, 0)
    bits = 16 if least >= -(2**15) and most < 2**15 else 32
    data = lead.samples.astype(f"<i{bits // 8}").tobytes()
    at = sum(map(len, pieces))
    pieces.append(data + b"\0" * (-len(data) % 4))
    return {
        "name": lead.name,
        "step": lead.step,
        "zero": lead.zero,
        "bits": bits,
        "at": at,
        "count": len(lead.samples),
        "unknown": _runs(lead.unknown) if lead.unknown is not None else [],
    }


def _runs(marked: NDArray[np.bool_]) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marked, [False])))).tolist()
    return [[first, behind] for first, behind in list(pairwise(edges))[::2]]


def _finite(numbers: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in numbers.items() if math.isfinite(value)}  # DS may say "nan"


def _within(lines: tuple[str, ...], most: int) -> list[str]:
    found = []
    for line in lines:
        if most <= 0:
            break
        found.append(line[:most])
        most -= len(line)
    return found
