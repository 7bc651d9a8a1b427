"""Why a case is returned to its township: one of a few reasons, so that returns can be counted by site and reason."""

from __future__ import annotations

from typing import Final, Literal, get_args

Reason = Literal[
    "positioning",
    "motion",
    "exposure",
    "incomplete",
    "wrong side",
    "wrong patient data",
    "artefact",
    "contrast",
    "other",
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""In the order in which they are offered. ``other`` stands where only words were given."""
