"""What the description of the door (OpenAPI 3.1) says of a route, from the table of kinds that it serves by."""

from __future__ import annotations

from typing import Any, Final

from gateway.fhir.answers import FORMAT, FORMATS
from gateway.fhir.kinds import Kind
from gateway.fhir.search import COUNT, CURSOR, INCLUDES, MOST, PLACE, USUAL
from gateway.fhir.searched import Parameter
from interfaces.fhir import parameters
from interfaces.fhir.capability import JSON

FORM: Final = "application/x-www-form-urlencoded"
Operation = dict[str, Any]

_WHY: Final = {
    400: "Malformed, or a parameter or value that is none here.",
    401: "Nobody is signed in.",
    403: "The token is not made for this.",
    404: "There is none that the asker may see.",
    406: "Another form than JSON is asked for.",
    408: "The body was too slow.",
    413: "The body is too large.",
    415: "The body has another media type.",
    422: "The Bundle cannot be taken; its answer says why.",
    503: "Later: the server is busy.",
}
_DATES: Final = rf"^(?:{parameters.DATE.pattern})(?:,(?:{parameters.DATE.pattern}))*$"
_HEADERS: Final = {
    "If-None-Match": "The ETag of what the asker has: answered with 304 where nothing has changed.",
    "Prefer": "`handling=lenient` passes over unknown parameters, which are refused otherwise.",
}


def metadata() -> Operation:
    """Of the CapabilityStatement."""
    said = _operation("What is served. Asks nobody who they are.", "CapabilityStatement", 304, 400, 406)
    return said | {"parameters": [_FORMAT, _header("If-None-Match")], "security": []}


def reading(kind: Kind) -> Operation:
    """Of one resource by its id."""
    said = _operation(f"Read one {kind.name}.", kind.name, 304, 400, 401, 403, 404, 406, 503)
    place = {"name": kind.place, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return said | {"parameters": [place, _FORMAT, _header("If-None-Match")]}


def searching(kind: Kind) -> Operation:
    """Of a search whose parameters stand in the address."""
    said = _operation(f"Search for {kind.name}, newest first.", "Bundle", 304, 400, 401, 403, 406, 503)
    return said | {"parameters": [*_asked(kind), _FORMAT, _header("Prefer"), _header("If-None-Match")]}


def posting_search(kind: Kind) -> Operation:
    """Of the same search with its parameters in the body."""
    said = _operation(
        f"Search for {kind.name} with numbers and names in the body.", "Bundle", 400, 401, 403, 406, 408, 413, 415, 503
    )
    fields = {one["name"]: one["schema"] | {"description": one["description"]} for one in _asked(kind)}
    form = {"type": "object", "properties": fields, "additionalProperties": False}
    body = {"content": {FORM: {"schema": form}}}
    return said | {"parameters": [_FORMAT, _header("Prefer")], "requestBody": body}


def handing_in() -> Operation:
    """Of a Bundle of results."""
    said = _operation(
        "Take results of another region, all or none. Needs a token with the scope `results`.",
        "Bundle",
        *(400, 401, 403, 406, 408, 413, 422, 503),
    )
    body = {"required": True, "content": {JSON: {"schema": resource("Bundle")}}}
    return said | {"parameters": [_FORMAT], "requestBody": body}


def resource(kind: str) -> dict[str, str]:
    """A reference to the schema of a kind of resource."""
    return {"$ref": f"#/components/schemas/{kind}"}


def _operation(summary: str, answer: str, *others: int) -> Operation:
    responses = {"200": {"description": answer, "content": {JSON: {"schema": resource(answer)}}}}
    for status in others:
        if status == 304:
            responses["304"] = {"description": "As the asker has it."}
        else:
            content = {JSON: {"schema": resource("OperationOutcome")}}
            responses[str(status)] = {"description": _WHY[status], "content": content}
    return {"summary": summary, "responses": responses}


def _asked(kind: Kind) -> list[dict[str, Any]]:
    """Every parameter of a search. A repeated one means "and", a comma in a value "or"."""
    found = [_query(name, parameter.words, _several(_value(parameter))) for name, parameter in kind.parameters.items()]
    for name, table in INCLUDES.items():
        if names := sorted(getattr(kind, table)):
            found.append(_query(name, "What comes along.", _several({"type": "string", "enum": names})))
    count = {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": USUAL}
    place = {"type": "string", "pattern": f"^(?:{PLACE.pattern})$"}
    return [
        *found,
        _query(COUNT, f"Resources of a page; more than {MOST} are {MOST}.", count),
        _query(CURSOR, "Where a page begins, as the `next` link has it.", place),
    ]


def _value(parameter: Parameter) -> dict[str, Any]:
    if parameter.type == "date":
        return {"type": "string", "pattern": _DATES, "maxLength": parameters.LONGEST}
    return {"type": "string", "minLength": 1, "maxLength": parameters.LONGEST}


def _several(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _query(name: str, words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": words, "schema": schema}


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": _HEADERS[name], "schema": {"type": "string"}}


_FORMAT: Final = _query(FORMAT, "The form of the answer, before the Accept header.", {"enum": sorted(FORMATS)})
