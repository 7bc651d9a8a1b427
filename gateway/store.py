"""The object store: the truth for bytes. What `put` has returned survives a power cut.

A key is ours alone: nothing of it comes from the wire, so no caller can name a file. `FolderStore` keeps each
object as one file that is written under another name, flushed, renamed into place and flushed again with its
folder; no reader ever sees half an object, and a crash leaves all of it or a leftover that `sweep` removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from worklist.errors import Broken, TryLater
from worklist.facts import StoredBytes

KEY: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{32}\.[a-z0-9]{1,8}")
INCOMING: Final = "incoming"  # the folder of half-written files
MARKER: Final = "store-id"
FOLDER_TURN: Final = 256  # objects until another folder is chosen

# The disk is full for now; whatever else goes wrong needs a person.
PASSING: Final = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class ObjectStore(Protocol):
    """Keeps bytes under keys of its own making."""

    def put(
        self, body: Iterable[bytes], head: bytes = b"", *, kind: str = "dcm", into_reserve: bool = False
    ) -> StoredBytes:
        """Keep `head` and `body` as one object; return only when a power cut cannot take it back."""

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading."""

    def read(self, key: str) -> bytes:
        """The whole object."""

    def exists(self, key: str) -> bool:
        """Whether an object is held under `key`."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def keys(self) -> Iterator[str]:
        """All keys held, in no order."""

    def marker(self) -> str:
        """The id of this store, made once."""

    def free_bytes(self) -> int:
        """Bytes that may still be written."""


def mapped(store: ObjectStore, key: str) -> memoryview:
    """An object as a view of its file's pages; the file is closed with the last view of it.

    Raises
    ------
    Broken
        ``object_missing``.
    """
    with store.open(key) as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class FolderStore:
    """An object store in a POSIX folder, which several threads and processes may share."""

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        """Open the store in `root`, making it where it does not exist yet.

        Parameters
        ----------
        root
            The folder. Objects and half-written files must lie on one file system, so it may hold no mounts.
        reserve_bytes
            Free space in bytes below which `put` refuses, except for what may go `into_reserve` (reports).

        Raises
        ------
        TryLater, Broken
            if the folder cannot be made or written.
        """
        self.root = root
        self.reserve_bytes = reserve_bytes
        self._opened_at = time.time()
        self._durable: set[Path] = set()  # folders whose own entry is known to be on the disk
        self._lock = threading.Lock()
        self._folder, self._left = "", 0
        try:
            (root / INCOMING).mkdir(parents=True, exist_ok=True, mode=0o700)
            if not (root / MARKER).exists():
                self._make_marker()
        except OSError as error:
            raise _trouble(error) from error

    def put(
        self, body: Iterable[bytes], head: bytes = b"", *, kind: str = "dcm", into_reserve: bool = False
    ) -> StoredBytes:
        """Keep `head` followed by `body` as one object: write, fsync, rename, fsync of the folder.

        Parameters
        ----------
        body
            The pieces of the object, hashed apart (`StoredBytes.dataset_sha256`) and with `head` (`sha256`).
        head
            Bytes in front of the body that were made here, such as a Part 10 header (DICOM PS3.10 section 7).
        kind
            The ending of the file's name, lower-case letters and digits.
        into_reserve
            Whether the free space that is kept for signing may be used.

        Raises
        ------
        TryLater
            ``out_of_space`` when too little space is left, ``store_busy`` when memory or descriptors lack.
        Broken
            ``store_failed`` on any other error of the disk. Nothing is kept in either case.
        """
        if not into_reserve and self.free_bytes() < self.reserve_bytes:
            raise TryLater("out_of_space")
        key = self._new_key(kind)
        target = self.path(key)
        whole, inner, size = hashlib.sha256(head), hashlib.sha256(), len(head)
        temporary = self.root / INCOMING / f"{os.getpid()}-{secrets.token_hex(8)}"
        made = temporary
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells the sweep of another process: in use
                _write(descriptor, head)
                for piece in body:
                    whole.update(piece)
                    inner.update(piece)
                    size += len(piece)
                    _write(descriptor, piece)
                os.fsync(descriptor)
                self._make_durable(target.parent)
                temporary.rename(target)
                made = target
                _fsync_folder(target.parent)
            finally:
                os.close(descriptor)
        except BaseException as error:
            with contextlib.suppress(OSError):
                made.unlink()
            if isinstance(error, OSError):
                raise _trouble(error) from error
            raise
        return StoredBytes(key, size, whole.hexdigest(), inner.hexdigest())

    def path(self, key: str) -> Path:
        """The file of `key`. Raises Broken (``bad_store_key``) for anything that this store did not make."""
        if not KEY.fullmatch(key):
            raise Broken("bad_store_key")
        return self.root / key

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading. Raises Broken (``object_missing``) when it is not there."""
        try:
            return self.path(key).open("rb")
        except FileNotFoundError as error:
            raise Broken("object_missing", key=key) from error
        except OSError as error:
            raise _trouble(error) from error

    def read(self, key: str) -> bytes:
        """The whole object. Raises Broken (``object_missing``) when it is not there."""
        with self.open(key) as file:
            return file.read()

    def exists(self, key: str) -> bool:
        """Whether an object is held under `key`."""
        return self.path(key).is_file()

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. A power cut may bring it back as an orphan."""
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise _trouble(error) from error

    def keys(self) -> Iterator[str]:
        """All keys held, in no order: what a reconciliation compares with the database."""
        for file in self.root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"):
            key = file.relative_to(self.root).as_posix()
            if KEY.fullmatch(key):
                yield key

    def sweep(self) -> int:
        """Remove files that a process which is gone left half-written; returns how many."""
        removed = 0
        for file in (self.root / INCOMING).iterdir():
            try:
                if file.stat().st_mtime < self._opened_at and _is_abandoned(file):
                    file.unlink()
                    removed += 1
            except FileNotFoundError:
                pass  # finished, or swept by another process
        return removed

    def marker(self) -> str:
        """The id of this store. Raises Broken (``store_missing``) when another folder lies in its place."""
        try:
            return (self.root / MARKER).read_text(encoding="ascii").strip()
        except OSError as error:
            raise Broken("store_missing") from error

    def free_bytes(self) -> int:
        """Bytes that may still be written. Raises Broken (``store_failed``) when the folder is away."""
        try:
            found = os.statvfs(self.root)
        except OSError as error:
            raise _trouble(error) from error
        return found.f_bavail * found.f_frsize

    def _new_key(self, kind: str) -> str:
        """A new key. Neighbours in time share a folder, since a new one costs a flush of its own."""
        with self._lock:
            if self._left == 0:
                self._folder, self._left = f"{secrets.token_hex(1)}/{secrets.token_hex(1)}", FOLDER_TURN
            self._left -= 1
            return f"{self._folder}/{secrets.token_hex(16)}.{kind}"

    def _make_durable(self, folder: Path) -> None:
        """Make a folder whose entry survives. One that exists may be another's that is not flushed yet."""
        if folder == self.root or folder in self._durable:
            return
        self._make_durable(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        _fsync_folder(folder.parent)
        self._durable.add(folder)

    def _make_marker(self) -> None:
        temporary = self.root / INCOMING / f"{os.getpid()}-{secrets.token_hex(8)}"
        with temporary.open("x", encoding="ascii") as file:
            file.write(secrets.token_hex(16) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link fails where another process was faster: the first marker stays.
        with contextlib.suppress(FileExistsError):
            (self.root / MARKER).hardlink_to(temporary)
        temporary.unlink()
        _fsync_folder(self.root)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_abandoned(file: Path) -> bool:
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _trouble(error: OSError) -> TryLater | Broken:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TryLater("out_of_space")
    if error.errno in PASSING:
        return TryLater("store_busy")
    return Broken("store_failed", errno=errno.errorcode.get(error.errno or 0, "unknown"))
