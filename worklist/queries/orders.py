"""A township's orders and how far they have come; patients; critical results that wait for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import func, literal, or_, select
from sqlalchemy.orm import Session

from worklist import lifecycle
from worklist.actions.patients import facts_of
from worklist.errors import NotFound
from worklist.facts import PatientFacts, PersonName, SpecimenSaid, StepSaid
from worklist.people import Actor
from worklist.queries import critical, handovers, outside, parts, recognised, scope
from worklist.queries.views import CriticalView, GivenView, OrderDetail, OrderRow, Page, Step
from worklist.rules.kinds import GOES_HOME
from worklist.tables import (
    CaseReturn,
    CriticalResult,
    Delivery,
    Order,
    Patient,
    PatientIdentifier,
    Reading,
    ReadingOrder,
    ReportGiven,
    ReportVersion,
    Study,
    StudyOrder,
    User,
)

OPEN: Final = tuple(
    state for state in lifecycle.states("order") if state not in ("completed", "cancelled", "recognised")
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
        query = query.where(Order.state.in_(OPEN))  # named, so that those that are over need not be walked
    if waiting:
        query = query.where(Order.note != literal("", literal_execute=True))  # as `ix_order_noted` says it
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
    return Page(tuple(rows_of(session, shown, now)), shown[-1].id if len(found) > limit else "")


def detail(session: Session, by: Actor, order_id: str, now: datetime) -> OrderDetail:
    """One order with its report, critical results and story.

    Raises
    ------
    NotFound
        ``no_such_order``.
    """
    order = session.scalar(select(Order).where(Order.id == order_id, scope.seen_orders(by)))
    if order is None:
        raise NotFound("no_such_order")
    row = rows_of(session, [order], now)[0]
    covering = select(Reading.id).join(ReadingOrder, ReadingOrder.reading_id == Reading.id)
    covering = covering.where(ReadingOrder.order_id == order.id)
    readings = session.scalars(covering.where(scope.followed_readings(by))).all()
    issued = [v for reading_id in readings for v in parts.versions(session, reading_id) if v.status]
    deliveries = session.scalars(
        select(Delivery)
        .where(or_(Delivery.reading_id.in_(readings), Delivery.order_id == order.id), Delivery.state != "superseded")
        .order_by(Delivery.id.desc())
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
        criticals=tuple(
            parts.criticals(session, CriticalResult.reading_id.in_(covering) & CriticalResult.notified_at.is_not(None))
        ),
        deliveries=tuple(parts.deliveries(session, deliveries)),
        studies=tuple(parts.studies(session, held)),
        specimens=tuple(SpecimenSaid(**said) for said in order.specimens),
        steps=tuple(StepSaid(**said) for said in order.steps),
        outside=tuple(outside.of_order(session, by, order.id)),
        returns=tuple(handovers.returns(session, CaseReturn.reading_id.in_(readings))),
        laterality=order.laterality,
        timezone=order.institution.timezone,
        given=tuple(given(session, readings)),
        recognised=tuple(recognised.of_orders(session, [order.id])),
        story=tuple(_for_home(s) for s in parts.story(session, [order.id, *readings, *(s.id for s in held)])),
    )


def _for_home(step: Step) -> Step:
    """A step as the township sees it: what the readers of a center say to each other stays with them."""
    is_theirs = step.machine == "reading" and step.verb not in ("return", "close", "withdraw")
    return replace(step, why="") if is_theirs else step


def criticals(session: Session, by: Actor, *, only_open: bool = True) -> list[CriticalView]:
    """Critical results that the actor's institution must answer, or that the actor's centers have marked."""
    mine = critical.visible(by)
    if only_open:
        mine = mine & CriticalResult.state.in_(parts.OPEN_CRITICALS)
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


def rows_of(session: Session, orders: Sequence[Order], now: datetime) -> list[OrderRow]:
    """Orders as rows, in their order. Does not ask who wants to know."""
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
        .where(ReadingOrder.order_id.in_(ids), Reading.kind.in_(GOES_HOME))
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
        select(Delivery.version_id, Delivery.state).where(
            Delivery.version_id.in_([v.id for v in issued.values()]), Delivery.kind == "report"
        )
    ):
        sent.setdefault(version_id or "", []).append(state)
    alarms: dict[str, CriticalResult] = {
        c.reading_id or "": c
        for c in session.scalars(
            select(CriticalResult)
            .where(
                CriticalResult.reading_id.in_(reading_ids),
                CriticalResult.state.not_in(("retracted", "superseded")),
                CriticalResult.notified_at.is_not(None),
            )
            .order_by(CriticalResult.id)
        )
    }
    people = {r.holder_id or r.writer_id for r in readings.values()} - {None}
    names: dict[str, str] = dict(session.execute(select(User.id, User.name).where(User.id.in_(people))).all())
    handed_out, outdated = _given(session, reading_ids), _outdated(session, ids)
    returned = {r.reading_id: r for r in reversed(handovers.returns(session, CaseReturn.reading_id.in_(reading_ids)))}
    found = []
    for order in orders:
        its_reading = readings.get(order.id)
        handed = handed_out.get(its_reading.id) if its_reading is not None else None
        version = issued.get(its_reading.id) if its_reading is not None else None
        states = sent.get(version.id, []) if version is not None else []
        open_critical = alarms.get(its_reading.id) if its_reading is not None else None
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
                claimed_at=its_reading.claimed_at if its_reading is not None else None,
                report_version=version.number if version is not None else 0,
                given_version=handed[0] if handed is not None else 0,
                given_at=handed[1].at if handed is not None else None,
                given_to=handed[1].to if handed is not None else "",
                outdated=_what_is_held(outdated.get(order.id), its_reading),
                back=returned.get(its_reading.id) if its_reading is not None and order.note == "returned" else None,
            )
        )
    return found


def call_back(session: Session, by: Actor, now: datetime, limit: int = 100) -> list[OrderRow]:
    """Orders whose patient was given a version that is superseded, and has not been given a newer one."""
    stale = (
        select(ReadingOrder.order_id)
        .join(ReportVersion, ReportVersion.reading_id == ReadingOrder.reading_id)
        .join(ReportGiven, ReportGiven.version_id == ReportVersion.id)
        .join(Reading, Reading.id == ReadingOrder.reading_id)
        .where(ReportGiven.is_outdated, Reading.institution_id == by.institution_id)
    )
    ids = session.scalars(stale).all()  # first by itself: a plan for both at once begins with all orders
    if not ids:
        return []
    query = select(Order).where(Order.id.in_(ids), scope.orders(by)).order_by(Order.id.desc()).limit(limit)
    return rows_of(session, session.scalars(query).unique().all(), now)


def given(session: Session, reading_ids: Sequence[str]) -> list[GivenView]:
    """To whom the reports of these readings were given, the newest first. For callers that scope."""
    rows = session.execute(
        select(ReportGiven, ReportVersion.number, User.name)
        .join(ReportVersion, ReportVersion.id == ReportGiven.version_id)
        .join(User, User.id == ReportGiven.by_id)
        .where(ReportVersion.reading_id.in_(reading_ids))
        .order_by(ReportGiven.id.desc())
    )
    return [GivenView(number, name, row.at, row.to) for row, number, name in rows]


def _given(session: Session, reading_ids: Sequence[str]) -> dict[str, tuple[int, ReportGiven]]:
    """By reading: the number of the newest version that was given to the patient, and when and to whom."""
    rows = session.execute(
        select(ReportVersion.reading_id, ReportVersion.number, ReportGiven)
        .join(ReportGiven, ReportGiven.version_id == ReportVersion.id)
        .where(ReportVersion.reading_id.in_(reading_ids))
        .order_by(ReportVersion.number, ReportGiven.id)
    )
    return {reading_id: (number, row) for reading_id, number, row in rows}


def _outdated(session: Session, order_ids: Sequence[str]) -> dict[str, str]:
    """By order: the reading of which the patient holds something that does not hold any more."""
    rows = session.execute(
        select(ReadingOrder.order_id, ReportVersion.reading_id)
        .join(ReportVersion, ReportVersion.reading_id == ReadingOrder.reading_id)
        .join(ReportGiven, ReportGiven.version_id == ReportVersion.id)
        .where(ReadingOrder.order_id.in_(order_ids), ReportGiven.is_outdated)
        .order_by(ReportVersion.reading_id)
    )
    return dict(rows.all())


def _what_is_held(reading_id: str | None, now: Reading | None) -> Literal["", "version", "report"]:
    """An old version of the report that there is `now`, or a report in whose place another one comes."""
    if reading_id is None:
        return ""
    return "version" if now is not None and reading_id == now.id else "report"
