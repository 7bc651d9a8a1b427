"""A refusal that a manager asks about, as its institution sees it, and the reply."""

from __future__ import annotations

from fastapi import Request, Response

from gateway.http import Acting, Served, Web
from reading_room import recognition_words
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from worklist.actions import refusals
from worklist.errors import HurenError
from worklist.queries import recognised

router = new_router()


@router.get("/recognition/{recognition_id}")
def refusal_page(request: Request, web: Served, actor: Acting, recognition_id: str) -> Response:
    """What was declined and why, the question, and the reply or its form."""
    return _page(View(request, actor), web, recognition_id)


@router.post("/recognition/{recognition_id}")
def reply(request: Request, web: Served, actor: Acting, recognition_id: str, typed: Typed) -> Response:
    """Answer the question, on record."""
    now = web.clock()
    try:
        web.database.write(lambda s: refusals.reply(s, actor, recognition_id, typed.why, now))
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _page(view, web, recognition_id, status=status, error=words, typed=typed)
    return go_on(f"/recognition/{recognition_id}", "explained")


def _page(
    view: View, web: Web, recognition_id: str, *, status: int = 200, error: str = "", typed: Form | None = None
) -> Response:
    actor = view.actor
    assert actor is not None  # noqa: S101 - the callers have one
    row = web.database.read(lambda s: recognised.asked_about(s, actor, recognition_id))
    return view.page(
        "refusal.html",
        status=status,
        error=error,
        typed=typed or Form(),
        row=row,
        refusal=lambda code: recognition_words.refusal(view.words, code),
    )
