"""The reader's worklist and the work on a case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import signing
from reading_room.api.access import Looking, LookingAtCases
from reading_room.api.fields import REFUSALS, After, Body, Id, Limit, Listed, Long, PathId, Plain, Revision, Search, Why
from reading_room.api.shapes import KeyImage, VersionOut, WorklistItem
from worklist import lifecycle
from worklist.actions import corrections, critical, handing, late, looking, readings
from worklist.errors import BadInput
from worklist.facts import ReportText
from worklist.people import Actor
from worklist.queries import readings as cases
from worklist.queries.views import CaseView, CriticalView, VersionView

router = APIRouter(tags=["readings"], responses=REFUSALS)

STATUSES = ("", "all", *lifecycle.states("reading"))


class Draft(Body):
    """The words of a report, as plain text."""

    findings: Long = ""
    impression: Long = ""
    critical: Long = Field("", description="A critical result in words; signing marks it, saving alone does not.")
    revision: Revision | None = Field(None, description="The revision these words are based on, as in If-Match.")
    key_images: Annotated[list[KeyImage], Field(max_length=100)] | None = Field(
        None, description="The images that are printed with the report, at most 4; left out, those chosen stay."
    )


class Saved(BaseModel):
    """The draft as it is held now."""

    reading_id: str
    revision: int
    held_until: datetime


class Referral(Why):
    """To which center, and why."""

    center_id: Id


class Joining(Why):
    """Which case joins this one, and why."""

    other_id: Id


class Splitting(Why):
    """Which order gets a case of its own, and why."""

    order_id: Id


class Signature(Body):
    """How to sign."""

    preliminary: bool = Field(default=False, description="Issue a preliminary version; the review stays owed.")
    password: str = Field(
        default="", max_length=256, description="Needed in a browser session; a token needs its scope `sign`."
    )


class Marking(Body):
    """A critical result."""

    words: Long


class Signed(VersionOut):
    """The issued version."""

    report_id: str


def signed(report_id: str, version: VersionView) -> Signed:
    """An issued version with the id of its report."""
    return Signed(report_id=report_id, **VersionOut.of(version).model_dump())


@router.get("/worklist")
def get_worklist(
    web: Served,
    by: Looking,
    status: Annotated[
        str, Query(max_length=64, description="A state, `all`, or empty for all that is open."), Plain
    ] = "",
    discipline: Annotated[str, Query(max_length=32), Plain] = "",
    center: Annotated[str, Query(max_length=64, description="The id of a center."), Plain] = "",
    q: Search = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[WorklistItem]:
    """Cases of the caller's centers and of their own institution, the most urgent first."""
    if status not in STATUSES:
        raise BadInput("field_wrong", field="status")
    now = web.clock()
    page = web.database.read(
        lambda s: cases.worklist(
            s, by, now, status=status, discipline=discipline, center=center, q=q, after=after, limit=limit
        )
    )
    return Listed([WorklistItem.of(row) for row in page.items], page.next)


@router.get("/readings/{reading_id}")
def get_case(web: Served, by: LookingAtCases, reading_id: PathId, response: Response) -> CaseView:
    """A case with its orders, studies, draft, versions, priors and story. The ETag is the draft's revision."""
    now = web.clock()
    view = web.database.write(lambda s: looking.open_case(s, by, reading_id, now))
    if view.draft is not None:
        response.headers["ETag"] = f'"{view.draft.revision}"'
    return view


@router.put("/readings/{reading_id}/report")
def put_draft(
    web: Served,
    by: Acting,
    reading_id: PathId,
    body: Draft,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=64)] = None,
) -> Saved:
    """Write the draft. A revision that is not the present one is refused with 409 and the present one."""
    revision = _revision(if_match, body.revision)
    text = ReportText(body.findings, body.impression, body.critical)
    now = web.clock()
    chosen = (
        [(image.sop_instance_uid, image.frame) for image in body.key_images] if body.key_images is not None else None
    )
    held = web.database.write(lambda s: readings.save_draft(s, by, reading_id, text, revision, now, key_images=chosen))
    response.headers["ETag"] = f'"{held.revision}"'
    return Saved(reading_id=held.reading_id, revision=held.revision, held_until=held.held_until)


@router.post("/readings/{reading_id}/claim")
def claim(web: Served, by: Acting, reading_id: PathId) -> WorklistItem:
    """Take the case, or hold it longer. Nobody else can write or sign meanwhile."""
    return _do(web, by, reading_id, lambda s, now: readings.claim(s, by, reading_id, now))


@router.post("/readings/{reading_id}/take-over")
def take_over(web: Served, by: Acting, reading_id: PathId, body: Why) -> WorklistItem:
    """A senior reader takes the case from its holder."""
    return _do(web, by, reading_id, lambda s, now: readings.take_over(s, by, reading_id, body.reason, now))


