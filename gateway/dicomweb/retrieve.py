"""WADO-RS objects (PS3.18 10.4.1.1.1): a study, a series or one object, streamed from the store under the identity
that the caller is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request, Response

from gateway.children import children, in_turn
from gateway.dicomweb.answers import NotAcceptable, TooMuch
from gateway.dicomweb.frames import INSTANCE, MOST_MADE
from gateway.dicomweb.media import DICOM, Form, names_syntax, object_form
from gateway.dicomweb.roots import Resources
from gateway.dicomweb.sending import (
    kept,
    mark,
    new_boundary,
    part_end,
    part_head,
    send_one,
    send_parts,
    send_stream,
)
from gateway.dicomweb.stored import Segment, held_of, instance_of, stream, study_of
from gateway.http import web_of
from gateway.leaving import identity_of
from gateway.store import ObjectStore, mapped
from interfaces.dicom.coercion import Identity, Piece, coerced, size_of
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN, LOSSLESS
from worklist.errors import BadInput, NotFound
from worklist.queries.imaging import HeldInstance, OpenStudy

router = Resources()


@router.at("/studies/{study_uid}")
@router.at("/studies/{study_uid}/series/{series_uid}")
async def objects(request: Request) -> Response:
    """All objects of a study or a series, in parts. An object that is asked for in a transfer syntax that cannot be
    made of it ends the answer early, unless it is the first one: then the whole request is refused."""
    study = await study_of(request)
    series_uid = request.path_params.get("series_uid", "")
    held = await held_of(request, study, series_uid)
    if not held:
        raise NotFound("no_such_series" if series_uid else "no_such_study")
    forms = [object_form(request, one.transfer_syntax_uid, single=False) for one in held]
    etag = mark("objects", study.identity, [(one.sha256, form) for one, form in zip(held, forms, strict=True)])
    if (already := kept(request, etag)) is not None:
        return already
    insisting = names_syntax(request)
    first = await _leaving(request, study, held[0], forms[0], insisting)
    boundary = new_boundary()

    async def parts() -> AsyncIterator[bytes]:
        for index, (one, form) in enumerate(zip(held, forms, strict=True)):
            form, segments = first if index == 0 else await _leaving(request, study, one, form, insisting)
            yield part_head(boundary, form)
            async for piece in stream(web_of(request), segments):
                yield piece
            yield b"\r\n"
        yield part_end(boundary)

    return send_stream(request, parts(), DICOM, boundary, etag)


@router.at(INSTANCE)
async def instance(request: Request) -> Response:
    """One object: in one part, or by itself where that is asked for."""
    study, held = await instance_of(request)
    form = object_form(request, held.transfer_syntax_uid, single=True)
    etag = mark("object", study.identity, held.sha256, form)
    if (already := kept(request, etag)) is not None:
        return already
    form, segments = await _leaving(request, study, held, form, names_syntax(request))
    if form.multipart:
        return await send_parts(request, [(form, segments)], etag)
    name = f'attachment; filename="{held.sop_instance_uid}.dcm"'  # a UID: checked when it came
    return await send_one(request, segments, DICOM, etag, {"Content-Disposition": name})


async def _leaving(
    request: Request, study: OpenStudy, held: HeldInstance, form: Form, insisting: bool
) -> tuple[Form, list[Segment]]:
    """The form that an object really leaves in, and its bytes."""
    store, identity = web_of(request).store, identity_of(study)
    if form.bytes != "decoded" or (not insisting and held.transfer_syntax_uid not in LOSSLESS):
        stored = Form(DICOM, held.transfer_syntax_uid, form.multipart, "stored")
        return stored, await asyncio.to_thread(_as_stored, store, held, identity)
    try:
        return form, await in_turn(_decoded, store, held, identity)
    except (NotAcceptable, TooMuch):
        if insisting:
            raise
    stored = Form(DICOM, held.transfer_syntax_uid, form.multipart, "stored")
    return stored, await asyncio.to_thread(_as_stored, store, held, identity)


def _as_stored(store: ObjectStore, held: HeldInstance, identity: Identity) -> list[Segment]:
    pieces = _coerced(mapped(store, held.store_key), identity)
    return [piece if isinstance(piece, bytes) else (held.store_key, *piece) for piece in pieces]


def _decoded(store: ObjectStore, held: HeldInstance, identity: Identity) -> list[Segment]:
    file = mapped(store, held.store_key)
    pieces = _coerced(file, identity)
    if size_of(pieces) > MOST_MADE:
        raise TooMuch("too_much_asked", limit=MOST_MADE)
    whole = [piece if isinstance(piece, bytes) else file[piece[0] : sum(piece)] for piece in pieces]
    try:
        return list(children().plain_object(whole, EXPLICIT_LITTLE_ENDIAN))
    except BadInput as error:
        raise NotAcceptable("cannot_transcode", transfer_syntax=EXPLICIT_LITTLE_ENDIAN) from error


def _coerced(file: memoryview, identity: Identity) -> list[Piece]:
    try:
        return coerced(file, identity)
    except BadInput as error:  # without its right identity it does not leave
        raise NotAcceptable(error.code, **error.params) from error
