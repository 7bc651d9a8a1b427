"""Mutual recognition: results that serve instead of a new examination, the answer, questions about it, the numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from gateway.http import Acting, Served
from reading_room import recognition_words
from reading_room.api.access import Looking
from reading_room.api.fields import REFUSALS, After, Body, Id, Limit, Listed, PathId, Plain, Remark, Word, require_zone
from reading_room.words import Words, language_of
from worklist.actions import anew, looking, recognising, refusals
from worklist.people import Actor
from worklist.queries import recognised, recognition_figures
from worklist.queries.recognition_figures import Figure
from worklist.queries.views import OutsideView, Recognised
from worklist.rules.recognition_starter import REASONS

router = APIRouter(tags=["recognition"], responses=REFUSALS)


class BecauseOut(BaseModel):
    """One step of the reasoning."""

    code: str
    speaks_for: bool = Field(description="False: this alone forbids recognition.")
    params: dict[str, Any]
    message: str = Field(description="For a person, in their language.")


class OfferOut(BaseModel):
    """An existing result. Times are UTC."""

    id: str = Field(description="Names the offer in an answer; empty where the result is not recognised.")
    recognised: bool
    outcome: str = Field(description="images: these alone serve; report: the report may be adopted; empty: neither.")
    duty: str = Field(description="must or may be accepted; empty: neither.")
    until: datetime | None = Field(description="The last moment at which it serves.")
    marks: list[str] = Field(description="Such as 鄂HR; empty where institution or item lack their assessment.")
    item: str = Field(description="Of the rules.")
    procedure_code: str
    procedure: str
    procedure_en: str
    institution: str = Field(description="Where it was examined.")
    taken_at: datetime | None = Field(description="When it was examined; null: nobody knows.")
    age_days: int | None = Field(description="Whole days since then.")
    reported_at: datetime | None
    report_status: str
    report_id: str = Field(description="For `/api/reports`; open to the caller while it is offered.")
    outside_id: str = Field(description="For `/api/outside-results`, of a result of another region; else empty.")
    grade: str = Field(description="Of the hospital, as a result of another region says it.")
    region: str = Field(description="Where that is (GB/T 2260), as it says it.")
    can_be_read_anew: bool = Field(description="Its images are held here: the center can read them for the new order.")
    study_ids: list[str] = Field(description="For `/studies` and `/dicom-web/held`.")
    because: list[BecauseOut]


class ReasonOut(BaseModel):
    """Why one may examine anew."""

    code: str
    name: str
    name_en: str
    refuses: bool = Field(description="Counts as a refusal.")


class OffersOut(BaseModel):
    """What there is, the newest first, and the reasons for examining anew all the same."""

    items: list[OfferOut]
    reasons: list[ReasonOut]


class AnswerIn(Body):
    """The answer to an offer."""

    id: Id = Field(description="Of the offer.")
    answer: Literal["accepted", "declined"]
    adopted: Literal["", "images", "report"] = Field("", description="Accepted: how far. Empty: as far as it serves.")
    read_anew: bool | None = Field(
        None,
        description="Accepted as images: the center reads them for this order, and its report is the order's. Null: "
        "wherever images are held here. False: the result is taken as it is, and nobody writes a further report.",
    )
    reason: Word = Field("", description="Declined: a code of `reasons`.")
    words: Remark = Field("", description="Declined: needed for the code 6.")
    patient_told: bool = Field(False, description="Declined: the patient knows why they are examined anew.")
    order_id: Id | None = Field(
        None, description="The order in question. Accepted without one: an order is placed for the chart."
    )


class AnsweredOut(BaseModel):
    """What became of an offer."""

    id: str
    state: str
    order_id: str
    order_status: str
    accession_number: str
    reading_id: str = Field(description="Of the case in which the images are read anew; else empty.")


class ChallengeIn(Body):
    """What a manager asks about a refusal, or what is replied."""

    words: Remark


Near = Annotated[datetime, Query(description="With a zone.")]


@router.get("/recognition")
def get_offers(
    request: Request,
    web: Served,
    by: Acting,
    patient: Annotated[str, Query(min_length=1, max_length=64, description="Huren's id of the patient."), Plain],
    procedure: Annotated[str, Query(min_length=1, max_length=64, description="A code of the catalogue."), Plain],
    laterality: Literal["", "L", "R", "B"] = "",
) -> OffersOut:
    """Results that may serve instead of a new examination of a patient whom the caller's institution knows.

    What is recognised is offered, on record, and open to the caller for twelve hours.
    """
    now = web.clock()
    words = Words(language_of(request, by))
    offers = web.database.write(lambda s: recognising.offer(s, by, patient, procedure, now, laterality))
    return OffersOut(
        items=[_offer(o, words, now) for o in offers],
        reasons=[ReasonOut(code=r.code, name=r.name, name_en=r.name_en, refuses=r.refuses) for r in REASONS],
    )


@router.get("/outside-results/{outside_id}")
def get_outside_result(web: Served, by: Looking, outside_id: PathId) -> OutsideView:
    """A result that another system or region made, the newest word on it: of the caller's scope, or offered to them.
    The look is on record."""
    return web.database.write(lambda s: looking.open_outside(s, by, outside_id, web.clock()))


@router.post("/recognition")
def answer_offer(web: Served, by: Acting, body: AnswerIn) -> AnsweredOut:
    """Take an offered result, or say why a new examination is needed."""
    now = web.clock()
    if body.answer == "accepted":
        return web.database.write(lambda s: _accepted(s, by, body, now))
    web.database.write(
        lambda s: recognising.decline(
            s,
            by,
            body.id,
            body.reason,
            now,
            words=body.words,
            patient_told=body.patient_told,
            order_id=body.order_id or "",
        )
    )
    return AnsweredOut(
        id=body.id, state="declined", order_id=body.order_id or "", order_status="", accession_number="", reading_id=""
    )


@router.get("/recognition/refusals")
def get_refusals(
    web: Served, by: Looking, since: Near, until: Near, after: After = "", limit: Limit = 50
) -> Listed[Recognised]:
    """Refusals of that time, the newest first; for managers."""
    require_zone(since, until)
    items = web.database.read(lambda s: recognised.declined(s, by, since, until, after=after, limit=limit))
    return Listed(items, items[-1].id if len(items) == limit else "")


@router.get("/recognition/figures")
def get_figures(web: Served, by: Looking, since: Near, until: Near) -> Listed[Figure]:
    """Offers of that time by institution, item and month, and what became of them; for managers.

    `saved` is an estimate by tariffs, in fen (0.01 yuan); `unpriced` accepted results are in no tariff and left out.
    """
    require_zone(since, until)
    return Listed(web.database.read(lambda s: recognition_figures.figures(s, by, since, until)))


@router.get("/recognition/questions")
def get_questions(web: Served, by: Looking) -> Listed[Recognised]:
    """Refusals of the caller's institution that a manager asked about and nobody has answered for."""
    return Listed(web.database.read(lambda s: recognised.questions(s, by)))


