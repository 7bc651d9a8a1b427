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
from reading_room.api.fields import (
    REFUSALS,
    After,
    Body,
    Id,
    Limit,
    Listed,
    Long,
    PathId,
    Plain,
    Revision,
    Search,
    Why,
    Word,
)
from reading_room.api.shapes import KeyImage, VersionOut, WorklistItem
from worklist import lifecycle
from worklist.actions import checking, corrections, critical, handing, late, looking, readings
from worklist.errors import BadInput
from worklist.facts import ReportText
from worklist.people import Actor
from worklist.queries import readings as cases
from worklist.queries.reading_list import Filters, Whose, worklist
from worklist.queries.views import CaseView, CriticalView, VersionView
from worklist.rules.measurements import FORMULAS, KINDS
from worklist.rules.returns import Reason

router = APIRouter(tags=["readings"], responses=REFUSALS)

Overruled = Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=50)]
STATUSES = ("", "all", *lifecycle.states("reading"))


class MeasurementIn(Body):
    """A number of an ECG. Whether it is the device's or the reader's own follows from the recordings of the case."""

    name: Word = Field(description=f"One of: {', '.join(KINDS)}.")
    value: int = Field(description="Beats a minute, milliseconds or degrees.", ge=-9999, le=9999)
    method: Word = Field("", description=f"The formula of the QTc interval: {', '.join(FORMULAS)}; or empty.")


class Draft(Body):
    """The words of a report, as plain text."""

    findings: Long = ""
    impression: Long = ""
    critical: Long = Field("", description="A critical result in words; signing marks it, saving alone does not.")
    revision: Revision | None = Field(None, description="The revision these words are based on, as in If-Match.")
    key_images: Annotated[list[KeyImage], Field(max_length=100)] | None = Field(
        None, description="The images that are printed with the report, at most 6; left out, those chosen stay."
    )
    measurements: Annotated[list[MeasurementIn], Field(max_length=20)] | None = Field(
        None, description="The numbers of an ECG that the reader answers for; left out, those that are held stay."
    )
    template_id: Word | None = Field(
        None, description="The template that the words began with; empty: none; left out, it stays."
    )
    values: dict[str, str | list[str]] | None = Field(
        None, max_length=40, description="What was typed into the template's fields, by their names."
    )


class Saved(BaseModel):
    """The draft as it is held now."""

    reading_id: str
    revision: int
    held_until: datetime


class Referral(Why):
    """To which center or expert, and why."""

    center_id: Id
    expert_id: Id | None = Field(None, description="A reader of that center, or a colleague of one's own.")


class Returning(Why):
    """Why, as it is counted and in words for the township."""

    code: Reason = Field("other", description="What returns are counted by.")


class Joining(Why):
    """Which case joins this one, and why."""

    other_id: Id


class Splitting(Why):
    """Which order gets a case of its own, and why."""

    order_id: Id


class Passing(Body):
    """What the writer was warned of and overrules."""

    overruled: Overruled | None = Field(
        default=None,
        description="Keys of the warnings that a person has seen (`/readings/{id}/warnings`); others are refused then. "
        "Left out, nobody was asked; what the checks say is kept with the report all the same.",
    )


class Signature(Passing):
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


Narrow = Annotated[str, Query(max_length=64), Plain]


@router.get("/worklist")
def get_worklist(
    web: Served,
    by: Looking,
    status: Annotated[
        str, Query(max_length=64, description="A state, `all`, or empty for all that is open."), Plain
    ] = "",
    discipline: Annotated[str, Query(max_length=32), Plain] = "",
    center: Annotated[str, Query(max_length=64, description="The id of a center."), Plain] = "",
    site: Annotated[str, Query(max_length=64, description="The id of the institution that sent it."), Plain] = "",
    modality: Narrow = "",
    body_part: Narrow = "",
    priority: Narrow = "",
    whose: Annotated[
        Whose, Query(description="`mine`: held or written by the caller; `assigned` to the caller; `free`.")
    ] = "",
    overdue: bool = False,
    q: Search = "",
    after: After = "",
    limit: Limit = 50,
) -> Listed[WorklistItem]:
    """Cases of the caller's centers and of their own institution, the most urgent first."""
    if status not in STATUSES:
        raise BadInput("field_wrong", field="status")
    now = web.clock()
    filters = Filters(status, discipline, center, site, modality, body_part, priority, whose, overdue, q)
    page = web.database.read(lambda s: worklist(s, by, now, filters, after=after, limit=limit))
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
    numbers = (
        [(one.name, one.value, one.method) for one in body.measurements] if body.measurements is not None else None
    )
    held = web.database.write(
        lambda s: readings.save_draft(
            s,
            by,
            reading_id,
            text,
            revision,
            now,
            key_images=chosen,
            template_id=body.template_id,
            values=body.values,
            measured=numbers,
        )
    )
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
def submit(web: Served, by: Acting, reading_id: PathId, body: Passing | None = None) -> WorklistItem:
    """Hand the draft to a reviewer."""

    def work(session: Session, now: datetime) -> None:
        checking.pass_on(session, by, reading_id, body.overruled if body else None, now)
        readings.submit(session, by, reading_id, now)

    return _do(web, by, reading_id, work)


@router.post("/readings/{reading_id}/send-back")
def send_back(web: Served, by: Acting, reading_id: PathId, body: Why) -> WorklistItem:
    """The reviewer sends the draft back to its writer."""
    return _do(web, by, reading_id, lambda s, now: readings.send_back(s, by, reading_id, body.reason, now))


@router.post("/readings/{reading_id}/return")
def return_to_sender(web: Served, by: Acting, reading_id: PathId, body: Returning) -> WorklistItem:
    """Ask the township to repeat the examination, under the same accession number."""
    return _do(
        web,
        by,
        reading_id,
        lambda s, now: handing.return_to_sender(s, by, reading_id, body.reason, now, reason=body.code),
    )


@router.post("/readings/{reading_id}/refer")
def refer(web: Served, by: Acting, reading_id: PathId, body: Referral) -> WorklistItem:
    """Ask another center or one of its readers, or a colleague, for an opinion."""
    expert = body.expert_id or ""
    return _do(
        web,
        by,
        reading_id,
        lambda s, now: handing.refer(s, by, reading_id, body.center_id, body.reason, now, expert_id=expert),
    )


@router.post("/readings/{reading_id}/recall")
def recall(web: Served, by: Acting, reading_id: PathId, body: Why) -> WorklistItem:
    """Take the question back while nobody has answered it."""
    return _do(web, by, reading_id, lambda s, now: handing.recall(s, by, reading_id, body.reason, now))


@router.post("/readings/{reading_id}/answer")
def answer(web: Served, by: Acting, reading_id: PathId, body: Passing | None = None) -> WorklistItem:
    """Give the opinion written in a consultation back to the center that asked."""

    def work(session: Session, now: datetime) -> None:
        checking.pass_on(session, by, reading_id, body.overruled if body else None, now)
        handing.answer_referral(session, by, reading_id, now)

    return _do(web, by, reading_id, work)


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
    now = web.clock()
    web.database.write(lambda s: checking.pass_on(s, by, reading_id, body.overruled, now))
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
