"""Requests for examinations, of a HIS or a person: new orders are placed here.

What becomes of an order that is held already is in `order_changes`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import expiring, order_changes, order_fields, patients, recognition_holds
from worklist.actions.numbering import accession_number, study_uid
from worklist.actions.order_fields import Asked
from worklist.errors import BadInput, Conflict, NotFound, Refused
from worklist.facts import KnownDevice, OrderAnswer, OrderRequest, PatientFacts
from worklist.moves import begin, move
from worklist.people import Actor, device_actor
from worklist.tables import Institution, Order

DONE: Final = {"NW": "OK", "XO": "XR", "CA": "CR", "DC": "DR"}
NOT_DONE: Final = {"NW": "UA", "XO": "UX", "CA": "UC", "DC": "UD"}
"""HL7 table 0119: what answers a new order, a change, a cancellation, a discontinuation."""

Became = Literal["placed", "changed", "unchanged"]


def take_request(
    session: Session,
    device: KnownDevice,
    institution: Institution,
    patient: PatientFacts,
    request: OrderRequest,
    now: datetime,
    *,
    sure: bool = False,
) -> OrderAnswer:
    """`answer_request`, for those who need only the answer."""
    return answer_request(session, device, institution, patient, request, now, sure=sure)[0]


def answer_request(
    session: Session,
    device: KnownDevice,
    institution: Institution,
    patient: PatientFacts,
    request: OrderRequest,
    now: datetime,
    *,
    sure: bool = False,
    came_at: datetime | None = None,
) -> tuple[OrderAnswer, Order | None]:
    """Do what one ORC/OBR pair asks; say what became of it (HL7 v2.4 chapter 4.5.1), and of which order.

    `patient` is scoped already; with `sure` a person has said that contradicting news of them is a correction.
    `came_at` is when the request came in, where it is done again now: what the order was told after that stands. A
    refusal is an answer here, not an exception.
    """
    by = device_actor(device.id, device.name, device.institutions)
    asked = Asked(device, institution, patient, request, by, now, sure, came_at)
    try:
        with session.begin_nested():  # what a refused pair had begun is undone; the other pairs stand
            if request.control == "NW":
                order, _ = _new(session, asked)
            elif request.control == "XO":
                order = order_changes.change(session, asked)
            elif request.control in ("CA", "DC"):
                order = order_changes.cancel(session, asked)
            else:
                raise BadInput("order_control_unknown", control=request.control)
    except Refused as error:
        held = order_fields.find(session, asked)
        if held is not None and error.code == "order_has_images":
            held.note = "cancel_refused"  # nothing closes; the township's page shows it and a person decides
        numbers = (held.accession_number, held.study_instance_uid) if held is not None else ("", "")
        return OrderAnswer(request, NOT_DONE.get(request.control, "UA"), *numbers, reason=error.code), None
    said = request
    if not said.procedure_code:  # a cancellation names no procedure; the answer does
        said = replace(said, procedure_code=order.procedure_code, procedure_text=order.procedure_text)
    answer = OrderAnswer(
        said,
        DONE[request.control],
        order.accession_number,
        order.study_instance_uid,
        waiting=order.state == "placed" and order.note != recognition_holds.HELD,
        serving=recognition_holds.told(session, by, device, order, now) if request.control == "NW" else (),
        held=order.note == recognition_holds.HELD,
    )
    return answer, order


def take_row(
    session: Session,
    by: Actor,
    institution_id: str,
    patient: PatientFacts,
    request: OrderRequest,
    now: datetime,
) -> tuple[Order, Became]:
    """Place or change the order of one row of a list that a person handed in, as a new order of a HIS would.

    Identity is the row's placer number at the institution, so that the same list again makes no order twice.
    `patient` is not scoped yet. A PACS admin may speak for any institution, others for their own.

    Raises
    ------
    Forbidden
        ``role_needed``.
    NotFound
        ``no_such_institution``, which may be another one's.
    Refused
        what is wrong with this row; nothing of it is kept.
    """
    by.require_scope("order")
    by.require("technician", "doctor", "PACS admin")
    institution = session.get(Institution, institution_id)
    if institution is None or not (by.has("PACS admin") or institution.id == by.institution_id):
        raise NotFound("no_such_institution")
    if not request.placer_number:
        raise BadInput("placer_number_missing")
    order_fields.require_procedure(session, request.procedure_code)
    scoped = patients.with_scope(session, patient, institution, (institution.id,))
    with session.begin_nested():
        order, became = _new(session, Asked(None, institution, scoped, request, by, now))
        session.flush()
    return order, became


def place(session: Session, by: Actor, patient: PatientFacts, request: OrderRequest, now: datetime) -> Order:
    """Place an order from a page or the API, for the actor's own institution.

    The order gets a placer number of ours: one that a person typed could be another institution's.

    Raises
    ------
    Refused
        ``role_needed``, or what is wrong with the order.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    order_fields.require_procedure(session, request.procedure_code)
    institution = session.get_one(Institution, by.institution_id)
    scoped = patients.with_scope(session, patient, institution, (institution.id,))
    said = replace(request, placer_number="")
    order, _ = _new(session, Asked(None, institution, scoped, said, by, now))
    return order


def _new(session: Session, asked: Asked) -> tuple[Order, Became]:
    request, by, now = asked.request, asked.by, asked.now
    known = order_fields.find(session, asked) if request.placer_number else None
    if known is not None:
        if known.state in ("recognised", "rereading") or (
            known.state == "cancelled" and not expiring.has_expired(known)
        ):
            raise Conflict(f"order_{known.state}")
        if known.state != "cancelled" and order_fields.is_same(known, asked):
            if asked.came_at is None:
                known.told_at = now
            return known, "unchanged"
        return order_changes.change_held(session, known, asked), "changed"
    order_fields.require_priority(request)
    institution, device_id = asked.institution, asked.device.id if asked.device is not None else None
    person = patients.take(session, asked.patient, by, institution, now, sure=asked.sure)
    main = patients.main_identifier(asked.patient)
    accession = accession_number(session, asked.device, institution, request, now)
    procedure_id = order_fields.procedure(session, device_id, request.procedure_code)
    date, clock = order_fields.scheduled(request.scheduled_at, institution)
    order = Order(
        institution_id=institution.id,
        device_id=device_id,
        placer_issuer=asked.issuer if request.placer_number else "HUREN",
        placer_number=request.placer_number or accession,
        accession_number=accession,
        study_instance_uid=study_uid(session, request, institution, person, main.value),
        patient_id=person.id,
        patient_value=main.value,
        patient_issuer=main.issuer,
        procedure_id=procedure_id,
        scheduled_date=date,
        scheduled_time=clock,
        told_at=asked.came_at or now,
        placed_at=now,
        note="" if procedure_id is not None else "procedure_not_mapped",
        **{name: getattr(request, name) for name in order_fields.MUTABLE},
        **order_fields.lists(request),
    )
    begin(session, "order", order, "place", by, now)
    if procedure_id is not None and not recognition_holds.hold(session, asked.device, order, now):
        move(session, "order", order, "schedule", by, now)
    audit.note(
        session,
        by,
        "order placed",
        now,
        thing="order",
        thing_id=order.id,
        institution_id=institution.id,
        patient_id=person.id,
    )
    return order, "placed"
