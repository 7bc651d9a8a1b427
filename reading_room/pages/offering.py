"""Existing results beside the order form: shown before an order is saved, taken or declined with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from markupsafe import Markup
from sqlalchemy.orm import Session

from gateway.http import Acting, Served, Web
from reading_room import packing, recognition_words
from reading_room.pages.frame import Form, Typed, View, go_on, new_router, refusal
from worklist.actions import linking, looking, ordering_once, orders, recognising, recognition_holds
from worklist.actions.recognising import Offer
from worklist.errors import BadInput, Conflict, HurenError
from worklist.facts import OrderRequest, PatientFacts
from worklist.people import Actor
from worklist.queries import orders as placed
from worklist.queries import outside, registering
from worklist.queries.registering import Candidate
from worklist.queries.views import OrderDetail, OutsideView

router = new_router()


@dataclass(frozen=True)
class OfferShown:
    """A result as the form shows it. `id` is empty where it is only shown, with why it does not serve."""

    id: str
    recognised: bool
    outcome: str
    must: bool
    procedure: str
    procedure_en: str
    institution: str
    taken_at: str  # on the clock of where it was examined; empty: nobody knows
    days: int | None
    until: datetime | None
    marks: tuple[str, ...]
    why: tuple[str, ...]
    report_id: str
    study_ids: tuple[str, ...]
    is_open: bool  # whether report and images can be opened from here
    can_be_read_anew: bool = False
    outside_id: str = ""  # of a result of another region
    grade: str = ""
    region: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a form: an order and what was done (a key of `DONE`), or offers that wait for an answer."""

    order_id: str = ""
    done: str = ""
    offers: list[Offer] = field(default_factory=list)
    whom: Candidate | None = None


@router.get("/orders/offers")
def offers(
    request: Request, web: Served, actor: Acting, patient: str = "", procedure: str = "", laterality: str = ""
) -> Response:
    """The part of the order form that shows what there is; empty where there is nothing, or somebody is not known."""
    if laterality not in ("", "L", "R", "B"):
        raise BadInput("field_wrong", field="laterality")
    found = _found(web, actor, patient, procedure, laterality)
    return packing.page(request, part(View(request, actor), actor, found, Form(), web.clock()))


@router.get("/outside/{outside_id}")
def outside_result(request: Request, web: Served, actor: Acting, outside_id: str) -> Response:
    """A result that another system or region made, with who it is about; the look is on record."""
    now = web.clock()

    def look(session: Session) -> tuple[OutsideView, PatientFacts]:
        found = looking.open_outside(session, actor, outside_id, now)
        return found, outside.about(session, found.patient_id)

    found, patient = web.database.write(look)
    return View(request, actor).page("outside.html", result=found, patient=patient)


@router.get("/orders/{order_id}/recognition")
def offers_for_order(request: Request, web: Served, actor: Acting, order_id: str) -> Response:
    """Existing results for an order that a HIS or a colleague placed and nobody has begun."""
    return _for_order(View(request, actor), web, actor, order_id)


@router.post("/orders/{order_id}/recognition")
def answer_for_order(request: Request, web: Served, actor: Acting, order_id: str, typed: Typed) -> Response:
    """Take a result for an order, which is then recognised, or say why it is examined all the same."""
    now = web.clock()

    def answer(session: Session) -> str:
        found = recognising.offer_for(session, actor, order_id, now)
        serving = {offer.id for offer in found if offer.id}
        kind, _colon, taken = typed.answer.partition(":")
        if taken in serving:
            return _accept(session, actor, kind, taken, order_id, now)
        if kind == "release" and not serving:
            recognition_holds.release(session, actor, order_id, now)
            return "ordered"
        if kind != "new" or not serving:
            raise Conflict("recognition_unanswered")
        _decline(session, actor, serving, typed, order_id, now)
        return "decided"

    try:
        done = web.database.write(answer)
    except HurenError as error:
        view = View(request, actor)
        status, words = refusal(view, error)
        return _for_order(view, web, actor, order_id, typed, status, words)
    return go_on(f"/orders/{order_id}", done)


def _for_order(
    view: View,
    web: Web,
    actor: Actor,
    order_id: str,
    typed: Form | None = None,
    status: int = 200,
    error: str = "",
) -> Response:
    now = web.clock()

    def look(session: Session) -> tuple[OrderDetail, list[Offer]]:
        return placed.detail(session, actor, order_id, now), recognising.offer_for(session, actor, order_id, now)

    order, found = web.database.write(look)
    return view.page(
        "order_offers.html",
        status=status,
        error=error,
        row=order.row,
        offers=part(view, actor, found, typed or Form(), now) if found else "",
        serving=any(offer.id for offer in found),
    )


