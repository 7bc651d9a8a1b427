"""Offers of existing results instead of new examinations, and the answers to them.

An offer is on record with the verdict that made it, opens the result to the person to whom it was made for some hours,
and is answered once. What is accepted is attached to an order, which is then recognised, and goes to that order's HIS.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import anew, deliveries, orders, patients, recognition_holds
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import OrderRequest, PatientFacts
from worklist.moves import begin, can, move
from worklist.people import Actor
from worklist.queries import outside, registering
from worklist.queries import recognition as found
from worklist.queries.recognition import Judged
from worklist.queries.scope import OFFER_OPENS
from worklist.rules.recognition_starter import NEEDS_WORDS, reason
from worklist.tables import Institution, Order, Patient, Procedure, Reading, Recognition, ReportVersion, Study

LONGEST_WORDS: Final = 500


@dataclass(frozen=True)
class Offer:
    """A result that was found. `id` names the offer; empty where it is not recognised and only shown, with why."""

    id: str
    result: Judged
    can_be_read_anew: bool = False  # its images are held here


def patient_of(session: Session, by: Actor, facts: PatientFacts, now: datetime) -> str:
    """The id of the patient whom the actor's institution names so, registered if nobody knew them.

    Raises
    ------
    Forbidden, BadInput
        ``role_needed``; as `patients.take`.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    institution = session.get_one(Institution, by.institution_id)
    scoped = patients.with_scope(session, facts, institution, (institution.id,))
    return patients.take(session, scoped, by, institution, now).id


def offer(
    session: Session, by: Actor, patient_id: str, procedure_code: str, now: datetime, laterality: str = ""
) -> list[Offer]:
    """Existing results that may serve instead of `procedure_code`, the newest first; those that are recognised are
    offered, on record. Run in a writing transaction. Asked again, the same offer is made no second time.

    Raises
    ------
    Forbidden
        ``role_needed``.
    NotFound
        ``no_such_patient``, which may be another institution's.
    BadInput
        ``procedure_unknown``.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    patient = _known(session, by, patient_id)
    procedure = found.procedure_of(session, procedure_code)
    rules = found.rules_at(session, now)
    results = found.judged(session, patient, procedure.code, laterality, by.institution_id, rules.rules, now)
    made = []
    for r in results:
        id = _on_record(session, by, patient, procedure.id, laterality, r, rules.number, now)
        made.append(Offer(id, r, bool(id and anew.images_of(session, r.order_id or None, patient.id))))
    if results:
        audit.note(
            session,
            by,
            "results offered",
            now,
            thing="patient",
            thing_id=patient.id,
            institution_id=by.institution_id,
            patient_id=patient.id,
            detail={"procedure": procedure.code, "reports": [r.reading_id or r.outside_id for r in results]},
        )
    return made


def offer_for(session: Session, by: Actor, order_id: str, now: datetime) -> list[Offer]:
    """As `offer`, for an order of the actor's institution that nobody has begun; its own report is none.

    Raises
    ------
    NotFound
        ``no_such_order``.
    Forbidden
        ``role_needed``.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    order = session.get(Order, order_id)
    if order is None or order.institution_id != by.institution_id:
        raise NotFound("no_such_order")
    if order.procedure is None or not can("order", order, "recognise"):
        return []
    return offer(session, by, order.patient_id, order.procedure.code, now, order.laterality)


