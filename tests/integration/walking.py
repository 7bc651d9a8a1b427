"""Every route of the application with something put into its address: for tests that walk all of them.

A parameter that nobody has described here fails the walk, so that a new route is walked or at least thought about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select

from gateway import dicomweb, fhir
from reading_room import api, pages
from tests.world import World
from worklist import tables
from worklist.tables.base import Base, table_of

NOBODY: Final = "0" * 26

THINGS: Final[dict[str, str]] = {
    "absence_id": "Absence",
    "delivery_id": "Delivery",
    "device_id": "Device",
    "document_id": "PatientDocument",
    "file_id": "PartialFile",
    "instance_id": "Instance",
    "item_id": "CriticalItem",
    "archival_id": "Archival",
    "link_id": "PatientMerge",
    "merge_id": "PatientMerge",
    "message_id": "Message",
    "notice_id": "Notice",
    "channel_id": "NoticeChannel",
    "opening_id": "BreakGlass",
    "order_id": "Order",
    "outside_id": "OutsideReport",
    "patient_id": "Patient",
    "phrase_id": "Phrase",
    "qualification_id": "Qualification",
    "reading_id": "Reading",
    "recognition_id": "Recognition",
    "report_id": "Reading",
    "result_id": "CriticalResult",
    "sending_id": "NoticeSending",
    "session_id": "WebSession",
    "share_id": "Share",
    "set_aside_id": "SetAside",
    "shift_id": "Shift",
    "study_id": "Study",
    "suggestion_id": "MatchSuggestion",
    "task_id": "LateImages",
    "template_id": "ReportTemplate",
    "tariff_id": "Tariff",
    "token_id": "ApiToken",
    "upload_id": "Upload",
    "user_id": "User",
    "view_id": "SavedView",
    "center_id": "Center",
    "institution_id": "Institution",
    "procedure_id": "Procedure",
    "endpoint_id": "Endpoint",
    "return_id": "CaseReturn",
    "version_id": "ReportVersion",
}
"""What stands in an address under this name: a row of this table."""

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "verb": (
        *("save", "claim", "release", "submit", "sign", "preliminary", "return", "refer", "send-back", "take-over"),
        *("close", "critical", "join", "split", "withdraw", "correct", "give-up-correction", "cancel", "abandon"),
        *("confirm", "decline", "link", "reject", "unlink", "emergency", "identify", "documents", "remove-document"),
        *("acknowledge", "dispose", "given", "assign", "answer", "extend", "grade", "discontinued", "late"),
        *("again", "give-up"),
    ),
    "way": ("webhook", "e-mail"),
    "name": ("devices", "centers", "institutions", "waiting", "turnaround", "report-templates", "index.html"),
    "number": ("1",),
    "seq": ("1",),
    "place": ("findings",),
    "rest": ("anything/at/all",),
    "mode": ("viewer",),
    "link": (f"{NOBODY}-{'0' * 24}",),
    "edition": ("1",),
    "frames": ("1",),
    "fingerprint": ("ab" * 32,),
    "day": ("2026-03-02",),
    "month": ("2026-03",),
    "kind": ("pdf",),
    "key": ("columns",),
    "observation_id": ("00000000000000000000000000-findings",),
}
"""What is no row: some of what it can be."""

BY_ADDRESS: Final[tuple[tuple[str, str], ...]] = (
    ("/api/institutions/", "Institution"),
    ("/api/centers/", "Center"),
    ("/api/devices/", "Device"),
    ("/api/endpoints/", "Endpoint"),
    ("/api/procedures/", "Procedure"),
    ("/api/routes/", "Route"),
    ("/api/reader-groups/", "ReaderGroup"),
    ("/api/shifts/", "Shift"),
    ("/admin/endpoints/", "Endpoint"),
    ("/admin/set-aside/", "SetAside"),
    ("/admin/", "Device"),
)
"""Whose `{id}` or `{thing_id}` it is, where the name does not say."""


@dataclass(frozen=True)
class Walked:
    """One route with its parameters filled in."""

    method: str
    path: str  # of the route
    address: str
    route: APIRoute


def routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """(path, route) of everything that answers, each once."""
    known = [("/api", router) for router in api.ROUTERS]
    known += [("", router) for router in (*dicomweb.ROUTERS, *fhir.ROUTERS, *pages.routers)]
    mounted = [r.original_router for r in app.routes if hasattr(r, "original_router")]
    assert {id(r) for r in mounted} == {id(router) for _prefix, router in known}, "a router is mounted elsewhere"
    own = [(r.path, r) for r in app.routes if isinstance(r, APIRoute)]
    return own + [(prefix + r.path, r) for prefix, router in known for r in router.routes if isinstance(r, APIRoute)]


def walk(app: FastAPI, world: World, uids: dict[str, str]) -> Iterator[Walked]:
    """Every route and method with rows of the county in its address; `uids` for the DICOM addresses."""
    first = {name: _first(world, getattr(tables, table)) for name, table in THINGS.items() if hasattr(tables, table)}
    for path, route in routes(app):
        for address in _addresses(world, path, first | uids):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield Walked(method, path, address, route)


def body_of(app: FastAPI, walked: Walked) -> Any:
    """The smallest body that the API's description allows for this route; None where it wants none."""
    described = app.openapi()
    operation = described["paths"].get(walked.path, {}).get(walked.method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return _sample(content.get("schema"), described) if content else None


def _addresses(world: World, path: str, values: dict[str, str]) -> list[str]:
    found = [path]
    while any("{" in address for address in found):
        address = next(a for a in found if "{" in a)
        found.remove(address)
        raw = address[address.index("{") + 1 : address.index("}")]
        name = raw.partition(":")[0]
        if name in values:
            filled: tuple[str, ...] = (values[name],)
        elif name in WORDS:
            filled = WORDS[name]
        else:
            table = next((table for prefix, table in BY_ADDRESS if path.startswith(prefix)), "")
            assert table if name in {"id", "thing_id"} else False, f"say in {__name__} what {{{name}}} is in {path}"
            filled = (_first(world, getattr(tables, table)),)
        found += [address.replace("{" + raw + "}", value, 1) for value in filled]
    return found


def _first(world: World, table: type[Base]) -> str:
    """The key of a row that was there first: it belongs to the township and center that the county begins with."""
    column = next(iter(table_of(table).primary_key))
    found = world.ask(lambda s: s.scalar(select(column).order_by(column).limit(1)))
    return str(found) if found is not None else NOBODY


def _sample(schema: dict[str, Any] | None, described: dict[str, Any]) -> Any:
    if not schema:
        return {}
    if "$ref" in schema:
        return _sample(described["components"]["schemas"][schema["$ref"].rpartition("/")[2]], described)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _sample(schema[several][0], described)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type", "object")
    if kind == "object":
        wanted = schema.get("required", [])
        return {name: _sample(part, described) for name, part in schema.get("properties", {}).items() if name in wanted}
    plain: dict[str, Any] = {
        "string": NOBODY if "A-Za-z" in schema.get("pattern", "") else "why it is so",
        "integer": schema.get("minimum", 1),
        "number": schema.get("minimum", 1),
        "boolean": False,
        "array": [_sample(schema.get("items"), described)] if schema.get("minItems") else [],
    }
    return plain.get(str(kind))
