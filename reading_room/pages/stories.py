"""The whole story of an order or a patient, for whoever asks "what happened to it?"."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from fastapi import Request, Response

from gateway.http import Acting, Served
from reading_room import stories
from reading_room.pages.frame import View, new_router
from reading_room.pages.shown import Shown
from worklist.actions import looking
from worklist.people import Actor
from worklist.queries.views import Story

router = new_router()


@router.get("/admin/orders/{order_id}/story")
@router.get("/orders/{order_id}/story")
def order_story(request: Request, web: Served, actor: Acting, order_id: str) -> Response:
    """Everything that happened to one order. The look is on record."""
    story = web.database.write(lambda session: looking.open_order_story(session, actor, order_id, web.clock()))
    return _page(request, actor, story, f"/orders/{order_id}")


@router.get("/admin/patients/{patient_id}/story")
@router.get("/patients/{patient_id}/story")
def patient_story(request: Request, web: Served, actor: Acting, patient_id: str) -> Response:
    """Everything that happened to one patient. The look is on record."""
    story = web.database.write(lambda session: looking.open_patient_story(session, actor, patient_id, web.clock()))
    return _page(request, actor, story, "")


def _page(request: Request, actor: Actor, story: Story, order: str) -> Response:
    """Times stand in the zone of the institution that ordered."""
    view = View(request, actor)
    there = Shown(view.words, ZoneInfo(story.timezone), view.web.clock())
    lines = stories.told(story, view.words, actor)
    days: list[tuple[str, list[tuple[str, stories.LineShown]]]] = []
    for line in lines:
        day, clock = there.day(line.at), there.clock(line.at)
        if not days or days[-1][0] != day:
            days.append((day, []))
        days[-1][1].append((clock, line))
    return view.page(
        "story.html", story=story, days=days, zone=story.timezone, base="/admin" if actor.has("PACS admin") else "",
        order=order,
    )  # fmt: skip