def accept(
    session: Session,
    by: Actor,
    recognition_id: str,
    now: datetime,
    *,
    adopted: str = "",
    order_id: str = "",
    read_anew: bool | None = None,
) -> Order:
    """Take an offered result: its images are read anew for the order, or the order is recognised, the result attached
    to it and owed to its HIS.

    Without `order_id` an order is placed for it, so that the chart has one. `adopted`: ``images`` or ``report``; empty
    is as far as the rules go. `read_anew`: of ``images`` alone; None is wherever there are some, since who orders
    seldom reads them.

    Raises
    ------
    BadInput
        ``report_not_adopted`` where the rules let only the images serve; ``field_wrong`` where a report is both
        adopted and read anew.
    Conflict
        ``recognition_over`` where the result serves no more, ``recognition_for_another_order``, ``cannot_move``;
        ``no_images_to_read_anew``, ``no_center``.
    NotFound, Forbidden
        ``no_such_recognition``, ``no_such_order``, ``role_needed``.
    """
    row = own(session, by, recognition_id)
    adopted = adopted or row.outcome
    if adopted not in ("images", "report"):
        raise BadInput("field_wrong", field="adopted")
    if adopted == "report" and row.outcome != "report":
        raise BadInput("report_not_adopted")
    if read_anew and adopted == "report":
        raise BadInput("field_wrong", field="read_anew")
    version = _current(session, row, now)
    images = _images(session, row) if adopted == "images" else []
    if read_anew and not images:
        raise Conflict("no_images_to_read_anew")
    order = _order(session, by, row, order_id) if order_id else _placed(session, by, row, now)
    row.adopted = adopted
    _answer(session, by, row, "accept", order, now)
    is_read_anew = bool(images) if read_anew is None else read_anew
    move(session, "order", order, "read anew" if is_read_anew else "recognise", by, now)
    order.note = ""
    session.flush()
    if is_read_anew:
        anew.open_reading(session, order, images, by, now)
        return order
    if version is not None:  # a result of another region is not ours to send on
        deliveries.owe_recognised(session, order, version, by, now)
    return order


def _images(session: Session, row: Recognition) -> list[Study]:
    return anew.images_of(session, row.result_order_id, row.patient_id, hold=True)


def decline(
    session: Session,
    by: Actor,
    recognition_id: str,
    code: str,
    now: datetime,
    *,
    words: str = "",
    patient_told: bool = False,
    order_id: str = "",
) -> Recognition:
    """Examine anew although a result serves, for a coded reason. `patient_told`: the patient knows of it.

    Raises
    ------
    BadInput
        ``refusal_reason_unknown``, ``refusal_words_missing`` for a code that says nothing by itself.
    Conflict
        ``cannot_move`` where it was answered before, ``recognition_for_another_order``.
    NotFound, Forbidden
        as `accept`.
    """
    row = own(session, by, recognition_id)
    if reason(code) is None:
        raise BadInput("refusal_reason_unknown")
    words = words.strip()
    if len(words) > LONGEST_WORDS or not words.isprintable():
        raise BadInput("field_wrong", field="words")
    if code in NEEDS_WORDS and not words:
        raise BadInput("refusal_words_missing")
    row.reason, row.words, row.patient_told = code, words, patient_told
    order = _order(session, by, row, order_id) if order_id else None
    _answer(session, by, row, "decline", order, now)
    if order is not None:
        recognition_holds.go_on(session, by, order, now)
    return row


def _known(session: Session, by: Actor, patient_id: str) -> Patient:
    registering.chosen(session, by, patient_id)  # refuses whom the institution does not know
    return session.get_one(Patient, patient_id)


def _on_record(
    session: Session,
    by: Actor,
    patient: Patient,
    procedure_id: str,
    laterality: str,
    result: Judged,
    rules_number: int,
    now: datetime,
) -> str:
    verdict = result.verdict
    if not verdict.recognised or result.taken_at is None or verdict.until is None:
        return ""
    before = session.scalar(
        select(Recognition.id)
        .where(
            Recognition.offered_to_id == by.id,
            Recognition.patient_id == patient.id,
            Recognition.reading_id == (result.reading_id or None),
            Recognition.outside_id == (result.outside_id or None),
            Recognition.procedure_id == procedure_id,
            Recognition.laterality == laterality,
            Recognition.state == "offered",
            Recognition.offered_at > now - OFFER_OPENS,
        )
        .limit(1)
    )
    if before is not None:
        return before
    row = Recognition(
        institution_id=by.institution_id,
        patient_id=patient.id,
        procedure_id=procedure_id,
        laterality=laterality,
        reading_id=result.reading_id or None,
        result_order_id=result.order_id or None,
        result_institution_id=result.institution_id or None,
        outside_id=result.outside_id or None,
        taken_at=result.taken_at,
        rules_number=rules_number,
        item=verdict.item,
        outcome=verdict.outcome,
        duty=verdict.duty,
        until=verdict.until,
        marks=list(verdict.marks),
        because=[asdict(b) for b in verdict.because],
        offered_to_id=by.id,
        offered_at=now,
    )
    begin(session, "recognition", row, "offer", by, now)
    session.flush()
    return row.id


