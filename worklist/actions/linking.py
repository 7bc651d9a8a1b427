"""Linking studies to orders: by rule where everything agrees, else by a person, on record.

A study that serves an order makes that order's work begin, and gives a reading its images. Every way of linking,
moving and undoing passes through here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.orm import Session, lazyload

from worklist import audit
from worklist.actions import anew, critical, late, named_orders, patients, reading_making
from worklist.errors import BadInput, Conflict, NotFound
from worklist.moves import can, move
from worklist.people import HUREN, Actor
from worklist.prepared import Prepared, write_new
from worklist.rules import serving
from worklist.rules.matching import match
from worklist.tables import (
    DeviceInstitution,
    Order,
    ProcedureStep,
    ProcedureStepStudy,
    Reading,
    ReadingOrder,
    ReadingStudy,
    SetAside,
    Study,
    StudyOrder,
)
from worklist.tables.base import table_of

LINKED = ("matched", "matched by a person", "moved")
ANY: Final[frozenset[str]] = frozenset()  # modalities

_STUDY = table_of(Study).c
_WAITING: Final = Prepared(  # asked with every order
    select(_STUDY.id).where(
        _STUDY.link == "unmatched",
        _STUDY.institution_id == bindparam("institution"),
        or_(_STUDY.study_instance_uid == bindparam("uid"), _STUDY.sent_accession_number == bindparam("accession")),
    )
)
_ORDER: Final = (  # made once; what hangs on an order is read where it is wanted
    select(Order).where(Order.id == bindparam("id")).options(lazyload("*"))
)
_OTHERS = table_of(SetAside).c
_OF_ANOTHER: Final = Prepared(
    select(_OTHERS.id)
    .where(
        _OTHERS.study_id == bindparam("study"),
        _OTHERS.reason == "patient_differs_in_study",
        _OTHERS.state == "settled",
    )
    .limit(1)
)
_SERVES = table_of(StudyOrder).c
_IS_SERVED: Final = Prepared(
    select(_SERVES.order_id).where(_SERVES.study_id == bindparam("study"), _SERVES.order_id == bindparam("order"))
)


def match_study(session: Session, study: Study, institution_ids: Iterable[str], now: datetime) -> None:
    """Try to find the orders that an unlinked or unmatched study was made for."""
    session.flush()
    said = named_orders.said_by(session, study, tuple(institution_ids))
    verdict = match(said, named_orders.orders_named(session, said, study.institution_id))
    if verdict.order_ids:
        orders = [session.scalars(_ORDER, {"id": id}).one() for id in sorted(verdict.order_ids)]
        move(session, "study link", study, "match", HUREN, now)
        # A person may have filed objects into it that say another patient.
        study.coerced = bool(_OF_ANOTHER.rows(session, {"study": study.id}))
        study.coerced = study.coerced or any(order.patient_value != study.sent_patient_id for order in orders)
        _attach(session, study, orders, HUREN, now)
        return
    study.link_reason, study.link_params = verdict.reason, dict(verdict.params)
    if study.link == "unlinked":
        move(session, "study link", study, "fail to match", HUREN, now, verdict.reason)


def try_waiting_studies(session: Session, order: Order, now: datetime) -> None:
    """An order was placed or changed: studies that came before it may match now."""
    of_order = {
        "institution": order.institution_id,
        "uid": order.study_instance_uid,
        "accession": order.accession_number,
    }
    session.flush()
    for study in [session.get_one(Study, row.id) for row in _WAITING.rows(session, of_order)]:
        institutions: tuple[str, ...] = (study.institution_id,)
        if study.device_id is not None:
            institutions = tuple(
                session.scalars(
                    select(DeviceInstitution.institution_id).where(DeviceInstitution.device_id == study.device_id)
                )
            )
        match_study(session, study, institutions, now)


def link(session: Session, by: Actor, study_id: str, order_ids: list[str], why: str, now: datetime) -> Study:
    """A person says which orders a study of the unmatched bin serves. The disagreement stays on record.

    Raises
    ------
    BadInput
        ``reason_missing``, ``orders_of_different_patients``.
    NotFound
        a study or order that is not there or not of the person's institutions.
    Conflict
        the study is not in the bin, or an order is cancelled.
    """
    study = _study_for(session, by, study_id)
    orders = orders_for(session, study, order_ids)
    if not why.strip():
        raise BadInput("reason_missing")
    disagreement = {"was": study.link_reason, **study.link_params}
    move(session, "study link", study, "link", by, now, why)
    study.link_reason, study.link_params = "", {}
    study.coerced = True  # the names in the bytes may be somebody else's
    _attach(session, study, orders, by, now)
    _note(session, by, "study linked by a person", study, why, now, disagreement)
    return study


def move_study(session: Session, by: Actor, study_id: str, order_ids: list[str], why: str, now: datetime) -> Study:
    """A person moves a linked study to other orders: the wrong patient had been picked.

    Refused while an issued report rests on the study: it is withdrawn first, so that everyone who had it is told.
    """
    study = _study_for(session, by, study_id)
    orders = orders_for(session, study, order_ids)
    if not why.strip():
        raise BadInput("reason_missing")
    return move_to(session, by, study, orders, why, now)


def move_to(
    session: Session,
    by: Actor,
    study: Study,
    orders: list[Order],
    why: str,
    now: datetime,
    *,
    alarms: Iterable[str] = (),
) -> Study:
    """Move a study to other orders; the caller has checked that this is allowed. `alarms`: words of critical results
    that the images show, besides those that are open on readings closed here.
    """
    before, found = _detach(session, study, by, now, why)
    alarms = list(dict.fromkeys([*alarms, *found]))
    move(session, "study link", study, "move", by, now, why)
    study.coerced = True
    _attach(session, study, orders, by, now)
    if alarms:  # what the images show is the right patient's now, and cannot wait for the last image
        reading = reading_making.reading_at_once(session, study, orders, by, now)
        for words in alarms:
            critical.mark_for_report(session, by, reading, words, now, is_verified=True)
    _note(session, by, "study moved", study, why, now, {"from": before, "to": [o.id for o in orders]})
    return study


def unlink(session: Session, by: Actor, study_id: str, why: str, now: datetime) -> Study:
    """A person takes a study off its orders and back into the unmatched bin."""
    study = _study_for(session, by, study_id)
    if not why.strip():
        raise BadInput("reason_missing")
    return unlink_study(session, by, study, why, now)


def unlink_study(session: Session, by: Actor, study: Study, why: str, now: datetime) -> Study:
    """Take a study off its orders; the caller has checked that this is allowed."""
    before, alarms = _detach(session, study, by, now, why)
    if alarms:
        raise Conflict("critical_result_is_open")  # it would alert nobody: move the study, or retract it first
    move(session, "study link", study, "unlink", by, now, why)
    study.link_reason, study.link_params = "unlinked_by_a_person", {}
    study.coerced = False
    _note(session, by, "study unlinked", study, why, now, {"from": before})
    return study


def reject(session: Session, by: Actor, study_id: str, why: str, now: datetime) -> Study:
    """A person says that a study belongs to nobody here (a phantom, a test). Its bytes stay; it can be linked later."""
    study = _study_for(session, by, study_id)
    if not why.strip():
        raise BadInput("reason_missing")
    if session.scalar(select(ReadingStudy.reading_id).where(ReadingStudy.study_id == study.id).limit(1)) is not None:
        raise Conflict("study_is_being_read")
    move(session, "study link", study, "reject", by, now, why)
    study.link_reason = "rejected"
    _note(session, by, "study rejected", study, why, now, {})
    return study


def orders_of(session: Session, study: Study) -> list[Order]:
    """The orders that a study serves."""
    return list(
        session.scalars(
            select(Order)
            .join(StudyOrder, StudyOrder.order_id == Order.id)
            .where(StudyOrder.study_id == study.id)
            .order_by(Order.id)
        )
    )


def steps_of(session: Session, study: Study) -> list[ProcedureStep]:
    """The procedure steps that name the study's UID, at its institution."""
    query = (
        select(ProcedureStep)
        .join(ProcedureStepStudy, ProcedureStepStudy.step_id == ProcedureStep.id)
        .where(
            ProcedureStepStudy.study_instance_uid == study.study_instance_uid,
            # A step without an order, of a device that speaks for several, belongs to nobody yet.
            or_(
                ProcedureStep.institution_id == study.institution_id,
                and_(ProcedureStep.institution_id.is_(None), ProcedureStep.device_id == study.device_id),
            ),
        )
        .order_by(ProcedureStep.id)
    )
    return list(session.scalars(query))


