"""The auditor's pages: who did or saw what, the chain, exports, and every use of break-glass with its judgement."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import LABELS, label
from reading_room.oversight import checked, exported
from reading_room.pages.frame import Typed, View, go_on, new_router, refusal
from reading_room.pages.ledger import typed_time
from worklist.actions import break_glass
from worklist.audit import Chain
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import audit_trail
from worklist.queries import break_glass as openings
from worklist.queries.audit_trail import AuditSearch

router = new_router()
FILTERS = ("q", "person", "action", "thing", "thing_id", "patient", "address", "since", "until")
LONGEST = 100


async def _query(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "")[:LONGEST].strip() for name in FILTERS}


Query = Annotated[dict[str, str], Depends(_query)]


@router.get("/audit")
def audit_list(request: Request, web: Served, actor: Acting, query: Query, after: str = "") -> Response:
    """Audit rows that fit, the newest first."""
    return _list(View(request, actor), web, actor, query, after=after)


@router.post("/audit/chain")
def check_chain(request: Request, web: Served, actor: Acting) -> Response:
    """Check the whole chain and say what came of it."""
    chain = checked(web, actor)
    return _list(View(request, actor), web, actor, dict.fromkeys(FILTERS, ""), chain=chain)


@router.get("/audit/export.csv")
def export(request: Request, web: Served, actor: Acting, query: Query) -> Response:
    """What was found, as a table; the export is on record itself."""
    view = View(request, actor)
    asked = _asked(view, query)
    return exported(web, actor, asked, view.words)


@router.get("/audit/break-glass")
def openings_list(request: Request, web: Served, actor: Acting, unjudged: str = "", after: str = "") -> Response:
    """Every use of break-glass, the newest first."""
    return _openings(View(request, actor), web, actor, unjudged=bool(unjudged), after=after)


@router.post("/audit/break-glass/{opening_id}")
def judge(request: Request, web: Served, actor: Acting, opening_id: str, typed: Typed) -> Response:
    """Say whether it was justified."""
    try:
        web.database.write(
            lambda session: break_glass.judge(session, actor, opening_id, typed.judgement, typed.remark, web.clock())
        )
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _openings(view, web, actor, status=status, error=words)
    return go_on("/audit/break-glass", "judged")


def _asked(view: View, query: dict[str, str]) -> AuditSearch:
    times: dict[str, datetime | None] = {name: typed_time(view, query[name]) for name in ("since", "until")}
    return AuditSearch(**{name: value for name, value in query.items() if name not in times}, **times)  # type: ignore[arg-type]


def _list(
    view: View, web: Web, actor: Actor, query: dict[str, str], *, after: str = "", chain: Chain | None = None
) -> Response:
    before = int(after) if after.isdecimal() and len(after) < 19 else 0
    asked = _asked(view, query)
    status, words = 200, ""

    def read(session: Session) -> tuple[Any, Any, int]:
        page = audit_trail.rows(session, actor, asked, after=before)
        return page, audit_trail.named(session, actor, page.items), openings.unjudged(session, actor)

    try:
        page, named, waiting = web.database.read(read)
    except HurenError as error:
        actor.require("auditor")
        status, words = refusal(view, error)
        page, named, waiting = None, None, 0
    actions = sorted((label(view.words, "action", a), a) for a in LABELS["action"])
    things = sorted((label(view.words, "thing", t), t) for t in LABELS["thing"])
    return view.page(
        "audit.html",
        status=status,
        error=words,
        rows=page.items if page else (),
        named=named,
        next=page.next if page else "",
        query=query,
        chain=chain,
        waiting=waiting,
        is_narrowed=any(asdict(asked).values()),
        actions=[(a, word) for word, a in actions],
        things=[(t, word) for word, t in things],
    )


def _openings(
    view: View, web: Web, actor: Actor, *, unjudged: bool = False, after: str = "", status: int = 200, error: str = ""
) -> Response:
    page = web.database.read(lambda session: openings.uses(session, actor, unjudged=unjudged, after=after))
    return view.page(
        "audit_openings.html",
        status=status,
        error=error,
        rows=page.items,
        next=page.next,
        query={"unjudged": "1" if unjudged else ""},
        now=web.clock(),
    )
