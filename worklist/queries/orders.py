"""A township's orders and how far they have come; patients; critical results that wait for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from worklist.actions.patients import facts_of
from worklist.errors import NotFound
from worklist.facts import PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.views import CriticalView, OrderDetail, OrderRow, Page, Step
from worklist.tables import (
    CriticalResult,
    Delivery,
    Order,
    Patient,
    PatientIdentifier,
    Reading,
    ReadingOrder,
    ReportVersion,
    Study,
    StudyOrder,
    User,
)

PROGRESS: Final = ("stuck", "retrying", "due", "sent", "acknowledged")
"""Deliveries from the least to the most advanced."""


def listed(
    session: Session,
    by: Actor,
    now: datetime,
    *,
    state: str = "",
    q: str = "",
    accession_number: str = "",
    waiting: bool = False,
    after: str = "",
    limit: int = 50,
) -> Page[OrderRow]:
    """Orders in the actor's scope, the newest first. `state`: one of the order's, ``""`` for all, ``"open"``.

    `waiting`: only those whose note asks a person at home to decide something.
    """
    query = select(Order).where(scope.orders(by)).order_by(Order.id.desc()).limit(limit + 1)
    if state == "open" or waiting:
        query = query.where(Order.state.not_in(("completed", "cancelled", "recognised")))
    if waiting:
        query = query.where(Order.note != "")
    if state and state != "open":
        query = query.where(Order.state == state)
    if accession_number:
        query = query.where(Order.accession_number == accession_number)
    if q:
        text = q.strip()
        plain = text.replace(" ", "").replace("^", "")
        query = query.join(Patient, Patient.id == Order.patient_id).where(
            or_(
                scope.contains(Order.accession_number, text),
                scope.contains(Order.placer_number, text),
                scope.contains(Order.patient_value, text),
                func.replace(Patient.name, "^", "").icontains(plain, autoescape=True, escape="\\"),
                func.replace(Patient.name_alphabetic, "^", "").icontains(plain, autoescape=True, escape="\\"),
            )
        )
    if after:
        query = query.where(Order.id < after)
    found = session.scalars(query).unique().all()
    shown = found[:limit]
    return Page(tuple(_rows(session, shown, now)), shown[-1].id if len(found) > limit else "")


def detail(session: Session, by: Actor, order_id: str, now: datetime) -> OrderDetail:
    """One order with its report, critical results and story.

    Raises
    ------
    NotFound
        ``no_such_order``.
    """
    order = session.scalar(select(Order).where(Order.id == order_id, scope.orders(by)))
    if order is None:
        raise NotFound("no_such_order")
    row = _rows(session, [order], now)[0]
    readings = session.scalars(select(ReadingOrder.reading_id).where(ReadingOrder.order_id == order.id)).all()
    issued = [v for reading_id in readings for v in parts.versions(session, reading_id) if v.status]
    deliveries = session.scalars(
        select(Delivery).where(Delivery.reading_id.in_(readings)).order_by(Delivery.id.desc())
    ).unique()
    studies = session.scalars(
        select(Study).join(StudyOrder, StudyOrder.study_id == Study.id).where(StudyOrder.order_id == order.id)
    ).unique()
    held = list(studies)
    return OrderDetail(
        row=row,
        clinical_information=order.clinical_information,
        reason=order.reason,
        patient=facts_of(order.patient),
        report=issued[0] if issued else None,
        versions=tuple(issued),
        criticals=tuple(parts.criticals(session, CriticalResult.reading_id.in_(readings))),
        deliveries=tuple(parts.deliveries(session, deliveries)),
        studies=tuple(parts.studies(session, held)),
        story=tuple(_for_home(s) for s in parts.story(session, [order.id, *readings, *(s.id for s in held)])),
    )


def _for_home(step: Step) -> Step:
    """A step as the township sees it: what the readers of a center say to each other stays with them."""
    is_theirs = step.machine == "reading" and step.verb not in ("return", "close", "withdraw")
    return replace(step, why="") if is_theirs else step


def candidates(session: Session, by: Actor, study_id: str, now: datetime, q: str = "") -> list[OrderRow]:
    """Orders that a person may link a study to: of the study's institution, not cancelled, the likeliest first."""
    study = session.scalar(select(Study).where(Study.id == study_id, scope.studies(by)))
    if study is None:
        raise NotFound("no_such_study")
    query = (
        select(Order)
        .join(Patient, Patient.id == Order.patient_id)
        .where(Order.institution_id == study.institution_id, Order.state.not_in(("cancelled", "recognised")))
    )
    if q.strip():
        plain = q.strip().replace(" ", "").replace("^", "")
        query = query.where(
            or_(
                scope.contains(Order.accession_number, q.strip()),
                scope.contains(Order.patient_value, q.strip()),
                func.replace(Patient.name, "^", "").icontains(plain, autoescape=True, escape="\\"),
                func.replace(Patient.name_alphabetic, "^", "").icontains(plain, autoescape=True, escape="\\"),
            )
        )
    found = list(session.scalars(query.order_by(Order.id.desc()).limit(200)).unique())

    def unlikeness(order: Order) -> tuple[int, ...]:
        return (
            -int(order.accession_number == study.sent_accession_number),
            -int(order.study_instance_uid == study.study_instance_uid),
            -int(order.patient_value == study.sent_patient_id),
            -int(bool(study.sent_name) and order.patient.name.replace("^", "") == study.sent_name.replace("^", "")),
        )

    return _rows(session, sorted(found, key=unlikeness)[:30], now)


