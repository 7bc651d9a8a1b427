"""How much of what is still on its way from browsers is kept, and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

KEPT: Final = timedelta(days=7)
"""So long a file waits for its next piece: over a weekend, and for a stick that somebody took home."""
MOST_WAITING: Final = 40 << 30  # bytes of one institution's files that are announced and not taken
MOST_FILES: Final = 500  # of one institution, not taken
