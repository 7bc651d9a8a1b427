"""A recording as it is printed: 25 mm/s and 10 mm/mV on a millimetre grid, in vectors, every sample a point.

The sheet is SVG whose user unit is the millimetre; printed at its own width it is true to scale. Words are no part
of the drawing: they are told beside it with their places, for whoever lays out the page.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from interfaces.ecg.quality import twelve
from interfaces.ecg.recording import Lead, Recording, Strip

SPEED: Final = 25.0  # mm a second
GAIN: Final = 10.0  # mm a millivolt
SECONDS: Final = 10.0  # on one sheet
COLUMNS: Final = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
RHYTHM: Final = ("II", "V1", "I")  # the first that there is runs along the foot
LEFT: Final = 13.0  # mm before the traces: the calibration pulse stands there
ROW: Final = 24.0  # mm
MOST_ROWS: Final = 5  # that leave room for the words on one sheet
PULSE: Final = ((2.0, 0.0), (4.0, 0.0), (4.0, -GAIN), (9.0, -GAIN), (9.0, 0.0), (11.0, 0.0))  # 1 mV for 0.2 s
WIDTH: Final = LEFT + SPEED * SECONDS + 2.0
_THIN: Final = "#f6cfcf"
_THICK: Final = "#e7a3a3"
_INK: Final = "#111111"


@dataclass(frozen=True)
class Sheet:
    """`svg` is `width` by `height` mm; `labels` are (x, y, lead), the lower left corner of the name in mm."""

    svg: str
    width: float
    height: float
    labels: tuple[tuple[float, float, str], ...]
    left_out: tuple[str, ...] = ()  # leads for which there was no room
    recorded_at: str = ""  # ISO 8601 in the device's time, "" where it says none

    def packed(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpacked(cls, data: bytes) -> Sheet:
        """What `packed` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        said = json.loads(data)
        return cls(
            str(said["svg"]),
            float(said["width"]),
            float(said["height"]),
            tuple((float(x), float(y), str(name)) for x, y, name in said["labels"]),
            tuple(str(name) for name in said["left_out"]),
            str(said["recorded_at"]),
        )


def draw(recording: Recording) -> Sheet:
    """The first ten seconds: 3 × 4 leads of 2.5 s, and a rhythm strip. Of a recording that has not all twelve, those
    that it has, below each other and 10 s each."""
    strip = twelve(recording.rhythm)
    is_standard = all(strip.lead(name) for column in COLUMNS for name in column)
    lines = _standard(strip) if is_standard else _plain(recording.rhythm)
    rows = 1 + max((row for row, *_rest in lines), default=0)
    height = rows * ROW + 2.0
    drawn = {lead.name for *_place, lead in lines}
    paths, labels = [], []
    for row, begin, end, lead in lines:
        base = 1.0 + row * ROW + ROW * 0.6
        paths.append(_trace(lead, strip.rate, begin, end, base))
        x = LEFT + begin * SPEED
        labels.append((round(x + 1, 2), round(1.0 + row * ROW + 3.4, 2), lead.name))
        if begin > 0:
            paths.append(f"M{x:.2f} {base - 2:.2f}V{base + 2:.2f}")
    pulses = "".join(_pulse(1.0 + row * ROW + ROW * 0.6) for row in range(rows))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {WIDTH:g} {height:g}">'
        f'<path d="{_grid(height, 1)}" stroke="{_THIN}" stroke-width="0.08" fill="none"/>'
        f'<path d="{_grid(height, 5)}" stroke="{_THICK}" stroke-width="0.16" fill="none"/>'
        f'<path d="{"".join(paths)}{pulses}" stroke="{_INK}" stroke-width="0.28" fill="none" '
        f'stroke-linejoin="round" stroke-linecap="round"/></svg>'
    )
    left_out = tuple(name for name in strip.names if name not in drawn)
    made = recording.recorded_at.isoformat(timespec="seconds") if recording.recorded_at else ""
    return Sheet(svg, WIDTH, height, tuple(labels), left_out, made)


def _standard(strip: Strip) -> list[tuple[int, float, float, Lead]]:
    """Row, seconds from and to, and lead."""
    part = SECONDS / len(COLUMNS)
    lines = [
        (row, at * part, (at + 1) * part, lead)
        for at, column in enumerate(COLUMNS)
        for row, name in enumerate(column)
        if (lead := strip.lead(name)) is not None
    ]
    rhythm = next(lead for name in RHYTHM if (lead := strip.lead(name)) is not None)
    return [*lines, (len(COLUMNS[0]), 0.0, SECONDS, rhythm)]


def _plain(strip: Strip) -> list[tuple[int, float, float, Lead]]:
    return [(row, 0.0, SECONDS, lead) for row, lead in enumerate(strip.leads[:MOST_ROWS])]


def _trace(lead: Lead, rate: float, begin: float, end: float, base: float) -> str:
    first, last = round(begin * rate), min(round(end * rate), len(lead.samples))
    whole = lead.microvolts()[: round(SECONDS * rate)]
    known = whole[np.isfinite(whole)]
    # Around its median, as on the screen: an offset of the amplifier means nothing, and would leave the paper.
    values: NDArray[np.float64] = whole[first:last] - (np.median(known) if len(known) else 0.0)
    path, pen = [], "M"
    for number, value in enumerate(values):
        if not np.isfinite(value):
            pen = "M"
            continue
        x = LEFT + (first + number) / rate * SPEED
        path.append(f"{pen}{x:.3f} {base - value / 1000 * GAIN:.3f}")
        pen = "L"
    return "".join(path)


def _pulse(base: float) -> str:
    return "M" + "L".join(f"{x:.2f} {base + y:.2f}" for x, y in PULSE)


def _grid(height: float, every: int) -> str:
    across = "".join(f"M{x} 0V{height:g}" for x in range(0, int(WIDTH) + 1, every))
    return across + "".join(f"M0 {y}H{WIDTH:g}" for y in range(0, int(height) + 1, every))
