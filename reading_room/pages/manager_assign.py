"""Giving cases to readers by hand: choose, tick, say why."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room.labels import label
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from reading_room.pages.manager import menu, named
from worklist.actions import assigning
from worklist.actions.assigning import WAITING
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import figures, to_assign

router = new_router()


@router.get("/manager/assign")
def assign_page(request: Request, web: Served, actor: Acting) -> Response:
    """The open cases of a center, and who may have them."""
    actor.require("manager")
    return _page(View(request, actor), web, actor)


@router.post("/manager/assign")
def assign(request: Request, web: Served, actor: Acting, typed: Typed) -> Response:
    """Give the ticked cases to a reader, or to nobody."""
    actor.require("manager")
    view = View(request, actor)
    now = web.clock()
    user_id = None if typed.do == "free" else typed.user_id
    try:
        if user_id == "":
            user_id = "?"  # nobody was chosen: the action says so
        done = web.database.write(
            lambda s: assigning.assign(
                s, actor, typed.all("case"), user_id, typed.reason, now, take_over=bool(typed.take_over)
            )
        )
    except HurenError as error:
        status, words = refusal(view, error)
        return _page(view, web, actor, typed=typed, status=status, error=words)
    if done.refused:
        return _page(view, web, actor, typed=typed, refused=dict(done.refused), done=len(done.done))
    query = "&".join(f"{name}={typed[name]}" for name in ("center", "who") if typed[name].isalnum())
    return go_on(f"/manager/assign?{query}", "assigned" if user_id else "freed")


def _page(
    view: View,
    web: Web,
    actor: Actor,
    *,
    typed: Form | None = None,
    status: int = 200,
    error: str = "",
    refused: dict[str, str] | None = None,
    done: int = 0,
) -> Response:
    asked = view.request.query_params
    given = typed or Form()
    query = {
        name: (asked.get(name, "") or given[name])[:64] for name in ("center", "site", "who", "state", "priority", "q")
    }
    now = web.clock()

    def read(session: Session) -> dict[str, Any]:
        ours = figures.centers(session, actor)
        center = next((c for c in ours if c.id == query["center"]), next(iter(ours), None))
        if center is None:
            return {"ours": ours, "center": None, "page": None, "readers": [], "sites": []}
        return {
            "ours": ours,
            "center": center,
            "page": to_assign.cases(session, actor, center.id, now, filters=query, after=asked.get("after", "")[:64]),
            "readers": to_assign.readers(session, actor, center.id, now),
            "sites": to_assign.sites(session, actor, center.id),
        }

    found = web.database.read(read)
    center = found["center"]
    query["center"] = center.id if center else ""
    return view.page(
        "manager/assign.html",
        status=status,
        error=error,
        menu=menu(view, "/manager/assign"),
        centers=[(c.id, named(view, c)) for c in found["ours"]],
        query={name: value for name, value in query.items() if value},
        asked=query,
        states=[(state, label(view.words, "state", state)) for state in WAITING],
        sites=[(s.id, named(view, s)) for s in found["sites"]],
        readers=found["readers"],
        cases=found["page"].items if found["page"] else (),
        next=found["page"].next if found["page"] else "",
        typed=given,
        ticked=set(given.all("case")),
        refused=refused or {},
        assigned=done,
    )
