"""What reviews made of one's own reports, cases returned to a township, and leases."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.http import Acting, Served
from reading_room.api.access import Looking, LookingAtCases
from reading_room.api.fields import REFUSALS, After, Body, Limit, Listed, PathId, Remark
from reading_room.api.shapes import WorklistItem
from worklist.actions import handing
from worklist.queries import leases, orders, reviews
from worklist.queries.views import Handed, ReturnView

router = APIRouter(tags=["readings"], responses=REFUSALS)


class ReviewedOut(BaseModel):
    """A report of one's own that somebody changed or sent back: `before` is what was handed over."""

    reading: WorklistItem
    review: Handed


class LeaseOut(BaseModel):
    """Who works on a case now."""

    reading_id: str
    mine: bool = Field(description="Held by the caller, or last held by them and taken by nobody since.")
    has_ended: bool
    ends_at: datetime | None
    holder: str
    taken_by: str = Field(description="Who took the case over from the caller, and below when and why.")
    taken_at: datetime | None
    taken_why: str


class Answer(Body):
    """What the township says to a return."""

    answer: Remark


@router.get("/my-reviews")
def get_my_reviews(web: Served, by: LookingAtCases, after: After = "", limit: Limit = 50) -> Listed[ReviewedOut]:
    """The caller's reports that a review changed or sent back, the newest first. To look at the case is to see it."""
    now = web.clock()
    page = web.database.read(lambda s: reviews.of_mine(s, by, now, after=after, limit=limit))
    return Listed([ReviewedOut(reading=WorklistItem.of(one.row), review=one.handed) for one in page.items], page.next)


@router.get("/readings/{reading_id}/lease")
def get_lease(web: Served, by: LookingAtCases, reading_id: PathId) -> LeaseOut:
    """Who works on a case now. A claim by who holds it extends the lease."""
    now = web.clock()
    lease = web.database.read(lambda s: leases.of_case(s, by, reading_id, now))
    return LeaseOut(
        reading_id=reading_id,
        mine=lease.mine,
        has_ended=lease.has_ended,
        ends_at=lease.ends_at,
        holder=lease.row.holder,
        taken_by=lease.taken_by,
        taken_at=lease.taken_at,
        taken_why=lease.taken_why,
    )


@router.get("/orders/{order_id}/returns")
def get_returns(web: Served, by: Looking, order_id: PathId) -> list[ReturnView]:
    """How often the case of an order was returned, why, and what was answered; the newest first."""
    now = web.clock()
    return list(web.database.read(lambda s: orders.detail(s, by, order_id, now)).returns)


@router.post("/returns/{return_id}/answer", status_code=204)
def answer_return(web: Served, by: Acting, return_id: PathId, body: Answer) -> None:
    """The township answers a return, once; the reader sees it with the case."""
    now = web.clock()
    web.database.write(lambda s: handing.answer_return(s, by, return_id, body.answer, now))
