"""Uploads: files that a person hands in from the browser, one request each; the upload page works with these."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from gateway.archives import open_archive
from gateway.http import Acting, Served, Web
from gateway.intake import ObjectIntake
from gateway.spool import Spool
from gateway.uploads import in_batches, shown_name, take_file, take_packed
from reading_room.api.access import Looking
from reading_room.api.answers import understood
from reading_room.api.fields import REFUSALS, After, Body, Limit, Listed, PathId, Remark
from reading_room.words import Words, error_text
from worklist.actions import uploads
from worklist.actions.uploads import FileFate
from worklist.errors import BadInput, HurenError
from worklist.facts import UploadOrigin
from worklist.people import Actor
from worklist.queries import uploads as receipts
from worklist.queries.uploads import Receipt, UploadRow

router = APIRouter(tags=["uploads"], responses=REFUSALS)

FILE_NAME: Final = "X-File-Name"
"""The file's name on the sender's disk, percent-encoded UTF-8."""
LARGEST_ARCHIVE: Final = 8 << 30  # bytes of one ZIP
BATCH: Final = 50  # files of an archive that are noted in one transaction

_BYTES: Final[dict[str, Any]] = {
    "parameters": [
        {"name": FILE_NAME, "in": "header", "schema": {"type": "string", "maxLength": 4000}, "required": False}
    ],
    "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
}

Files = Annotated[int, Field(ge=0, le=1_000_000, description="How many files.")]


class Beginning(Body):
    """Whose equipment made the images, and how many files there are."""

    origin: UploadOrigin
    note: Remark = ""
    files: Files = 0


class Begun(Body):
    """The upload's id."""

    id: str


class Fate(Body):
    """What became of one file."""

    outcome: uploads.FileOutcome
    code: str = ""
    message: str = Field("", description="Why, for a person.")


class LeftOut(Body):
    """A file whose content was not sent: the sender saw that it is no object, too large, or could not be read."""

    name: Annotated[str, Field(max_length=4000)]
    size: Annotated[int, Field(ge=0, le=2**53)]
    why: Annotated[str, Field(pattern="^(no_dicom_file|dicomdir|file_empty|object_too_large|file_unreadable)$")]


class ManyLeftOut(Body):
    """Files whose content was not sent."""

    files: Annotated[list[LeftOut], Field(max_length=1000)]


class Ending(Body):
    """How many files were given up."""

    unsent: Files = 0


@router.get("/uploads")
def get_uploads(web: Served, by: Looking, after: After = "", limit: Limit = 50) -> Listed[UploadRow]:
    """Uploads of the caller's institution, the newest first."""
    return Listed.of(web.database.read(lambda s: receipts.listed(s, by, after=after, limit=limit)))


@router.get("/uploads/{upload_id}")
def get_upload(web: Served, by: Looking, upload_id: PathId) -> Receipt:
    """The receipt: what is held of what was sent, by study, and every file that is not held with the reason."""
    return web.database.read(lambda s: receipts.receipt(s, by, upload_id))


@router.post("/uploads", status_code=201)
def begin(web: Served, by: Acting, body: Beginning) -> Begun:
    """Begin an upload. Another hospital's images are never matched by its patient numbers: a person links them."""
    now = web.clock()
    id = web.database.write(lambda s: uploads.begin_upload(s, by, body.origin, body.note, body.files, now))
    return Begun(id=id)


@router.post("/uploads/{upload_id}/files", openapi_extra=_BYTES)
async def add_file(request: Request, web: Served, by: Acting, upload_id: PathId) -> Fate:
    """Hand in one file; the body is the file. Sending one again changes nothing."""
    origin = await asyncio.to_thread(web.database.read, lambda s: uploads.origin_of(s, by, upload_id))
    spool = Spool(web.spool, web.largest_object, partial(_has_room, web))
    try:
        async for piece in request.stream():
            await spool.add(piece)
        fate = await asyncio.to_thread(_take, web, by, upload_id, origin, _name(request), spool)
    finally:
        spool.close()
    return Fate(outcome=fate.outcome, code=fate.reason, message=_message(by, fate.reason, fate.params))


