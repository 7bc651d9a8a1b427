"""Everything that people and their programs reach over HTTP, put onto one app."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from gateway import dicomweb, fhir
from gateway.dicomweb.roots import is_dicomweb
from gateway.http import HEADERS, NotReady, NotSignedIn, page_for, protect, wants_json
from reading_room import api, pages
from reading_room.api import answers
from reading_room.packing import PackedFiles
from reading_room.pages.frame import error_page
from worklist.errors import Broken, HurenError

log = structlog.get_logger(__name__)

STATIC: Final = Path(__file__).parent / "static"


def add_routes(app: FastAPI) -> None:
    """Mount the API, the pages and the static files, with limits, headers and error answers.

    `app` was made with ``openapi_url="/api/openapi.json", docs_url=None, redoc_url=None`` (the built-in
    documentation pages load scripts from elsewhere) and carries ``app.state.web``.
    """
    protect(app)
    for router in api.ROUTERS:
        app.include_router(router, prefix="/api")
    for router in dicomweb.ROUTERS:
        app.include_router(router)
    for router in fhir.ROUTERS:
        app.include_router(router)
    for router in pages.routers:
        app.include_router(router)
    app.mount("/static", PackedFiles(directory=STATIC), name="static")
    app.add_exception_handler(HurenError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(Exception, _fail)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, NotSignedIn | NotReady) and not wants_json(request):
        return page_for(request, error)
    if isinstance(error, Broken):
        log.error("request broke", code=error.code, method=request.method, path=_pattern(request))
    return await _answer(request, error)


async def _fail(request: Request, error: Exception) -> Response:
    """An error that nobody foresaw: it is logged, and the person learns only that it happened."""
    log.error("request broke", error=type(error).__name__, method=request.method, path=_pattern(request))
    answer = await _answer(request, Broken("unexpected_error"))
    for name, value in HEADERS.items():  # this answer is given outside all middleware
        answer.headers.setdefault(name, value)
    return answer


def _pattern(request: Request) -> str:
    """The route's pattern: what was asked for could carry a person's name."""
    return str(getattr(request.scope.get("route"), "path", ""))


async def _answer(request: Request, error: Exception) -> Response:
    """A refusal as JSON for programs, as a page for people."""
    if fhir.is_fhir(request):
        return answers.refused_resource(request, error)
    if wants_json(request):
        status = dicomweb.status_of(error) if is_dicomweb(request) else None
        return answers.refusal(request, error, status)
    return await run_in_threadpool(error_page, request, error)
