"""QIDO-RS (DICOM PS3.18 10.6): studies, series and objects that the caller may see, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.dicomweb import keys
from gateway.dicomweb.access import caller_of, looking_actor, note_search, opened_all
from gateway.dicomweb.answers import json_answer, json_type, warning
from gateway.dicomweb.keys import CONTINUE, Level
from gateway.dicomweb.roots import Resources, base_url, root_of
from gateway.dicomweb.rows import Shown, instance_row, series_row, study_row
from gateway.http import web_of
from interfaces.dicom.dicom_json import encode
from interfaces.dicom.uids import is_valid_uid
from worklist.errors import NotFound
from worklist.queries import image_search
from worklist.queries.image_search import Wanted
from worklist.queries.image_views import Found, Place

REMEMBERED: Final = timedelta(minutes=10)
MOST_PLACES: Final = 10_000

router = Resources()

_SEARCHES: Final[dict[Level, tuple[Callable[[Session, Wanted], Found[Any]], Callable[[Any, Shown], Any]]]] = {
    "study": (image_search.studies, study_row),
    "series": (image_search.series, series_row),
    "instance": (image_search.instances, instance_row),
}


@dataclass
class Places:
    """Where pages ended that this process has answered, so that a client that counts with ``offset`` is served as
    well as one that follows the links: (caller, search) → offset → place."""

    known: dict[tuple[Any, ...], tuple[datetime, Place]] = field(default_factory=dict)

    def find(self, key: tuple[Any, ...], now: datetime) -> Place | None:
        """The place behind `key`'s rows, if a page that ended there was answered lately."""
        at, place = self.known.get(key, (None, None))
        return place if at is not None and timedelta() <= now - at < REMEMBERED else None

    def keep(self, key: tuple[Any, ...], place: Place, now: datetime) -> None:
        """Remember where a page ended; the oldest are forgotten."""
        self.known.pop(key, None)
        self.known[key] = (now, place)
        while len(self.known) > MOST_PLACES:
            self.known.pop(next(iter(self.known)), None)


@router.at("/studies")
async def studies(request: Request) -> Response:
    """Search for studies."""
    return await _search(request, "study")


@router.at("/series")
@router.at("/studies/{study_uid}/series")
async def series(request: Request) -> Response:
    """Search for series, in all studies or in one; 404 where that is not theirs."""
    return await _search(request, "series")


@router.at("/instances")
@router.at("/studies/{study_uid}/instances")
@router.at("/studies/{study_uid}/series/{series_uid}/instances")
async def instances(request: Request) -> Response:
    """Search for objects, in all studies, in one, or in one series; 404 where the study is not theirs."""
    return await _search(request, "instance")


async def _search(request: Request, level: Level) -> Response:
    root, path = root_of(request), request.path_params
    by = await looking_actor(request)
    media_type = json_type(request)
    study_uid, series_uid = path.get("study_uid", ""), path.get("series_uid", "")
    asked = keys.read(request.query_params.multi_items(), level, study_uid=study_uid, series_uid=series_uid)
    if study_uid:
        await opened_all(request, root, study_uid)
        if series_uid and not is_valid_uid(series_uid):
            raise NotFound("no_such_series")
    else:
        await note_search(request, by)
    web = web_of(request)
    now = web.clock()
    places, key = _places_of(request), (caller_of(request), request.url.path, asked.matching)
    after, offset = asked.after, asked.offset
    if offset and (known := places.find((*key, offset), now)) is not None:
        after, offset = known, 0
    shown = Shown(
        base_url(request), root, frozenset(asked.fields), asked.every_field, bool(study_uid) + bool(series_uid)
    )
    wanted = Wanted(by, root, asked.query, now, asked.limit, after, offset)
    found, body = await asyncio.to_thread(web.database.read, lambda session: _answer(session, level, wanted, shown))
    headers = {}
    if found.next is not None:
        if asked.after is None:
            places.keep((*key, asked.offset + len(found.rows)), found.next, now)
        asked.warnings.append("There are additional results; the Link header says where they go on.")
        headers["Link"] = f'<{_next_page(request, found.next)}>; rel="next"'
    if asked.warnings:
        headers["Warning"] = ", ".join(warning(text) for text in asked.warnings)
    return await json_answer(request, body, media_type=media_type, headers=headers)


def _answer(session: Session, level: Level, wanted: Wanted, shown: Shown) -> tuple[Found[Any], bytes]:
    search, row = _SEARCHES[level]
    found = search(session, wanted)
    return found, encode([row(hit, shown) for hit in found.rows])


def _next_page(request: Request, place: Place) -> str:
    kept = [(n, v) for n, v in request.query_params.multi_items() if n not in (CONTINUE, "offset")]
    return f"{request.url.path}?{urlencode([*kept, (CONTINUE, keys.token_of(place))])}"


def _places_of(request: Request) -> Places:
    state = request.app.state
    if not hasattr(state, "dicomweb_search_places"):
        state.dicomweb_search_places = Places()
    found = state.dicomweb_search_places
    assert isinstance(found, Places)  # noqa: S101 - set above
    return found
