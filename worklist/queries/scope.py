"""Conditions that keep a query inside the actor's scope, and small helpers of all queries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, false, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from worklist.people import Actor
from worklist.rules.kinds import GOES_HOME
from worklist.tables import Order, Patient, Reading, ReadingOrder, ReadingStudy, Recognition, Study

HOME_ROLES = ("technician", "doctor")
OFFER_OPENS: Final = timedelta(hours=12)
"""So long an offered result stands open to the person to whom it was offered; once accepted, to the institution."""

# Break-glass is here and nowhere else. `readings`, `orders` and `studies` are what a person works on: lists, counts and
# figures go by them, and an opened patient never gets in. `seen_…` are what one may look at when one asks for it.


def require_admin(by: Actor) -> None:
    """Only the PACS admin, with a token (if it is one) that may configure."""
    by.require_scope("admin")
    by.require("PACS admin")


def require_watch(by: Actor) -> None:
    """Only the PACS admin, with a token (if it is one) that may see what waits, and nothing more."""
    by.require_scope("watch")
    by.require("PACS admin")


def readings(by: Actor) -> ColumnElement[bool]:
    """Readings of the actor's centers, and those sent by the actor's institution."""
    allowed: list[ColumnElement[bool]] = [Reading.center_id.in_(by.centers())]
    if by.has("technician") or by.has("doctor"):
        allowed.append(and_(Reading.institution_id == by.institution_id, Reading.kind.in_(GOES_HOME)))
    return or_(*allowed)


def followed_readings(by: Actor) -> ColumnElement[bool]:
    """Readings whose course may be told with an order that the actor sees: all to a PACS admin, else
    `seen_readings`.

    What centers ask each other, and a second reading that is to stay blind, is not the township's to see.
    """
    return true() if by.has("PACS admin") else seen_readings(by)


def orders(by: Actor) -> ColumnElement[bool]:
    """Orders of the actor's institution; a PACS admin sees all."""
    if by.has("PACS admin"):
        return true()
    if by.has("technician") or by.has("doctor"):
        return Order.institution_id == by.institution_id
    return false()


def requests(by: Actor) -> ColumnElement[bool]:
    """Orders whose words the actor may read: `orders`, and those that a case of their centers answers."""
    if by.has("PACS admin") or not by.centers():
        return orders(by)
    ours = select(Reading.id).where(Reading.id == ReadingOrder.reading_id, Reading.center_id.in_(by.centers()))
    answered = select(ReadingOrder.order_id).where(
        ReadingOrder.order_id == Order.id, ours.correlate(ReadingOrder).exists()
    )
    return or_(orders(by), answered.correlate(Order).exists())


def studies(by: Actor) -> ColumnElement[bool]:
    """Studies of the actor's institution and those that a reading of their centers covers; all for a PACS admin."""
    if by.has("PACS admin"):
        return true()
    allowed: list[ColumnElement[bool]] = []
    if by.has("technician") or by.has("doctor"):
        allowed.append(Study.institution_id == by.institution_id)
    if by.centers():
        allowed.append(covered(by))
    return or_(false(), *allowed)


