"""A seal that tests find ready: making an RSA key for each of their counties would take minutes."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from reading_room.documents.seal import Seals
from tests.world import World


def prepare(folder: Path, world: World) -> None:
    """Put the process's one trial seal where the county's centers look for theirs."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for code in ("CH01", "CITY"):
        path = folder / f"{world.institutions[code]}.trial.pem"
        if not path.exists():
            path.write_bytes(_made())
            path.chmod(0o600)


@functools.cache
def _made() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Seals(Path(folder)).of("any", "县人民医院")
        return (Path(folder) / "any.trial.pem").read_bytes()
