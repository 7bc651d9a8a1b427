"""WADO-RS frames and bulk data (PS3.18 10.4.1.1.5, 10.4.1.1.6): sent from the stored file, undecoded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from fastapi import Request, Response

from gateway.children import children, in_turn
from gateway.dicomweb.answers import NotAcceptable, TooMuch
from gateway.dicomweb.media import IN_PARTS, OCTETS, Form, bulk_form, frame_form
from gateway.dicomweb.roots import Resources
from gateway.dicomweb.sending import kept, mark, send_one, send_parts
from gateway.dicomweb.stored import Segment, frames_of, inflated, instance_of, read_spans
from gateway.http import web_of
from gateway.store import ObjectStore, mapped
from interfaces.dicom.frames import FrameMap, Span, is_video
from interfaces.dicom.metadata import Bulk, find_bulk, swapped
from worklist.errors import BadInput, NotFound
from worklist.queries.imaging import HeldInstance

router = Resources()

INSTANCE: Final = "/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}"
MOST_FRAMES: Final = 20_000  # in one answer
MOST_MADE: Final = 256 << 20  # bytes of one answer that have to be decoded, turned or inflated
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
PDF: Final = "application/pdf"
PDF_HEADERS: Final = {
    # The browser's own viewer shows it: a sandbox, or a policy without objects, would leave the frame empty.
    "Content-Security-Policy": "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}
_PLACE: Final = re.compile(r"[0-9A-F]{8}(?:/[1-9][0-9]{0,6}/[0-9A-F]{8}){0,16}", re.ASCII)
_DOCUMENT, _PIXELS = "00420011", "7FE00010"


@router.at(INSTANCE + "/frames")
@router.at(INSTANCE + "/frames/{frames}")
async def frames(request: Request) -> Response:
    """Frames of an object, counted from one, in the order asked for; without numbers all of them."""
    _study, held = await instance_of(request)
    found = await located(request, held)
    numbers = frame_numbers(request, found.count)
    form = frame_form(request, held.transfer_syntax_uid, frames=len(numbers))
    etag = mark("frames", held.sha256, form, numbers)
    if (already := kept(request, etag)) is not None:
        return already
    store = web_of(request).store
    parts: list[list[Segment]]
    if form.bytes == "stored" and not found.inflated and found.frame_bits % 8 == 0:
        parts = [[(held.store_key, *span) for span in _spans(found, number)] for number in numbers]
    else:
        parts = [[one] for one in await in_turn(_made, store, held, form, numbers)]
    if form.multipart:
        return await send_parts(request, [(form, part) for part in parts], etag)
    return await send_one(request, parts[0], form.part_type, etag)


@router.at(INSTANCE + "/bulkdata/{place:path}")
async def bulk_data(request: Request) -> Response:
    """A value that the metadata only points at."""
    _study, held = await instance_of(request)
    place = request.path_params["place"]
    if not _PLACE.fullmatch(place):
        raise NotFound("no_such_bulk_data")
    form = bulk_form(request, media_type_of(held, place))
    etag = mark("bulk", held.sha256, form, place)
    if (already := kept(request, etag)) is not None:
        return already
    segments = await asyncio.to_thread(_bulk_segments, web_of(request).store, held, place)
    if form.multipart:
        return await send_parts(request, [(form, segments)], etag)
    return await send_one(request, segments, form.media_type, etag, PDF_HEADERS if form.media_type == PDF else None)


def media_type_of(held: HeldInstance, place: str) -> str:
    """What a bulk value is, by the class and transfer syntax of its object: never by what a stranger wrote into it."""
    if place == _DOCUMENT and held.sop_class_uid == ENCAPSULATED_PDF:
        return PDF
    if place == _PIXELS and is_video(held.transfer_syntax_uid):
        return IN_PARTS[held.transfer_syntax_uid]
    return OCTETS


async def located(request: Request, held: HeldInstance) -> FrameMap:
    """Where the frames of an object lie.

    Raises
    ------
    NotFound
        ``no_such_frame``: it has no pixels.
    NotAcceptable
        ``undecodable_pixels``: it cannot be told where its frames begin.
    """
    try:
        return await frames_of(request, held)
    except BadInput as error:
        if error.code == "no_pixels":
            raise NotFound("no_such_frame", frames=0) from error
        raise NotAcceptable(error.code, **error.params) from error


def frame_numbers(request: Request, count: int) -> tuple[int, ...]:
    """The frame numbers of the address, counted from one.

    Raises
    ------
    BadInput
        ``frames_malformed``.
    NotFound
        ``no_such_frame``.
    TooMuch
        ``too_many_frames``.
    """
    text = request.path_params.get("frames")
    words = [str(number) for number in range(1, count + 1)] if text is None else text.split(",")
    if len(words) > MOST_FRAMES:
        raise TooMuch("too_many_frames", limit=MOST_FRAMES)
    numbers = tuple(int(word) if re.fullmatch(r"[0-9]{1,9}", word, re.ASCII) else 0 for word in words)
    if not all(numbers):
        raise BadInput("frames_malformed")
    if max(numbers) > count:
        raise NotFound("no_such_frame", frames=count)
    return numbers


def _spans(found: FrameMap, number: int) -> tuple[Span, ...]:
    try:
        return found.frame(number - 1)
    except BadInput as error:  # the file ends before the header says so
        raise NotFound(error.code, **error.params) from error


def _made(store: ObjectStore, held: HeldInstance, form: Form, numbers: Sequence[int]) -> list[memoryview]:
    """Frames that cannot be sent as they lie in the file."""
    try:
        return children().frames(store, held.store_key, form.bytes, [number - 1 for number in numbers], MOST_MADE)
    except BadInput as error:
        if error.code == "no_such_frame":
            raise NotFound(error.code, **error.params) from error
        if error.code == "too_many_frames":
            raise TooMuch(error.code, **error.params) from error
        raise NotAcceptable(error.code, **error.params) from error


def _bulk_segments(store: ObjectStore, held: HeldInstance, place: str) -> list[Segment]:
    try:
        found = find_bulk(mapped(store, held.store_key), place)
    except BadInput as error:
        raise NotFound("no_such_bulk_data") from error
    if not found.inflated and found.swap == 1:
        return [(held.store_key, *span) for span in found.fragments]
    return [_turned(store, held, found)]


def _turned(store: ObjectStore, held: HeldInstance, found: Bulk) -> bytes:
    if sum(length for _, length in found.fragments) > MOST_MADE:
        raise TooMuch("too_much_asked", limit=MOST_MADE)
    if not found.inflated:
        return swapped(read_spans(store, held.store_key, found.fragments), found.swap)
    whole = inflated(store, held.store_key)
    return b"".join(bytes(whole[at : at + length]) for at, length in found.fragments)
