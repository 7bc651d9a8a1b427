"""One's own desk: saving views, choosing columns and the theme."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Response

from gateway.http import Acting, Served
from reading_room.pages.door import own_path
from reading_room.pages.frame import Typed, go_on, new_router
from reading_room.pages.reading_list import address_of, filters_of
from worklist.actions import desk
from worklist.errors import NotFound

router = new_router()


@router.post("/desk/views")
def save_view(web: Served, actor: Acting, typed: Typed) -> Response:
    """Keep the filters of the list that is shown, under a name."""
    page = typed.page
    if page not in desk.PAGES:
        raise NotFound("page_not_found")
    query = address_of(filters_of(typed, page), page)
    web.database.write(lambda session: desk.save_view(session, actor, page, typed.name, query))
    return go_on(f"/{page}?{urlencode(query) or 'status='}", "saved")


@router.post("/desk/views/{view_id}/{verb}")
def change_view(web: Served, actor: Acting, view_id: str, verb: str, typed: Typed) -> Response:
    """Rename a view, open the page with it or no longer, or delete it."""
    changes = {
        "rename": lambda session: desk.rename_view(session, actor, view_id, typed.name),
        "first": lambda session: desk.open_with(session, actor, view_id),
        "not-first": lambda session: desk.open_with(session, actor, view_id, first=False),
        "delete": lambda session: desk.delete_view(session, actor, view_id),
    }
    if verb not in changes:
        raise NotFound("page_not_found")
    web.database.write(changes[verb])
    return go_on(own_path(typed.next) or "/", "saved")


@router.post("/desk/columns")
def choose_columns(web: Served, actor: Acting, typed: Typed) -> Response:
    """Which columns the lists show, in the order in which they were sent."""
    web.database.write(lambda session: desk.choose_columns(session, actor, typed.all("column")))
    return go_on(own_path(typed.next) or "/", "saved")


@router.post("/desk/theme")
def choose_theme(web: Served, actor: Acting, typed: Typed) -> Response:
    """Light, dark, or as the computer is set."""
    web.database.write(lambda session: desk.choose_theme(session, actor, typed.theme))
    return go_on(own_path(typed.next) or "/")