@router.post("/uploads/{upload_id}/archives", openapi_extra=_BYTES)
async def add_archive(request: Request, web: Served, by: Acting, upload_id: PathId) -> StreamingResponse:
    """Hand in a ZIP. The answer is a line of JSON for every few files while they are unpacked: ``{"done", "of"}`` and
    counts by outcome; the last one may be ``{"error": {"code", "message"}}``."""
    origin = await asyncio.to_thread(web.database.read, lambda s: uploads.origin_of(s, by, upload_id))
    spool = Spool(web.spool, LARGEST_ARCHIVE, partial(_has_room, web))
    try:
        async for piece in request.stream():
            await spool.add(piece)
        if spool.too_large:
            raise BadInput("zip_too_large", limit=LARGEST_ARCHIVE >> 30)
    except BaseException:
        spool.close()
        raise
    lines = _unpack(web, by, upload_id, origin, _name(request), spool)
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


def _take(web: Web, by: Actor, upload_id: str, origin: UploadOrigin, name: str, spool: Spool) -> FileFate:
    if spool.too_large:
        fate = FileFate(
            shown_name(name), spool.size, "refused", "object_too_large", {"limit": web.largest_object >> 20}
        )
    else:
        intake = ObjectIntake(web.database, web.store, web.clock)
        with spool.view() as data:
            fate = take_file(intake, uploads.sender(by), by, origin, name, data)
    now = web.clock()
    web.database.write(lambda s: uploads.record(s, by, upload_id, [fate], now))
    return fate


def _unpack(web: Web, by: Actor, upload_id: str, origin: UploadOrigin, name: str, spool: Spool) -> Iterator[str]:
    """Take the files of an archive; yields the lines of the answer."""
    counts: dict[str, int] = {}
    done = 0
    try:
        with open_archive(spool.opened(), web.largest_object) as packed:
            web.database.write(lambda s: uploads.announce_more(s, by, upload_id, len(packed) - 1))
            intake, sender = ObjectIntake(web.database, web.store, web.clock), uploads.sender(by)
            yield _line(done=0, of=len(packed), **counts)
            spools = (Spool(web.spool, web.largest_object, partial(_has_room, web)) for _file in packed)
            fates = (
                take_packed(intake, sender, by, origin, file, name, one)
                for file, one in zip(packed, spools, strict=True)
            )
            for batch in in_batches(fates, BATCH):
                now = web.clock()
                web.database.write(lambda s: uploads.record(s, by, upload_id, batch, now))  # noqa: B023 - run at once
                for fate in batch:
                    counts[fate.outcome] = counts.get(fate.outcome, 0) + 1
                done += len(batch)
                yield _line(done=done, of=len(packed), **counts)
    except BadInput as error:  # no archive at all: the person hears of it in the receipt too
        fate = FileFate(shown_name(name), spool.size, "refused", error.code, dict(error.params))
        now = web.clock()
        web.database.write(lambda s: uploads.record(s, by, upload_id, [fate], now))
        yield _line(done=1, of=1, refused=1)
    except HurenError as error:
        _status, code, params = understood(error)
        yield _line(error={"code": code, "message": _message(by, code, params)})
    finally:
        spool.close()


def _line(**said: object) -> str:
    return json.dumps(said, ensure_ascii=False) + "\n"


def _name(request: Request) -> str:
    return unquote(request.headers.get(FILE_NAME, ""))[:4000] or "?"


def _message(by: Actor, code: str, params: Any) -> str:
    return error_text(code, params, Words(by.language)) if code else ""


def _has_room(web: Web) -> bool:
    return web.store.free_bytes() >= web.reserve
