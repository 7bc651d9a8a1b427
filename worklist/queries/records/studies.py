"""Studies as records. One that is linked to nobody has no patient, so that it is none of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Select, func, or_, select, true
from sqlalchemy.orm import Session

from worklist.facts import SeriesRecord, Sought, StudyRecord
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.records import patients
from worklist.queries.records.searching import (
    Condition,
    Records,
    Wanted,
    conditions,
    equals,
    in_span,
    narrowed,
    number_of,
    one_of,
    page,
    without_openings,
)
from worklist.tables import Instance, Order, Series, Study, StudyOrder


def search(session: Session, wanted: Wanted) -> Records[StudyRecord]:
    """Studies that match, those that came last first."""
    few = narrowed(session, Study.id, wanted.criteria, _KNOWN)
    query = select(Study).where(few, conditions(wanted.criteria, _KNOWN))
    if wanted.after:
        query = query.where(Study.id < wanted.after)
    found = _seen(session, wanted.by, query.order_by(Study.id.desc()).limit(wanted.limit + 1))
    return page(found, wanted.limit)


def by_ids(session: Session, by: Actor, ids: Sequence[str]) -> list[StudyRecord]:
    """Those of these studies that the asker may see."""
    return _seen(session, by, select(Study).where(Study.id.in_(ids)).order_by(Study.id.desc()))


def _serving(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return Study.id.in_(select(StudyOrder.study_id).join(Order, Order.id == StudyOrder.order_id).where(condition))


def _by_number(value: Sought) -> ColumnElement[bool]:
    number = number_of(value)
    accession = _serving(one_of(number, "accession", Order.accession_number))
    return or_(one_of(number, "study", Study.study_instance_uid), accession)


def _by_modality(value: Sought) -> ColumnElement[bool]:
    return Study.id.in_(select(Series.study_id).where(Series.modality == value))


_KNOWN: Final[dict[str, Condition]] = {
    "id": equals(Study.id),
    "number": _by_number,
    "patient": equals(Study.patient_id),
    "patient number": lambda value: Study.patient_id.in_(patients.with_number(number_of(value))),
    "order": lambda value: _serving(Order.id == value),
    "acquired": in_span(Study.acquired_at),
    "changed": in_span(Study.last_at),
    "modality": _by_modality,
    "available": lambda _value: true(),
}


def _seen(session: Session, by: Actor, query: Select[Study]) -> list[StudyRecord]:
    visible = scope.studies(without_openings(by))
    # What a person rejected has lost its link, and one whose images all lie elsewhere now has nothing to show.
    found = session.scalars(query.where(visible, Study.patient_id.is_not(None), Study.instances > 0)).unique().all()
    ids = [study.id for study in found]
    orders = _orders(session, ids)
    series = _series(session, ids)
    return [
        StudyRecord(
            id=study.id,
            study_instance_uid=study.study_instance_uid,
            patient_id=study.patient_id or "",
            order_ids=tuple(id for id, _number in orders.get(study.id, ())),
            accession_numbers=tuple(number for _id, number in orders.get(study.id, ())),
            study_date=study.study_date,
            acquired_at=study.acquired_at,
            description=study.description,
            series=tuple(series.get(study.id, ())),
            changed_at=study.last_at,
        )
        for study in found
    ]


def _orders(session: Session, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    rows = session.execute(
        select(StudyOrder.study_id, Order.id, Order.accession_number)
        .join(Order, Order.id == StudyOrder.order_id)
        .where(StudyOrder.study_id.in_(ids))
        .order_by(Order.id)
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for study_id, order_id, number in rows:
        found.setdefault(study_id, []).append((order_id, number))
    return found


def _series(session: Session, ids: Sequence[str]) -> dict[str, list[SeriesRecord]]:
    shown = (
        select(Series, func.count())
        .join(Instance, Instance.series_id == Series.id)
        .where(Series.study_id.in_(ids), parts.shown_objects())
        .group_by(Series.id)
        .order_by(Series.number, Series.id)
    )
    found: dict[str, list[SeriesRecord]] = {}
    for s, count in session.execute(shown):
        record = SeriesRecord(s.series_instance_uid, s.modality, s.number, s.description, s.body_part, count)
        found.setdefault(s.study_id, []).append(record)
    return found