def criticals(session: Session, by: Actor, *, only_open: bool = True) -> list[CriticalView]:
    """Critical results that the actor's institution must answer, or that the actor's centers have marked."""
    mine = or_(
        CriticalResult.reading_id.in_(select(Reading.id).where(Reading.center_id.in_(by.centers()))),
        CriticalResult.institution_id == by.institution_id
        if by.has("technician") or by.has("doctor")
        else CriticalResult.id == "",
    )
    if only_open:
        mine = mine & CriticalResult.state.in_(("notified", "escalated", "acknowledged"))
    return parts.criticals(session, mine)


def patients(session: Session, by: Actor, identifier: str) -> list[tuple[str, PatientFacts]]:
    """Patients with this number whom the actor may see: those with an order of theirs or a case of their centers."""
    seen = or_(
        Patient.id.in_(select(Order.patient_id).where(scope.orders(by))),
        Patient.id.in_(select(Reading.patient_id).where(scope.readings(by), Reading.patient_id.is_not(None))),
    )
    found = session.scalars(
        select(Patient)
        .join(PatientIdentifier, PatientIdentifier.patient_id == Patient.id)
        .where(PatientIdentifier.value == identifier, seen)
        .order_by(Patient.id)
        .limit(50)
    ).unique()
    return [(p.id, facts_of(p)) for p in found]


def _rows(session: Session, orders: Sequence[Order], now: datetime) -> list[OrderRow]:
    ids = [order.id for order in orders]
    studies: dict[str, list[Study]] = {}
    for order_id, study in session.execute(
        select(StudyOrder.order_id, Study)
        .join(Study, Study.id == StudyOrder.study_id)
        .where(StudyOrder.order_id.in_(ids))
        .order_by(Study.id)
    ).unique():
        studies.setdefault(order_id, []).append(study)
    readings: dict[str, Reading] = {}
    for order_id, reading in session.execute(
        select(ReadingOrder.order_id, Reading)
        .join(Reading, Reading.id == ReadingOrder.reading_id)
        .where(ReadingOrder.order_id.in_(ids), Reading.kind == "primary")
        .order_by(Reading.id)
    ).unique():
        readings[order_id] = reading
    reading_ids = [r.id for r in readings.values()]
    issued = {
        v.reading_id: v
        for v in session.scalars(
            select(ReportVersion)
            .where(ReportVersion.reading_id.in_(reading_ids), ReportVersion.status != "")
            .order_by(ReportVersion.number)
        )
    }
    sent: dict[str, list[str]] = {}
    for version_id, state in session.execute(
        select(Delivery.version_id, Delivery.state).where(Delivery.version_id.in_([v.id for v in issued.values()]))
    ):
        sent.setdefault(version_id, []).append(state)
    critical: dict[str, CriticalResult] = {
        c.reading_id: c
        for c in session.scalars(
            select(CriticalResult)
            .where(CriticalResult.reading_id.in_(reading_ids), CriticalResult.state.not_in(("retracted", "superseded")))
            .order_by(CriticalResult.id)
        )
    }
    people = {r.holder_id or r.writer_id for r in readings.values()} - {None}
    names: dict[str, str] = dict(session.execute(select(User.id, User.name).where(User.id.in_(people))).all())
    found = []
    for order in orders:
        its_reading = readings.get(order.id)
        version = issued.get(its_reading.id) if its_reading is not None else None
        states = sent.get(version.id, []) if version is not None else []
        open_critical = critical.get(its_reading.id) if its_reading is not None else None
        held = studies.get(order.id, [])
        expected = [s.expected for s in held if s.expected is not None]
        procedure = order.procedure
        found.append(
            OrderRow(
                id=order.id,
                state=order.state,
                accession_number=order.accession_number,
                placer_number=order.placer_number,
                patient_id=order.patient_id,
                patient_name=PersonName(order.patient.name, order.patient.name_alphabetic),
                patient_sex=order.patient.sex,
                patient_birth_date=order.patient.birth_date,
                patient_identifier=order.patient_value,
                patient_issuer=order.patient_issuer,
                is_alias=order.patient.is_alias,
                institution_code=order.institution.code,
                institution=order.institution.name,
                procedure_code=order.procedure_code,
                procedure=procedure.name if procedure else order.procedure_text or order.procedure_code,
                procedure_en=(procedure.name_en or procedure.name) if procedure else order.procedure_text,
                modality=procedure.modality if procedure else "",
                priority=order.priority,
                note=order.note,
                study_instance_uid=order.study_instance_uid,
                scheduled_date=order.scheduled_date,
                scheduled_time=order.scheduled_time,
                ordering_doctor=order.ordering_doctor,
                placed_at=order.placed_at,
                received=sum(s.instances for s in held),
                expected=sum(expected) if expected else None,
                arriving=any(s.arrival == "arriving" for s in held),
                has_study=bool(held),
                reading_id=its_reading.id if its_reading is not None else "",
                reading_state=its_reading.state if its_reading is not None else "",
                reader=names.get((its_reading.holder_id or its_reading.writer_id or ""), "")
                if its_reading is not None
                else "",
                due_at=its_reading.due_at if its_reading is not None else None,
                report_id=version.reading_id if version is not None else "",
                report_status=version.status if version is not None else "",
                delivery_state=min(states, key=PROGRESS.index, default=""),
                critical_id=open_critical.id if open_critical is not None else "",
                critical_state=open_critical.state if open_critical is not None else "",
            )
        )
    return found
