"""Can these images have been made for that order? By the order's state, its discipline and the kind of equipment.

Whose they are is another question: see `worklist.rules.matching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

WITHOUT_MODALITY: Final = ("laboratory", "pathology")
"""Disciplines whose work is done on specimens: their orders are on no modality's worklist and get no images."""
CLOSED: Final = ("cancelled", "recognised", "rereading")
SAYS_NOTHING: Final = frozenset({"", "DOC", "KO", "OT", "PR", "REG", "SC", "SEG", "SR"})
"""Modalities (DICOM PS3.3 C.7.3.1.1.1) of objects that any examination may have."""
USUAL_EQUIVALENTS: Final = (("CR", "DX", "DR"),)
"""Where no device says which of its modalities stand for each other."""


def fitting(made: Iterable[str], equivalents: Sequence[Sequence[str]] = USUAL_EQUIVALENTS) -> frozenset[str]:
    """Modalities that an order may ask for to be served by images of the modalities `made`; empty: any."""
    telling = frozenset(made) - SAYS_NOTHING
    return telling.union(*(group for group in equivalents if telling.intersection(group)))


def unfit(state: str, discipline: str, wanted: str, fits: frozenset[str]) -> tuple[str, dict[str, str]]:
    """Why no such images can serve an order: (code, params), or ``("", {})``.

    `state`, `discipline` and `wanted` (a modality, or empty) are the order's and its procedure's; `fits` as of
    `fitting`.
    """
    if state in CLOSED:
        return f"order_{state}", {}
    if state == "placed":
        return "order_not_accepted", {}
    if discipline in WITHOUT_MODALITY:
        return "order_without_images", {}
    if fits and wanted and wanted not in fits:
        return "order_of_other_modality", {"modality": wanted}
    return "", {}