@router.post("/recognition/{recognition_id}/challenge")
def challenge_refusal(web: Served, by: Acting, recognition_id: PathId, body: ChallengeIn) -> AnsweredOut:
    """A manager asks about a refusal, on record."""
    now = web.clock()
    web.database.write(lambda s: refusals.challenge(s, by, recognition_id, body.words, now))
    return AnsweredOut(
        id=recognition_id, state="declined", order_id="", order_status="", accession_number="", reading_id=""
    )


@router.post("/recognition/{recognition_id}/reply")
def reply_to_challenge(web: Served, by: Acting, recognition_id: PathId, body: ChallengeIn) -> AnsweredOut:
    """Whoever declined, or a colleague there, answers the manager's question; once."""
    now = web.clock()
    web.database.write(lambda s: refusals.reply(s, by, recognition_id, body.words, now))
    return AnsweredOut(
        id=recognition_id, state="declined", order_id="", order_status="", accession_number="", reading_id=""
    )


def _accepted(session: Session, by: Actor, body: AnswerIn, now: datetime) -> AnsweredOut:
    order = recognising.accept(
        session, by, body.id, now, adopted=body.adopted, order_id=body.order_id or "", read_anew=body.read_anew
    )
    reading = anew.of_order(session, order.id) if order.state == "rereading" else None
    return AnsweredOut(
        id=body.id,
        state="accepted",
        order_id=order.id,
        order_status=order.state,
        accession_number=order.accession_number,
        reading_id=reading.id if reading is not None else "",
    )


def _offer(offer: recognising.Offer, words: Words, now: datetime) -> OfferOut:
    result, verdict = offer.result, offer.result.verdict
    return OfferOut(
        id=offer.id,
        recognised=verdict.recognised,
        outcome=verdict.outcome,
        duty=verdict.duty,
        until=verdict.until,
        marks=list(verdict.marks),
        item=verdict.item,
        procedure_code=result.procedure_code,
        procedure=result.procedure,
        procedure_en=result.procedure_en,
        institution=result.institution,
        taken_at=result.taken_at,
        age_days=(now - result.taken_at).days if result.taken_at is not None else None,
        reported_at=result.reported_at,
        report_status=result.report_status,
        report_id=result.reading_id,
        outside_id=result.outside_id,
        grade=result.source.grade if result.source else "",
        region=result.source.region if result.source else "",
        can_be_read_anew=offer.can_be_read_anew,
        study_ids=list(result.study_ids),
        because=[
            BecauseOut(
                code=b.code,
                speaks_for=b.speaks_for,
                params=dict(b.params),
                message=recognition_words.because(words, b.code, b.speaks_for, b.params),
            )
            for b in verdict.because
        ],
    )
