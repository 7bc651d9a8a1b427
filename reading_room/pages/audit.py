"""The auditor's page: who did or saw what."""

from __future__ import annotations

from fastapi import Request, Response

from gateway.http import Acting, Served
from reading_room.pages.frame import View, new_router
from worklist.queries import administration as held

router = new_router()


@router.get("/audit")
def audit_list(request: Request, web: Served, actor: Acting, q: str = "", after: str = "") -> Response:
    """Audit rows, the newest first."""
    view = View(request, actor)
    before = int(after) if after.isdecimal() and len(after) < 19 else 0
    page = web.database.read(lambda session: held.audit_rows(session, actor, q=q[:64].strip(), after=before))
    return view.page("audit.html", rows=page.items, next=page.next, query={"q": q[:64]})
