"""Making readings out of linked studies, and sending them to the right readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.actions import late, patients, routes
from worklist.actions.calendars import COUNTED, calendar_of
from worklist.errors import BadInput, Conflict, NotFound
from worklist.moves import begin, can, move
from worklist.people import HUREN, Actor
from worklist.prepared import Prepared, write_new
from worklist.rules import routing
from worklist.rules.due import due_at, most_urgent, rank_of
from worklist.rules.objects import is_evidence
from worklist.tables import (
    Center,
    CriticalResult,
    Instance,
    Institution,
    Order,
    Procedure,
    Reading,
    ReadingOrder,
    ReadingStudy,
    SetAside,
    Study,
    StudyOrder,
    Transition,
)
from worklist.tables.base import table_of

CLOSED = ("closed without report", "withdrawn")
CHECK_JOB: Final = "check_recordings"

_READING, _COVERS_STUDY, _COVERS_ORDER = table_of(Reading).c, table_of(ReadingStudy).c, table_of(ReadingOrder).c
_IS_OPEN_OR_SIGNED: Final = (_READING.kind == "primary", *(_READING.state != state for state in CLOSED))
_OF_STUDY: Final = Prepared(  # asked with every study
    select(_READING.id)
    .where(_READING.id == _COVERS_STUDY.reading_id, _COVERS_STUDY.study_id == bindparam("study"), *_IS_OPEN_OR_SIGNED)
    .limit(1)
)
_OF_ORDER: Final = Prepared(
    select(_READING.id)
    .where(_READING.id == _COVERS_ORDER.reading_id, _COVERS_ORDER.order_id == bindparam("order"), *_IS_OPEN_OR_SIGNED)
    .order_by(_READING.id)
    .limit(1)
)


def after_linking(session: Session, study: Study, orders: Sequence[Order], by: Actor, now: datetime) -> None:
    """A study was linked: it joins a reading of its orders; STAT is listed at once, the rest when complete."""
    reading = reading_of_study(session, study) or _reading_of_orders(session, orders)
    if reading is not None:
        _join(session, reading, study, orders, by, now)
    elif study.arrival == "complete" or any(order.priority == "STAT" for order in orders):
        _open(session, study, orders, by, now)
    if study.arrival == "complete":
        _performed(session, orders, by, now)
    if study.arrival == "complete" or any(order.priority == "STAT" for order in orders):
        _look_at_recordings(session, study, now)


def after_completion(session: Session, study: Study, now: datetime) -> None:
    """All images have come: orders are performed, a reading is there, its time limit begins."""
    orders = _orders(session, study)
    if not orders:
        return
    reading = reading_of_study(session, study) or _reading_of_orders(session, orders)
    if reading is None:
        reading = _open(session, study, orders, HUREN, now)
    else:
        _join(session, reading, study, orders, HUREN, now)
    _performed(session, orders, HUREN, now)
    _look_at_recordings(session, study, now)
    if reading is not None and reading.ready_at is None and reading.state in COUNTED:
        reading.ready_at = now
        if reading.due_at is None:
            reading.due_at = due(session, reading.center_id, reading.priority, orders, now)


def _look_at_recordings(session: Session, study: Study, now: datetime) -> None:
    """What the device measured stands beside the case from the start, and an ECG that cannot be read is best told while
    the patient is still there."""
    if study.modality == "ECG":
        outbox.put(session, CHECK_JOB, study.id, now)


def open_emergency(session: Session, by: Actor, study_id: str, why: str, now: datetime) -> Reading:
    """Let an unmatched study be read at once as STAT; signing waits until it is linked.

    Raises
    ------
    NotFound, Conflict, BadInput
        not theirs; already being read; no reason given.
    """
    by.require_scope("order")
    by.require("technician", "PACS admin", "doctor")
    study = session.get(Study, study_id)
    if study is None or not (by.has("PACS admin") or study.institution_id == by.institution_id):
        raise NotFound("no_such_study")
    if study.link != "unmatched":
        raise Conflict("study_is_not_unmatched")
    if not why.strip():
        raise BadInput("reason_missing")
    if reading_of_study(session, study) is not None:
        raise Conflict("study_is_being_read")
    reading = _open(session, study, (), by, now, priority="STAT")
    if reading is None:
        raise Conflict("no_center")
    audit.note(
        session,
        by,
        "emergency reading opened",
        now,
        thing="study",
        thing_id=study.id,
        institution_id=study.institution_id,
        why=why,
    )
    return reading


def reading_at_once(session: Session, study: Study, orders: Sequence[Order], by: Actor, now: datetime) -> Reading:
    """The reading of a linked study, opened now if it would have waited for more images.

    Raises
    ------
    Conflict
        ``no_center``.
    """
    reading = reading_of_study(session, study) or _open(session, study, orders, by, now)
    if reading is None:
        raise Conflict("no_center")
    return reading


def open_missing(session: Session, by: Actor, now: datetime) -> None:
    """A center was made: studies that had nobody to read them get their readings."""
    rows = session.scalars(select(SetAside).where(SetAside.reason == "no_center", SetAside.state == "waiting")).all()
    for row in rows:
        study = session.get_one(Study, row.study_id)
        orders = _orders(session, study)
        if orders and reading_of_study(session, study) is None and _open(session, study, orders, by, now) is None:
            continue
        move(session, "set aside", row, "settle", by, now, "center made")


def open_again(session: Session, reading: Reading, orders: Sequence[Order], by: Actor, now: datetime, why: str) -> None:
    """A report was withdrawn (`why`): its orders are read anew, over the studies that still belong to them.

    The new reading is signed by a doctor like any other; no words are carried over.
    """
    studies = session.scalars(
        select(Study).join(ReadingStudy, ReadingStudy.study_id == Study.id).where(ReadingStudy.reading_id == reading.id)
    ).all()
    anew: Reading | None = None
    for study in studies:
        if anew is None:
            anew = _open(session, study, orders, by, now)
            if anew is not None:
                anew.note = why
        else:
            session.add(ReadingStudy(reading_id=anew.id, study_id=study.id))
    session.flush()


def _orders(session: Session, study: Study) -> list[Order]:
    query = select(Order).join(StudyOrder, StudyOrder.order_id == Order.id).where(StudyOrder.study_id == study.id)
    return list(session.scalars(query.order_by(Order.id)))


def reading_of_study(session: Session, study: Study) -> Reading | None:
    """The open or signed primary reading that covers a study."""
    session.flush()
    found = _OF_STUDY.first(session, {"study": study.id})
    return session.get_one(Reading, found.id) if found is not None else None


def _reading_of_orders(session: Session, orders: Iterable[Order]) -> Reading | None:
    session.flush()
    found = [row.id for order in orders for row in _OF_ORDER.rows(session, {"order": order.id})]
    return session.get_one(Reading, min(found)) if found else None


def _join(session: Session, reading: Reading, study: Study, orders: Sequence[Order], by: Actor, now: datetime) -> None:
    """Add the study and its orders to a reading; a returned one is on the list again, a signed one gets a task."""
    fresh = session.get(ReadingStudy, (reading.id, study.id)) is None
    if fresh:
        session.add(ReadingStudy(reading_id=reading.id, study_id=study.id))
    issued = late.current_version(session, reading.id)
    uncovered = [order for order in orders if session.get(ReadingOrder, (reading.id, order.id)) is None]
    if issued is None:
        for order in uncovered:
            session.add(ReadingOrder(reading_id=reading.id, order_id=order.id))
    elif uncovered:
        _open(session, study, uncovered, by, now)  # what was issued does not answer an order that came later
    if reading.patient_id is None:
        reading.patient_id = study.patient_id
        marked = select(CriticalResult).where(CriticalResult.reading_id == reading.id)
        for result in session.scalars(marked):  # while the study was nobody's
            result.patient_id = study.patient_id
    session.flush()
    if issued is None:
        _most_urgent(reading, orders)
        if reading.ready_at is not None and reading.due_at is not None:  # what joined may be owed sooner
            sooner = due(session, reading.center_id, reading.priority, orders, reading.ready_at)
            reading.due_at = min(reading.due_at, sooner)
    # A repeat comes as a new study, or (devices take the UID from the worklist) as new images of the same one.
    if reading.state == "returned" and (fresh or _came_since_return(session, reading, study)):
        move(session, "reading", reading, "resume", by, now)
        reading.note = ""
        is_complete = study.arrival == "complete"
        reading.ready_at = now if is_complete else None  # its turnaround begins anew
        reading.due_at = due(session, reading.center_id, reading.priority, orders, now) if is_complete else None
        for order in orders:
            order.note = ""
    if issued is not None and fresh:
        rows = session.execute(
            select(Instance.sop_instance_uid, Instance.sha256, Instance.sop_class_uid).where(
                Instance.study_id == study.id
            )
        )
        news = [(row.sop_instance_uid, row.sha256) for row in rows if is_evidence(row.sop_class_uid)]
        late.note_late_images(session, study, news, now)


def _came_since_return(session: Session, reading: Reading, study: Study) -> bool:
    returned_at = session.scalar(
        select(Transition.at)
        .where(Transition.thing_id == reading.id, Transition.verb == "return")
        .order_by(Transition.seq.desc())
        .limit(1)
    )
    return returned_at is not None and study.last_at > returned_at


def _open(
    session: Session, study: Study, orders: Sequence[Order], by: Actor, now: datetime, priority: str = ""
) -> Reading | None:
    """Open a reading. None where no center reads the discipline: that is shown, and mended by making the center."""
    priority = priority or most_urgent([order.priority for order in orders])
    procedure = next((order.procedure for order in orders if order.procedure is not None), None)
    target = goes_to(session, study, study.institution_id, procedure, priority, now)
    if target is None:
        _show_no_center(session, study, now)
        return None
    center_id, group_id, route_id = target
    patients.hold(session, [study])
    is_complete = study.arrival == "complete"
    is_due = is_complete or priority == "STAT"
    reading = Reading(
        center_id=center_id,
        group_id=group_id,
        route_id=route_id,
        patient_id=study.patient_id,
        institution_id=study.institution_id,
        priority=priority,
        rank=rank_in(session, center_id, priority, orders),
        due_at=due(session, center_id, priority, orders, now) if is_due else None,
        ready_at=now if is_complete else None,
        created_at=now,
    )
    begin(session, "reading", reading, "open", by, now)
    write_new(session, reading)
    write_new(session, ReadingStudy(reading_id=reading.id, study_id=study.id))
    for order in orders:
        write_new(session, ReadingOrder(reading_id=reading.id, order_id=order.id))
    return reading


def goes_to(
    session: Session,
    study: Study,
    institution_id: str,
    procedure: Procedure | None,
    priority: str,
    now: datetime,
) -> tuple[str, str | None, str | None] | None:
    """Center, reader group and route for a case of an institution. Where no route fits, the first center of the
    discipline catches it.

    None if there is no center of the discipline at all.
    """
    institution = session.get_one(Institution, institution_id)
    case = routes.case_of(institution, procedure, study.modality, study.body_part, priority, now)
    rule = routing.first_match(routes.live_rules(session), case)
    if rule is not None:
        return rule.center_id, rule.group_id, rule.id
    center = routes.catching_centers(session).get(case.discipline)
    return None if center is None else (center, None, None)


def _show_no_center(session: Session, study: Study, now: datetime) -> None:
    shown = select(SetAside.id).where(
        SetAside.study_id == study.id, SetAside.reason == "no_center", SetAside.state == "waiting"
    )
    if session.scalar(shown.limit(1)) is None:
        row = SetAside(kind="study", institution_id=study.institution_id, study_id=study.id, reason="no_center", at=now)
        begin(session, "set aside", row, "set aside", HUREN, now, row.reason)


def due(session: Session, center_id: str, priority: str, orders: Sequence[Order], start: datetime) -> datetime:
    """The earliest time by which one of the covered procedures is due, in the working time of the center."""
    center = session.get_one(Center, center_id)
    calendar = calendar_of(session, center, start.date())
    limits = [order.procedure.limits for order in orders if order.procedure is not None] or [{}]
    return min(due_at(start, limit, priority, calendar, center.discipline) for limit in limits)


def _performed(session: Session, orders: Iterable[Order], by: Actor, now: datetime) -> None:
    for order in orders:
        if can("order", order, "perform"):
            move(session, "order", order, "perform", by, now)


def _most_urgent(reading: Reading, orders: Sequence[Order]) -> None:
    priority = most_urgent([reading.priority, *(order.priority for order in orders)])
    reading.priority = priority
    reading.rank = min(reading.rank, _rank(reading.center, priority, orders))


def rank_in(session: Session, center_id: str, priority: str, orders: Sequence[Order]) -> int:
    """The place of such a case on the list of a center."""
    return _rank(session.get_one(Center, center_id), priority, orders)


def _rank(center: Center, priority: str, orders: Sequence[Order]) -> int:
    said = [text for order in orders for text in (order.clinical_information, order.reason)]
    return rank_of(priority, center.first_words, said)
