"""Uploads: files that a person hands in from the browser, one or several a request; the upload page works with these.
Large ones come in pieces, see `reading_room.api.partial_files`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, Field

from gateway.http import Acting, Served, Web
from gateway.multipart import MultipartReader, PartBegins, PartData, PartEnds, content_type
from gateway.spool import Spool
from gateway.uploads import shown_name
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, After, Body, Id, Limit, Listed, PathId, Remark
from reading_room.handing_in import HandingIn
from worklist.actions import proposing, uploads
from worklist.actions.uploads import FileFate
from worklist.errors import BadInput
from worklist.facts import UploadOrigin
from worklist.people import Actor
from worklist.queries import uploads as receipts
from worklist.queries.uploads import HeldFile, Receipt, Unfinished, UploadRow

router = APIRouter(tags=["uploads"], responses=REFUSALS)

FILE_NAME: Final = "X-File-Name"
"""The file's name on the sender's disk, percent-encoded UTF-8."""
LARGEST_ARCHIVE: Final = 8 << 30  # bytes of one ZIP
FILE_NUMBER: Final = "X-File-Number"
"""The file's place among those that are sent, from 1; pictures for an order are shown in this sequence."""
MOST_IN_BATCH: Final = 200  # files of one request

_BYTES: Final[dict[str, Any]] = {
    "parameters": [
        {"name": FILE_NAME, "in": "header", "schema": {"type": "string", "maxLength": 4000}, "required": False}
    ],
    "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
}

