"""Who am I, and who was refused: for everybody and the PACS admin."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, Limit, Listed
from worklist.queries import administration
from worklist.queries.views import Counts, RefusedRow

router = APIRouter(tags=["administration"], responses=REFUSALS)


class RoleOut(BaseModel):
    """A role, in a center or (empty) in the person's institution."""

    role: str
    center_id: str


class Me(BaseModel):
    """The caller."""

    id: str
    login: str
    name: str
    institution_id: str
    institution_code: str
    roles: list[RoleOut]
    scopes: list[str] | None = Field(description="What the token is limited to; null: not limited.")
    language: str
    must_change_password: bool
    csrf: str = Field(description="In a browser session: what X-CSRF-Token must say.")
    counts: Counts = Field(description="What waits for the caller.")


@router.get("/me")
def get_me(web: Served, by: Acting) -> Me:
    """Who the caller is and what waits for them."""
    return Me(
        id=by.id,
        login=by.name,
        name=by.shown,
        institution_id=by.institution_id,
        institution_code=by.institution_code,
        roles=[RoleOut(role=role, center_id=center) for role, center in sorted(by.roles)],
        scopes=sorted(by.scopes) if by.scopes is not None else None,
        language=by.language,
        must_change_password=by.must_change_password,
        csrf=by.csrf,
        counts=web.database.read(lambda s: administration.counts(s, by)),
    )


@router.get("/refused-callers")
def get_refused_callers(web: Served, by: Looking, limit: Limit = 200) -> Listed[RefusedRow]:
    """Devices and senders that were sent away at a door, the latest first."""
    return Listed(web.database.read(lambda s: administration.refused_callers(s, by, limit=limit)))