@router.post("/readings/{reading_id}/release")
def release(web: Served, by: Acting, reading_id: PathId) -> WorklistItem:
    """Give the case back; the draft stays."""
    return _do(web, by, reading_id, lambda s, now: readings.release(s, by, reading_id, now))


@router.post("/readings/{reading_id}/submit")
def submit(web: Served, by: Acting, reading_id: PathId) -> WorklistItem:
    """Hand the draft to a reviewer."""
    return _do(web, by, reading_id, lambda s, now: readings.submit(s, by, reading_id, now))


@router.post("/readings/{reading_id}/send-back")
def send_back(web: Served, by: Acting, reading_id: PathId, body: Why) -> WorklistItem:
    """The reviewer sends the draft back to its writer."""
    return _do(web, by, reading_id, lambda s, now: readings.send_back(s, by, reading_id, body.reason, now))


@router.post("/readings/{reading_id}/return")
def return_to_sender(web: Served, by: Acting, reading_id: PathId, body: Why) -> WorklistItem:
    """Ask the township to repeat the examination, under the same accession number."""
    return _do(web, by, reading_id, lambda s, now: handing.return_to_sender(s, by, reading_id, body.reason, now))


@router.post("/readings/{reading_id}/refer")
def refer(web: Served, by: Acting, reading_id: PathId, body: Referral) -> WorklistItem:
    """Ask another center for its opinion."""
    return _do(web, by, reading_id, lambda s, now: handing.refer(s, by, reading_id, body.center_id, body.reason, now))


@router.post("/readings/{reading_id}/answer")
def answer(web: Served, by: Acting, reading_id: PathId) -> WorklistItem:
    """Give the opinion written in a consultation back to the center that asked."""
    return _do(web, by, reading_id, lambda s, now: handing.answer_referral(s, by, reading_id, now))


@router.post("/readings/{reading_id}/close")
def close(web: Served, by: Acting, reading_id: PathId, body: Why) -> WorklistItem:
    """Close the case without a report."""
    return _do(web, by, reading_id, lambda s, now: handing.close(s, by, reading_id, body.reason, now))


@router.post("/readings/{reading_id}/join")
def join(web: Served, by: Acting, reading_id: PathId, body: Joining) -> WorklistItem:
    """One examination serves two orders: the other case's orders and studies join this one."""
    return _do(web, by, reading_id, lambda s, now: handing.join(s, by, reading_id, body.other_id, body.reason, now))


@router.post("/readings/{reading_id}/split")
def split(web: Served, by: Acting, reading_id: PathId, body: Splitting) -> WorklistItem:
    """Give one covered order a case of its own; that new case is the answer."""
    now = web.clock()

    def work(session: Session) -> WorklistItem:
        own = handing.split(session, by, reading_id, body.order_id, body.reason, now)
        session.flush()
        return WorklistItem.of(cases.row(session, by, own.id, now))

    return web.database.write(work)


@router.post("/readings/{reading_id}/give-up-correction")
def give_up_correction(web: Served, by: Acting, reading_id: PathId, body: Why) -> WorklistItem:
    """Leave the issued version as it is and discard the draft of the correction."""
    return _do(web, by, reading_id, lambda s, now: corrections.give_up_correction(s, by, reading_id, body.reason, now))


@router.post("/readings/{reading_id}/sign")
def sign(web: Served, by: Acting, reading_id: PathId, body: Signature | None = None) -> Signed:
    """Sign the draft and send it to everyone who waits for it."""
    body = body or Signature()
    signing.confirm(web, by, body.password)
    return signed(reading_id, signing.sign(web, by, reading_id, preliminary=body.preliminary))


@router.post("/readings/{reading_id}/critical")
def mark_critical(web: Served, by: Acting, reading_id: PathId, body: Marking) -> CriticalView:
    """Mark a critical result now: the township is alerted at once, before any signature."""
    now = web.clock()

    def work(session: Session) -> CriticalView:
        marked = critical.mark(session, by, reading_id, body.words, now)
        session.flush()
        return next(c for c in cases.case(session, by, reading_id, now).criticals if c.id == marked.id)

    return web.database.write(work)


@router.post("/late-images/{task_id}/no-change", status_code=204)
def late_images_change_nothing(web: Served, by: Acting, task_id: PathId) -> None:
    """A doctor has looked at images that came after signing, and the report stands."""
    now = web.clock()
    web.database.write(lambda s: late.settle(s, by, task_id, now))


def _do(web: Web, by: Actor, reading_id: str, action: Callable[[Session, datetime], object]) -> WorklistItem:
    """Run an action on a case and answer with its line."""
    now = web.clock()

    def work(session: Session) -> WorklistItem:
        action(session, now)
        session.flush()
        return WorklistItem.of(cases.row(session, by, reading_id, now))

    return web.database.write(work)


def _revision(if_match: str | None, given: int | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return given
    digits = if_match.strip().removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise BadInput("field_wrong", field="If-Match")
    if given is not None and given != int(digits):
        raise BadInput("field_wrong", field="revision")
    return int(digits)
