"""The object store: the truth for bytes. What `put` has returned survives a power cut.

A key is ours alone: nothing of it comes from the wire, so no caller can name a file. `FolderStore` keeps each
object as one file. It is written under another name, renamed into place and flushed with its folder, or (where many
are expected) written into a file that was made, named and flushed beforehand, and flushed once (`gateway.blanks`).
Readers know keys from rows, which come after that: none ever sees half an object. A crash leaves a half-written or
empty file that `sweep` removes, or one that no row refers to.
"""

from __future__ import annotations

import contextlib
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

from gateway.blanks import DICOM, FLAGS, Blanks, is_blank, sweep_blanks
from gateway.incoming import Incoming, Room, trouble
from gateway.partial_files import PartialFiles
from worklist.errors import Broken, TryLater
from worklist.facts import StoredBytes

KEY: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{32}\.[a-z0-9]{1,8}")
KIND: Final = re.compile(r"[a-z0-9]{1,8}")
INCOMING: Final = "incoming"  # the folder of half-written files
PARTIAL: Final = "partial"  # the folder of files that browsers send in pieces, for as long as days
MARKER: Final = "store-id"
FOLDER_TURN: Final = 256  # objects until another folder is chosen


class ObjectStore(Protocol):
    """Keeps bytes under keys of its own making."""

    def put(
        self, body: Iterable[bytes], head: bytes = b"", *, kind: str = "dcm", into_reserve: bool = False
    ) -> StoredBytes:
        """Keep `head` and `body` as one object; return only when a power cut cannot take it back."""

    def begin(self, head: bytes = b"", *, kind: str = "dcm", into_reserve: bool = False) -> Incoming:
        """An object that is written piece by piece, while it still arrives."""

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

    @property
    def partial_files(self) -> PartialFiles:
        """Files that are still on their way from browsers."""


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

    def __init__(self, root: Path, *, reserve_bytes: int = 0, spool_bytes: int = 0, blanks: int = 0) -> None:
        """Open the store in `root`, making it where it does not exist yet.

        Parameters
        ----------
        root
            The folder. Objects and half-written files must lie on one file system, so it may hold no mounts.
        reserve_bytes
            Free space in bytes below which `put` and `begin` refuse, except for what may go `into_reserve` (reports).
        spool_bytes
            Bytes that files of half-written objects may have together in this process, 0 for any number.
        blanks
            How many files are made at once for DICOM objects that are expected; 0: none, each when it comes.

        Raises
        ------
        TryLater, Broken
            if the folder cannot be made or written.
        """
        self.root = root
        self.reserve_bytes = reserve_bytes
        self.room = Room(spool_bytes, self._ask_for_space)
        self.partial_files = PartialFiles(root / PARTIAL, self._ask_for_space)
        self._reserve = Room(0, lambda: None)
        self._opened_at = time.time()
        self._durable: set[str] = set()  # folders whose own entry is known to be on the disk
        self._flushers: dict[str, _Flusher] = {}
        self._lock = threading.Lock()
        self._root, self._incoming = str(root), str(root / INCOMING)
        self._folder, self._left = "", 0
        self._blanks: Blanks | None = None
        if blanks:
            self._blanks = Blanks(
                root, blanks, lambda: self._new_key(DICOM), self._prepare, lambda folder: self._flusher(folder).flush()
            )
        try:
            (root / INCOMING).mkdir(parents=True, exist_ok=True, mode=0o700)
            if not (root / MARKER).exists():
                self._make_marker()
        except OSError as error:
            raise trouble(error) from error

    def put(
        self, body: Iterable[bytes], head: bytes = b"", *, kind: str = "dcm", into_reserve: bool = False
    ) -> StoredBytes:
        """Keep `head` followed by `body` as one object: write, rename, fsync of file and folder.

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
        with self.begin(head, kind=kind, into_reserve=into_reserve) as incoming:
            for piece in body:
                incoming.write(piece)
            return incoming.finish()

    def begin(self, head: bytes = b"", *, kind: str = "dcm", into_reserve: bool = False) -> Incoming:
        """An object that is written piece by piece, while it still arrives; parameters and errors as `put`.

        Nothing touches the disk before the pieces outgrow the memory they may have, or `Incoming.finish`.
        """
        room = self._reserve if into_reserve else self.room
        room.ask()
        if not KIND.fullmatch(kind):
            raise Broken("bad_store_key")
        return Incoming(_Home(self, kind), head, room)

    def put_back(self, key: str, body: Iterable[bytes]) -> str:
        """Keep bytes under the key that they had before: of a backup, or out of one. Returns their SHA-256.

        Durable as with `put`, except that the folder's own flush is left to `flush_folders`, once for many.

        Raises
        ------
        TryLater, Broken
            as `put`; ``bad_store_key``. Nothing is kept then.
        """
        target = self.path(key)
        digest = hashlib.sha256()
        temporary = self.root / INCOMING / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with self._lock:
                self._make_durable(target.parent)
            with temporary.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # tells the sweep of another process: in use
                for piece in body:
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fchmod(file.fileno(), 0o600)
                os.fsync(file.fileno())
                temporary.rename(target)
        except OSError as error:
            raise trouble(error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return digest.hexdigest()

    def flush_folders(self, keys: Iterable[str]) -> None:
        """Make the names of objects that were put back durable."""
        try:
            for folder in {key.rpartition("/")[0] for key in keys}:
                _fsync_folder(self.root / folder)
        except OSError as error:
            raise trouble(error) from error

    def become(self, marker: str) -> None:
        """Take the id of the store whose objects are put back here: the database knows its store by it."""
        temporary = self.root / INCOMING / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with temporary.open("x", encoding="ascii") as file:
                file.write(marker + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.root / MARKER)
            _fsync_folder(self.root)
        except OSError as error:
            raise trouble(error) from error

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
            raise trouble(error) from error

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
            raise trouble(error) from error

    def keys(self) -> Iterator[str]:
        """All keys held, in no order: what a reconciliation compares with the database. Blanks are none."""
        for file in self.root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"):
            key = file.relative_to(self.root).as_posix()
            if KEY.fullmatch(key) and not is_blank(file):
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
        sweep_blanks(self.root, _is_abandoned)
        return removed

    def close(self) -> None:
        """Remove the files that were made for objects that did not come."""
        if self._blanks is not None:
            self._blanks.close()

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
            raise trouble(error) from error
        return found.f_bavail * found.f_frsize

    def _ask_for_space(self) -> None:
        if self.free_bytes() < self.reserve_bytes:
            raise TryLater("out_of_space")

    def _prepare(self, folder: str) -> None:
        if folder not in self._durable:
            self._make_durable(Path(folder))

    def _flusher(self, folder: str) -> _Flusher:
        with self._lock:
            return self._flushers.setdefault(folder, _Flusher(folder))

    def _new_key(self, kind: str) -> str:
        """A new key. Neighbours in time share a folder, since a new one costs a flush of its own."""
        with self._lock:
            if self._left == 0:
                self._folder, self._left = f"{secrets.token_hex(1)}/{secrets.token_hex(1)}", FOLDER_TURN
                self._flushers.clear()  # whoever still waits for one holds it
            self._left -= 1
            return f"{self._folder}/{secrets.token_hex(16)}.{kind}"

    def _make_durable(self, folder: Path) -> None:
        """Make a folder whose entry survives. One that exists may be another's that is not flushed yet."""
        if folder == self.root or str(folder) in self._durable:
            return
        self._make_durable(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        _fsync_folder(folder.parent)
        self._durable.add(str(folder))

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


class _Home:
    """Of one object: a blank, or a temporary file that gets its name when it is written.

    One that does not come whole at once gets no blank: nobody is to take a half-written file for an object.
    """

    def __init__(self, store: FolderStore, kind: str) -> None:
        self._store, self._kind = store, kind
        self._key = self._path = ""

    def open(self, is_whole: bool) -> int:
        store = self._store
        blank = store._blanks.take() if store._blanks is not None and is_whole and self._kind == DICOM else None
        if blank is not None:
            self._key, self._path = blank.key, blank.path
            return blank.descriptor
        self._path = f"{store._incoming}/{os.getpid()}-{secrets.token_hex(8)}"
        descriptor = os.open(self._path, FLAGS, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells the sweep of another process: in use
        return descriptor

    def settle(self, descriptor: int) -> str:
        """The rename comes before the flush: file systems with a journal then bring file and name to the disk in one
        go, and the folder's fsync finds nothing left to do."""
        if self._key:
            os.fsync(descriptor)
            return self._key
        key = self._store._new_key(self._kind)
        target = f"{self._store._root}/{key}"
        folder = target.rpartition("/")[0]
        self._store._prepare(folder)
        os.rename(self._path, target)  # noqa: PTH104 - a path object for each object costs more than the call
        self._path = target
        os.fsync(descriptor)
        self._store._flusher(folder).flush()
        return key

    def remove(self) -> None:
        os.unlink(self._path)  # noqa: PTH108 - as above


class _Flush:
    """One fsync of a folder, and how it went."""

    __slots__ = ("error", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self.error: OSError | None = None


class _Flusher:
    """The fsync of one folder for several threads: each waits for one that began after its own rename."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._next = _Flush()
        self._turn = threading.Lock()

    def flush(self) -> None:
        """Return when the folder is durable as it is now. Raises OSError, for everyone who waited for the same one."""
        flush = self._next
        with self._turn:
            if not flush.is_done:
                self._next = _Flush()  # for whoever comes from here on
                try:
                    _fsync_folder(self._folder)
                except OSError as error:
                    flush.error = error
                flush.is_done = True
        if flush.error is not None:
            raise OSError(flush.error.errno, "fsync") from flush.error


def _fsync_folder(folder: Path | str) -> None:
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