def opened(by: Actor, column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """The column names a patient who is the same person as one whom the actor opened by break-glass."""
    return of_person(column, select(Patient.id).where(Patient.id.in_(by.opened))) if by.opened else false()


def seen_readings(by: Actor) -> ColumnElement[bool]:
    """Readings whose issued reports the actor may look at: theirs, and (not blind ones) of patients they opened."""
    return or_(readings(by), and_(opened(by, Reading.patient_id), Reading.kind.in_(GOES_HOME)))


def seen_orders(by: Actor) -> ColumnElement[bool]:
    """Orders that the actor may look at: theirs, and those of patients they opened."""
    return or_(orders(by), opened(by, Order.patient_id))


def seen_studies(by: Actor) -> ColumnElement[bool]:
    """Studies that the actor may look at: theirs, and those of patients they opened."""
    return or_(studies(by), opened(by, Study.patient_id))


def covered(by: Actor) -> ColumnElement[bool]:
    """Studies that a reading of the actor's centers covers. Asked for each study: a center may have read them all."""
    # Two steps, each by its key: in one, a planner may begin with all readings of the center.
    ours = select(Reading.id).where(Reading.id == ReadingStudy.reading_id, Reading.center_id.in_(by.centers()))
    return (
        select(ReadingStudy.study_id)
        .where(ReadingStudy.study_id == Study.id, ours.correlate(ReadingStudy).exists())
        .correlate(Study)
        .exists()
    )


def studies_of_held_cases(by: Actor, now: object) -> ColumnElement[bool]:
    """Studies of persons whose case the actor holds now, or whom they opened: in every institution."""
    held = select(Reading.patient_id).where(Reading.holder_id == by.id, Reading.held_until > now)
    return or_(of_person(Study.patient_id, held), opened(by, Study.patient_id))


def offered_readings(by: Actor, now: datetime) -> ColumnElement[bool]:
    """Readings whose report was offered to the actor instead of a new examination, or accepted at their institution:
    while the result and the one whom it was offered for are the same person.
    """
    if not any(by.has(role) for role in HOME_ROLES):
        return false()
    theirs, ours = aliased(Patient), aliased(Patient)
    offered = (
        select(Recognition.id)
        .join(ours, ours.id == Recognition.patient_id)
        .join(theirs, theirs.person_id == ours.person_id)
        .where(
            Recognition.reading_id == Reading.id,
            theirs.id == Reading.patient_id,
            may_see_offer(by, now),
        )
    )
    return offered.correlate(Reading).exists()


def may_see_offer(by: Actor, now: datetime) -> ColumnElement[bool]:
    """Offers that open their result to the actor: made to them a while ago, or accepted at their institution."""
    return and_(
        Recognition.institution_id == by.institution_id,
        or_(
            Recognition.state == "accepted",
            and_(Recognition.offered_to_id == by.id, Recognition.offered_at > now - OFFER_OPENS),
        ),
    )


def offered_studies(by: Actor, now: datetime) -> ColumnElement[bool]:
    """Studies of readings that were offered to the actor, which are still the same patient's."""
    if not any(by.has(role) for role in HOME_ROLES):
        return false()
    # Begins with what was offered, which is little: never with all that was read.
    mine = select(Recognition.reading_id).where(Recognition.institution_id == by.institution_id)
    covered = (
        select(ReadingStudy.study_id)
        .join(Reading, Reading.id == ReadingStudy.reading_id)
        .where(
            ReadingStudy.study_id == Study.id,
            Reading.patient_id == Study.patient_id,
            Reading.id.in_(mine),
            offered_readings(by, now),
        )
    )
    return covered.correlate(Study).exists()


def of_person(column: InstrumentedAttribute[Any], patients: Select[Any]) -> ColumnElement[bool]:
    """The column names a patient who is the same person as one of `patients` (a query of patient ids)."""
    persons = select(Patient.person_id).where(Patient.id.in_(patients))
    return column.in_(select(Patient.id).where(Patient.person_id.in_(persons)))


def contains(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """The column contains `text`, in which ``%``, ``_`` and ``\\`` stand for themselves."""
    return column.icontains(text, autoescape=True, escape="\\")


def wildcard(column: SQLColumnExpression[Any], pattern: str, *, fold: bool = False) -> ColumnElement[bool]:
    """DICOM wild card matching (PS3.4 C.2.2.2.4): ``*`` any run, ``?`` one character, the rest literal.

    With `fold` the case of letters does not count, as PS3.4 C.2.2.2.1 allows for names.
    """
    if "*" not in pattern and "?" not in pattern:
        return func.lower(column) == pattern.lower() if fold else column == pattern
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    like = escaped.replace("*", "%").replace("?", "_")
    return column.ilike(like, escape="\\") if fold else column.like(like, escape="\\")


def lease_opens(session: Session, by: Actor, patient_id: str, now: object) -> bool:
    """Whether the actor holds a case of this person now, or opened them: that shows what is issued everywhere."""
    if by.opened and session.scalar(select(Patient.id).where(Patient.id == patient_id, opened(by, Patient.id))):
        return True
    held = select(Reading.id).where(
        of_person(Reading.patient_id, select(Patient.id).where(Patient.id == patient_id)),
        Reading.holder_id == by.id,
        Reading.held_until > now,
    )
    return session.scalar(held.limit(1)) is not None
