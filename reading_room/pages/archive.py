"""The archives downstream, as the PACS admin watches them: whether they answer, what waits, is stuck, or stays here."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.advice import advice
from reading_room.pages.configuration import menu
from reading_room.pages.frame import View, go_on, new_router
from reading_room.stories import reason_text
from worklist.actions import archiving
from worklist.queries import archives as held

router = new_router()

HERE: Final = "/admin/archive"
SECTION: Final = {"name": "archive"}


@router.get(HERE)
def archive_page(request: Request, web: Served, actor: Acting) -> Response:
    """How each archive is, and what a person has to look at."""
    actor.require("PACS admin")
    view = View(request, actor)

    def read(session: Session) -> tuple[Any, ...]:
        stuck = held.archivals(session, actor, state="stuck", limit=100).items
        waiting = held.archivals(session, actor, state="waiting", limit=20).items
        return held.archives(session, actor), stuck, waiting, held.kept_here(session, actor)

    rows, stuck, waiting, kept_here = web.database.read(read)
    return view.page(
        "admin/archive.html",
        section=SECTION,
        menu=menu(view),
        rows=rows,
        stuck=stuck,
        waiting=waiting,
        kept_here=kept_here,
        released=web.database.read(lambda s: held.released(s, actor)),
        advice=lambda code: advice(view.words, code),
        said=lambda code, params: reason_text(code, params, view.words) if code else "",
    )


@router.post("/admin/archivals/{archival_id}/again")
def send_again(web: Served, actor: Acting, archival_id: str) -> Response:
    """Try once more what is stuck, or was kept here only."""
    web.database.write(lambda s: archiving.send_again(s, actor, archival_id, web.clock()))
    return go_on(HERE, "replayed")
