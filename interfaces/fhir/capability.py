"""CapabilityStatement (FHIR R4): what the door serves, told from the same table that it serves by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interfaces.fhir.elements import Resource, made

FHIR_VERSION: Final = "4.0.1"
JSON: Final = "application/fhir+json"


@dataclass(frozen=True)
class Served:
    """One kind of resource: its search parameters as (name, type, words), and what may come along."""

    kind: str
    parameters: Sequence[tuple[str, str, str]]
    includes: Sequence[str]
    reverse_includes: Sequence[str] = ()


def capability_statement(base: str, version: str, since: str, served: Sequence[Served]) -> Resource:
    """What is served at `base` since the date `since`, by this version of Huren."""
    return made(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": since,
            "kind": "instance",
            "software": {"name": "Huren", "version": version},
            "implementation": {"description": "Orders, images and reports of a county's hospitals", "url": base},
            "fhirVersion": FHIR_VERSION,
            "format": [JSON],
            "rest": [
                {
                    "mode": "server",
                    "documentation": "Everything is within what the token's owner may see. Resources are read only; a "
                    "transaction or document brings results of other regions, which are kept as such.",
                    "security": {
                        "description": "Bearer token with the scope `read` or `read cases`; `results` to hand in."
                    },
                    "interaction": [{"code": "transaction"}],
                    "resource": [_resource(kind) for kind in served],
                }
            ],
        }
    )


def _resource(served: Served) -> Mapping[str, object]:
    return {
        "type": served.kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "readHistory": False,
        "conditionalRead": "not-match",
        "searchInclude": list(served.includes),
        "searchRevInclude": list(served.reverse_includes),
        "searchParam": [
            {"name": name, "type": kind, "documentation": words} for name, kind, words in served.parameters
        ],
    }
