"""Errors as a log may show them."""

from __future__ import annotations

from pathlib import Path

from worklist.errors import HurenError


def describe(error: Exception) -> str:
    """Our code, or kind and place of the error. Never its text, which may quote what a patient's data hold."""
    if isinstance(error, HurenError):
        return error.code
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
    return type(error).__name__ + where
