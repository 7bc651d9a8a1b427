"""The caller's own notices."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Listed, PathId
from worklist.actions import notices as acts
from worklist.queries import notices
from worklist.queries.notices import NoticeView

router = APIRouter(tags=["notices"], responses=REFUSALS)


@router.get("/notices")
def get_notices(
    web: Served, by: Looking, everything: Annotated[bool, Query(description="Read ones too.")] = False
) -> Listed[NoticeView]:
    """The caller's own notices, the newest first."""
    return Listed(web.database.read(lambda s: notices.mine(s, by, only_unread=not everything)))


@router.post("/notices/{notice_id}/read", status_code=204)
def read(web: Served, by: Acting, notice_id: PathId) -> None:
    """A notice is read."""
    web.database.write(lambda s: acts.read(s, by, notice_id, web.clock()))


@router.post("/notices/read", status_code=204)
def read_all(web: Served, by: Acting) -> None:
    """All notices so far are read."""
    web.database.write(lambda s: acts.read_all(s, by, web.clock()))
