"""The token of a regional platform: kept sealed, and opened where something is published."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reading_room import sealing

LONGEST_TOKEN: Final = 4096
_PURPOSE: Final = "regional platform"


def seal_token(seals: Path, token: str) -> str:
    """A bearer token as only this installation can read it; `seals` is the folder of its key. None stays none."""
    return sealing.seal(seals, _PURPOSE, token) if token else ""


def open_token(seals: Path, sealed: str) -> str:
    """What `seal_token` sealed. Raises `Broken` (``sealed_elsewhere``)."""
    return sealing.unseal(seals, _PURPOSE, sealed)
