"""A file system of a few megabytes, which can really be full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.process import PeerFailed

FILLER = "filler"
CHUNK = 4096


class SmallDisk:
    """A folder on a disk of its own, and a file that takes its room away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def free_bytes(self) -> int:
        """What is left."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all room but about `leave` bytes."""
        with (self.folder / FILLER).open("ab", buffering=0) as file:
            try:
                while self.free_bytes() > leave:
                    file.write(bytes(CHUNK))
            except OSError:
                pass  # to the last page

    def empty(self) -> None:
        """Give the room back."""
        (self.folder / FILLER).unlink()


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount an empty one at `folder`, which is made, for the length of the block. Only root may.

    Raises
    ------
    PeerFailed
        where mounting is refused.
    """
    folder.mkdir(parents=True)
    options = f"size={mebibytes}m,mode=0700"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise PeerFailed(f"a small file system could not be mounted: {made.stderr}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
