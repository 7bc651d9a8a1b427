"""Images that exist already, read anew for an order which they serve: nobody is examined again.

Such a reading (`rules.kinds.ANEW`) is the new order's: its patient, its institution, its report. The images stay what
they are, of another order and perhaps of another institution; a study's own reading is another one. Where they do not
do, the order goes back to be examined, and the result counts as recognised no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import notices, patients, reading_making, readings
from worklist.errors import Conflict
from worklist.moves import begin, can, move
from worklist.people import Actor
from worklist.rules.kinds import ANEW
from worklist.rules.objects import is_evidence
from worklist.tables import (
    Instance,
    Order,
    Patient,
    Reading,
    ReadingOrder,
    ReadingStudy,
    Recognition,
    ReportVersion,
    Study,
    StudyOrder,
)

EXAMINE: Final = "images_do_not_do"
"""The note of an order whose existing images could not be read: the patient is examined after all."""
_LINKED: Final = ("matched", "matched by a person", "moved")


def images_of(session: Session, result_order_id: str | None, patient_id: str, *, hold: bool = False) -> list[Study]:
    """The studies behind a result that can be read anew: held here with images or waveforms, and the same person's
    still. None of a result of another region, or of a laboratory. With `hold` none is moved until the transaction ends.
    """
    if result_order_id is None:
        return []
    person = select(Patient.person_id).where(Patient.id == patient_id).scalar_subquery()
    same = select(Patient.id).where(Patient.person_id == person)
    query = (
        select(Study)
        .join(StudyOrder, StudyOrder.study_id == Study.id)
        .where(StudyOrder.order_id == result_order_id, Study.patient_id.in_(same), Study.link.in_(_LINKED))
        .order_by(Study.id)
    )
    if hold:  # as whoever moves or signs a study does (`linking`, `reports`)
        query = query.with_for_update(of=Study).execution_options(populate_existing=True)
    found = session.scalars(query).unique()
    return [study for study in found if _has_evidence(session, study)]


def _has_evidence(session: Session, study: Study) -> bool:
    kinds = select(Instance.sop_class_uid).where(Instance.study_id == study.id, Instance.version_id.is_(None))
    return any(is_evidence(uid) for uid in session.scalars(kinds.distinct()))


def open_reading(
    session: Session, order: Order, studies: Sequence[Study], by: Actor, now: datetime, note: str = ""
) -> Reading:
    """Put existing images on the reading list of the center that the route gives for this order. `note`: why its
    earlier report was withdrawn.

    Raises
    ------
    Conflict
        ``no_center``: nobody reads the discipline.
    """
    patients.hold(session, [order])
    goes_to = reading_making.goes_to(session, studies[0], order.institution_id, order.procedure, order.priority, now)
    if goes_to is None:
        raise Conflict("no_center")
    center_id, group_id, route_id = goes_to
    reading = Reading(
        kind=ANEW,
        center_id=center_id,
        group_id=group_id,
        route_id=route_id,
        patient_id=order.patient_id,
        institution_id=order.institution_id,
        priority=order.priority,
        rank=reading_making.rank_in(session, center_id, order.priority, [order]),
        due_at=reading_making.due(session, center_id, order.priority, [order], now),
        ready_at=now,
        note=note,
        created_at=now,
    )
    begin(session, "reading", reading, "open", by, now)
    session.flush()
    session.add(ReadingOrder(reading_id=reading.id, order_id=order.id))
    session.add_all(ReadingStudy(reading_id=reading.id, study_id=study.id) for study in studies)
    session.flush()
    return reading


def of_order(session: Session, order_id: str) -> Reading | None:
    """The newest reading anew for an order, in whatever state."""
    covering = select(Reading).join(ReadingOrder, ReadingOrder.reading_id == Reading.id)
    covering = covering.where(ReadingOrder.order_id == order_id, Reading.kind == ANEW)
    return session.scalar(covering.order_by(Reading.id.desc()).limit(1))


def is_of_another(session: Session, reading: Reading) -> bool:
    """Whether images of this reading turned out to be another person's than the one whom it is for."""
    if reading.kind != ANEW:
        return False
    theirs = (
        select(Patient.id)
        .join(Study, Study.patient_id == Patient.id)
        .join(ReadingStudy, ReadingStudy.study_id == Study.id)
        .where(
            ReadingStudy.reading_id == reading.id,
            Patient.person_id != select(Patient.person_id).where(Patient.id == reading.patient_id).scalar_subquery(),
        )
    )
    return session.scalar(theirs.limit(1)) is not None


