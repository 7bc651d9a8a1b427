"""Files that are made, named and flushed beforehand, a batch at a time.

An object that is written into one needs a single flush and no rename: half of what a sender waits for. A blank is
empty, and no row names it before its object is whole and flushed, so that a crash leaves an empty file or one without
a row. An empty one is no object to anybody. A note says in which folders there may be some, for `sweep_blanks`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

DICOM: Final = "dcm"  # the kind of DICOM objects, which all have a header
FOLDER: Final = "blanks"  # of the notes
FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Blank(NamedTuple):
    """An open, locked, empty file under its last name."""

    key: str
    path: str
    descriptor: int


class Blanks:
    """The blanks of one process. Safe to use from many threads."""

    def __init__(
        self,
        root: Path,
        batch: int,
        new_key: Callable[[], str],
        prepare: Callable[[str], None],
        flush: Callable[[str], None],
    ) -> None:
        """Nothing is made yet.

        Parameters
        ----------
        root
            Of the store.
        batch
            How many are made at once; so many descriptors are open.
        new_key
            Makes a key.
        prepare, flush
            See that the folder of that path is there and durable; bring what it names to the disk.
        """
        self._root, self._batch = str(root), batch
        self._new_key, self._prepare, self._flush = new_key, prepare, flush
        self._ready: list[Blank] = []
        self._folders: list[str] = []  # the last two that got any
        self._note = -1
        self._note_path = f"{self._root}/{FOLDER}/{os.getpid()}-{secrets.token_hex(8)}"
        self._lock = threading.Lock()

    def take(self) -> Blank | None:
        """One that is the caller's from now on; None where none can be made, which the disk will tell again."""
        with self._lock:
            if not self._ready:
                with contextlib.suppress(OSError):
                    self._make()
            return self._ready.pop() if self._ready else None

    def close(self) -> None:
        """Remove those that nobody took."""
        with self._lock:
            self._drop(self._ready)
            self._ready = []
            if self._note >= 0:
                os.close(self._note)
                self._note = -1
                with contextlib.suppress(OSError):
                    Path(self._note_path).unlink()

    def _make(self) -> None:
        keys = [self._new_key() for _ in range(self._batch)]
        folders = list(dict.fromkeys(key.rpartition("/")[0] for key in keys))
        self._write_note(folders)
        made: list[Blank] = []
        try:
            for folder in folders:
                self._prepare(f"{self._root}/{folder}")
            for key in keys:
                path = f"{self._root}/{key}"
                made.append(Blank(key, path, os.open(path, FLAGS, 0o600)))
                fcntl.flock(made[-1].descriptor, fcntl.LOCK_EX)  # tells the sweep of another process: in use
            for folder in folders:
                self._flush(f"{self._root}/{folder}")
        except BaseException:
            self._drop(made)
            raise
        self._ready = made

    def _write_note(self, folders: list[str]) -> None:
        """Say where blanks are. The batch before may still be written to."""
        if self._note < 0:
            Path(self._note_path).parent.mkdir(exist_ok=True, mode=0o700)
            self._note = os.open(self._note_path, FLAGS, 0o600)
            fcntl.flock(self._note, fcntl.LOCK_EX)
        known = list(dict.fromkeys([*self._folders, *folders]))[-max(2, len(folders)) :]
        if known != self._folders:
            os.pwrite(self._note, "".join(f"{folder}\n" for folder in known).encode("ascii"), 0)
            self._folders = known

    @staticmethod
    def _drop(blanks: list[Blank]) -> None:
        for blank in blanks:
            with contextlib.suppress(OSError):
                Path(blank.path).unlink()
            os.close(blank.descriptor)


def is_blank(file: Path) -> bool:
    """Whether a file of the store holds no object. Those of another kind may be empty and are one. Raises OSError."""
    return file.suffix == f".{DICOM}" and file.stat().st_size == 0


def sweep_blanks(root: Path, is_abandoned: Callable[[Path], bool]) -> None:
    """Remove the blanks of processes that are gone. `is_abandoned` says whether nobody has a file locked."""
    if not (root / FOLDER).is_dir():
        return
    for note in (root / FOLDER).iterdir():
        with contextlib.suppress(FileNotFoundError):  # swept by another process
            if is_abandoned(note):
                for folder in note.read_text("ascii").split():
                    _sweep_folder(root / folder, is_abandoned)
                note.unlink()


def _sweep_folder(folder: Path, is_abandoned: Callable[[Path], bool]) -> None:
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if is_blank(file) and is_abandoned(file):
                file.unlink()
