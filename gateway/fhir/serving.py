"""The addresses of the FHIR door: ``/fhir/metadata``, and read and search of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from gateway.dicomweb.answers import WrongMediaType
from gateway.fhir import operations, search
from gateway.fhir.answers import BASE, answer, media_type
from gateway.fhir.asking import Asking, Looking, asking
from gateway.fhir.kinds import KINDS, Kind
from gateway.fhir.search import Looked
from interfaces.fhir.capability import Served, capability_statement
from interfaces.fhir.checking import to_json
from worklist.actions import looking
from worklist.errors import NotFound
from worklist.people import Actor

SINCE: Final = "2026-11-23"
"""When the table of kinds last changed."""

router = APIRouter(include_in_schema=False)


@router.get(f"{BASE}/metadata", openapi_extra=operations.metadata())
async def metadata(request: Request) -> Response:
    """What is served. Anybody may ask: it says nothing of anybody."""
    form = media_type(request)
    served = [
        Served(
            kind.name,
            # A modifier and a chain are no parameters of their own.
            [(name, p.type, p.words) for name, p in kind.parameters.items() if ":" not in name and "." not in name],
            list(kind.includes),
            list(kind.reverse_includes),
        )
        for kind in KINDS.values()
    ]
    base = str(request.base_url).rstrip("/") + BASE
    return await answer(request, to_json(capability_statement(base, request.app.version, SINCE, served)), form)


def _searching(kind: Kind) -> Callable[..., Awaitable[Response]]:
    async def endpoint(request: Request, by: Looking) -> Response:
        form = media_type(request)
        items = list(request.query_params.multi_items())
        if request.method == "POST":
            items += await _form(request)
        lenient = "handling=lenient" in request.headers.get("prefer", "").replace(" ", "")
        return await answer(request, await asyncio.to_thread(_found, request, by, kind, items, lenient=lenient), form)

    return endpoint


def _reading(kind: Kind) -> Callable[..., Awaitable[Response]]:
    async def endpoint(request: Request, by: Looking) -> Response:
        form = media_type(request)
        id = request.path_params[kind.place]
        return await answer(request, await asyncio.to_thread(_one, request, by, kind, id), form)

    return endpoint


for _kind in KINDS.values():
    for _path, _method, _endpoint, _extra in (
        ("", "GET", _searching(_kind), operations.searching(_kind)),
        ("/_search", "POST", _searching(_kind), operations.posting_search(_kind)),
        (f"/{{{_kind.place}}}", "GET", _reading(_kind), operations.reading(_kind)),
    ):
        router.add_api_route(
            f"{BASE}/{_kind.name}{_path}", _endpoint, methods=[_method], response_class=Response, openapi_extra=_extra
        )


async def _form(request: Request) -> list[tuple[str, str]]:
    """The parameters in a body (R4 3.1.1.1.1). Of another type, a filter would be passed over."""
    if not request.headers.get("content-type", "").lower().startswith(operations.FORM):
        if await request.body():
            raise WrongMediaType("search_wants_form")
        return []
    return [(name, value) for name, value in (await request.form()).multi_items() if isinstance(value, str)]


def _found(request: Request, by: Actor, kind: Kind, items: Sequence[tuple[str, str]], *, lenient: bool) -> bytes:
    ask = asking(request, by)
    asked = search.read(items, kind, ask, lenient=lenient)
    bundle, looked = search.answer(ask, asked, items)
    _note(ask, looked, kind.name)
    return to_json(bundle)


def _one(request: Request, by: Actor, kind: Kind, id: str) -> bytes:
    if not (id.isascii() and id.replace("-", "").isalnum()):
        raise NotFound(kind.missing)
    ask = asking(request, by)
    shown, looked = search.companions(ask, kind, [id])
    resource = next((resource for resource in shown if resource["id"] == id), None)
    if resource is None:
        raise NotFound(kind.missing)
    _note(ask, looked)
    return to_json(resource)


def _note(ask: Asking, looked: Sequence[Looked], searched: str = "") -> None:
    """Put on record what somebody was given, and that they searched."""
    now = ask.web.clock()

    def write(session: Session) -> None:
        looking.note_records(session, ask.by, looked, now)
        if searched:
            looking.note_record_search(session, ask.by, searched, now)

    ask.web.database.write(write)
