"""A backup repository: a folder of snapshots that share their objects.

::

    huren-backup.json           whose backups these are
    objects/                    every object once, under its key, as in the object store
    snapshots/20261123T051000.000000Z/
        database.sqlite3 | database.dump
        objects.jsonl           key, size and SHA-256 of every object that the database refers to, one a line
        secrets/                keys of seals, certificates, settings: mode 0600
        manifest.json           written last: a snapshot without it is none
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway.store import FolderStore

FORMAT: Final = 1
NAME: Final = "huren-backup.json"
MANIFEST: Final = "manifest.json"
OBJECTS: Final = "objects.jsonl"
SECRETS: Final = "secrets"
SQLITE: Final = "database.sqlite3"
POSTGRES: Final = "database.dump"
PIECE: Final = 1 << 20


class CannotKeep(RuntimeError):
    """A backup, restore or export cannot go on; `str()` is a sentence for the operator."""


@dataclass(frozen=True)
class Kept:
    """One object of a snapshot: its key, size in bytes, and SHA-256 as it was copied."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a snapshot says of itself. Times are ISO 8601 in UTC; `taken_at` is before the first byte was read."""

    taken_at: str
    finished_at: str
    version: str  # of Huren
    revision: str  # of the database
    database: str  # file name
    store: str  # the object store's id
    objects: int
    bytes: int
    rows: dict[str, int]  # by table
    files: dict[str, str]  # SHA-256 by path within the snapshot: database, list of objects, secrets
    missing: list[str] = field(default_factory=list)  # keys that were gone from the store already
    damaged: list[str] = field(default_factory=list)  # keys whose bytes are not what their row says
    left_out: list[str] = field(default_factory=list)  # prepared metadata that was being made anew: it is made again
    archived: int = 0  # objects whose bytes lie in an archive alone, which has its own backup
    last_audit_digest: str = ""
    format: int = FORMAT

    @property
    def taken(self) -> datetime:
        """`taken_at` as a time."""
        return datetime.fromisoformat(self.taken_at)


class Snapshot:
    """A snapshot's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """When it was taken, as the folder's name says it."""
        return self.folder.name

    @property
    def is_whole(self) -> bool:
        """Whether its manifest was written, which is the last thing that is."""
        return (self.folder / MANIFEST).is_file()

    def manifest(self) -> Manifest:
        """What it says of itself.

        Raises
        ------
        CannotKeep
            when there is no manifest, or one of another format.
        """
        if not self.is_whole:
            raise CannotKeep(
                f"The snapshot {self.name} has no manifest: the backup was cut off before its end. Take another one."
            )
        try:
            said: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text("utf-8"))
            if said.get("format") != FORMAT:
                raise CannotKeep(f"The snapshot {self.name} was made by another version of Huren (format).")
            return Manifest(**said)
        except (OSError, TypeError, ValueError) as error:
            raise CannotKeep(f"The manifest of the snapshot {self.name} cannot be read: {error}") from error

    def check_files(self, manifest: Manifest) -> list[str]:
        """Files of the snapshot itself that are not what the manifest says, by path."""
        return [
            name
            for name, sha256 in manifest.files.items()
            if not (self.folder / name).is_file() or digest_of(self.folder / name) != sha256
        ]

    def objects(self) -> Iterator[Kept]:
        """Every object, in the order of keys."""
        with (self.folder / OBJECTS).open(encoding="ascii") as file:
            for line in file:
                yield Kept(**json.loads(line))

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from here on the snapshot counts."""
        flush_tree(self.folder)
        write_durably(self.folder / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True).encode())


class Repository:
    """The folder of all snapshots of one installation, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = FolderStore(folder / "objects")

    @property
    def _snapshots(self) -> Path:
        return self.folder / "snapshots"

    def snapshots(self) -> list[Snapshot]:
        """All that are whole, oldest first."""
        return [snapshot for snapshot in self._all() if snapshot.is_whole]

    def unfinished(self) -> list[Snapshot]:
        """Those that were cut off."""
        return [snapshot for snapshot in self._all() if not snapshot.is_whole]

    def snapshot(self, name: str = "") -> Snapshot:
        """The one with this name, or the newest. Raises CannotKeep."""
        whole = self.snapshots()
        if not name:
            if not whole:
                torn = self.unfinished()
                said = f" {torn[-1].name} has no manifest: that backup was cut off before its end." if torn else ""
                raise CannotKeep(f"There is no whole snapshot in {self.folder}.{said}")
            return whole[-1]
        found = Snapshot(self._snapshots / name)
        if found.name != name or not found.folder.is_dir():
            raise CannotKeep(f"There is no snapshot {name}; there are {', '.join(s.name for s in whole) or 'none'}.")
        return found

    def begin(self, taken_at: datetime) -> Snapshot:
        """A folder for a new snapshot. Those that were cut off are removed: nobody else is at work here."""
        for torn in self.unfinished():
            shutil.rmtree(torn.folder)
        folder = self._snapshots / f"{taken_at:%Y%m%dT%H%M%S.%fZ}"
        folder.mkdir(mode=0o700)
        (folder / SECRETS).mkdir(mode=0o700)
        return Snapshot(folder)

    def remove(self, snapshot: Snapshot) -> None:
        """Remove a snapshot, its manifest first; its objects stay until `huren.keeping.backup.prune` looks."""
        (snapshot.folder / MANIFEST).unlink(missing_ok=True)
        flush_folder(snapshot.folder)
        shutil.rmtree(snapshot.folder)

    def _all(self) -> list[Snapshot]:
        if not self._snapshots.is_dir():
            return []
        return [Snapshot(folder) for folder in sorted(self._snapshots.iterdir()) if folder.is_dir()]


@contextlib.contextmanager
def opened(folder: Path, *, installation: str = "") -> Iterator[Repository]:
    """The repository in `folder`, for this process alone. With `installation` (the object store's id) it is made where
    the folder is empty, and must be of the same one.

    Raises
    ------
    CannotKeep
    """
    mark = folder / NAME
    try:
        if installation and not mark.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if any(path.name != "lost+found" for path in folder.iterdir()):
                raise CannotKeep(f"The folder {folder} is not empty, and is no backup of Huren. Name another folder.")
            write_durably(mark, json.dumps({"format": FORMAT, "installation": installation}).encode())
        if not mark.exists():
            raise CannotKeep(f"The folder {folder} is no backup of Huren: there is no {NAME} in it.")
        said = json.loads(mark.read_text("utf-8"))
        if installation and said["installation"] != installation:
            raise CannotKeep(f"The folder {folder} holds backups of another installation. Name another folder.")
        with mark.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CannotKeep(f"Another backup or restore is at work in {folder}.") from error
            (folder / "snapshots").mkdir(exist_ok=True, mode=0o700)
            yield Repository(folder)
    except (OSError, ValueError, KeyError) as error:
        raise CannotKeep(f"The backup in {folder} cannot be used: {error}") from error


def pieces(path: Path) -> Iterator[bytes]:
    """A file in pieces of a mebibyte."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    for piece in pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file of mode 0600 under another name, flush it, and name it: it is there whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a path would lose the mode
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    flush_folder(path.parent)


def copy_durably(source: Path, target: Path) -> None:
    """A copy of mode 0600 that survives a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - as above
        for piece in pieces(source):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def flush_tree(folder: Path) -> None:
    """Flush every file and folder in it, and its own name."""
    for path in sorted(folder.rglob("*")):
        flush_folder(path)
    flush_folder(folder)
    flush_folder(folder.parent)


def flush_folder(path: Path) -> None:
    """Flush a folder or file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
