"""Rendered pictures and thumbnails (PS3.18 8.3.5, 10.4.1.1.3, 10.4.1.1.4): for old PCs and lists, not for diagnosis."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from fastapi import Request, Response

from gateway.children import children, in_turn
from gateway.dicomweb.answers import NotAcceptable, choose
from gateway.dicomweb.frames import (
    ENCAPSULATED_PDF,
    INSTANCE,
    PDF,
    PDF_HEADERS,
    frame_numbers,
    located,
    media_type_of,
)
from gateway.dicomweb.roots import Resources
from gateway.dicomweb.sending import headers, kept, mark, send_one
from gateway.dicomweb.stored import Segment, held_of, instance_of, study_of
from gateway.http import web_of
from gateway.store import ObjectStore, mapped
from interfaces.dicom.frames import is_video
from interfaces.dicom.metadata import find_bulk
from interfaces.dicom.preview import LARGEST_SIDE, Viewport
from worklist.errors import BadInput, NotFound
from worklist.queries.imaging import HeldInstance

router = Resources()

JPEG, PNG = "image/jpeg", "image/png"
THUMBNAIL: Final = Viewport(128, 128)
_NUMBER: Final = re.compile(r"-?[0-9]{1,7}(?:\.[0-9]{1,6})?", re.ASCII)
_FUNCTIONS: Final = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}

_Look = tuple[tuple[float, float, str] | None, Viewport | None, int]
"""Window, viewport and quality."""


@router.at(INSTANCE + "/rendered")
async def rendered(request: Request) -> Response:
    """The first frame of an image as JPEG or PNG; a video and a PDF as what they are."""
    _study, held = await instance_of(request)
    if held.sop_class_uid == ENCAPSULATED_PDF:
        return await _whole(request, held, "00420011")
    if is_video(held.transfer_syntax_uid):
        return await _whole(request, held, "7FE00010")
    return await _picture(request, held, 1)


@router.at(INSTANCE + "/frames/{frames}/rendered")
async def rendered_frame(request: Request) -> Response:
    """One frame of an image as JPEG or PNG."""
    _study, held = await instance_of(request)
    return await _picture(request, held, await _number(request, held))


@router.at(INSTANCE + "/thumbnail")
async def thumbnail(request: Request) -> Response:
    """A small picture of an image."""
    _study, held = await instance_of(request)
    return await _picture(request, held, max(1, (held.frames + 1) // 2), THUMBNAIL)


@router.at(INSTANCE + "/frames/{frames}/thumbnail")
async def frame_thumbnail(request: Request) -> Response:
    """A small picture of one frame."""
    _study, held = await instance_of(request)
    return await _picture(request, held, await _number(request, held), THUMBNAIL)


@router.at("/studies/{study_uid}/thumbnail")
@router.at("/studies/{study_uid}/series/{series_uid}/thumbnail")
async def study_thumbnail(request: Request) -> Response:
    """A small picture of the middle of a series; of a study, of its first series that has pictures."""
    study = await study_of(request)
    series_uid = request.path_params.get("series_uid", "")
    held = await held_of(request, study, series_uid)
    if not held:
        raise NotFound("no_such_series" if series_uid else "no_such_study")
    shown = [one for one in held if one.rows and one.columns and not is_video(one.transfer_syntax_uid)]
    if not shown:
        raise NotAcceptable("no_preview")
    series = [one for one in shown if one.series_id == shown[0].series_id]
    middle = series[len(series) // 2]
    return await _picture(request, middle, max(1, (middle.frames + 1) // 2), THUMBNAIL)


async def _number(request: Request, held: HeldInstance) -> int:
    numbers = frame_numbers(request, (await located(request, held)).count)
    if len(numbers) > 1:
        raise BadInput("frames_malformed")  # a picture shows one frame
    return numbers[0]


async def _picture(request: Request, held: HeldInstance, number: int, viewport: Viewport | None = None) -> Response:
    media_type = choose(request, JPEG, PNG)
    window, asked, quality = look = _look(request)
    etag = mark("picture", held.sha256, number, media_type, look, viewport)
    if (already := kept(request, etag)) is not None:
        return already
    drawn = await in_turn(_draw, web_of(request).store, held, number, media_type, (window, asked or viewport, quality))
    return Response(drawn, media_type=media_type, headers=headers(etag))


def _draw(store: ObjectStore, held: HeldInstance, number: int, media_type: str, look: _Look) -> bytes:
    window, viewport, quality = look
    try:
        return children().render(
            store,
            held.store_key,
            number - 1,
            media_type=media_type,
            window=window,
            viewport=viewport,
            quality=quality,
        )
    except BadInput as error:
        if error.code == "viewport_malformed":
            raise
        if error.code == "no_such_frame":
            raise NotFound(error.code, **error.params) from error
        raise NotAcceptable(error.code, **error.params) from error


async def _whole(request: Request, held: HeldInstance, place: str) -> Response:
    """A document or a video by itself, as it is."""
    media_type = choose(request, media_type_of(held, place))
    etag = mark("whole", held.sha256, media_type)
    if (already := kept(request, etag)) is not None:
        return already
    segments = await asyncio.to_thread(_segments, web_of(request).store, held, place)
    return await send_one(request, segments, media_type, etag, PDF_HEADERS if media_type == PDF else None)


def _segments(store: ObjectStore, held: HeldInstance, place: str) -> Sequence[Segment]:
    try:
        found = find_bulk(mapped(store, held.store_key), place)
    except BadInput as error:
        raise NotAcceptable("no_preview") from error
    if found.inflated:
        raise NotAcceptable("no_preview")
    return [(held.store_key, *span) for span in found.fragments]


def _look(request: Request) -> _Look:
    """The query parameters of PS3.18 8.3.5.1: ``window=centre,width,function``, ``viewport=width,height,x,y,w,h``,
    ``quality=1…100``.

    Raises
    ------
    BadInput
        ``window_malformed``, ``viewport_malformed``, ``quality_malformed``.
    """
    given = request.query_params
    window = viewport = None
    if "window" in given:
        window = _window(given["window"].split(","))
    if "viewport" in given:
        viewport = _viewport(given["viewport"].split(","))
    quality = given.get("quality", "90")
    if not re.fullmatch(r"[1-9][0-9]?|100", quality, re.ASCII):
        raise BadInput("quality_malformed")
    return window, viewport, int(quality)


def _window(words: Sequence[str]) -> tuple[float, float, str]:
    function = _FUNCTIONS.get(words[2].lower() if len(words) == 3 else "linear")
    if function is None or len(words) not in (2, 3) or not all(_NUMBER.fullmatch(word) for word in words[:2]):
        raise BadInput("window_malformed")
    centre, width = float(words[0]), float(words[1])
    if width <= 0:
        raise BadInput("window_malformed")
    return centre, width, function


def _viewport(words: Sequence[str]) -> Viewport:
    if len(words) not in (2, 6) or not all(_NUMBER.fullmatch(word) for word in words):
        raise BadInput("viewport_malformed")
    numbers = [round(float(word)) for word in words] + [0] * (6 - len(words))
    width, height, left, top, part_width, part_height = numbers
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE and left >= 0 and top >= 0):
        raise BadInput("viewport_malformed")
    return Viewport(width, height, left, top, abs(part_width), abs(part_height), part_width < 0, part_height < 0)
