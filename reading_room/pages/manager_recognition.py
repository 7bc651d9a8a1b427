"""Recognition as managers see it: what became of the offers of the last weeks, and refusals that they ask about."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import recognition_words
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.manager import menu, require_keeper
from worklist.actions import recognising
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import recognition
from worklist.queries.recognition import Count
from worklist.queries.views import Recognised

router = new_router()
DAYS: Final = 31


@router.get("/manager/recognition")
def recognition_page(request: Request, web: Served, actor: Acting, after: str = "") -> Response:
    """Offers and answers of the last weeks; refusals one by one."""
    return _page(View(request, actor), web, actor, after=after)


@router.post("/manager/recognition/{recognition_id}/challenge")
def challenge(request: Request, web: Served, actor: Acting, recognition_id: str, typed: Typed) -> Response:
    """Ask about a refusal, on record."""
    now = web.clock()
    try:
        web.database.write(lambda s: recognising.challenge(s, actor, recognition_id, typed.why, now))
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _page(view, web, actor, status=status, error=words, typed=typed)
    return go_on("/manager/recognition", "saved")


def _page(
    view: View,
    web: Web,
    actor: Actor,
    *,
    after: str = "",
    status: int = 200,
    error: str = "",
    typed: Form | None = None,
) -> Response:
    require_keeper(actor)
    until = web.clock() + timedelta(seconds=1)
    since = until - timedelta(days=DAYS)

    def read(session: Session) -> tuple[list[Count], list[Recognised]]:
        return (
            recognition.counts(session, actor, since, until),
            recognition.declined(session, actor, since, until, after=after),
        )

    counts, refusals = web.database.read(read)
    return view.page(
        "manager/recognition.html",
        status=status,
        error=error,
        typed=typed or Form(),
        menu=menu(view, "/manager/recognition"),
        days=DAYS,
        counts=counts,
        refusals=refusals,
        refusal=lambda code: recognition_words.refusal(view.words, code),
        next=refusals[-1].id if len(refusals) == recognition.SHOWN else "",
    )