def own(session: Session, by: Actor, recognition_id: str) -> Recognition:
    """An offer that was made at the actor's institution: a colleague may answer it.

    Raises
    ------
    Forbidden, NotFound
        ``role_needed``; ``no_such_recognition``.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    row = session.get(Recognition, recognition_id)
    if row is None or row.institution_id != by.institution_id:
        raise NotFound("no_such_recognition")
    return row


def _current(session: Session, row: Recognition, now: datetime) -> ReportVersion | None:
    """The version that serves now: still issued, of the same person, and in time. None of a result of another region,
    which stands and is the same person's."""
    if row.outside_id is not None:
        if now > row.until or not outside.stands(session, row.outside_id, row.patient_id):
            raise Conflict("recognition_over")
        return None
    version = session.scalar(
        select(ReportVersion)
        .where(
            ReportVersion.reading_id == row.reading_id,
            ReportVersion.state == ReportVersion.status,
            ReportVersion.status.in_((*found.FINAL, "preliminary")),
        )
        .order_by(ReportVersion.number.desc())
        .limit(1)
    )
    reading = session.get_one(Reading, row.reading_id)
    ours = session.get_one(Patient, row.patient_id)
    theirs = session.get(Patient, reading.patient_id) if reading.patient_id else None
    if version is None or theirs is None or theirs.person_id != ours.person_id or now > row.until:
        raise Conflict("recognition_over")
    return version


def _order(session: Session, by: Actor, row: Recognition, order_id: str) -> Order:
    """An order of the actor's institution that asks for what was offered."""
    order = session.get(Order, order_id)
    if order is None or order.institution_id != by.institution_id:
        raise NotFound("no_such_order")
    patient = session.get_one(Patient, row.patient_id)
    if order.procedure_id != row.procedure_id or order.patient.person_id != patient.person_id:
        raise Conflict("recognition_for_another_order")
    return order


def _placed(session: Session, by: Actor, row: Recognition, now: datetime) -> Order:
    facts = registering.chosen(session, by, row.patient_id)
    code = session.get_one(Procedure, row.procedure_id).code
    request = OrderRequest("NW", "", procedure_code=code, laterality=row.laterality, ordering_doctor=_doctor(by))
    return orders.place(session, by, facts, request, now)


def _doctor(by: Actor) -> str:
    return by.shown if by.has("doctor") else ""


def _answer(session: Session, by: Actor, row: Recognition, verb: str, order: Order | None, now: datetime) -> None:
    move(session, "recognition", row, verb, by, now, why=row.reason)
    row.order_id = order.id if order is not None else None
    row.answered_by_id, row.answered_at = by.id, now
    session.flush()
    note_answer(session, by, "recognition accepted" if verb == "accept" else "recognition declined", row, now)


def note_answer(session: Session, by: Actor, action: str, row: Recognition, now: datetime) -> None:
    """Record what was said of an offer."""
    detail: dict[str, Any] = {"report": row.reading_id or row.outside_id, "order": row.order_id or ""}
    if row.reason:
        detail["reason"] = row.reason
    audit.note(
        session,
        by,
        action,
        now,
        thing="recognition",
        thing_id=row.id,
        institution_id=row.institution_id,
        patient_id=row.patient_id,
        detail=detail,
    )