def examine(session: Session, reading: Reading, by: Actor, why: str, now: datetime) -> None:
    """The images do not do: the case is closed, and its order waits for the examination as if nothing had served."""
    _close(session, reading, by, why, now)
    for order in readings.orders_of(session, reading):
        back_to_examination(session, order, by, why, now)
    readings.note(session, by, "images not read anew", reading, now, why)


def back_to_examination(session: Session, order: Order, by: Actor, why: str, now: datetime) -> None:
    """An order whose reading anew is over without a report is on devices' worklists, and its people are told."""
    give_up(session, order, by, why, now)
    if can("order", order, "return"):
        move(session, "order", order, "return", by, now, why)
        order.note = EXAMINE
    says = {"accession_number": order.accession_number, "by": "" if by.is_system else by.shown or by.name}
    home = notices.home_staff(session, order.institution_id)
    notices.tell(session, home, "images do not do", says, f"/orders/{order.id}", now)


def give_up(session: Session, order: Order, by: Actor, why: str, now: datetime) -> None:
    """What was accepted for this order serves it no more: it counts as no examination saved."""
    rows = session.scalars(
        select(Recognition).where(Recognition.order_id == order.id, Recognition.state == "accepted")
    ).all()
    for row in rows:
        move(session, "recognition", row, "give up", by, now, why)


def cancel(session: Session, order: Order, by: Actor, why: str, now: datetime) -> None:
    """The ordering institution cancels an order whose images nobody has begun to read anew.

    Raises
    ------
    Conflict
        ``order_is_being_read``.
    """
    reading = of_order(session, order.id)
    if reading is not None:
        session.refresh(reading, with_for_update={"of": Reading})  # a reader may be claiming it
        is_held = reading.holder_id is not None and reading.held_until is not None and reading.held_until > now
        if reading.state != "unread" or is_held:
            raise Conflict("order_is_being_read")
        _close(session, reading, by, why, now)
    give_up(session, order, by, why, now)
    move(session, "order", order, "abandon", by, now, why)


def after_withdrawal(session: Session, reading: Reading, by: Actor, now: datetime, why: str) -> None:
    """Its report was withdrawn: the same images wait for a doctor once more, if they are still this person's."""
    studies = [study for study in readings.studies_of(session, reading) if study.link in _LINKED]
    usable = bool(studies) and not is_of_another(session, reading)
    for order in readings.orders_of(session, reading):
        if can("order", order, "read again"):
            move(session, "order", order, "read again", by, now, why)
        if usable:
            open_reading(session, order, studies, by, now, note=why)
        else:
            back_to_examination(session, order, by, why, now)


def _close(session: Session, reading: Reading, by: Actor, why: str, now: datetime) -> None:
    draft = session.scalar(
        select(ReportVersion).where(ReportVersion.reading_id == reading.id, ReportVersion.state == "draft")
    )
    if draft is not None:
        move(session, "report version", draft, "discard", by, now, why)
    move(session, "reading", reading, "close", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = None


def orders_without_images(session: Session, reading: Reading, by: Actor, why: str, now: datetime) -> None:
    """The study that a closed reading rested on was taken away: its orders are examined after all."""
    if reading.kind == ANEW:
        for order in readings.orders_of(session, reading):
            back_to_examination(session, order, by, why, now)