_PARTS: Final[dict[str, Any]] = {
    "requestBody": {"content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}}},
}

Files = Annotated[int, Field(ge=0, le=1_000_000, description="How many files.")]


class Beginning(Body):
    """Whose equipment made the images, and how many files there are."""

    origin: UploadOrigin
    note: Remark = ""
    files: Files = 0
    order_id: Id | None = Field(None, description="Pictures and PDFs among the files are of this order.")
    examined_at: AwareDatetime | None = Field(None, description="When that order was performed, if somebody says.")


class Begun(Body):
    """The upload's id."""

    id: str


class Fate(Body):
    """What became of one file."""

    outcome: uploads.FileOutcome
    code: str = ""
    message: str = Field("", description="Why, for a person.")


class Fates(Body):
    """What became of the files of a batch, in their order. One of several pages has several."""

    files: list[list[Fate]]


class LeftOut(Body):
    """A file whose content was not sent: the sender saw that it is no object, too large, or could not be read."""

    name: Annotated[str, Field(max_length=4000)]
    size: Annotated[int, Field(ge=0, le=2**53)]
    why: Annotated[
        str,
        Field(pattern="^(no_dicom_file|picture_without_order|dicomdir|file_empty|object_too_large|file_unreadable)$"),
    ]


class ManyLeftOut(Body):
    """Files whose content was not sent."""

    files: Annotated[list[LeftOut], Field(max_length=1000)]


class Unended(Body):
    """Uploads that the caller may go on with."""

    items: list[Unfinished]


class Held(Body):
    """Files of an upload that are held."""

    items: list[HeldFile]


class Proposal(Body):
    """Images for the illustrated report, in their order: SOP Instance UID and frame from 1."""

    images: Annotated[
        list[tuple[Annotated[str, Field(max_length=64)], Annotated[int, Field(ge=1)]]], Field(max_length=20)
    ]


class Ending(Body):
    """How many files were given up."""

    unsent: Files = 0


@router.get("/uploads")
def get_uploads(web: Served, by: Looking, after: After = "", limit: Limit = 50) -> Listed[UploadRow]:
    """Uploads of the caller's institution, the newest first."""
    return Listed.of(web.database.read(lambda s: receipts.listed(s, by, after=after, limit=limit)))


@router.get("/uploads/unfinished")
def get_unfinished(web: Served, by: Looking) -> Unended:
    """Uploads of the caller that were broken off, with the files that are there in part: a browser that is opened
    again finds by their fingerprints what it has to go on with."""
    return Unended(items=web.database.read(lambda s: receipts.unfinished(s, by, web.clock())))


@router.get("/uploads/{upload_id}")
def get_upload(web: Served, by: Looking, upload_id: PathId) -> Receipt:
    """The receipt: what is held of what was sent, by study, and every file that is not held with the reason."""
    return web.database.read(lambda s: receipts.receipt(s, by, upload_id))


@router.get("/uploads/{upload_id}/held")
def get_held(web: Served, by: Looking, upload_id: PathId) -> Held:
    """What an upload that is gone on with need not send again: objects by name, size and SOP Instance UID."""
    return Held(items=web.database.read(lambda s: receipts.held_files(s, by, upload_id)))


@router.put("/studies/{study_id}/proposed-images", status_code=204)
def propose(web: Served, by: Acting, study_id: PathId, body: Proposal) -> None:
    """Propose images for the illustrated report, in this order; the reader finds them chosen and decides."""
    now = web.clock()
    web.database.write(lambda s: proposing.propose_images(s, by, study_id, body.images, now))


@router.post("/uploads", status_code=201)
def begin(web: Served, by: Acting, body: Beginning) -> Begun:
    """Begin an upload. Another hospital's images are never matched by its patient numbers: a person links them.
    Pictures and PDFs are taken only where the upload is for an order, whose identity they get."""
    now = web.clock()
    examined_at: datetime | None = body.examined_at
    id = web.database.write(
        lambda s: uploads.begin_upload(
            s, by, body.origin, body.note, body.files, now, order_id=body.order_id or "", examined_at=examined_at
        )
    )
    return Begun(id=id)


@router.post("/uploads/{upload_id}/files", openapi_extra=_BYTES)
async def add_file(request: Request, web: Served, by: Acting, upload_id: PathId) -> Fate:
    """Hand in one file; the body is the file. Sending one again changes nothing."""
    handing = await _handing(web, by, upload_id)
    spool = Spool(web.spool, web.largest_object, handing.has_room)
    try:
        async for piece in request.stream():
            await spool.add(piece)
        fates = await asyncio.to_thread(_take, handing, _name(request.headers), _number(request.headers), spool)
    finally:
        spool.close()
    await asyncio.to_thread(handing.record, fates)
    return told(handing, fates)[0]


@router.post("/uploads/{upload_id}/batches", openapi_extra=_PARTS)
async def add_batch(request: Request, web: Served, by: Acting, upload_id: PathId) -> Fates:
    """Hand in many small files with one request: a body of multipart/related, each part a file with the header
    X-File-Name. All of them are held when the answer comes; after a break, send all of them again."""
    handing = await _handing(web, by, upload_id)
    kind, parameters = content_type(request.headers.get("Content-Type", ""))
    if not kind.startswith("multipart/"):
        raise BadInput("multipart_malformed", reason="content type")
    reader = MultipartReader(parameters.get("boundary", ""))
    taken: list[list[FileFate]] = []
    spool: Spool | None = None
    try:
        async for piece in request.stream():
            for event in reader.feed(piece):
                if isinstance(event, PartBegins):
                    if len(taken) >= MOST_IN_BATCH:
                        raise BadInput("too_many_at_once", most=MOST_IN_BATCH)
                    headers = event.headers
                    spool = Spool(web.spool, web.largest_object, handing.has_room)
                elif spool is not None and isinstance(event, PartData):
                    await spool.add(event.data)
                elif spool is not None and isinstance(event, PartEnds):
                    taken.append(await asyncio.to_thread(_take, handing, _name(headers), _number(headers), spool))
                    spool.close()
                    spool = None
        reader.close()
    finally:  # what was kept before a break stands on the receipt
        if spool is not None:
            spool.close()
        if taken:
            await asyncio.to_thread(handing.record, [fate for fates in taken for fate in fates])
    return Fates(files=[told(handing, fates) for fates in taken])


@router.post("/uploads/{upload_id}/archives", openapi_extra=_BYTES)
async def add_archive(request: Request, web: Served, by: Acting, upload_id: PathId) -> StreamingResponse:
    """Hand in a ZIP. The answer is a line of JSON for every few files while they are unpacked: ``{"done", "of"}`` and
    counts by outcome; the last one may be ``{"error": {"code", "message"}}``."""
    handing = await _handing(web, by, upload_id)
    spool = Spool(web.spool, LARGEST_ARCHIVE, handing.has_room)
    try:
        async for piece in request.stream():
            await spool.add(piece)
        if spool.too_large:
            raise BadInput("zip_too_large", limit=LARGEST_ARCHIVE >> 30)
    except BaseException:
        spool.close()
        raise
    lines = handing.unpack(_name(request.headers), spool.opened(), spool.size, lambda _sums: None, spool.close)
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.post("/uploads/{upload_id}/left-out", status_code=204)
def leave_out(web: Served, by: Acting, upload_id: PathId, body: ManyLeftOut) -> None:
    """Name files whose content is not sent, so that the receipt is complete."""
    fates = [
        FileFate(
            shown_name(file.name),
            file.size,
            "refused" if file.why in ("object_too_large", "file_unreadable") else "ignored",
            file.why,
            {"limit": web.largest_object >> 20} if file.why == "object_too_large" else {},
        )
        for file in body.files
    ]
    now = web.clock()
    web.database.write(lambda s: uploads.record(s, by, upload_id, fates, now))


@router.post("/uploads/{upload_id}/finish")
def finish(web: Served, by: Acting, upload_id: PathId, body: Ending) -> Receipt:
    """The sender is done."""
    now = web.clock()
    web.database.write(lambda s: uploads.finish_upload(s, by, upload_id, body.unsent, now))
    return web.database.read(lambda s: receipts.receipt(s, by, upload_id))


async def _handing(web: Web, by: Actor, upload_id: str) -> HandingIn:
    return HandingIn(web, by, await asyncio.to_thread(web.database.read, lambda s: uploads.target_of(s, by, upload_id)))


def _take(handing: HandingIn, name: str, number: int, spool: Spool) -> list[FileFate]:
    if spool.too_large:
        return [handing.too_large(name, spool.size)]
    with spool.view() as data:
        return handing.take(name, data, number)


def told(handing: HandingIn, fates: Sequence[FileFate]) -> list[Fate]:
    """Fates of one file for whoever sent it."""
    return [
        Fate(outcome=fate.outcome, code=fate.reason, message=handing.message(fate.reason, fate.params))
        for fate in fates
    ]


def _name(headers: Mapping[str, str]) -> str:
    return unquote(headers.get(FILE_NAME.lower(), ""))[:4000] or "?"


def _number(headers: Mapping[str, str]) -> int:
    text = headers.get(FILE_NUMBER.lower(), "")
    return max(1, min(int(text), 2**31 - 1)) if text.isascii() and text.isdecimal() and len(text) < 11 else 1
