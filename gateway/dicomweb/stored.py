"""Stored objects as they are asked for over and over: found once, mapped or read in pieces, never loaded whole.

What is remembered are places, not bytes: which object a name means for a few seconds, and where the frames of a
stored file lie for as long as there is room. The kernel's page cache keeps the bytes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request

from gateway.dicomweb.access import opened
from gateway.dicomweb.roots import root_of
from gateway.http import Web, web_of
from gateway.store import ObjectStore, mapped
from interfaces.dicom.elements import view
from interfaces.dicom.frames import FrameMap, Span, locate
from interfaces.dicom.objects import open_part10
from worklist.errors import Broken, NotFound
from worklist.queries.imaging import HeldInstance, OpenStudy, held_instances

GOOD_FOR: Final = 10.0  # seconds that a name means the same object: a superseded document is hidden after that
MOST_NAMES: Final = 20_000
MOST_SPANS: Final = 500_000  # frames whose places are remembered, about 100 MB
CHUNK: Final = 1 << 20  # bytes read at a time of something long

Segment = bytes | memoryview | tuple[str, int, int]
"""Bytes made here, a view of a mapped file that was made for this answer, or store key, offset and length of a part
of a stored file."""


@dataclass
class Places:
    """What this process remembers. Only the event loop's thread touches it."""

    held: dict[tuple[str, str, str], tuple[float, HeldInstance]] = field(default_factory=dict)
    frames: OrderedDict[str, FrameMap] = field(default_factory=OrderedDict)
    spans: int = 0

    def keep_frames(self, store_key: str, found: FrameMap) -> None:
        """Remember where the frames of a stored file lie, and forget the longest unused ones."""
        if store_key in self.frames:
            return
        self.frames[store_key] = found
        self.spans += len(found.spans)
        while self.spans > MOST_SPANS and len(self.frames) > 1:
            self.spans -= len(self.frames.popitem(last=False)[1].spans)

    def keep_held(self, study_id: str, found: Sequence[HeldInstance]) -> None:
        """Remember which objects a study's names mean."""
        now = time.monotonic()
        if len(self.held) + len(found) > MOST_NAMES:
            self.held.clear()
        for held in found:
            self.held[study_id, held.series_instance_uid, held.sop_instance_uid] = (now, held)


def places_of(request: Request) -> Places:
    """What this process remembers."""
    state = request.app.state
    if not hasattr(state, "dicomweb_places"):
        state.dicomweb_places = Places()
    found = state.dicomweb_places
    assert isinstance(found, Places)  # noqa: S101 - set above
    return found


async def study_of(request: Request) -> OpenStudy:
    """The study that the address names, opened for whoever asks. Raises as `access.opened`."""
    return await opened(request, root_of(request), request.path_params["study_uid"])


async def instance_of(request: Request) -> tuple[OpenStudy, HeldInstance]:
    """The object that the address names, and its study.

    Raises
    ------
    NotFound
        ``no_such_instance``; and as `access.opened`.
    """
    study = await study_of(request)
    series_uid, instance_uid = request.path_params["series_uid"], request.path_params["instance_uid"]
    places = places_of(request)
    known = places.held.get((study.id, series_uid, instance_uid))
    if known is not None and time.monotonic() - known[0] < GOOD_FOR:
        return study, known[1]
    found = await held_of(request, study, series_uid, instance_uid)
    if not found:
        raise NotFound("no_such_instance")
    return study, found[0]


async def held_of(
    request: Request, study: OpenStudy, series_uid: str = "", instance_uid: str = ""
) -> list[HeldInstance]:
    """Objects of an opened study, from the database; what they are called is remembered."""
    found = await asyncio.to_thread(
        web_of(request).database.read,
        lambda session: held_instances(
            session, study.id, series_instance_uid=series_uid, sop_instance_uid=instance_uid
        ),
    )
    places_of(request).keep_held(study.id, found)
    return found


async def frames_of(request: Request, held: HeldInstance) -> FrameMap:
    """Where the frames of an object lie. Raises as `frames.locate`."""
    places = places_of(request)
    known = places.frames.get(held.store_key)
    if known is not None:
        places.frames.move_to_end(held.store_key)
        return known
    found = await asyncio.to_thread(_locate, web_of(request).store, held.store_key)
    places.keep_frames(held.store_key, found)
    return found


def _locate(store: ObjectStore, store_key: str) -> FrameMap:
    return locate(mapped(store, store_key))


def inflated(store: ObjectStore, store_key: str) -> memoryview:
    """The data set of a stored file in a deflated transfer syntax. Raises as `elements.view`."""
    syntax, data = open_part10(mapped(store, store_key))
    return view(data, syntax)


def read_spans(store: ObjectStore, store_key: str, spans: Sequence[Span]) -> bytes:
    """Parts of a stored file, joined.

    Raises
    ------
    Broken
        ``object_missing``: the file is gone, or shorter than it was.
    """
    with store.open(store_key) as file:
        read = b"".join(os.pread(file.fileno(), length, offset) for offset, length in spans)
    if len(read) != sum(length for _, length in spans):
        raise Broken("object_missing", key=store_key)
    return read


def length_of(segments: Sequence[Segment]) -> int:
    """Bytes of all segments together."""
    return sum(segment[2] if isinstance(segment, tuple) else len(segment) for segment in segments)


def read_all(store: ObjectStore, segments: Sequence[Segment]) -> bytes:
    """All segments, joined: for what is short."""
    return b"".join(
        read_spans(store, segment[0], [segment[1:]]) if isinstance(segment, tuple) else segment for segment in segments
    )


async def stream(web: Web, segments: Sequence[Segment]) -> AsyncIterator[bytes]:
    """All segments in pieces of at most `CHUNK` bytes; a file that is read on stays open."""
    pieces = _pieces(web.store, segments)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _pieces(store: ObjectStore, segments: Sequence[Segment]) -> Iterator[bytes]:
    for segment in segments:
        if isinstance(segment, bytes):
            yield segment
            continue
        if isinstance(segment, memoryview):
            for at in range(0, len(segment), CHUNK):
                yield bytes(segment[at : at + CHUNK])
            continue
        store_key, offset, length = segment
        with store.open(store_key) as file:
            end = offset + length
            while offset < end:
                piece = os.pread(file.fileno(), min(CHUNK, end - offset), offset)
                if not piece:
                    raise Broken("object_missing", key=store_key)  # the connection breaks: no false end
                yield piece
                offset += len(piece)


def part_of(segments: Sequence[Segment], start: int, end: int) -> list[Segment]:
    """Bytes `start` to `end` (not included) of all segments together."""
    found: list[Segment] = []
    at = 0
    for segment in segments:
        size = segment[2] if isinstance(segment, tuple) else len(segment)
        first, last = max(start - at, 0), min(end - at, size)
        if first < last:
            found.append(
                (segment[0], segment[1] + first, last - first) if isinstance(segment, tuple) else segment[first:last]
            )
        at += size
    return found
