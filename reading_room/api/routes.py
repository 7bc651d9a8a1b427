"""Route rules over the API: one by one or as a whole table, its versions, and a trial before anything is saved."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, AfterNumber, Body, Count, Limit, Line, Listed, PathId, Remark, Word
from reading_room.api.places import Hours, listed, saved
from worklist.actions import routes
from worklist.queries import administration, trying
from worklist.queries.views import RouteRow, RouteVersion, TriedRow

router = APIRouter(tags=["configuration"], responses=REFUSALS)

Words = Annotated[list[Word], Field(max_length=100)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Of a version.")]


class Conditions(Body):
    """What a case must be for a route: each list that is not empty must hold what the case is."""

    institutions: Words = Field(default=[], description="Codes of the sending institutions.")
    disciplines: Words = Field(default=[])
    modalities: Words = Field(default=[])
    body_parts: Words = Field(default=[])
    priorities: Words = Field(default=[])
    hours: Hours = Field(default=[], description="Local times such as 17:30 to 08:00; a span may pass midnight.")


class RouteIn(Body):
    """A rule that sends cases to a center and its readers; the first that fits wins."""

    place: Count = 1
    name: Line = ""
    conditions: Conditions = Field(default_factory=Conditions)
    center_id: Word = ""
    group_id: Word = ""
    enabled: bool = True


class RouteTableIn(Body):
    """All rules at once."""

    rules: Annotated[list[RouteIn], Field(max_length=routes.MOST_RULES)]
    note: Remark = Field("", description="Why, for the history.")
    seen: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        None, description="The version that was looked at: refused with changed_meanwhile where there is a newer one."
    )


class Restoring(Body):
    """Which version was looked at, and why."""

    seen: Annotated[int, Field(ge=0, le=2**31 - 1)]
    note: Remark = ""


class TryingIn(Body):
    """Rules to be tried; nothing is saved."""

    rules: Annotated[list[RouteIn], Field(max_length=routes.MOST_RULES)]
    days: Annotated[int, Field(ge=1, le=trying.MOST_DAYS)] = 7


class Doubt(BaseModel):
    """Something about the rules that is allowed and was hardly meant."""

    code: str = Field(description="route_covered, route_never_fits or discipline_without_route.")
    place: int | None = Field(description="Which rule, counted from 0 in the order in which they are tried.")
    params: dict[str, str]


class TriedOut(BaseModel):
    """What the rules would have done."""

    days: int
    tried: int = Field(description="Cases looked at: the newest 2,000 at most.")
    is_all: bool = Field(description="Whether these were all cases of those days.")
    changed: int = Field(description="Cases that would have gone to another center or reader group.")
    unmatched: int = Field(description="Cases that no rule fits: the first center of the discipline gets them.")
    warnings: list[Doubt]
    rows: list[TriedRow] = Field(description="The changed and the unmatched ones, the newest first.")


@router.get("/routes")
def get_routes(web: Served, by: Looking) -> Listed[RouteRow]:
    """Routing rules, in the order in which they are tried."""
    return listed(web, by, administration.routes)


@router.post("/routes", status_code=201)
def add_route(web: Served, by: Acting, body: RouteIn) -> RouteRow:
    """Add a routing rule: a new version of the table."""
    return saved(web, by, body, None, routes.save_route, administration.routes)


@router.put("/routes")
def change_routes(web: Served, by: Acting, body: RouteTableIn) -> RouteVersion:
    """Replace all rules by these: a new version of the table."""
    now = web.clock()

    def work(session: Session) -> RouteVersion:
        rules = [rule.model_dump() for rule in body.rules]
        table = routes.save_routes(session, by, rules, body.note, now, seen=body.seen)
        return administration.route_versions(session, by, number=table.number).items[0]

    return web.database.write(work)


@router.get("/routes/versions")
def get_route_versions(web: Served, by: Looking, after: AfterNumber = 0, limit: Limit = 50) -> Listed[RouteVersion]:
    """Every version of the table, the newest first: who made it, when, why, and its rules."""
    return Listed.of(web.database.read(lambda s: administration.route_versions(s, by, after=after, limit=limit)))


@router.post("/routes/versions/{number}/restore")
def restore_routes(web: Served, by: Acting, number: Number, body: Restoring) -> RouteVersion:
    """Make a new version that is like an old one."""
    now = web.clock()

    def work(session: Session) -> RouteVersion:
        table = routes.restore_routes(session, by, number, body.note, now, seen=body.seen)
        return administration.route_versions(session, by, number=table.number).items[0]

    return web.database.write(work)


@router.post("/routes/try")
def try_routes(web: Served, by: Looking, body: TryingIn) -> TriedOut:
    """What would these rules have done to the cases of the last days? Nothing is changed."""
    now, rules = web.clock(), [rule.model_dump() for rule in body.rules]

    def work(session: Session) -> TriedOut:
        tried = trying.try_routes(session, by, rules, body.days, now)
        return TriedOut(
            days=tried.days,
            tried=tried.tried,
            is_all=tried.is_all,
            changed=tried.changed,
            unmatched=tried.unmatched,
            warnings=[Doubt(code=d.code, place=d.place, params=d.params) for d in trying.doubts(session, by, rules)],
            rows=list(tried.rows),
        )

    return web.database.read(work)


@router.put("/routes/{id}")
def change_route(web: Served, by: Acting, id: PathId, body: RouteIn) -> RouteRow:
    """Change a routing rule: a new version of the table, in which it has a new id."""
    return saved(web, by, body, id, routes.save_route, administration.routes)
