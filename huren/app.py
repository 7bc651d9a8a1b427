"""The web application: the people's floor, the probes and the metrics, put together."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.http import Acting, Served, Web
from gateway.meters import PROCESS
from huren import readiness
from huren.metrics import Waiting, registry
from huren.settings import Settings
from reading_room.rooms import add_routes
from worklist.queries.scope import require_watch


def create_app(web: Web, settings: Settings | None = None, *, is_alone: bool = True) -> FastAPI:
    """Build the application around what `web` holds. Nothing is opened or started here.

    `is_alone`: no other process answers behind this port, so that its metrics tell what the process counts as well.
    """
    app = FastAPI(title="Huren", version="1", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None)
    app.state.web = web
    app.state.settings = settings or Settings(data=web.seals.parent)
    app.state.is_alone = is_alone
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.add_api_route("/readyz", _ready, include_in_schema=False)
    app.add_api_route("/metrics", _metrics, include_in_schema=False)
    add_routes(app)
    return app


def _alive() -> JSONResponse:
    return JSONResponse({"status": "alive"})


def _ready(request: Request, web: Served) -> JSONResponse:
    """Whether this process can do its work now, and why not."""
    checks = readiness.look(web, request.app.state.settings)
    status = readiness.status_of(checks)
    said = {
        "ready": status != "not ready",
        "status": status,
        "reasons": [f"{check.name}: {check.text}" for check in checks if not check.ok],
        "checks": [asdict(check) for check in checks],
    }
    return JSONResponse(said, status_code=503 if status == "not ready" else 200)


def _metrics(request: Request, web: Served, actor: Acting) -> Response:
    """What waits, for Prometheus. A proxy on this machine looks like a caller from this machine, so everybody must
    show who they are; the port for metrics asks nobody."""
    require_watch(actor)
    state = request.app.state
    shown = registry(Waiting(state.settings, web.database, web.clock, actor), *((PROCESS,) if state.is_alone else ()))
    return Response(generate_latest(shown), media_type=CONTENT_TYPE_LATEST)
