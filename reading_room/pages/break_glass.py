"""Break-glass: find a patient who is none of one's own, say why, and see what there is for half an hour."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from gateway.dicomweb.access import forget_caller
from gateway.http import Acting, Served
from reading_room.oversight import opened, sought
from reading_room.pages.frame import Typed, View, go_on, new_router, refusal
from worklist.actions import break_glass
from worklist.errors import HurenError
from worklist.queries import break_glass as openings

router = new_router()
LONGEST = 128


@router.get("/break-glass")
def page(request: Request, actor: Acting) -> Response:
    """The search, and what one has open."""
    break_glass.require_opener(actor)
    return _page(View(request, actor))


@router.post("/break-glass/search")
def search(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Who is meant. Sent as a form, so that no identity number stands in an address; the search is on record."""
    view = View(request, actor)
    found = sought(web, actor, typed.q[:LONGEST], typed.birth_date[:10].replace("-", ""))
    return _page(view, typed=typed, found=found)


@router.post("/break-glass")
def open_patient(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Open the patient."""
    try:
        patient_id = opened(request, web, actor, typed.patient, typed.reason)[1]
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        found = None
        if typed.q:
            found = sought(web, actor, typed.q[:LONGEST], typed.birth_date[:10].replace("-", ""))
        return _page(view, typed=typed, found=found, status=status, error=words)
    return go_on(f"/patients/{patient_id}", "glass_broken")


@router.post("/break-glass/{opening_id}/end")
def end(web: Served, request: Request, actor: Acting, opening_id: str) -> Response:
    """Close the patient before the time is over."""
    web.database.write(lambda session: break_glass.close(session, actor, opening_id, web.clock()))
    forget_caller(request)
    return go_on("/break-glass", "opening_ended")


def _page(
    view: View,
    *,
    found: list[openings.Stranger] | None = None,
    status: int = 200,
    error: str = "",
    **more: Any,
) -> Response:
    minutes = int(break_glass.OPEN_FOR.total_seconds()) // 60
    return view.page("break_glass.html", status=status, error=error, found=found, minutes=minutes, **more)
