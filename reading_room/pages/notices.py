"""Notices: the bell of every page, and the list of all of them."""

from __future__ import annotations

from fastapi import Request, Response

from gateway.http import Acting, Served
from reading_room.pages.door import own_path
from reading_room.pages.frame import View, go_on, new_router
from worklist.actions import notices as acts
from worklist.queries import notices

router = new_router()


@router.get("/notices")
def notices_page(request: Request, web: Served, actor: Acting) -> Response:
    """One's own notices, those that are not read first."""
    view = View(request, actor)
    return view.page(
        "notices.html", lines=web.database.read(lambda s: notices.mine(s, actor)), unread=view.around.unread
    )


@router.get("/notices/bell")
def bell(request: Request, actor: Acting) -> Response:
    """The bell, as a polled part."""
    view = View(request, actor)
    return view.fragment(view.bell())


@router.post("/notices/read")
def read_all(web: Served, actor: Acting) -> Response:
    """Everything is read."""
    web.database.write(lambda s: acts.read_all(s, actor, web.clock()))
    return go_on("/notices")


@router.post("/notices/{notice_id}")
def read(web: Served, actor: Acting, notice_id: str) -> Response:
    """A notice is read; go on to what it is about."""
    address = web.database.write(lambda s: acts.read(s, actor, notice_id, web.clock()))
    return go_on(own_path(address) or "/notices")
