"""Conditions that keep a query inside the actor's scope, and small helpers of all queries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, false, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from worklist.people import Actor
from worklist.tables import Order, Reading, ReadingStudy, Study

HOME_ROLES = ("technician", "doctor")


def readings(by: Actor) -> ColumnElement[bool]:
    """Readings of the actor's centers, and those sent by the actor's institution."""
    allowed: list[ColumnElement[bool]] = [Reading.center_id.in_(by.centers())]
    if by.has("technician") or by.has("doctor"):
        allowed.append(and_(Reading.institution_id == by.institution_id, Reading.kind == "primary"))
    return or_(*allowed)


def orders(by: Actor) -> ColumnElement[bool]:
    """Orders of the actor's institution; a PACS admin sees all."""
    if by.has("PACS admin"):
        return true()
    if by.has("technician") or by.has("doctor"):
        return Order.institution_id == by.institution_id
    return false()


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
    """Studies of patients whose case the actor holds now: the lease opens them everywhere."""
    return (
        select(Reading.id)
        .where(Reading.patient_id == Study.patient_id, Reading.holder_id == by.id, Reading.held_until > now)
        .correlate(Study)
        .exists()
    )


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
    """Whether the actor holds a case of this patient now: that opens the patient's priors everywhere."""
    held = select(Reading.id).where(
        Reading.patient_id == patient_id, Reading.holder_id == by.id, Reading.held_until > now
    )
    return session.scalar(held.limit(1)) is not None
