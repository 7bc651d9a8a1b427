"""Procedure steps (MPPS, DICOM PS3.4 F.7) and the arrival of studies."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.actions import linking, patients, reading_making
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import KnownDevice, ProcedureStepFacts
from worklist.moves import begin, can, move
from worklist.people import HUREN, Actor, device_actor
from worklist.rules.arrival import Arrival, Step, judge
from worklist.rules.kinds import PRIMARY
from worklist.tables import (
    Center,
    Instance,
    Order,
    ProcedureStep,
    ProcedureStepStudy,
    Reading,
    ReadingStudy,
    Study,
)

QUIET = timedelta(seconds=60)
LONGEST = timedelta(minutes=30)
"""Where no imaging center says otherwise."""


def create_step(session: Session, device: KnownDevice, facts: ProcedureStepFacts, now: datetime) -> None:
    """A device has begun. An unscheduled step is accepted; orders begin where number, patient and place agree.

    Raises
    ------
    Conflict
        ``step_exists`` (0111H).
    BadInput
        ``step_must_begin_in_progress`` (0106H).
    """
    if facts.status != "IN PROGRESS":
        raise BadInput("step_must_begin_in_progress", status=facts.status)
    if _find(session, device, facts.sop_instance_uid) is not None:
        raise Conflict("step_exists")
    by = device_actor(device.id, device.name, device.institutions)
    orders = _orders(session, device, facts)
    step = ProcedureStep(
        device_id=device.id,
        institution_id=_institution(device, orders),
        sop_instance_uid=facts.sop_instance_uid,
        references=[
            [r.accession_number, r.study_instance_uid, r.requested_procedure_id, r.scheduled_step_id]
            for r in facts.references
        ],
        instances=list(facts.instances) if facts.instances else None,
        patient_id=facts.patient_id,
        issuer=facts.issuer,
        created_at=now,
    )
    begin(session, "procedure step", step, "create", by, now)
    session.flush()
    for uid in {r.study_instance_uid for r in facts.references} - {""}:
        session.add(ProcedureStepStudy(step_id=step.id, study_instance_uid=uid))
    for order in orders:
        if can("order", order, "begin"):
            move(session, "order", order, "begin", by, now)
    session.flush()
    for study in _studies(session, step):
        if study.link == "unmatched":  # the step may name the order that the images did not
            linking.match_study(session, study, device.institutions, now)
        linking.add_orders(session, study, orders, now)


def set_step(session: Session, device: KnownDevice, facts: ProcedureStepFacts, now: datetime) -> None:
    """A device reports progress or the end of a step.

    Raises
    ------
    NotFound
        ``no_such_step`` (0112H).
    Conflict
        ``step_is_final`` (0110H): completed and discontinued steps never change again.
    """
    step = _find(session, device, facts.sop_instance_uid)
    if step is None:
        raise NotFound("no_such_step")
    if step.state != "in progress":
        raise Conflict("step_is_final")
    by = device_actor(device.id, device.name, device.institutions)
    if facts.instances is not None:
        step.instances = list(facts.instances)
    if facts.status in ("COMPLETED", "DISCONTINUED"):
        verb = "complete" if facts.status == "COMPLETED" else "discontinue"
        move(session, "procedure step", step, verb, by, now, facts.discontinuation_reason)
        step.ended_at = now
        step.reason = facts.discontinuation_reason
    if step.state == "discontinued":
        for order in _orders_of_step(session, step):
            order.note = "step_discontinued"  # the township's page asks a person: scan again, or give up
    session.flush()
    for study in _studies(session, step):
        look_again = check_arrival(session, study.id, now)
        if look_again is not None:
            outbox.hasten(session, "check_arrival", study.id, look_again)


def note_object(session: Session, study: Study, now: datetime) -> None:
    """An object has come: if it was the last one that the devices listed, the study is complete now."""
    if study.arrival == "arriving" and study.expected is not None and study.instances >= study.expected:
        check_arrival(session, study.id, now)


def check_arrival(session: Session, study_id: str, now: datetime) -> datetime | None:
    """Judge whether a study is complete. Returns when to look again, None when there is nothing to wait for."""
    study = session.get(Study, study_id)
    if study is None or study.arrival != "arriving":
        return None
    arrival = arrival_of(session, study, now)
    study.expected = arrival.expected
    if not arrival.complete:
        return arrival.look_again
    move(session, "study arrival", study, "complete", HUREN, now)
    study.complete_at = now
    reading_making.after_completion(session, study, now)
    return None


def arrival_of(session: Session, study: Study, now: datetime) -> Arrival:
    """How far a study has come, by its steps and the objects held."""
    steps = linking.steps_of(session, study)
    held = session.scalars(select(Instance.sop_instance_uid).where(Instance.study_id == study.id))
    quiet, longest = _patience(session, study)
    return judge(
        [Step(s.state, tuple(s.instances) if s.instances else None) for s in steps],
        frozenset(held),
        study.last_at,
        now,
        quiet,
        longest,
    )


def answer_discontinued(session: Session, by: Actor, order_id: str, scan_again: bool, why: str, now: datetime) -> Order:
    """A person answers a discontinued step: the order is on the worklist again, or its images are enough."""
    by.require_scope("order")
    by.require("technician", "doctor")
    order = session.get(Order, order_id)
    if order is None or order.institution_id != by.institution_id:
        raise NotFound("no_such_order")
    if order.note != "step_discontinued":
        raise Conflict("nothing_to_answer")
    if scan_again:
        move(session, "order", order, "return", by, now, why)
    order.note = ""
    audit.note(
        session,
        by,
        "discontinued step answered",
        now,
        thing="order",
        thing_id=order.id,
        institution_id=order.institution_id,
        why=why,
    )
    return order


def _find(session: Session, device: KnownDevice, uid: str) -> ProcedureStep | None:
    return session.scalar(
        select(ProcedureStep).where(ProcedureStep.sop_instance_uid == uid, ProcedureStep.device_id == device.id)
    )


def _orders(session: Session, device: KnownDevice, facts: ProcedureStepFacts) -> list[Order]:
    """Orders that the step names, where the patient identifier agrees; an empty one agrees with nothing."""
    numbers = [r.accession_number for r in facts.references if r.accession_number]
    uids = [r.study_instance_uid for r in facts.references if r.study_instance_uid]
    if not facts.patient_id or not (numbers or uids):
        return []
    found = session.scalars(
        select(Order).where(
            or_(Order.accession_number.in_(numbers), Order.study_instance_uid.in_(uids)),
            Order.institution_id.in_(device.institutions),
        )
    ).unique()
    return [order for order in found if patients.goes_by(order, facts.patient_id, facts.issuer)]


def _orders_of_step(session: Session, step: ProcedureStep) -> list[Order]:
    numbers = [r[0] for r in step.references if r[0]]
    uids = [r[1] for r in step.references if r[1]]
    query = select(Order).where(
        or_(Order.accession_number.in_(numbers), Order.study_instance_uid.in_(uids)),
        Order.institution_id == step.institution_id,
    )
    return [order for order in session.scalars(query).unique() if patients.goes_by(order, step.patient_id)]


def _studies(session: Session, step: ProcedureStep) -> list[Study]:
    """Studies held under a UID that the step names."""
    query = (
        select(Study)
        .join(ProcedureStepStudy, ProcedureStepStudy.study_instance_uid == Study.study_instance_uid)
        .where(
            ProcedureStepStudy.step_id == step.id,
            or_(Study.institution_id == step.institution_id, Study.device_id == step.device_id),
        )
    )
    return list(session.scalars(query))


def _institution(device: KnownDevice, orders: list[Order]) -> str | None:
    """Whose work a step is: that of its orders, else of a device that speaks for one institution only."""
    known = {order.institution_id for order in orders} or set(device.institutions)
    return known.pop() if len(known) == 1 else None


def _patience(session: Session, study: Study) -> tuple[timedelta, timedelta]:
    """Quiet period and longest wait of the center that reads, or will probably read, the study."""
    center = session.scalar(
        select(Center)
        .join(Reading, Reading.center_id == Center.id)
        .join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        .where(ReadingStudy.study_id == study.id, Reading.kind == PRIMARY)
        .limit(1)
    ) or session.scalar(select(Center).where(Center.discipline == "imaging").order_by(Center.id).limit(1))
    if center is None:
        return QUIET, LONGEST
    return timedelta(seconds=center.quiet_seconds), timedelta(seconds=center.longest_wait_seconds)