def add_orders(session: Session, study: Study, orders: Iterable[Order], now: datetime) -> None:
    """A procedure step names further orders of a linked study: it serves them too, if they are the same patient's."""
    if study.link not in LINKED:
        return
    held = orders_of(session, study)
    known = {order.id for order in held}
    fresh = [o for o in orders if o.id not in known and o.patient_id == study.patient_id and o.state != "cancelled"]
    if fresh:
        _attach(session, study, [*held, *fresh], HUREN, now)


def _study_for(session: Session, by: Actor, study_id: str) -> Study:
    """The study, if the actor may link it: a PACS admin anywhere, a technician at home."""
    by.require_scope("order")
    by.require("PACS admin", "technician")
    # Locked, so that nobody signs a report on it meanwhile (`reports.issue` takes the same lock).
    study = session.get(Study, study_id, with_for_update={"of": Study})
    if study is None or not (by.has("PACS admin") or study.institution_id == by.institution_id):
        raise NotFound("no_such_study")
    return study


def orders_for(session: Session, study: Study, order_ids: list[str]) -> list[Order]:
    """The orders, all of the study's institution and of one patient, each able to have images (`rules.serving`).

    Of which modality is not asked: a person may know that another examination was done than the one ordered.
    """
    orders = session.scalars(select(Order).where(Order.id.in_(order_ids)).order_by(Order.id)).all()
    if not orders or len(orders) != len(set(order_ids)):
        raise NotFound("no_such_order")
    if any(order.institution_id != study.institution_id for order in orders):
        raise NotFound("no_such_order")
    if len({order.patient_id for order in orders}) > 1:
        raise BadInput("orders_of_different_patients")
    for order in orders:
        reason, params = serving.unfit(order.state, order.procedure.discipline if order.procedure else "", "", ANY)
        if reason:
            raise Conflict(reason, **params)
    return list(orders)


