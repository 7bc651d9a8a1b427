"""The door describes itself (OpenAPI 3.1) beside its CapabilityStatement: every route with what `operations` says.

Nothing is written down twice: paths and methods are the routes' own, parameters are those of the table of kinds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from gateway.fhir.answers import BASE
from gateway.fhir.kinds import KINDS
from gateway.fhir.receiving import router as incoming
from gateway.fhir.serving import router as serving

router = APIRouter(include_in_schema=False)


@router.get(f"{BASE}/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """What is served, for programs that know no FHIR. Anybody may ask: it says nothing of anybody."""
    return JSONResponse(description(request.app.version))


@lru_cache
def description(version: str) -> dict[str, Any]:
    """The description of every route of the door."""
    paths: dict[str, dict[str, Any]] = {}
    for route in (*serving.routes, *incoming.routes):
        if isinstance(route, APIRoute):
            methods = paths.setdefault(route.path, {})
            methods |= {method.lower(): route.openapi_extra or {} for method in sorted(route.methods or ())}
    kinds = (*KINDS, "Bundle", "CapabilityStatement", "OperationOutcome")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Huren FHIR",
            "version": version,
            "description": "FHIR R4 (4.0.1) in JSON; `application/json` where the Accept header asks for it.",
        },
        "paths": paths,
        "components": {
            "schemas": {kind: _schema(kind) for kind in kinds},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Scope `read`, `read cases` or `results`."}
            },
        },
        "security": [{"token": []}],
    }


def _schema(kind: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"As FHIR R4 says: https://hl7.org/fhir/R4/{kind.lower()}.html",
        "properties": {"resourceType": {"const": kind}},
        "required": ["resourceType"],
    }
