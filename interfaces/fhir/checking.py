"""Resources as bytes. What is not as the standard says is found here, not at the receiver."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from interfaces.fhir.elements import Resource
from worklist.errors import Broken


def to_json(resource: Resource) -> bytes:
    """The resource as JSON (R4 2.6.2), held against the R4B models of fhir.resources: what we use is the same in R4.

    Raises
    ------
    Broken
        as `check`.
    """
    check(resource)
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


def check(resource: Resource) -> None:
    """Hold a resource against its model.

    Raises
    ------
    Broken
        ``resource_invalid`` with the kind and the places of what is wrong, never a value.
    """
    from pydantic import ValidationError

    kind = str(resource["resourceType"])
    try:
        _model(kind).model_validate(resource)
    except ValidationError as error:
        places = {".".join(str(part) for part in e["loc"]) for e in error.errors(include_input=False)}
        # Without its cause: pydantic's errors quote the value, and errors reach logs.
        raise Broken("resource_invalid", kind=kind, places=", ".join(sorted(places)[:5])) from None


@lru_cache
def _model(kind: str) -> Any:
    from fhir.resources.R4B import get_fhir_model_class  # takes a quarter of a second, once something is asked for

    return get_fhir_model_class(kind)
