"""Where a body of unknown size waits until it is whole: in memory while it is small, then in a file without a name.

Such a file is gone with its process, so a crash leaves nothing to sweep.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import mmap
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Final

from worklist.errors import Broken, TryLater

IN_MEMORY: Final = 2 * 1024 * 1024  # bytes; most slices are smaller
ASK_EVERY: Final = 32 * 1024 * 1024  # bytes between two looks at the free space


class Spool:
    """One body. Use it in one task, and close it."""

    def __init__(self, folder: Path | None, limit: int, has_room: Callable[[], bool]) -> None:
        """Make room for at most `limit` bytes; what comes beyond is counted and let go.

        Parameters
        ----------
        folder
            Where its file is made; None: wherever the system keeps temporary files.
        has_room
            Whether the disk may still be written to.
        """
        self.size = 0
        self._folder, self._limit, self._has_room = folder, limit, has_room
        self._waiting = bytearray()
        self._file: IO[bytes] | None = None
        self._asked_at = 0

    @property
    def too_large(self) -> bool:
        """Whether more came than the limit: what is kept is not whole."""
        return self.size > self._limit

    async def add(self, piece: bytes) -> None:
        """Take a piece. Raises TryLater (``out_of_space``) or Broken (``store_failed``)."""
        if self._keep(piece):
            await asyncio.to_thread(self._write_out)

    def add_here(self, piece: bytes) -> None:
        """`add` for a thread of its own."""
        if self._keep(piece):
            self._write_out()

    @contextlib.contextmanager
    def view(self) -> Iterator[memoryview]:
        """The whole body for reading; a file is mapped, not read."""
        if self._file is None:
            yield memoryview(self._waiting)
            return
        self._write_out()
        with _told():
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            yield memoryview(mapped)
        finally:
            # Somebody's error may still hold a piece of it: then it goes when that goes.
            with contextlib.suppress(BufferError):
                mapped.close()

    def opened(self) -> IO[bytes]:
        """The whole body as a file at its beginning. Valid until `close`."""
        if self._file is None:
            return BytesIO(bytes(self._waiting))
        self._write_out()
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Let everything go."""
        self._waiting = bytearray()
        if self._file is not None:
            self._file.close()

    def _keep(self, piece: bytes) -> bool:
        """Whether enough waits now to be written out."""
        self.size += len(piece)
        if self.too_large:
            self._waiting.clear()
            return False
        self._waiting += piece
        return len(self._waiting) >= IN_MEMORY

    def _write_out(self) -> None:
        with _told():
            if self._file is None:
                if self._folder is not None:
                    self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
            if self.size - self._asked_at >= ASK_EVERY or not self._asked_at:
                self._asked_at = self.size
                if not self._has_room():
                    raise TryLater("out_of_space")
            self._file.write(self._waiting)
            self._file.flush()
            self._waiting.clear()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the disk as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            raise TryLater("out_of_space") from error
        raise Broken("store_failed", errno=errno.errorcode.get(error.errno or 0, "unknown")) from error
