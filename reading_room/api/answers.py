"""How the API says no: ``{"error": {"code", "params", "message"}}`` with the right HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from gateway import fhir
from gateway.http import NotSignedIn
from reading_room.error_words import error_text
from reading_room.words import Words, language_of
from worklist.errors import BadInput, Broken, Conflict, Forbidden, HurenError, NotFound, Refused, TryLater
from worklist.people import Actor

STATUS: Final[tuple[tuple[type[HurenError], int], ...]] = (
    (NotSignedIn, 401),
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (BadInput, 422),
    (Refused, 400),
    (TryLater, 503),
    (Broken, 500),
)
RETRY_AFTER: Final = "5"  # seconds


class ErrorBody(BaseModel):
    """Why a request was declined."""

    code: str = Field(description="Stable and lower case; a program decides by this.")
    params: dict[str, Any] = Field(description="Values that belong to the code, such as the present `revision`.")
    message: str = Field(description="For a person, in their language.")


class ErrorAnswer(BaseModel):
    """The body of every answer that is not 2xx."""

    error: ErrorBody


def status_of(error: HurenError) -> int:
    """The HTTP status for an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def understood(error: Exception) -> tuple[int, str, Mapping[str, object]]:
    """(HTTP status, code, params) of anything that an endpoint or the framework raises."""
    if isinstance(error, HurenError):
        return status_of(error), error.code, error.params
    if isinstance(error, RequestValidationError):
        if any(e["type"] == "json_invalid" for e in error.errors()):
            return 400, "request_malformed", {}
        # Names only: the values may be clinical, or not even text.
        names = dict.fromkeys(".".join(str(part) for part in e["loc"][1:]) or "body" for e in error.errors())
        return 422, "fields_wrong", {"fields": ", ".join(_printable(name) for name in list(names)[:20])}
    if isinstance(error, HTTPException):
        code = {404: "page_not_found", 405: "method_not_allowed", 408: "body_too_slow", 413: "body_too_large"}.get(
            error.status_code, "request_malformed"
        )
        return error.status_code, code, {}
    return 500, "unexpected_error", {}


def refusal(request: Request, error: Exception, status: int | None = None) -> JSONResponse:
    """The answer to a request that was declined, in the language of whoever asked. A door whose standard wants another
    `status` than the API gives says so."""
    usual, code, params = understood(error)
    status = status or usual
    shown = {name: _plain(value) for name, value in params.items()}
    body = {"error": {"code": code, "params": shown, "message": error_text(code, params, _words(request))}}
    return JSONResponse(body, status_code=status, headers=_headers(error, status))


def refused_resource(request: Request, error: Exception) -> Response:
    """The same as FHIR says it: an OperationOutcome."""
    usual, code, params = understood(error)
    status, body = fhir.declined(error, usual, code, error_text(code, params, _words(request)))
    return Response(body, status, _headers(error, status), media_type=fhir.JSON)


def _words(request: Request) -> Words:
    found = getattr(request.state, "actor", None)
    return Words(language_of(request, found if isinstance(found, Actor) else None))


def _headers(error: Exception, status: int) -> dict[str, str]:
    headers = dict(getattr(error, "headers", None) or {})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    elif status == 503:
        headers["Retry-After"] = RETRY_AFTER
    return headers


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | float | None) else _printable(str(value))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
