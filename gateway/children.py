"""Strangers' pixels and waveforms are decoded in children: warm processes with limits, a task at a time each (decision
0013).

A codec that crashes, runs in a circle or asks for too much memory ends its child; the object is refused with
``decoder_gave_up``, another child is started, and nobody else notices. What a child makes goes into a file without a
name and is mapped, so that neither side ever holds a long answer in memory.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import mmap
import os
import queue
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO, Final, ParamSpec, TypeVar

import structlog

from gateway.child import Child, Limits
from gateway.decoding import MOST_NUMBERS
from gateway.store import ObjectStore, mapped
from interfaces.dicom import compare
from interfaces.dicom.pictures import MOST_PAGES, PHOTOMETRICS, PictureFrame
from interfaces.dicom.preview import Viewport
from interfaces.dicom.transcode import FrameForm
from worklist.errors import BadInput, TryLater

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LARGEST_PICTURE: Final = 64 << 20  # bytes; 4096 × 4096 in colour has 48 MiB
LARGEST_RESULT: Final = 600 << 20  # bytes of one object in plain little endian
LONGEST_SERIES: Final = 120.0  # seconds for all tasks of one answer
REMEMBERED: Final = 4096  # files that ended a child
REMEMBERED_SECONDS: Final = 600.0

Source = BinaryIO | int
"""An open file, or its descriptor."""


class Children:
    """A pool of children. Safe to use from many threads; closing it ends what is being done."""

    def __init__(self, limits: Limits | None = None, *, folder: Path | None = None, reserve: int = 0) -> None:
        """Start the children; they are ready a moment later.

        Parameters
        ----------
        folder
            Where long results wait, in files without names; None: wherever the system keeps temporary files.
        reserve
            Free bytes of that disk that results must leave.
        """
        self.limits = limits or Limits()
        self._folder, self._reserve = folder, reserve
        self._lock = threading.Lock()
        self._waiting = 0
        self._made: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._closed = False
        self._given_up: OrderedDict[str, float] = OrderedDict()
        self._children = [Child(self.limits) for _ in range(self.limits.children)]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._children:
            self._idle.put(child)

    @property
    def pids(self) -> list[int]:
        """Process ids of the children as they are now."""
        return [child.pid for child in self._children]

    def close(self) -> None:
        """End every child. Whoever waits is told to try later."""
        self._closed = True
        for child in self._children:
            child.end()

    # --- what callers want ------------------------------------------------------------------------------------

    def png(self, store: ObjectStore, key: str, frame: int, side: int) -> bytes:
        """As `preview.frame_png`, of a stored file; raises as it, and as `ask`."""
        return self.of_stored(store, key, "png", frame=frame, side=side)

    def render(
        self,
        store: ObjectStore,
        key: str,
        frame: int,
        *,
        media_type: str,
        window: tuple[float, float, str] | None,
        viewport: Viewport | None,
        quality: int,
    ) -> bytes:
        """As `preview.render`, of a stored file; raises as it, and as `ask`."""
        part = list(astuple(viewport)) if viewport else None
        return self.of_stored(
            store, key, "render", frame=frame, media_type=media_type, window=window, viewport=part, quality=quality
        )

    def frames(
        self, store: ObjectStore, key: str, form: FrameForm, frames: Sequence[int], most: int
    ) -> list[memoryview]:
        """Frames (from zero) of a stored file as `transcode.frames_in` makes them, each a part of one mapped file.

        Raises
        ------
        BadInput
            as `transcode.frames_in`; ``too_many_frames`` beyond `most` bytes of them; and as `ask`.
        """
        with store.open(key) as file, self._room(most) as out:
            sizes = self._frames(key, file, out, form, frames, most)
            return _parts(self._kept(out), sizes)

    def plain_object(self, pieces: Sequence[bytes | memoryview], target: str) -> list[memoryview]:
        """A Part 10 file, given in pieces, as `transcode.little_endian` makes it: its head, then its data set.

        Raises
        ------
        BadInput
            as `transcode.little_endian`; and as `ask`.
        """
        with self._as_file(pieces) as file, self._room(LARGEST_RESULT) as out, self._room(LARGEST_RESULT) as others:
            before, after, count, size = self.ask("outline", [file], out, most=LARGEST_RESULT, target=target)
            around = self._kept(out)
            if before + after != len(around):
                raise BadInput("decoder_gave_up", reason="error")
            if count > 1:
                sizes = self._frames("", file, others, "by pixel", range(1, count), LARGEST_RESULT)
                if set(sizes) != {size}:
                    raise BadInput("undecodable_pixels", reason="size")
            return [around[:before], self._kept(others), around[before:]]

    def same_objects(self, store: ObjectStore, one: str, two: str) -> bool:
        """Whether two stored files say the same: `compare.same_content`, pixels decoded in a child.

        Pixels that cannot be decoded within the limits are not equal.

        Raises
        ------
        BadInput
            as `compare.same_content`.
        Broken
            ``object_missing``.
        TryLater
            as `ask`.
        """

        def same_pixels() -> bool:
            until, following = time.monotonic() + LONGEST_SERIES, 0
            with store.open(one) as a, store.open(two) as b, _memory("compare") as out:
                while time.monotonic() < until:
                    same, following = self.ask("same pixels", [a, b], out, most=0, first=following)
                    if not same or not following:
                        return bool(same)
            return False

        try:
            return compare.same_content(mapped(store, one), mapped(store, two), same_pixels=same_pixels)
        except BadInput as error:
            if error.code != "decoder_gave_up":
                raise
            return False

    def picture(self, data: bytes | memoryview, page: int) -> PictureFrame:
        """A stranger's picture file as `pictures.read_picture` reads it.

        Raises
        ------
        BadInput
            as `pictures.read_picture`, and as `ask`.
        TryLater
            as `ask`.
        """
        with self._as_file([data]) as file, self._room(LARGEST_RESULT) as out:
            numbers = self.ask("picture", [file], out, most=LARGEST_RESULT, page=page)
            if len(numbers) != 11 or numbers[5] >= len(PHOTOMETRICS) or numbers[7] > MOST_PAGES:
                raise BadInput("decoder_gave_up", reason="error")
            parts = _parts(self._kept(out), numbers[8:])
        return PictureFrame(
            is_jpeg=bool(numbers[0]),
            rows=numbers[1],
            columns=numbers[2],
            samples=numbers[3],
            bits=numbers[4],
            photometric=PHOTOMETRICS[numbers[5]],
            was_lossy=bool(numbers[6]),
            pages=numbers[7],
            pixels=bytes(parts[0]),
            profile=bytes(parts[1]),
            taken=bytes(parts[2]).decode("ascii", "replace"),
        )

    def of_stored(self, store: ObjectStore, key: str, task: str, **arguments: Any) -> bytes:
        """What a child makes of a stored file in one piece; raises as the task, and as `ask` and ``store.open``."""
        with store.open(key) as file:
            return self._picture(key, file, task, **arguments)

    def of_bytes(self, data: bytes | memoryview, task: str, **arguments: Any) -> memoryview:
        """What a child makes of bytes that are not stored yet; raises as the task, and as `ask`."""
        with self._as_file([data]) as file, self._room(LARGEST_RESULT) as out:
            self.ask(task, [file], out, most=LARGEST_RESULT, **arguments)
            return self._kept(out)

    # --- one task ---------------------------------------------------------------------------------------------

    def ask(self, task: str, sources: Sequence[Source], out: Source, *, most: int, **arguments: Any) -> list[int]:
        """Let a child do one task; it reads `sources` and writes at most `most` bytes to `out`.

        Raises
        ------
        BadInput
            what the child says of the file; ``decoder_gave_up`` with `reason` "crash", "time", "memory", "size" or
            "error".
        TryLater
            ``decoders_busy``, ``out_of_space``.
        Broken
            ``decoder_not_started``.
        """
        with self._lock:
            if self._waiting >= self.limits.waiting:
                raise TryLater("decoders_busy")
            self._waiting += 1
        try:
            child = self._idle.get(timeout=self.limits.wait_seconds)
        except queue.Empty as error:
            raise TryLater("decoders_busy") from error
        finally:
            with self._lock:
                self._waiting -= 1
        try:
            if self._closed:
                raise TryLater("decoders_busy")
            descriptors = [s if isinstance(s, int) else s.fileno() for s in (out, *sources)]
            return child.ask({"task": task, "most": most, **arguments}, descriptors)
        except BadInput as error:
            if self._closed:  # it did not end by itself
                raise TryLater("decoders_busy") from error
            raise
        finally:
            self._idle.put(child)

    def _picture(self, key: str, file: BinaryIO, task: str, **arguments: Any) -> bytes:
        with self._remembering(key), _memory("picture") as out:
            (size,) = self.ask(task, [file], out, most=LARGEST_PICTURE, **arguments)
            return os.pread(out.fileno(), size, 0)

    def _frames(
        self, key: str, file: BinaryIO, out: BinaryIO, form: FrameForm, frames: Sequence[int], most: int
    ) -> list[int]:
        until, sizes = time.monotonic() + LONGEST_SERIES, list[int]()
        while len(sizes) < len(frames):
            if time.monotonic() > until:
                raise BadInput("decoder_gave_up", reason="time")
            wanted = list(frames[len(sizes) : len(sizes) + MOST_NUMBERS])
            try:
                with self._remembering(key):
                    made = self.ask("frames", [file], out, most=most, form=form, frames=wanted)
            except BadInput as error:
                if error.params.get("reason") == "size" and error.code == "decoder_gave_up":
                    raise BadInput("too_many_frames", limit=most) from error
                raise
            if not 0 < len(made) <= len(wanted):
                raise BadInput("decoder_gave_up", reason="error")
            sizes += made
        return sizes

    @contextlib.contextmanager
    def _remembering(self, key: str) -> Iterator[None]:
        """A file that ended a child is refused at once for a while: a page asks for all its frames."""
        with self._lock:
            if time.monotonic() - self._given_up.get(key, -REMEMBERED_SECONDS) < REMEMBERED_SECONDS:
                raise BadInput("decoder_gave_up", reason="before")
        try:
            yield
        except BadInput as error:
            if error.code == "decoder_gave_up":
                log.warning("decoder_gave_up", key=key, reason=error.params.get("reason"))
                if key and error.params.get("reason") in ("crash", "time", "memory"):
                    with self._lock:
                        self._given_up[key] = time.monotonic()
                        while len(self._given_up) > REMEMBERED:
                            self._given_up.popitem(last=False)
            raise

    # --- results ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _room(self, most: int) -> Iterator[BinaryIO]:
        """A file without a name for a long result. Raises TryLater."""
        with self._lock:
            if sum(map(len, self._made)) > self.limits.made:
                raise TryLater("decoders_busy")
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed below
        except OSError as error:
            raise TryLater("out_of_space") from error
        with file:
            found = os.fstatvfs(file.fileno())
            if found.f_bavail * found.f_frsize < self._reserve + most:
                raise TryLater("out_of_space")
            yield file

    @contextlib.contextmanager
    def _as_file(self, pieces: Sequence[bytes | memoryview]) -> Iterator[BinaryIO]:
        """Pieces as one file, for a child to read."""
        with self._room(sum(map(len, pieces))) as file:
            try:
                for piece in pieces:
                    file.write(piece)
                file.flush()
            except OSError as error:
                raise TryLater("out_of_space") from error
            yield file

    def _kept(self, file: BinaryIO) -> memoryview:
        """A result, mapped; its space is given back with the last view of it."""
        size = os.fstat(file.fileno()).st_size
        if not size:
            return memoryview(b"")
        whole = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        with self._lock:
            self._made.add(whole)
        return memoryview(whole)


def _parts(whole: memoryview, sizes: Sequence[int]) -> list[memoryview]:
    if sum(sizes) != len(whole):
        raise BadInput("decoder_gave_up", reason="error")
    found, at = [], 0
    for size in sizes:
        found.append(whole[at : at + size])
        at += size
    return found


def _memory(name: str) -> BinaryIO:
    """A file in memory, for what is short."""
    return os.fdopen(os.memfd_create(f"huren-{name}"), "w+b", buffering=0)


_shared: tuple[int, Children] | None = None
_sharing: Final = threading.Lock()
_turns: Final = ThreadPoolExecutor(4, thread_name_prefix="decode")
_places: Final = threading.BoundedSemaphore(64)


def start(*, folder: Path | None = None, reserve: int = 0, limits: Limits | None = None) -> Children:
    """The children of this process, started now. Settings count where there are none yet."""
    global _shared  # noqa: PLW0603 - one pool for a process, however many doors it has
    with _sharing:
        if _shared is None or _shared[0] != os.getpid():  # children of another process are not ours to talk to
            _shared = (os.getpid(), Children(limits, folder=folder, reserve=reserve))
        return _shared[1]


def children() -> Children:
    """The children of this process, started at the first call."""
    return start()


async def in_turn(work: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
    """Run `work`, which asks children, in one of a few threads of its own: never in the way of plain reading.

    Raises
    ------
    TryLater
        ``decoders_busy``: too many wait already.
    """
    if not _places.acquire(blocking=False):
        raise TryLater("decoders_busy")

    def run() -> T:
        try:
            return work(*arguments, **more)
        finally:
            _places.release()

    return await asyncio.get_running_loop().run_in_executor(_turns, run)


def stop() -> None:
    """End the children of this process; the next call of `children` starts others."""
    global _shared
    with _sharing:
        found, _shared = _shared, None
    if found is not None and found[0] == os.getpid():
        found[1].close()


atexit.register(stop)