def again(web: Web, actor: Actor, typed: Form) -> list[Offer]:
    """What a form showed that was refused for another reason: its offers are shown again."""
    if not (typed.answer and typed.patient and typed.procedure and typed.laterality in ("", "L", "R", "B")):
        return []
    return _found(web, actor, typed.patient, typed.procedure, typed.laterality)


def _found(web: Web, actor: Actor, patient: str, procedure: str, laterality: str) -> list[Offer]:
    now = web.clock()
    try:
        return web.database.write(lambda s: recognising.offer(s, actor, patient, procedure, now, laterality))
    except HurenError as error:
        if error.code not in ("no_such_patient", "procedure_unknown"):
            raise
        return []


def part(view: View, actor: Actor, found: Sequence[Offer], typed: Form, now: datetime) -> Markup:
    """The offers in words, with the answers to choose from."""
    shown = [_shown(view, actor, offer, now) for offer in found]
    shown.sort(key=lambda offer: not offer.recognised)
    return view.part(
        "parts/recognition.html",
        offers=shown,
        serving=any(offer.recognised for offer in shown),
        refusals=recognition_words.reasons(view.words),
        typed=typed,
    )


def place(
    session: Session,
    actor: Actor,
    patient: PatientFacts,
    wanted: OrderRequest,
    typed: Form,
    whole: str,
    now: datetime,
) -> Outcome:
    """Place the order of a form, unless there are results that serve and nothing was said of them: then the patient is
    registered, the offers are on record, and nothing is ordered. An emergency is never stopped.

    The field `answer` is ``report:ID``, ``images:ID`` (read anew) or ``data:ID`` (as it is) of an offer that is taken,
    or ``new``.

    `whole` is what was typed, by which a form that is sent again is known (`ordering_once`).
    """
    patient_id = recognising.patient_of(session, actor, patient, now)
    found = recognising.offer(session, actor, patient_id, wanted.procedure_code, now, wanted.laterality)
    serving = {offer.id for offer in found if offer.id}
    kind, _colon, taken = typed.answer.partition(":")
    if serving and wanted.priority != "STAT" and not (kind == "new" or taken in serving):
        return Outcome(offers=found, whom=registering.candidate(session, actor, patient_id))
    order = orders.place(session, actor, patient, wanted, now)
    ordering_once.remember(session, actor, typed.key, whole, order, now)
    session.flush()
    if taken in serving:
        return Outcome(order.id, _accept(session, actor, kind, taken, order.id, now))
    if kind == "new":
        _decline(session, actor, serving, typed, order.id, now)
    linking.try_waiting_studies(session, order, now)
    return Outcome(order.id, "ordered")


def _accept(session: Session, actor: Actor, kind: str, offer_id: str, order_id: str, now: datetime) -> str:
    """Take a result as far as was chosen; returns what was done (a key of `DONE`)."""
    adopted = "images" if kind == "data" else kind
    order = recognising.accept(
        session, actor, offer_id, now, adopted=adopted, order_id=order_id, read_anew=kind == "images"
    )
    return "read_anew" if order.state == "rereading" else "recognised"


def _decline(session: Session, actor: Actor, serving: set[str], typed: Form, order_id: str, now: datetime) -> None:
    for offer_id in sorted(serving):
        recognising.decline(
            session,
            actor,
            offer_id,
            typed.refusal,
            now,
            words=typed.refusal_words,
            patient_told=bool(typed.patient_told),
            order_id=order_id,
        )


def _shown(view: View, actor: Actor, offer: Offer, now: datetime) -> OfferShown:
    result, verdict = offer.result, offer.result.verdict
    taken = result.taken_at
    zone = ZoneInfo(result.timezone)
    return OfferShown(
        id=offer.id,
        recognised=verdict.recognised,
        outcome=verdict.outcome,
        must=verdict.duty == "must",
        procedure=result.procedure,
        procedure_en=result.procedure_en,
        institution=result.institution,
        taken_at=f"{taken.astimezone(zone):%Y-%m-%d %H:%M}" if taken is not None else "",
        days=(now - taken).days if taken is not None else None,
        until=verdict.until,
        marks=verdict.marks,
        why=tuple(recognition_words.why(view.words, verdict.because, recognised=verdict.recognised)),
        report_id=result.reading_id,
        study_ids=result.study_ids,
        is_open=verdict.recognised or result.institution_id == actor.institution_id,
        can_be_read_anew=offer.can_be_read_anew,
        outside_id=result.outside_id,
        grade=result.source.grade if result.source else "",
        region=result.source.region if result.source else "",
    )
