"""The web application: the people's floor and the probes, put together."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.http import Web
from huren.migrate import current, newest
from reading_room.rooms import add_routes
from worklist.actions.installation import bound_store
from worklist.database import ping
from worklist.errors import HurenError


def create_app(web: Web) -> FastAPI:
    """Build the application around what `web` holds. Nothing is opened or started here."""
    app = FastAPI(title="Huren", version="1", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    app.state.web = web
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready, include_in_schema=False)
    add_routes(app)
    return app


def _alive() -> JSONResponse:
    return JSONResponse({"status": "alive"})


def _ready(request: Request) -> JSONResponse:
    """Whether this process can do its work now, and why not."""
    web: Web = request.app.state.web
    reasons = []
    try:
        web.database.read(ping)
        revision = web.database.read(lambda s: current(s.connection()))
        if revision != newest():
            reasons.append(f"database is at revision {revision or 'none'}, this program needs {newest()}")
    except HurenError as error:
        reasons.append(f"database: {error.code}")
    try:
        if web.store.marker() != web.database.read(bound_store):
            reasons.append("object store: not the one that this database refers to")
    except (HurenError, OSError):
        reasons.append("object store: not readable")
    return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)
