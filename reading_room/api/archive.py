"""The archives downstream, for the PACS admin's programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, After, Limit, Listed, PathId, Plain
from worklist import lifecycle
from worklist.actions import archiving
from worklist.errors import BadInput
from worklist.queries import archives as held
from worklist.queries.archives import ArchivalRow, ArchiveRow, KeptHereRow

router = APIRouter(tags=["archive"], responses=REFUSALS)


@router.get("/archives")
def get_archives(web: Served, by: Looking) -> Listed[ArchiveRow]:
    """The archives, whether they answer, and how much lies there or waits."""
    return Listed(web.database.read(lambda s: held.archives(s, by)))


@router.get("/archivals")
def get_archivals(
    web: Served,
    by: Looking,
    status: Annotated[str, Query(max_length=64), Plain] = "",
    study_id: Annotated[str, Query(max_length=64), Plain] = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[ArchivalRow]:
    """Studies on their way into archives, the oldest first. `status` is one of their states, such as `stuck`."""
    if status not in ("", *lifecycle.states("archival")):
        raise BadInput("field_wrong", field="status")
    return Listed.of(
        web.database.read(lambda s: held.archivals(s, by, state=status, study_id=study_id, after=after, limit=limit))
    )


@router.get("/archivals/kept-here")
def get_kept_here(web: Served, by: Looking) -> Listed[KeptHereRow]:
    """Objects that must not or cannot go into an archive, and why; the newest hundred."""
    return Listed(web.database.read(lambda s: held.kept_here(s, by)))


@router.post("/archivals/{archival_id}/again", status_code=202)
def send_again(web: Served, by: Acting, archival_id: PathId) -> None:
    """Try a stuck study again, or one of which objects were kept here only."""
    web.database.write(lambda s: archiving.send_again(s, by, archival_id, web.clock()))
