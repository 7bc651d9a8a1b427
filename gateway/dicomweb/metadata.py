"""WADO-RS metadata of a study, a series or an object (PS3.18 10.4.1.1.2): prepared lines, else made on the fly."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.dicomweb.answers import json_answer, json_type
from gateway.dicomweb.lines import Line, Shown, bare, describe, unpack
from gateway.dicomweb.roots import Resources, base_url, path_of, root_of
from gateway.dicomweb.sending import headers, kept, mark
from gateway.dicomweb.stored import places_of, study_of
from gateway.http import web_of
from gateway.store import ObjectStore
from interfaces.dicom.frames import FrameMap
from worklist.errors import BadInput, Broken, NotFound
from worklist.queries.imaging import HeldInstance, OpenStudy, held_instances, prepared_series
from worklist.queries.preparing import assumed_character_sets

log = structlog.get_logger(__name__)
router = Resources()


@dataclass(frozen=True)
class _Wanted:
    """Objects to be described, where prepared lines of them are kept, and what devices' texts are taken for."""

    held: list[HeldInstance]
    prepared: list[str]
    assumed: dict[str, str]  # by instance id, where there is something to assume


@router.at("/studies/{study_uid}/metadata")
@router.at("/studies/{study_uid}/series/{series_uid}/metadata")
@router.at("/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}/metadata")
async def metadata(request: Request) -> Response:
    """All attributes of the objects but their bulk values, as an array in DICOM JSON."""
    study = await study_of(request)
    media_type = json_type(request)
    web, named = web_of(request), request.path_params
    wanted = await asyncio.to_thread(web.database.read, lambda session: _wanted(session, study, named))
    if not wanted.held:
        missing = "no_such_instance" if "instance_uid" in named else "no_such_series"
        raise NotFound(missing)
    prefix = _address(request, study)
    etag = mark(prefix, media_type, study.identity, *((held.id, held.sha256) for held in wanted.held))
    if (already := kept(request, etag)) is not None:
        return already
    body, maps = await asyncio.to_thread(_answer, web.store, study, wanted, prefix)
    places = places_of(request)
    places.keep_held(study.id, wanted.held)
    for store_key, found in maps:
        places.keep_frames(store_key, found)
    said = headers(etag)
    said["Vary"] += ", Accept-Encoding"
    return await json_answer(request, body, media_type=media_type, headers=said)


def _address(request: Request, study: OpenStudy) -> str:
    """Where the study lies for the caller. A program gets whole addresses; a browser finds its way from a path, and
    a proxy that hides our scheme cannot mislead it."""
    path = f"{path_of(root_of(request))}/studies/{study.study_instance_uid}"
    return base_url(request) + path if "Authorization" in request.headers else path


def _wanted(session: Session, study: OpenStudy, named: dict[str, str]) -> _Wanted:
    series_uid, instance_uid = named.get("series_uid", ""), named.get("instance_uid", "")
    held = held_instances(session, study.id, series_instance_uid=series_uid, sop_instance_uid=instance_uid)
    # For one object alone it is not worth reading the lines of its whole series.
    prepared = [] if instance_uid else [key for *_, key in prepared_series(session, study.id, series_uid)]
    return _Wanted(held, prepared, assumed_character_sets(session, study.id))


def _answer(
    store: ObjectStore, study: OpenStudy, wanted: _Wanted, prefix: str
) -> tuple[bytes, list[tuple[str, FrameMap]]]:
    lines = _lines(store, wanted.prepared)
    shown, made, maps = Shown(study, prefix), [], []
    for held in wanted.held:
        line = lines.get(held.id)
        if line is None or line.store_key != held.store_key:
            line = _describe(store, study, held, wanted.assumed.get(held.id, ""))
        made.append(shown.instance(line, held.series_instance_uid))
        if (found := line.frame_map()) is not None:
            maps.append((held.store_key, found))
    return b"[" + b",".join(made) + b"]", maps


def _lines(store: ObjectStore, store_keys: list[str]) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for store_key in store_keys:
        try:
            found |= {line.instance_id: line for line in unpack(store.read(store_key))}
        except Broken as error:  # made anew meanwhile, and the old ones are gone
            log.warning("prepared_series_missing", key=store_key, error=error.code)
    return found


def _describe(store: ObjectStore, study: OpenStudy, held: HeldInstance, assumed: str) -> Line:
    try:
        return describe(store, held.id, held.store_key, assumed)
    except (BadInput, Broken) as error:
        log.warning("object_not_described", instance=held.id, error=error.code)
        known = {
            "00080016": ("UI", held.sop_class_uid),
            "00080018": ("UI", held.sop_instance_uid),
            "0020000D": ("UI", study.study_instance_uid),
            "0020000E": ("UI", held.series_instance_uid),
            "00200013": ("IS", held.number),
        }
        return bare(held.id, held.store_key, known)
