"""A reader's own reports that a review changed or sent back."""

from __future__ import annotations

from fastapi import Request, Response

from gateway.http import Acting, Served
from reading_room.pages import comparing
from reading_room.pages.frame import View, new_router
from worklist.errors import Forbidden
from worklist.queries import reviews

router = new_router()


@router.get("/my-reports")
def own_reports(request: Request, web: Served, actor: Acting, after: str = "") -> Response:
    """What others made of one's words, the newest first; what one has not looked at yet is marked."""
    if not actor.centers("reader", "senior reader"):
        raise Forbidden("role_needed", roles="reader, senior reader")
    page = web.database.read(lambda session: reviews.of_mine(session, actor, web.clock(), after=after[:64]))
    view = View(request, actor)
    lines = [(one, comparing.changes(one.handed.before, one.handed, view.words)) for one in page.items]
    return view.page("own_reports.html", lines=lines, next=page.next, query={})
