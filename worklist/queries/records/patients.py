"""Patients as records: those that `worklist.queries.patients` shows the asker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.orm import Session

from worklist.actions.patients import facts_of
from worklist.facts import Identifier, Number, PatientRecord, Sought
from worklist.people import Actor
from worklist.queries import patients
from worklist.queries.records.searching import (
    Condition,
    Records,
    Wanted,
    conditions,
    equals,
    in_days,
    narrowed,
    number_of,
    page,
    without_openings,
)
from worklist.rules import identity
from worklist.rules.identity import Document
from worklist.tables import Patient, PatientDocument, PatientIdentifier


def search(session: Session, wanted: Wanted) -> Records[PatientRecord]:
    """Patients that match; merged ones are left out, since their numbers are another's now."""
    few = narrowed(session, Patient.id, wanted.criteria, _KNOWN)
    query = select(Patient).where(few, conditions(wanted.criteria, _KNOWN), Patient.merged_into_id.is_(None))
    if wanted.after:
        query = query.where(Patient.id < wanted.after)
    found = _seen(session, wanted.by, query.order_by(Patient.id.desc()).limit(wanted.limit + 1))
    return page(found, wanted.limit)


def by_ids(session: Session, by: Actor, ids: Sequence[str]) -> list[PatientRecord]:
    """Those of these patients whom the asker may see, merged ones too."""
    return _seen(session, by, select(Patient).where(Patient.id.in_(ids)).order_by(Patient.id.desc()))


def with_number(number: Number) -> Select[Any]:
    """Ids of patients who have this number."""
    found: list[ColumnElement[bool]] = [false()]
    if number.kind in ("", "patient"):
        theirs = select(PatientIdentifier.patient_id).where(PatientIdentifier.value == number.value)
        if number.issuer is not None:
            theirs = theirs.where(PatientIdentifier.issuer == number.issuer)
        found.append(Patient.id.in_(theirs))
    if number.kind == "document":
        kind = number.issuer or ""
        forms = identity.forms(Document(kind, "CN", number.value.upper()))
        theirs = select(PatientDocument.patient_id).where(PatientDocument.number.in_(forms))
        found.append(Patient.id.in_(theirs.where(PatientDocument.kind == kind)))
    return select(Patient.id).where(or_(*found))


def _by_number(value: Sought) -> ColumnElement[bool]:
    return Patient.id.in_(with_number(number_of(value)))


def _by_name(value: Sought) -> ColumnElement[bool]:
    """The name, in either writing, holds these letters; separators and spaces do not count."""
    plain = "".join(str(value).replace("^", "").split())
    if not plain:
        return false()
    written = (Patient.name, Patient.name_alphabetic)
    folded = [func.replace(func.replace(column, "^", ""), " ", "") for column in written]
    return or_(*(column.icontains(plain, autoescape=True, escape="\\") for column in folded))


_KNOWN: Final[dict[str, Condition]] = {
    "id": equals(Patient.id),
    "number": _by_number,
    "name": _by_name,
    "birth date": in_days(Patient.birth_date),
    "sex": equals(Patient.sex),
}


def _seen(session: Session, by: Actor, query: Select[Patient]) -> list[PatientRecord]:
    visible = patients.visible(session, without_openings(by))
    found = session.scalars(query.where(visible)).unique().all()
    documents: dict[str, list[Identifier]] = {}
    ids = [patient.id for patient in found]
    mine = and_(PatientDocument.patient_id.in_(ids), PatientDocument.kind.not_in(identity.RELATIVES))
    for row in session.scalars(select(PatientDocument).where(mine).order_by(PatientDocument.id)):
        documents.setdefault(row.patient_id, []).append(Identifier(row.country, row.number, row.kind))
    return [PatientRecord(p.id, facts_of(p), tuple(documents.get(p.id, ())), p.merged_into_id or "") for p in found]
