"""Emergency access and the audit rows: for doctors and readers, and for the auditor who answers for both."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http import Acting, Served
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, After, AfterNumber, Body, Id, Limit, Listed, PathId, Remark, Search
from reading_room.oversight import checked, exported, opened, sought
from reading_room.words import Words, language_of
from worklist.actions import break_glass
from worklist.audit import Chain
from worklist.errors import BadInput
from worklist.queries import audit_trail
from worklist.queries import break_glass as openings
from worklist.queries.audit_trail import AuditSearch
from worklist.queries.break_glass import Opening, Stranger, Use
from worklist.queries.views import AuditView

router = APIRouter(tags=["audit"], responses=REFUSALS)


async def _asked(
    q: Search = "",
    person: Search = "",
    action: Search = "",
    thing: Search = "",
    thing_id: Search = "",
    patient: Search = "",
    address: Search = "",
    since: Annotated[datetime | None, Query(description="Aware; this moment and later.")] = None,
    until: Annotated[datetime | None, Query(description="Aware; before this moment.")] = None,
) -> AuditSearch:
    for at in (since, until):
        if at is not None and at.tzinfo is None:
            raise BadInput("field_wrong", field="since")
    return AuditSearch(q, person, action, thing, thing_id, patient, address, since, until)


Asked = Annotated[AuditSearch, Depends(_asked)]


@router.get("/audit")
def get_audit(web: Served, by: Looking, asked: Asked, after: AfterNumber = 0, limit: Limit = 100) -> Listed[AuditView]:
    """Who did or saw what, the newest first."""
    return Listed.of(web.database.read(lambda s: audit_trail.rows(s, by, asked, after=after, limit=limit)))


@router.get("/audit.csv")
def get_audit_csv(request: Request, web: Served, by: Acting, asked: Asked) -> Response:
    """What was found as CSV, at most 50,000 rows. The export is on record itself."""
    return exported(web, by, asked, Words(language_of(request, by)))


@router.post("/audit/chain")
def check_chain(web: Served, by: Acting) -> Chain:
    """Check the whole chain: `broken_at` is null where nothing was altered. The check is on record."""
    return checked(web, by)


class StrangerIn(Body):
    """Who is meant: a whole number of an identity document, a whole patient number, or a name with the birth date."""

    q: str = Field(min_length=1, max_length=128)
    birth_date: str = Field("", pattern=r"^([0-9]{8})?$", description="YYYYMMDD; needed with a name.")


class OpeningIn(Body):
    """Whom to open, and why."""

    patient_id: Id
    reason: Remark = Field(description="In the person's words; an auditor reads it.")


class OpeningOut(BaseModel):
    """A patient who is open to the caller."""

    id: str
    patient_id: str


class JudgementIn(Body):
    """What the auditor says of a use."""

    judgement: str = Field(pattern="^(justified|not justified)$")
    remark: str = Field("", max_length=2000, description="Needed if it was not justified.")


@router.post("/break-glass/search")
def search_strangers(web: Served, by: Acting, body: StrangerIn) -> Listed[Stranger]:
    """Patients who are none of the caller's; the search is on record, and what was looked for is not."""
    return Listed(sought(web, by, body.q, body.birth_date))


@router.post("/break-glass", status_code=201)
def break_the_glass(request: Request, web: Served, by: Acting, body: OpeningIn) -> OpeningOut:
    """Open a patient for half an hour. Everything that is looked at is on record, and an auditor judges it."""
    id, patient_id = opened(request, web, by, body.patient_id, body.reason)
    return OpeningOut(id=id, patient_id=patient_id)


@router.get("/break-glass/open")
def get_open(web: Served, by: Acting) -> Listed[Opening]:
    """Patients whom the caller has open."""
    return Listed(web.database.read(lambda s: openings.open_now(s, by, web.clock())))


@router.delete("/break-glass/{opening_id}", status_code=204)
def end_opening(web: Served, by: Acting, opening_id: PathId) -> None:
    """Close the patient before the time is over."""
    web.database.write(lambda s: break_glass.close(s, by, opening_id, web.clock()))


@router.get("/break-glass")
def get_uses(web: Served, by: Looking, unjudged: bool = False, after: After = "", limit: Limit = 20) -> Listed[Use]:
    """Every use with what was looked at, the newest first. For the auditor."""
    return Listed.of(web.database.read(lambda s: openings.uses(s, by, unjudged=unjudged, after=after, limit=limit)))


@router.post("/break-glass/{opening_id}/judgement", status_code=204)
def judge(web: Served, by: Acting, opening_id: PathId, body: JudgementIn) -> None:
    """Say whether a use was justified. For the auditor."""
    web.database.write(lambda s: break_glass.judge(s, by, opening_id, body.judgement, body.remark, web.clock()))
