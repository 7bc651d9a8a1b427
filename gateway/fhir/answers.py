"""How FHIR answers (R4 3.1.0): JSON alone, a weak ETag over what is said, and an OperationOutcome for every no."""

from __future__ import annotations

import hashlib
from typing import Final

from fastapi import Request, Response

from gateway.dicomweb import status_of
from gateway.dicomweb.answers import JSON, NotAcceptable, choose, json_answer
from interfaces.fhir.bundles import outcome
from interfaces.fhir.capability import JSON as FHIR_JSON
from interfaces.fhir.checking import to_json
from interfaces.fhir.elements import Resource

BASE: Final = "/fhir"
FORMAT: Final = "_format"
FORMATS: Final = frozenset({"json", JSON, FHIR_JSON, FHIR_JSON.replace("+", " ")})  # a "+" may arrive as a space


def is_fhir(request: Request) -> bool:
    """Whether a request is for these addresses."""
    return request.url.path == BASE or request.url.path.startswith(f"{BASE}/")


def media_type(request: Request) -> str:
    """The form of the answer: what ``_format`` asks for, else what the Accept header allows.

    Raises
    ------
    NotAcceptable, BadInput
        as `gateway.dicomweb.answers.choose`; XML and RDF are not made.
    """
    asked = request.query_params.get(FORMAT)
    if asked is None:
        return choose(request, FHIR_JSON, JSON)
    if asked not in FORMATS:
        raise NotAcceptable("nothing_acceptable", offered=FHIR_JSON)
    return FHIR_JSON


async def answer(request: Request, body: bytes, form: str) -> Response:
    """A resource as bytes, or 304 where the caller has the same already."""
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    known = [tag.strip() for tag in ",".join(request.headers.getlist("if-none-match")).split(",")]
    if request.method in ("GET", "HEAD") and (etag in known or "*" in known):
        return Response(status_code=304, headers=headers)
    return await json_answer(request, body, media_type=form, headers=headers)


def declined(error: Exception, usual: int, code: str, words: str) -> tuple[int, bytes]:
    """(HTTP status, OperationOutcome) of an error: `usual` is the status that the API gives, `words` are for people."""
    status = status_of(error) or usual
    said: Resource = outcome(status, code, words)
    return status, to_json(said)
