"""One file of the export's register, and what is one institution's own: its patients, what it ordered and sent, and
what was reported on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.orm import Session

from worklist.rules.kinds import GOES_HOME
from worklist.tables import (
    Center,
    CriticalResult,
    Delivery,
    Institution,
    Order,
    Patient,
    PatientIdentifier,
    Reading,
    Recognition,
    ReportVersion,
    Study,
    Transition,
)

AT_ONCE: Final = 500
Condition = Callable[[str], ColumnElement[bool]]


@dataclass(frozen=True)
class Table:
    """One file of the register. `key` is unique and tells the order; `of` keeps one institution's rows."""

    name: str
    query: Select[*tuple[Any, ...]]
    key: Any
    of: Condition

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(self.query.selected_columns.keys())

    def page(self, session: Session, institution_id: str, after: Any) -> list[tuple[Any, ...]]:
        """Up to `AT_ONCE` rows with keys behind `after` (None: from the beginning); each begins with its key."""
        query = self.query.where(self.of(institution_id)) if institution_id else self.query
        query = query.add_columns(self.key.label("_key")).order_by(self.key).limit(AT_ONCE)
        if after is not None:
            query = query.where(self.key > after)
        return [(row[-1], *row[:-1]) for row in session.execute(query)]


def orders_of(institution_id: str) -> Select[Any]:
    """Ids of its orders."""
    return select(Order.id).where(Order.institution_id == institution_id)


def studies_of(institution_id: str) -> Select[Any]:
    """Ids of the studies that it sent."""
    return select(Study.id).where(Study.institution_id == institution_id)


def readings_of(institution_id: str) -> Select[Any]:
    """Ids of the readings of what it sent. Consultations are what centers ask each other: they are not the sender's."""
    return select(Reading.id).where(Reading.institution_id == institution_id, Reading.kind.in_(GOES_HOME))


def versions_of(institution_id: str) -> Select[Any]:
    """Ids of the versions that were issued on what it sent."""
    return select(ReportVersion.id).where(
        ReportVersion.reading_id.in_(readings_of(institution_id)), ReportVersion.state != "draft"
    )


def is_patient_of(institution_id: str) -> ColumnElement[bool]:
    """Whether a row of patients has a number of it, or it ordered or sent something."""
    code = select(Institution.code).where(Institution.id == institution_id).scalar_subquery()
    numbered = exists().where(PatientIdentifier.patient_id == Patient.id, PatientIdentifier.issuer == code)
    ordered = exists().where(Order.patient_id == Patient.id, Order.institution_id == institution_id)
    sent = exists().where(Study.patient_id == Patient.id, Study.institution_id == institution_id)
    return or_(numbered, ordered, sent)


def patients_of(institution_id: str) -> Select[Any]:
    """Ids of its patients."""
    return select(Patient.id).where(is_patient_of(institution_id))


def history_of(institution_id: str) -> ColumnElement[bool]:
    """Whether a change of state is of something of its own."""
    of = (orders_of, studies_of, readings_of, versions_of, criticals_of, recognitions_of, deliveries_of)
    return or_(*(Transition.thing_id.in_(ids(institution_id)) for ids in of))


def criticals_of(institution_id: str) -> Select[Any]:
    """Ids of critical results that it must answer."""
    return select(CriticalResult.id).where(CriticalResult.institution_id == institution_id)


def recognitions_of(institution_id: str) -> Select[Any]:
    """Ids of what was offered to its people."""
    return select(Recognition.id).where(Recognition.institution_id == institution_id)


def deliveries_of(institution_id: str) -> Select[Any]:
    """Ids of what goes to its systems."""
    return select(Delivery.id).where(Delivery.institution_id == institution_id)


def centers_of(institution_id: str) -> Select[Any]:
    """Ids of its centers."""
    return select(Center.id).where(Center.institution_id == institution_id)
