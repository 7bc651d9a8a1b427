"""How bytes leave: in parts or by themselves, whole or a range, unless the caller has them already."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Final

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from gateway.dicomweb.media import MULTIPART, Form
from gateway.dicomweb.stored import Segment, length_of, part_of, read_all, stream
from gateway.http import web_of

VARY: Final = "Accept, Cookie, Authorization"
KEPT: Final = "private, no-cache"
"""A browser may keep it, and asks each time whether it may still be shown: permission is checked again."""
AT_ONCE: Final = 4 << 20  # bytes that are sent in one piece
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


def mark(*parts: object) -> str:
    """An ETag (RFC 9110 8.8.3) of what makes an answer what it is."""
    return '"' + hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:40] + '"'


def kept(request: Request, etag: str) -> Response | None:
    """304 where the caller has this already (RFC 9110 13.1.2)."""
    known = [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]
    if etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers(etag))
    return None


def headers(etag: str) -> dict[str, str]:
    """Headers of an answer that may be kept."""
    return {"ETag": etag, "Cache-Control": KEPT, "Vary": VARY}


async def send_one(
    request: Request, segments: Sequence[Segment], media_type: str, etag: str, more: dict[str, str] | None = None
) -> Response:
    """One thing by itself; a range of it where the caller asks for one (RFC 9110 14)."""
    size = length_of(segments)
    said = headers(etag) | {"Accept-Ranges": "bytes"} | (more or {})
    wanted = _range(request, size, etag)
    if wanted is None:
        return await _answer(request, segments, media_type, said)
    start, end = wanted
    if start >= end:
        return Response(status_code=416, headers=said | {"Content-Range": f"bytes */{size}"})
    said["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return await _answer(request, part_of(segments, start, end), media_type, said, status=206)


async def send_parts(request: Request, parts: Sequence[tuple[Form, Sequence[Segment]]], etag: str) -> Response:
    """Several things, or one, as multipart/related (RFC 2387, PS3.18 8.6.1.2)."""
    boundary = new_boundary()
    segments: list[Segment] = []
    for form, inside in parts:
        segments += [part_head(boundary, form), *inside, b"\r\n"]
    segments.append(part_end(boundary))
    return await _answer(request, segments, multipart_type(parts[0][0].media_type, boundary), headers(etag))


def send_stream(request: Request, parts: AsyncIterator[bytes], media_type: str, boundary: str, etag: str) -> Response:
    """Parts whose length is not known before they are made."""
    if request.method == "HEAD":
        return Response(media_type=multipart_type(media_type, boundary), headers=headers(etag))
    return StreamingResponse(parts, media_type=multipart_type(media_type, boundary), headers=headers(etag))


def new_boundary() -> str:
    """What stands between parts: nobody can have guessed it."""
    return secrets.token_hex(16)


def part_head(boundary: str, form: Form) -> bytes:
    """What stands in front of a part."""
    return f"--{boundary}\r\nContent-Type: {form.part_type}\r\n\r\n".encode("ascii")


def part_end(boundary: str) -> bytes:
    """What stands behind the last part."""
    return f"--{boundary}--\r\n".encode("ascii")


def multipart_type(media_type: str, boundary: str) -> str:
    """The Content-Type of parts of one media type."""
    return f'{MULTIPART}; type="{media_type}"; boundary={boundary}'


async def _answer(
    request: Request, segments: Sequence[Segment], media_type: str, said: dict[str, str], status: int = 200
) -> Response:
    web, size = web_of(request), length_of(segments)
    said["Content-Length"] = str(size)
    if request.method == "HEAD":
        return Response(None, status, said, media_type)  # nothing is read for it
    if size <= AT_ONCE:
        body = await asyncio.to_thread(read_all, web.store, segments)
        return Response(body, status, said, media_type)
    return StreamingResponse(stream(web, segments), status, said, media_type)


def _range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """First byte and the one after the last; equal where nothing of it is there. None: all of it."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match[1] == match[2] == "" or request.headers.get("If-Range", etag) != etag:
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    start = int(match[1])
    end = min(size, int(match[2]) + 1) if match[2] else size
    if match[2] and int(match[2]) < start:
        return None  # malformed: as if it were not there
    return (start, end) if start < size else (0, 0)
