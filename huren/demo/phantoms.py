"""Pictures made of ellipses: a head as CT sees it and a chest as X-rays show it. Nobody's anatomy."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.floating[Any]]
Centre = tuple[float, float, float]

HEAD_SIDE: Final = 512  # pixels
HEAD_PIXEL: Final = 0.46875  # mm: a field of 240 mm
HEAD_HEIGHT: Final = 150.0  # mm, from the first slice to the last
HEAD_BOTTOM: Final = -55.0  # mm: z of the first slice, below the middle of the brain

CHEST_SIDE: Final = 2048  # pixels
CHEST_PIXEL: Final = 0.2  # mm, at the detector

# Ellipsoids of the head in patient coordinates (mm; x to the patient's left, y to the back, z to the crown):
# centre, half axes, Hounsfield units. Later ones lie inside earlier ones.
_HEAD: Final[tuple[tuple[Centre, Centre, float], ...]] = (
    ((0, 0, 0), (78, 97, 112), 45),  # scalp
    ((0, 0, 0), (74, 93, 107), 1100),  # outer table of the skull
    ((0, 0, 0), (71, 90, 104), 420),  # diploe
    ((0, 0, 0), (68, 87, 101), 950),  # inner table
    ((0, 0, 0), (66, 85, 99), 6),  # fluid over the brain
    ((0, 0, 0), (64, 83, 97), 38),  # grey matter
    ((0, 2, 4), (53, 70, 80), 29),  # white matter
    ((23, -12, 2), (10, 18, 13), 37),  # basal ganglia
    ((-23, -12, 2), (10, 18, 13), 37),
    ((8, -26, 14), (5, 15, 10), 4),  # anterior horns
    ((-8, -26, 14), (5, 15, 10), 4),
    ((13, 22, 16), (6, 20, 9), 4),  # posterior horns
    ((-13, 22, 16), (6, 20, 9), 4),
    ((0, -6, 4), (2, 11, 8), 5),  # third ventricle
    ((0, 48, -32), (42, 28, 20), 36),  # cerebellum
    ((0, 30, -30), (3, 7, 6), 5),  # fourth ventricle
)
_BLEED: Final[tuple[tuple[Centre, Centre, float], ...]] = (
    ((32, 2, 18), (21, 27, 22), 21),  # oedema
    ((32, 0, 18), (14, 19, 16), 68),  # fresh blood
)


def head_slices(count: int, *, bleed: bool, seed: int) -> Iterator[tuple[float, Picture]]:
    """Axial slices from below upwards: z in mm, and Hounsfield units of shape (512, 512), row 0 at the forehead."""
    random = np.random.default_rng(seed)
    axis = (np.arange(HEAD_SIDE, dtype=np.float32) - (HEAD_SIDE - 1) / 2) * np.float32(HEAD_PIXEL)
    y, x = axis[:, None], axis[None, :]
    noise = random.normal(0, 4.5, (HEAD_SIDE + 64, HEAD_SIDE + 64)).astype(np.float32)
    bodies = _HEAD + (_BLEED if bleed else ())
    for number in range(count):
        z = HEAD_BOTTOM + number * HEAD_HEIGHT / count
        picture = np.full((HEAD_SIDE, HEAD_SIDE), -1000, dtype=np.float32)
        for centre, half, units in bodies:
            height = 1 - ((z - centre[2]) / half[2]) ** 2
            if height > 0:
                picture[((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 < height] = units
        if z > 8:  # the falx
            picture[(abs(x) < 0.8) & (abs(y) < 80) & (picture > 0) & (picture < 60)] = 58
        picture[(abs(y - 108) < 2) & (abs(x) < 110)] = 60  # the table
        down, right = random.integers(0, 64, 2)
        yield z, picture + noise[down : down + HEAD_SIDE, right : right + HEAD_SIDE]


def chest(view: str, *, seed: int, side: int = CHEST_SIDE) -> Picture:
    """A chest from the front ("PA") or from the left side ("LL"): shape (side, side), 0 (air) to 1 (densest)."""
    density = _chest(view, side)
    random = np.random.default_rng(seed)
    return np.clip(density + 0.012 * random.standard_normal(density.shape, dtype=np.float32), 0, 1)


@functools.cache
def _chest(view: str, side: int) -> Picture:
    """The same without noise."""
    line = np.linspace(-1, 1, side, dtype=np.float32)
    y, x = line[:, None], line[None, :]
    return (_chest_from_the_front(x, y) if view == "PA" else _chest_from_the_side(x, y)).astype(np.float32)


def _soft(
    x: Picture, y: Picture, centre: tuple[float, float | Picture], half: tuple[float, float], edge: float
) -> Picture:
    """1 inside an ellipse, 0 outside, with a soft edge."""
    radius = np.sqrt(((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2)
    soft: Picture = 1 / (1 + np.exp(np.clip((radius - 1) / edge, -30, 30)))
    return soft


def _chest_from_the_front(x: Picture, y: Picture) -> Picture:
    density = 0.50 * _soft(x, y, (0, 0.25), (0.88, 1.25), 0.02)  # trunk
    for side in (-1, 1):
        lung = _soft(x, y, (side * 0.42, 0.0), (0.33, 0.66), 0.025)
        density -= 0.36 * lung * (y < 0.52 + 0.12 * np.cos((x - side * 0.42) * 4))
        density += 0.10 * _soft(x, y, (side * 0.13, -0.02), (0.10, 0.16), 0.3)  # hilum
        density += 0.16 * _soft(x, y, (side * 0.42, -0.66 - side * x * 0.12), (0.42, 0.025), 0.2)  # collar bone
        for rib in range(9):
            height = -0.60 + rib * 0.145
            bow = height + 0.30 * (abs(x) - 0.15) ** 2 + 0.16 * abs(x)
            density += 0.075 * np.exp(-(((y - bow) / 0.018) ** 2)) * (side * x > 0.06) * (abs(x) < 0.78)
    density += 0.24 * _soft(x, y, (0.14, 0.28), (0.29, 0.27), 0.06)  # heart, on the right of the picture
    density += 0.14 * _soft(x, y, (0.10, -0.28), (0.09, 0.10), 0.15)  # aortic arch
    return density + _spine(x, y, 0.0, 0.085)


def _chest_from_the_side(x: Picture, y: Picture) -> Picture:
    density = 0.56 * _soft(x, y, (0, 0.25), (0.68, 1.25), 0.02)
    lung = _soft(x, y, (0.02, -0.02), (0.50, 0.68), 0.03)
    density -= 0.34 * lung * (y < 0.46 + 0.10 * np.cos(x * 4))
    density += 0.22 * _soft(x, y, (-0.22, 0.26), (0.25, 0.28), 0.08)  # heart, behind the breastbone
    density += 0.12 * np.exp(-(((x + 0.50 - 0.10 * y) / 0.02) ** 2)) * (abs(y) < 0.55)  # breastbone
    for rib in range(9):
        bow = -0.60 + rib * 0.145 + 0.35 * (x - 0.4) ** 2
        density += 0.05 * np.exp(-(((y - bow) / 0.02) ** 2)) * (abs(x) < 0.55)
    return density + _spine(x, y, 0.42, 0.10)


def _spine(x: Picture, y: Picture, at: float, half: float) -> Picture:
    spine: Picture = 0.16 * np.exp(-(((x - at) / half) ** 4)) * (1 + 0.25 * np.sign(np.sin(y * 38)))
    return spine
