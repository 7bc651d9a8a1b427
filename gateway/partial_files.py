"""The bytes of files that are still on their way from a browser: one file each beside the store, named by its row.

How much of a file counts is said by its row (`worklist.actions.partial_files`), never by the file's length: bytes are
flushed first and acknowledged afterwards, so that a process that dies in between has promised nothing that is not
there. Two connections that write the same stretch (one of them dead, and not noticed yet) write the same bytes.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from gateway.incoming import trouble
from worklist.errors import Broken

_ID: Final = re.compile(r"[0-9a-z]{26}")


class PartialFiles:
    """A folder of partial files, shared by all processes."""

    def __init__(self, folder: Path, ask_for_space: Callable[[], None]) -> None:
        """`ask_for_space` raises TryLater where the disk may not be written to."""
        self._folder, self._ask_for_space = folder, ask_for_space

    def write(self, id: str, at: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` from byte `at` on; return when a power cut cannot take it back.

        Raises
        ------
        TryLater
            ``out_of_space``, ``store_busy``.
        Broken
            ``partial_file_lost`` where the bytes in front of `at` are gone; ``store_failed``.
        """
        self._ask_for_space()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            is_new = not self._path(id).exists()
            descriptor = os.open(self._path(id), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(descriptor).st_size < at:
                    raise Broken("partial_file_lost")
                left, to = memoryview(data), at
                while left:
                    written = os.pwrite(descriptor, left, to)
                    left, to = left[written:], to + written
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                self._flush_folder()
        except OSError as error:
            raise trouble(error) from error

    @contextlib.contextmanager
    def opened(self, id: str, size: int) -> Iterator[IO[bytes]]:
        """A file whose `size` bytes are all there, for reading. Raises Broken (``partial_file_lost``)."""
        try:
            file = self._path(id).open("rb")
        except OSError as error:
            raise Broken("partial_file_lost") from error
        with file:
            if os.fstat(file.fileno()).st_size != size:
                raise Broken("partial_file_lost")
            yield file

    def remove(self, id: str) -> None:
        """Let a file go; one that is not there is no error."""
        try:
            self._path(id).unlink(missing_ok=True)
        except OSError as error:
            raise trouble(error) from error

    def ids(self) -> list[str]:
        """The rows that the files here belong to."""
        try:
            return [path.name for path in self._folder.iterdir() if _ID.fullmatch(path.name)]
        except FileNotFoundError:
            return []

    def _path(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise Broken("bad_store_key")
        return self._folder / id

    def _flush_folder(self) -> None:
        for folder in (self._folder, self._folder.parent):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def view(file: IO[bytes]) -> Iterator[memoryview]:
    """A file that is not empty as a view of its pages; it is mapped, not read."""
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        yield memoryview(mapped)
    finally:
        with contextlib.suppress(BufferError):  # somebody's error may still hold a piece of it
            mapped.close()
