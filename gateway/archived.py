"""Bytes that lie in the archives alone, read as if they lay here.

`ArchivedStore` is the folder store with one more place to look: where a key's file was let go, the archived copy is
fetched, made into the very bytes that were held (the copy says another Patient ID), compared with their SHA-256, and
kept in a folder of limited size. Whoever opens an object need not know.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import structlog

from gateway.circuit import Circuit
from gateway.incoming import trouble
from gateway.orthanc import Away, Orthanc
from gateway.store import FolderStore
from interfaces.dicom.coercion import Piece
from worklist.actions import releasing
from worklist.actions.releasing import Released
from worklist.database import Database
from worklist.errors import Broken, HurenError, TryLater

log = structlog.get_logger(__name__)

MOST_UNDO: Final = 64 << 10  # bytes that the database keeps to make held bytes of archived ones
LOCKS: Final = 16


class ArchivedStore(FolderStore):
    """A folder store whose objects may lie in archives instead. Several threads and processes may share it."""

    def __init__(
        self,
        root: Path,
        cache: Path,
        cache_bytes: int,
        database: Database,
        archives: Mapping[str, Orthanc],
        **more: Any,
    ) -> None:
        """`cache` is the folder of what was fetched, at most `cache_bytes` together but for what was fetched last;
        `more` as `FolderStore` takes it. Raises as it."""
        super().__init__(root, **more)
        self._database, self._archives = database, archives
        self._circuits = {name: Circuit(name) for name in archives}
        self._cache, self._cache_bytes = cache, cache_bytes
        self._fetching = [threading.Lock() for _ in range(LOCKS)]
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading, wherever it lies.

        Raises
        ------
        Broken
            ``object_missing``: it is nowhere; ``archive_copy_differs``: no archive gives the held bytes back.
        TryLater
            It lies in archives that are away.
        """
        try:
            return super().open(key)
        except Broken as error:
            if error.code != "object_missing":
                raise
            return self._fetched(key, error)

    def exists(self, key: str) -> bool:
        """Whether an object is held under `key`, here or in an archive."""
        return super().exists(key) or self._find(key) is not None

    def is_here(self, key: str) -> bool:
        """Whether the bytes lie here."""
        return super().exists(key)

    def recall(self, key: str) -> None:
        """Bring bytes that lie in the archives alone back here, for good. Errors as `open`."""
        while not super().exists(key) or self._find(key) is not None:
            if not super().exists(key):
                with self.open(key) as file:
                    self._put_back(key, file)
            if self._database.write(lambda s: releasing.note_recalled(s, key, lambda: self.is_here(key))):
                return

    def let_go(self, key: str) -> None:
        """Remove bytes here that were written down as released, unless somebody has called them back."""
        self._database.write(lambda s: releasing.remove_released(s, key, lambda: self.delete(key)))

    def _find(self, key: str) -> Released | None:
        return self._database.read(lambda s: releasing.find_released(s, key))

    def _put_back(self, key: str, file: BinaryIO) -> None:
        target = self.path(key)
        temporary = self.root / "incoming" / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            self._make_durable(target.parent)
            with temporary.open("xb") as out:
                while piece := file.read(1 << 20):
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
            temporary.rename(target)
            self._flusher(str(target.parent)).flush()
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise trouble(error) from error

    def _fetched(self, key: str, missing: Broken) -> BinaryIO:
        kept = self._cache / key.replace("/", "-")
        with self._fetching[hash(key) % LOCKS]:
            with contextlib.suppress(FileNotFoundError):
                file = kept.open("rb")
                os.utime(kept)  # used now: others go before it
                return file
            found = self._find(key)
            if found is None:
                with contextlib.suppress(Broken):
                    return super().open(key)  # called back meanwhile
                raise missing
            self._fetch(key, found, kept)
            file = kept.open("rb")
        self._make_room()
        return file

    def _fetch(self, key: str, found: Released, kept: Path) -> None:
        """From the first archive that gives the held bytes back."""
        last: HurenError = Broken("object_missing", key=key)
        for name, place in found.places:
            archive = self._archives.get(name)
            if archive is None:
                last = last if isinstance(last, TryLater) else Broken("archive_not_configured", archive=name)
                continue
            try:
                with self._circuits[name].asking():
                    self._fetch_from(archive, place, found, kept)
            except (Away, Broken) as error:
                log.warning("archived_object_not_read", archive=name, key=key, error=error.code)
                if not isinstance(last, TryLater):  # away may come back: that is what the caller is told
                    last = error
                continue
            return
        raise last

    def _fetch_from(self, archive: Orthanc, place: str, found: Released, kept: Path) -> None:
        there = kept.with_name(f"{kept.name}.{secrets.token_hex(8)}")
        made = kept.with_name(f"{there.name}.made")
        try:
            with there.open("x+b") as file:
                whole = hashlib.sha256()
                for piece in archive.pieces(place):
                    whole.update(piece)
                    file.write(piece)
                if whole.hexdigest() != found.archived_sha256:
                    raise Broken("archive_copy_differs", archive=archive.name)
                held = hashlib.sha256()
                with made.open("xb") as out:
                    for piece in rebuilt(file, found.undo):
                        held.update(piece)
                        out.write(piece)
                    out.flush()
                    os.fsync(out.fileno())  # else a power cut could leave its name without its bytes
            if held.hexdigest() != found.sha256:
                raise Broken("archive_copy_differs", archive=archive.name)
            made.rename(kept)
        except OSError as error:
            raise trouble(error) from error
        finally:
            there.unlink(missing_ok=True)
            made.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Remove what was used longest ago; files that are open stay readable."""
        held = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._cache):
                with contextlib.suppress(FileNotFoundError):
                    said = entry.stat()
                    held.append((said.st_mtime, said.st_size, entry.path))
        held.sort(reverse=True)
        used = 0
        for place, (_at, size, path) in enumerate(held):
            used += size
            if used > self._cache_bytes and place:
                Path(path).unlink(missing_ok=True)


def undo_of(file: memoryview, pieces: Sequence[Piece]) -> bytes:
    """What makes the stored `file` of its coerced form (`coercion.coerced`), as `rebuilt` takes it.

    Raises
    ------
    Broken
        ``object_stays_here``: more would have to be kept than is worth it, as of deflated objects.
    """
    steps: list[Any] = []
    here = there = kept = 0

    def own(until: int) -> None:
        nonlocal kept
        if until > here:
            kept += until - here
            if kept > MOST_UNDO:
                raise Broken("object_stays_here")
            steps.append(base64.b64encode(file[here:until]).decode("ascii"))

    for piece in pieces:
        if isinstance(piece, bytes):
            there += len(piece)
            continue
        offset, length = piece
        own(offset)
        steps.append([there, length])
        here, there = offset + length, there + length
    own(len(file))
    return json.dumps(steps, separators=(",", ":")).encode("ascii")


def rebuilt(archived: BinaryIO, undo: bytes) -> Iterator[bytes]:
    """The held bytes, of the archived ones and `undo_of`."""
    for step in json.loads(undo):
        if isinstance(step, str):
            yield base64.b64decode(step)
            continue
        offset, left = step
        archived.seek(offset)
        while left and (piece := archived.read(min(left, 1 << 20))):
            left -= len(piece)
            yield piece
