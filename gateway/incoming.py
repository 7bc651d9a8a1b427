"""One object on its way into a folder: held in memory while it is small, then in a file that no reader sees.

No row names it before all of it is flushed. What a dead process leaves behind is a file in the folder of half-written
ones, or an empty one, which the store's `sweep` removes, or a named one without a row.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Protocol, Self

from worklist.errors import Broken, TryLater
from worklist.facts import StoredBytes

IN_MEMORY: Final = 640 * 1024  # bytes; a CT slice of 512 x 512 is 525 KB and needs one write
HASH_HERE: Final = 128 * 1024  # bytes; the hashes of more are worth another thread
ASK_EVERY: Final = 32 * 1024 * 1024  # bytes between two looks at the free space

# The disk is full for now; whatever else goes wrong needs a person.
PASSING: Final = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

_HASHERS: Final = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="hashes")


class Room:
    """How many bytes of half-written files there are, over all objects of a process."""

    def __init__(self, limit: int, ask: Callable[[], None]) -> None:
        """`limit` in bytes, 0: as many as the disk takes; `ask` raises TryLater where too little space is left."""
        self.limit, self.ask = limit, ask
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes of objects that are not finished."""
        return self._used

    def take(self, size: int) -> None:
        """Count `size` bytes more. Raises TryLater (``store_busy``) where they would be too many."""
        with self._lock:
            if self.limit and self._used + size > self.limit:
                raise TryLater("store_busy")
            self._used += size

    def give_back(self, size: int) -> None:
        """So many bytes are an object now, or gone."""
        with self._lock:
            self._used -= size


class Home(Protocol):
    """Where the file of one object is made, and how it becomes durable. Raises OSError."""

    def open(self, is_whole: bool) -> int:
        """Its file, empty and locked against a sweep. `is_whole`: all of it has come, and is written at once."""

    def settle(self, descriptor: int) -> str:
        """All is written: bring file and name to the disk. Returns the object's key."""

    def remove(self) -> None:
        """The object will not be whole."""


class Incoming:
    """An object that is written while it still arrives. For one thread at a time.

    Call `write` for each piece as it comes, then `finish` or `discard`; leaving a ``with`` block discards what is
    not finished. After an error nothing of it is kept, and only `discard` may follow.
    """

    def __init__(self, home: Home, head: bytes, room: Room) -> None:
        """Made by `FolderStore.begin`."""
        self.size = 0
        """Bytes of the data set so far, without the head."""
        self._home, self._head, self._room = home, len(head), room
        self._waiting = bytearray(head)
        self._hashed = len(head)  # bytes of `_waiting` that both hashes have seen
        self._whole, self._inner = hashlib.sha256(head), hashlib.sha256()
        self._descriptor = -1
        self._written = self._asked_at = 0

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next piece; it is copied.

        Raises
        ------
        TryLater
            ``out_of_space`` when too little space is left, ``store_busy`` when memory, descriptors or the share of
            half-written objects are used up.
        Broken
            ``store_failed`` on any other error of the disk.
        """
        self._waiting += piece
        self.size += len(piece)
        if len(self._waiting) > IN_MEMORY:
            self._write_out()

    def view(self) -> memoryview:
        """The data set so far, without the head; a large one is mapped, not read. Let go of it before `write`."""
        if self._descriptor < 0:
            return memoryview(self._waiting)[self._head :]
        self._write_out()
        with _told():
            return memoryview(mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ))[self._head :]

    def dataset_digest(self) -> bytes:
        """SHA-256 of the data set so far."""
        self._hash()
        return self._inner.digest()

    def finish(self) -> StoredBytes:
        """Write, name and flush: from here on the object is held. Errors as `write`.

        The hashes of an image are made in the time in which its file goes to the disk.
        """
        is_long = len(self._waiting) - self._hashed > HASH_HERE
        hashing = _HASHERS.submit(self._hash) if is_long else None
        try:
            try:
                self._write_to_file(is_whole=True)
                with _told():
                    key = self._home.settle(self._descriptor)
            finally:
                hashing.result() if hashing else self._hash()
        except BaseException:
            self.discard()
            raise
        self._close()
        return StoredBytes(key, self._head + self.size, self._whole.hexdigest(), self._inner.hexdigest())

    def discard(self) -> None:
        """Let go of an object that is not finished; one that is stays. May be called again."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self._home.remove()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _hash(self) -> None:
        with memoryview(self._waiting)[self._hashed :] as fresh:
            self._whole.update(fresh)
            self._inner.update(fresh)
        self._hashed = len(self._waiting)

    def _write_out(self) -> None:
        self._hash()
        self._write_to_file()
        self._waiting, self._hashed = bytearray(), 0

    def _write_to_file(self, *, is_whole: bool = False) -> None:
        if self.size - self._asked_at >= ASK_EVERY:
            self._asked_at = self.size
            self._room.ask()
        self._room.take(len(self._waiting))
        self._written += len(self._waiting)
        with _told():
            if self._descriptor < 0:
                self._descriptor = self._home.open(is_whole)
            rest = memoryview(self._waiting)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def _close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # everything was flushed before, or is unlinked
                os.close(self._descriptor)
        self._descriptor = -1
        self._room.give_back(self._written)
        self._waiting, self._hashed, self._written = bytearray(), 0, 0


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the disk as ours."""
    try:
        yield
    except OSError as error:
        raise trouble(error) from error


def trouble(error: OSError) -> TryLater | Broken:
    """An error of the disk as a sender or a person is told."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TryLater("out_of_space")
    if error.errno in PASSING:
        return TryLater("store_busy")
    return Broken("store_failed", errno=errno.errorcode.get(error.errno or 0, "unknown"))
