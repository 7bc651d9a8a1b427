"""Bundle and OperationOutcome (FHIR R4): several resources in one answer, and why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from interfaces.fhir.elements import Element, Resource, made

ISSUES: Final = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    408: "timeout",
    409: "conflict",
    413: "too-long",
    415: "not-supported",
    422: "processing",
    503: "transient",
}
"""HTTP status as issue-type."""


def found(
    base: str, own: str, following: str, matches: Sequence[Resource], included: Iterable[Resource] = ()
) -> Resource:
    """A page of a search (R4 3.1.1.5); `own` and `following` are addresses. It has no total: nobody counts what they
    do not read."""
    links = [{"relation": "self", "url": own}, {"relation": "next", "url": following}]
    return made(
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": [link for link in links if link["url"]],
            "entry": [
                *(_entry(base, resource) | {"search": {"mode": "match"}} for resource in matches),
                *(_entry(base, resource) | {"search": {"mode": "include"}} for resource in included),
            ],
        }
    )


def collection(base: str, identifier: Element, at: str, resources: Sequence[Resource]) -> Resource:
    """Resources that belong together; `at` is an instant."""
    entries = [_entry(base, resource) for resource in resources]
    return made(
        {"resourceType": "Bundle", "identifier": identifier, "type": "collection", "timestamp": at, "entry": entries}
    )


def taken(kinds: Sequence[str], code: str = "", words: str = "") -> Resource:
    """The answer to a Bundle that was taken (R4 3.1.0.11.2), an entry for each of its own; with a `code` it is kept and
    waits for a person."""
    response: Element = {"status": "202 Accepted" if code else "200 OK"}
    if code:
        issue = {"severity": "warning", "code": "informational", "details": {"text": words}, "diagnostics": code}
        response["outcome"] = {"resourceType": "OperationOutcome", "issue": [issue]}
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [{"response": response} for _kind in kinds],
    }


def outcome(status: int, code: str, words: str) -> Resource:
    """Why a request was declined: our code of the error, and the words for a person."""
    issue = "exception" if status >= 500 and status not in ISSUES else ISSUES.get(status, "invalid")
    return {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "fatal" if status == 500 else "error",
                "code": issue,
                "details": {"text": words},
                "diagnostics": code,
            }
        ],
    }


def _entry(base: str, resource: Resource) -> Element:
    return {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}
