"""Orders as records: those of the asker's institution, and those whose case is or was their centers'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from worklist.facts import OrderRecord, Sought
from worklist.people import Actor
from worklist.queries import scope
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
from worklist.tables import Order, Procedure, Transition


def search(session: Session, wanted: Wanted) -> Records[OrderRecord]:
    """Orders that match."""
    few = narrowed(session, Order.id, wanted.criteria, _KNOWN)
    query = select(Order).where(few, conditions(wanted.criteria, _KNOWN))
    if wanted.after:
        query = query.where(Order.id < wanted.after)
    found = _seen(session, wanted.by, query.order_by(Order.id.desc()).limit(wanted.limit + 1))
    return page(found, wanted.limit)


def by_ids(session: Session, by: Actor, ids: Sequence[str]) -> list[OrderRecord]:
    """Those of these orders that the asker may see."""
    return _seen(session, by, select(Order).where(Order.id.in_(ids)).order_by(Order.id.desc()))


def _by_number(value: Sought) -> ColumnElement[bool]:
    number = number_of(value)
    placed = one_of(number, "placer", Order.placer_number, Order.placer_issuer)
    return or_(one_of(number, "accession", Order.accession_number), placed)


def _by_procedure(value: Sought) -> ColumnElement[bool]:
    return Order.procedure_id.in_(select(Procedure.id).where(Procedure.code == value))


def _of_patient_number(value: Sought) -> ColumnElement[bool]:
    return Order.patient_id.in_(patients.with_number(number_of(value)))


_MOVED: Final = (
    select(func.max(Transition.at)).where(Transition.thing_id == Order.id).correlate(Order).scalar_subquery()
)

_KNOWN: Final[dict[str, Condition]] = {
    "id": equals(Order.id),
    "number": _by_number,
    "patient": equals(Order.patient_id),
    "patient number": _of_patient_number,
    "state": equals(Order.state),
    "placed": in_span(Order.placed_at),
    "procedure": _by_procedure,
    "priority": equals(Order.priority),
}


def _seen(session: Session, by: Actor, query: Select[Any]) -> list[OrderRecord]:
    visible = scope.requests(without_openings(by))
    rows = session.execute(query.add_columns(_MOVED).where(visible)).unique().all()
    return [_record(order, max(filter(None, (order.placed_at, order.told_at, moved)))) for order, moved in rows]


def _record(order: Order, changed_at: Any) -> OrderRecord:
    procedure = order.procedure
    return OrderRecord(
        id=order.id,
        state=order.state,
        patient_id=order.patient_id,
        accession_number=order.accession_number,
        placer_issuer=order.placer_issuer,
        placer_number=order.placer_number,
        institution_code=order.institution.code,
        institution_name=order.institution.name,
        timezone=order.institution.timezone,
        procedure_code=procedure.code if procedure else "",
        procedure_name=procedure.name if procedure else "",
        sent_code=order.procedure_code,
        sent_text=order.procedure_text,
        body_part=procedure.body_part if procedure else "",
        laterality=order.laterality,
        priority=order.priority,  # type: ignore[arg-type]
        clinical_information=order.clinical_information,
        reason=order.reason,
        ordering_doctor=order.ordering_doctor,
        visit_number=order.visit_number,
        scheduled_date=order.scheduled_date,
        scheduled_time=order.scheduled_time,
        placed_at=order.placed_at,
        changed_at=changed_at,
    )
