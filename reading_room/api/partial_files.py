"""Large files in pieces: tus 1.0.0 (core, creation, creation-with-upload, expiration, termination, checksum).

What a piece brought is durable before it is acknowledged, and a piece that is cut off counts as far as it came, so
neither a link nor a server that dies costs what was said to be there. When a file is whole, ``take`` makes of it what
one request with all of it would have made; its answer is kept, so that it may be asked for again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from email.utils import format_datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gateway.http import Acting, Served, Web
from gateway.partial_files import view
from reading_room.api.fields import LARGEST_NUMBER, REFUSALS, PathId
from reading_room.api.uploads import LARGEST_ARCHIVE, told
from reading_room.handing_in import HandingIn
from worklist.actions import partial_files, uploads
from worklist.actions.partial_files import Partial
from worklist.errors import BadInput, Conflict
from worklist.people import Actor

router = APIRouter(tags=["uploads"], responses=REFUSALS)

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,expiration,termination,checksum"
CHECKSUMS: Final = ("sha1", "sha256")
PIECE_TYPE: Final = "application/offset+octet-stream"
WRITTEN_AT: Final = 1 << 20  # bytes that wait in memory
ACKNOWLEDGED_AT: Final = 4 << 20  # bytes after which the row says how far it is: a flush costs time on old disks
MISMATCH: Final = 460  # of the checksum extension; nothing of the piece counts then


@router.options("/uploads/{upload_id}/partial-files", status_code=204)
def capabilities(by: Acting, upload_id: PathId) -> Response:
    """What of tus is spoken here."""
    return Response(
        status_code=204,
        headers={
            "Tus-Resumable": VERSION,
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(LARGEST_ARCHIVE),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
        },
    )


@router.post("/uploads/{upload_id}/partial-files", status_code=201)
async def create(request: Request, web: Served, by: Acting, upload_id: PathId) -> Response:
    """Announce a file: ``Upload-Length`` and ``Upload-Metadata`` with ``filename`` and ``fingerprint``. The body may
    hold its first piece."""
    _speaks_tus(request)
    size = _number(request, "Upload-Length")
    said = _metadata(request.headers.get("Upload-Metadata", ""))
    name = said.get("filename", "") or "?"
    if size > (LARGEST_ARCHIVE if name.lower().endswith(".zip") else web.largest_object):
        raise HTTPException(413)
    now, mark = web.clock(), said.get("fingerprint", "")
    file = await asyncio.to_thread(
        web.database.write, lambda s: partial_files.begin_file(s, by, upload_id, name, size, mark, now)
    )
    if request.headers.get("Content-Type") == PIECE_TYPE:
        file = await _append(request, web, by, file)
    return _answer(file, 201, Location=f"/api/uploads/{upload_id}/partial-files/{file.id}")


@router.head("/uploads/{upload_id}/partial-files/{file_id}")
def where(request: Request, web: Served, by: Acting, upload_id: PathId, file_id: PathId) -> Response:
    """How much of a file is here."""
    _speaks_tus(request)
    file = web.database.read(lambda s: partial_files.file_of(s, by, upload_id, file_id, web.clock()))
    return _answer(file, 200, **{"Upload-Length": str(file.size), "Cache-Control": "no-store"})


@router.patch("/uploads/{upload_id}/partial-files/{file_id}", status_code=204)
async def append(request: Request, web: Served, by: Acting, upload_id: PathId, file_id: PathId) -> Response:
    """The next piece, from ``Upload-Offset`` on."""
    _speaks_tus(request)
    if request.headers.get("Content-Type") != PIECE_TYPE:
        raise HTTPException(415)
    file = await asyncio.to_thread(
        web.database.read, lambda s: partial_files.file_of(s, by, upload_id, file_id, web.clock())
    )
    if _number(request, "Upload-Offset") != file.received:
        raise Conflict("offset_differs", offset=file.received)
    return _answer(await _append(request, web, by, file), 204)


@router.delete("/uploads/{upload_id}/partial-files/{file_id}", status_code=204)
def end(request: Request, web: Served, by: Acting, upload_id: PathId, file_id: PathId) -> Response:
    """Give a file up."""
    _speaks_tus(request)
    web.database.write(lambda s: partial_files.end_file(s, by, upload_id, file_id, web.clock()))
    web.store.partial_files.remove(file_id)
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


@router.post("/uploads/{upload_id}/partial-files/{file_id}/take")
def take(web: Served, by: Acting, upload_id: PathId, file_id: PathId, number: int = 1) -> Response:
    """The file is whole: take it as ``files`` or, a ZIP, as ``archives`` would, with their answers. Asked again, the
    answer is the same. `number` is its place among the files that are sent."""
    file = web.database.read(lambda s: partial_files.file_of(s, by, upload_id, file_id, web.clock()))
    if file.fate:
        return JSONResponse(file.fate)
    if not file.is_whole:
        raise Conflict("offset_differs", offset=file.received)
    target = web.database.read(lambda s: uploads.target_of(s, by, upload_id))
    handing = HandingIn(web, by, target)

    def settle(fate: Mapping[str, object]) -> None:
        said, now = dict(fate), web.clock()
        web.database.write(lambda s: partial_files.settle_file(s, by, upload_id, file_id, said, now))
        web.store.partial_files.remove(file_id)

    with ExitStack() as closing:
        opened = closing.enter_context(web.store.partial_files.opened(file.id, file.size))
        if file.name.lower().endswith(".zip") and opened.read(4) == b"PK\x03\x04":
            close = closing.pop_all().close
            lines = handing.unpack(file.name, opened, file.size, settle, close)
            return StreamingResponse(lines, media_type="application/x-ndjson")
        with view(opened) as data:
            fates = handing.take(file.name, data, max(1, number))
    handing.record(fates)
    answer = told(handing, fates)[0].model_dump()
    settle(answer)
    return JSONResponse(answer)


async def _append(request: Request, web: Web, by: Actor, file: Partial) -> Partial:
    """Take a piece as far as it comes. Raises what broke it off, after what came was made durable and counted."""
    checksum = _checksum(request)
    hasher = hashlib.new(checksum[0], usedforsecurity=False) if checksum else None
    at, counted = file.received, file.received
    waiting = bytearray()

    async def write() -> None:
        nonlocal at
        if waiting:
            data = bytes(waiting)
            waiting.clear()
            await asyncio.to_thread(web.store.partial_files.write, file.id, at, data)
            at += len(data)

    async def count() -> None:
        nonlocal counted
        if at > counted:
            before, received, now = counted, at, web.clock()
            await asyncio.to_thread(
                web.database.write,
                lambda s: partial_files.advance(s, by, file.upload_id, file.id, before, received, now),
            )
            counted = received

    try:
        async for piece in _stream(request):
            if at + len(waiting) + len(piece) > file.size:
                raise BadInput("file_longer_than_announced")
            waiting += piece
            if hasher is not None:
                hasher.update(piece)
            if len(waiting) >= WRITTEN_AT:
                await write()
                if hasher is None and at - counted >= ACKNOWLEDGED_AT:
                    await count()
        if checksum and hasher is not None and hasher.digest() != checksum[1]:
            raise HTTPException(MISMATCH, detail="Checksum Mismatch")
    except (ClientDisconnect, HTTPException):  # the link is cut, or stands still: nobody hears this answer
        if hasher is None:
            await write()
            await count()
        raise
    await write()
    await count()
    return Partial(file.id, file.upload_id, file.name, file.size, counted, file.fingerprint, file.expires_at, file.fate)


async def _stream(request: Request) -> AsyncIterator[bytes]:
    async for piece in request.stream():
        if piece:
            yield piece


def _answer(file: Partial, status: int, **more: str) -> Response:
    headers = {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(file.received),
        "Upload-Expires": format_datetime(file.expires_at, usegmt=True),
        **more,
    }
    return Response(status_code=status, headers=headers)


def _speaks_tus(request: Request) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise HTTPException(412, headers={"Tus-Version": VERSION})


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_NUMBER):
        raise HTTPException(400)
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """Pairs of a name and a text in Base64, parted by commas. What is no text is left out."""
    said: dict[str, str] = {}
    for pair in header.split(",")[:20]:
        name, _space, value = pair.strip().partition(" ")
        try:
            said[name] = (
                base64.b64decode(value, validate=True).decode("utf-8").replace("\x00", "\N{REPLACEMENT CHARACTER}")
            )
        except (binascii.Error, UnicodeDecodeError):
            continue
    return said


def _checksum(request: Request) -> tuple[str, bytes] | None:
    header = request.headers.get("Upload-Checksum", "")
    if not header:
        return None
    name, _space, value = header.partition(" ")
    try:
        if name not in CHECKSUMS:
            raise ValueError
        return name, base64.b64decode(value, validate=True)
    except ValueError as error:
        raise HTTPException(400) from error