def _attach(session: Session, study: Study, orders: Iterable[Order], by: Actor, now: datetime) -> None:
    orders = list(orders)
    patients.hold(session, orders)
    study.patient_id = orders[0].patient_id
    study.link_reason, study.link_params = "", {}
    for order in orders:
        if not _IS_SERVED.rows(session, {"study": study.id, "order": order.id}):
            write_new(session, StudyOrder(study_id=study.id, order_id=order.id, by=by.name, at=now))
        if can("order", order, "begin"):
            move(session, "order", order, "begin", by, now)
        if order.note == anew.EXAMINE:
            order.note = ""
    session.flush()
    reading_making.after_linking(session, study, orders, by, now)


def _detach(session: Session, study: Study, by: Actor, now: datetime, why: str) -> tuple[list[str], list[str]]:
    """Take a study off its orders and readings. Readings left without images are closed.

    Returns the orders' ids, and the words of critical results that were open on readings closed here.
    """
    readings = session.scalars(
        select(Reading)
        .join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        # A withdrawn or closed reading keeps its studies: it is the record of what was read.
        .where(ReadingStudy.study_id == study.id, Reading.state.not_in(reading_making.CLOSED))
    ).all()
    if any(late.current_version(session, reading.id) is not None for reading in readings):
        raise Conflict("report_rests_on_study")
    orders = orders_of(session, study)
    without_images: list[str] = []
    alarms: list[str] = []
    for order in orders:
        session.delete(session.get_one(StudyOrder, (study.id, order.id)))
        session.flush()
        other = session.scalar(select(StudyOrder.study_id).where(StudyOrder.order_id == order.id).limit(1))
        if other is not None:
            continue
        without_images.append(order.id)
        if can("order", order, "return"):
            move(session, "order", order, "return", by, now, why)
        elif order.state == "completed":
            move(session, "order", order, "reopen", by, now, why)
            move(session, "order", order, "return", by, now, why)
    for reading in readings:
        session.delete(session.get_one(ReadingStudy, (reading.id, study.id)))
        session.flush()
        left = session.scalar(select(ReadingStudy.study_id).where(ReadingStudy.reading_id == reading.id).limit(1))
        if left is None and can("reading", reading, "close"):
            move(session, "reading", reading, "close", by, now, why)
            reading.holder_id = reading.held_until = None
            reading.note = why
            alarms += critical.retract_all(session, by, reading, why, now)
            anew.orders_without_images(session, reading, by, why, now)
            continue
        # The reading goes on with other images; it must not answer an order that has none any more.
        for order_id in without_images:
            covers = session.get(ReadingOrder, (reading.id, order_id))
            if covers is not None:
                session.delete(covers)
    study.patient_id = None
    return [order.id for order in orders], alarms


def _note(
    session: Session, by: Actor, action: str, study: Study, why: str, now: datetime, detail: dict[str, object]
) -> None:
    audit.note(
        session,
        by,
        action,
        now,
        thing="study",
        thing_id=study.id,
        institution_id=study.institution_id,
        patient_id=study.patient_id,
        why=why,
        detail=detail,
    )
