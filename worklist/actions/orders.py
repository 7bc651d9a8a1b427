"""Orders: placed, changed, cancelled, by a HIS or by a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import patients
from worklist.actions.numbering import accession_number, study_uid
from worklist.errors import BadInput, Conflict, NotFound, Refused
from worklist.facts import PRIORITIES, KnownDevice, OrderAnswer, OrderRequest, PatientFacts
from worklist.moves import begin, can, move
from worklist.people import Actor, device_actor
from worklist.tables import (
    CodeMapping,
    Institution,
    Order,
    Procedure,
    ReadingOrder,
    Study,
    StudyOrder,
)

DONE: Final = {"NW": "OK", "XO": "XR", "CA": "CR", "DC": "DR"}
NOT_DONE: Final = {"NW": "UA", "XO": "UX", "CA": "UC", "DC": "UD"}
"""HL7 table 0119: what answers a new order, a change, a cancellation, a discontinuation."""

MUTABLE: Final = (
    "procedure_code",
    "procedure_text",
    "priority",
    "clinical_information",
    "reason",
    "ordering_doctor",
    "ordering_doctor_id",
    "laterality",
    "patient_class",
    "visit_number",
    "location",
    "station_ae",
    "requested_at",
)
"""Columns that a change message may change, named as in `OrderRequest`."""


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
    """Do what one ORC/OBR pair asks and say what became of it (HL7 v2.4 chapter 4.5.1).

    `patient` is scoped already; with `sure` a person has said that contradicting news of them is a correction. A
    refusal is an answer here, not an exception.
    """
    by = device_actor(device.id, device.name, device.institutions)
    try:
        with session.begin_nested():  # what a refused pair had begun is undone; the other pairs stand
            if request.control == "NW":
                order = _new(session, device, institution, patient, request, by, now, sure=sure)
            elif request.control == "XO":
                order = _change(session, device, institution, patient, request, by, now)
            elif request.control in ("CA", "DC"):
                order = _cancel(session, institution, patient, request, by, now)
            else:
                raise BadInput("order_control_unknown", control=request.control)
    except Refused as error:
        held = _find(session, _issuer(institution, request), request.placer_number)
        if held is not None and request.control in ("CA", "DC"):
            held.note = "cancel_refused"  # nothing closes; the township's page shows it and a person decides
        return OrderAnswer(request, NOT_DONE.get(request.control, "UA"), reason=error.code)
    waiting = order.state == "placed"
    return OrderAnswer(request, DONE[request.control], order.accession_number, waiting=waiting)


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
    if session.scalar(select(Procedure.id).where(Procedure.code == request.procedure_code)) is None:
        raise BadInput("procedure_unknown", procedure=request.procedure_code)
    institution = session.get_one(Institution, by.institution_id)
    scoped = patients.with_scope(session, patient, institution, (institution.id,))
    return _new(session, None, institution, scoped, replace(request, placer_number=""), by, now)


def schedule_waiting(session: Session, by: Actor, device_id: str, code: str, now: datetime) -> int:
    """Put orders that waited for a mapping of `code` from `device_id` onto worklists; return how many.

    Images that came before them may match now.
    """
    from worklist.actions import linking

    procedure = _procedure(session, device_id, code)
    if procedure is None:
        return 0
    waiting = session.scalars(
        select(Order).where(Order.state == "placed", Order.device_id == device_id, Order.procedure_code == code)
    ).all()
    for order in waiting:
        order.procedure_id = procedure.id
        order.note = ""
        move(session, "order", order, "schedule", by, now)
        linking.try_waiting_studies(session, order, now)
    return len(waiting)


def abandon(session: Session, by: Actor, order_id: str, why: str, now: datetime) -> Order:
    """A person at the ordering institution cancels an order for which work has begun, with a reason."""
    by.require_scope("order")
    by.require("technician", "doctor")
    order = session.get(Order, order_id)
    if order is None or order.institution_id != by.institution_id:
        raise NotFound("no_such_order")
    if not why.strip():
        raise BadInput("reason_missing")
    if can("order", order, "cancel"):
        move(session, "order", order, "cancel", by, now, why)
    elif can("order", order, "abandon"):
        if session.scalar(select(ReadingOrder.reading_id).where(ReadingOrder.order_id == order.id)):
            raise Conflict("order_is_being_read")
        move(session, "order", order, "abandon", by, now, why)
    else:
        raise Conflict("order_cannot_be_cancelled", state=order.state)
    order.note = ""
    audit.note(
        session,
        by,
        "order cancelled",
        now,
        thing="order",
        thing_id=order.id,
        institution_id=order.institution_id,
        patient_id=order.patient_id,
        why=why,
    )
    return order


def _new(
    session: Session,
    device: KnownDevice | None,
    institution: Institution,
    patient: PatientFacts,
    request: OrderRequest,
    by: Actor,
    now: datetime,
    *,
    sure: bool = False,
) -> Order:
    issuer = _issuer(institution, request) if device is not None else "HUREN"
    known = _find(session, issuer, request.placer_number) if request.placer_number else None
    if known is not None:
        if _same(known, request, patient):
            return known
        if known.state in ("cancelled", "recognised"):
            raise Conflict(f"order_{known.state}")
        return _apply_change(session, device, known, patient, request, by, now)
    if request.priority not in PRIORITIES:
        raise BadInput("priority_unknown", priority=request.priority)
    person = patients.take(session, patient, by, institution, now, sure=sure)
    main = patients.main_identifier(patient)
    accession = accession_number(session, device, institution, request, now)
    procedure = _procedure(session, device.id if device else None, request.procedure_code)
    date, clock = _scheduled(request.scheduled_at, institution)
    order = Order(
        institution_id=institution.id,
        device_id=device.id if device is not None else None,
        placer_issuer=issuer,
        placer_number=request.placer_number or accession,
        accession_number=accession,
        study_instance_uid=study_uid(session, request, institution, person, main.value),
        patient_id=person.id,
        patient_value=main.value,
        patient_issuer=main.issuer,
        procedure_id=procedure.id if procedure else None,
        scheduled_date=date,
        scheduled_time=clock,
        placed_at=now,
        **{name: getattr(request, name) for name in MUTABLE},
    )
    begin(session, "order", order, "place", by, now)
    session.flush()
    if procedure is None:
        order.note = "procedure_not_mapped"
    else:
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
    return order


def _change(
    session: Session,
    device: KnownDevice,
    institution: Institution,
    patient: PatientFacts,
    request: OrderRequest,
    by: Actor,
    now: datetime,
) -> Order:
    order = _find(session, _issuer(institution, request), request.placer_number)
    if order is None:
        raise NotFound("no_such_order")
    return _apply_change(session, device, order, patient, request, by, now)


def _apply_change(
    session: Session,
    device: KnownDevice | None,
    order: Order,
    patient: PatientFacts,
    request: OrderRequest,
    by: Actor,
    now: datetime,
) -> Order:
    if order.state not in ("placed", "scheduled"):
        raise Conflict("order_already_begun" if order.state == "in progress" else f"order_{order.state}")
    if patient.identifiers and not _names_patient(order, patient):
        raise Conflict("order_is_for_another_patient")
    if request.priority not in PRIORITIES:
        raise BadInput("priority_unknown", priority=request.priority)
    for name in MUTABLE:
        value = getattr(request, name)
        if value:
            setattr(order, name, value)
    if request.scheduled_at:
        order.scheduled_date, order.scheduled_time = _scheduled(request.scheduled_at, order.institution)
    if request.procedure_code:
        procedure = _procedure(session, device.id if device else None, request.procedure_code)
        order.procedure_id = procedure.id if procedure else None
        if procedure is not None and order.state == "placed":
            order.note = ""
            move(session, "order", order, "schedule", by, now)
        elif procedure is None and order.state == "scheduled":
            raise Conflict("procedure_not_mapped")
    audit.note(
        session,
        by,
        "order changed",
        now,
        thing="order",
        thing_id=order.id,
        institution_id=order.institution_id,
        patient_id=order.patient_id,
    )
    return order


def _cancel(
    session: Session, institution: Institution, patient: PatientFacts, request: OrderRequest, by: Actor, now: datetime
) -> Order:
    order = _find(session, _issuer(institution, request), request.placer_number)
    if order is None:
        raise NotFound("no_such_order")
    if patient.identifiers and not _names_patient(order, patient):
        raise Conflict("order_is_for_another_patient")
    if order.state == "cancelled":
        return order
    if not can("order", order, "cancel") or _has_work(session, order):
        raise Conflict("order_has_images")
    move(session, "order", order, "cancel", by, now)
    return order


def _has_work(session: Session, order: Order) -> bool:
    linked = select(StudyOrder.study_id).where(StudyOrder.order_id == order.id)
    # Images that came under the order's own UID count even while they wait in the unmatched bin.
    sent = select(Study.id).where(
        Study.study_instance_uid == order.study_instance_uid, Study.institution_id == order.institution_id
    )
    read = select(ReadingOrder.reading_id).where(ReadingOrder.order_id == order.id)
    return any(session.scalar(query.limit(1)) is not None for query in (linked, sent, read))


def _issuer(institution: Institution, request: OrderRequest) -> str:
    """Who gave a placer number: the institution, or one of the several systems that it names in ORC-2.2."""
    return f"{institution.code}/{request.placer_namespace}" if request.placer_namespace else institution.code


def _find(session: Session, placer_issuer: str, placer_number: str) -> Order | None:
    return session.scalar(
        select(Order).where(Order.placer_issuer == placer_issuer, Order.placer_number == placer_number)
    )


def _names_patient(order: Order, patient: PatientFacts) -> bool:
    return any((i.issuer, i.value) == (order.patient_issuer, order.patient_value) for i in patient.identifiers)


def _same(order: Order, request: OrderRequest, patient: PatientFacts) -> bool:
    """Whether a second NW says the same as the order that is held."""
    if not _names_patient(order, patient):
        return False
    scheduled = _scheduled(request.scheduled_at, order.institution)
    as_held = replace(
        request,
        **{name: getattr(order, name) for name in MUTABLE if not getattr(request, name)},
    )
    return all(getattr(as_held, name) == getattr(order, name) for name in MUTABLE) and scheduled in (
        ("", ""),
        (order.scheduled_date, order.scheduled_time),
    )


def _procedure(session: Session, device_id: str | None, code: str) -> Procedure | None:
    mapping = session.get(CodeMapping, (device_id, code)) if device_id else None
    if mapping is not None:
        return session.get(Procedure, mapping.procedure_id)
    return session.scalar(select(Procedure).where(Procedure.code == code, Procedure.enabled))


def _scheduled(stamp: str, institution: Institution) -> tuple[str, str]:
    """Local date (DA) and time (TM) of an HL7 TS; a stamp with a zone is brought to the institution's."""
    digits = stamp.split("+")[0].split("-")[0].split(".")[0]
    if len(digits) < 8 or not digits.isdecimal():
        return "", ""
    if ("+" in stamp or "-" in stamp) and len(digits) >= 12:
        try:
            zone = stamp[len(stamp.rstrip("0123456789")) - 1 :]
            aware = datetime.strptime(digits.ljust(14, "0") + zone, "%Y%m%d%H%M%S%z")
        except ValueError:
            return digits[:8], digits[8:].ljust(6, "0") if len(digits) > 8 else ""
        local = aware.astimezone(ZoneInfo(institution.timezone))
        return f"{local:%Y%m%d}", f"{local:%H%M%S}"
    return digits[:8], digits[8:].ljust(6, "0") if len(digits) > 8 else ""
