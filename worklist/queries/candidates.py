"""Orders that a person may link a study to, and why another one is not among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.orders import rows_of
from worklist.queries.views import OrderRow
from worklist.rules import serving
from worklist.tables import Device, Order, Patient, Procedure, Series, Study


@dataclass(frozen=True)
class NotOffered:
    """An order that was asked for by its number, and the reason (a code) why these images cannot be its."""

    accession_number: str
    reason: str
    params: dict[str, Any] = field(default_factory=dict)


def candidates(session: Session, by: Actor, study_id: str, now: datetime, q: str = "") -> list[OrderRow]:
    """Orders of the study's institution that can have such images (`rules.serving`), the likeliest first.

    Raises
    ------
    NotFound
        ``no_such_study``.
    """
    study = _study(session, by, study_id)
    fits = _fitting(session, study)
    query = (
        select(Order)
        .join(Patient, Patient.id == Order.patient_id)
        .join(Procedure, Procedure.id == Order.procedure_id)
        .where(
            Order.institution_id == study.institution_id,
            Order.state.not_in((*serving.CLOSED, "placed")),
            Procedure.discipline.not_in(serving.WITHOUT_MODALITY),
        )
    )
    if fits:
        query = query.where(or_(Procedure.modality == "", Procedure.modality.in_(fits)))
    if text := q.strip():
        plain = text.replace(" ", "").replace("^", "")
        query = query.where(
            or_(
                scope.contains(Order.accession_number, text),
                scope.contains(Order.placer_number, text),
                scope.contains(Order.patient_value, text),
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

    return rows_of(session, sorted(found, key=unlikeness)[:30], now)


def not_offered(session: Session, by: Actor, study_id: str, number: str) -> list[NotOffered]:
    """Orders of the study's institution with exactly this number of ours or the orderer's that cannot have the images.

    Raises
    ------
    NotFound
        ``no_such_study``.
    """
    study = _study(session, by, study_id)
    if not number.strip():
        return []
    fits = _fitting(session, study)
    orders = session.scalars(
        select(Order)
        .where(
            Order.institution_id == study.institution_id,
            or_(Order.accession_number == number.strip(), Order.placer_number == number.strip()),
        )
        .order_by(Order.id.desc())
        .limit(5)
    ).unique()
    found = []
    for order in orders:
        discipline, modality = (order.procedure.discipline, order.procedure.modality) if order.procedure else ("", "")
        reason, params = serving.unfit(order.state, discipline, modality, fits)
        if reason:
            found.append(NotOffered(order.accession_number, reason, params))
    return found


def _study(session: Session, by: Actor, study_id: str) -> Study:
    study = session.scalar(select(Study).where(Study.id == study_id, scope.studies(by)))
    if study is None:
        raise NotFound("no_such_study")
    return study


def _fitting(session: Session, study: Study) -> frozenset[str]:
    made = session.scalars(select(Series.modality).where(Series.study_id == study.id).distinct()).all()
    device = session.get(Device, study.device_id) if study.device_id else None
    equivalents = device.modality_equivalents if device is not None else serving.USUAL_EQUIVALENTS
    return serving.fitting(made or (study.modality,), equivalents)
