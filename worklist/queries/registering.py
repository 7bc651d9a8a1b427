"""Who stands at a township's desk: what was typed or scanned, and the patients of the institution it may mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import patients, scope
from worklist.rules import identity
from worklist.rules.identity import Document, Reading
from worklist.tables import Institution, Patient, PatientDocument

MOST: Final = 8
"""Candidates that are shown: more are a reason to type on."""
SHORTEST: Final = 2


@dataclass(frozen=True)
class Candidate:
    """A patient of the institution, with the number by which it knows them."""

    id: str
    name: PersonName
    sex: str
    birth_date: str
    number: str
    is_alias: bool
    by_document: bool  # has the number of a document that was typed


@dataclass(frozen=True)
class Met:
    """What a typed text says: a document with what its number says by itself, and who it may be."""

    document: Document | None
    says: Reading
    candidates: tuple[Candidate, ...]
    more: bool = False


def meet(session: Session, by: Actor, text: str, now: datetime) -> Met:
    """Read what was typed into the desk's first field. Only patients whom the actor's own institution knows.

    Raises
    ------
    Forbidden
        ``role_needed``.
    """
    by.require(*scope.HOME_ROLES)
    institution = session.get_one(Institution, by.institution_id)
    text = " ".join(text.split())
    document = identity.guess(text)
    says = read(document, institution, now) if document is not None else Reading()
    if len(text) < SHORTEST:
        return Met(document, says, ())
    query = select(Patient).where(
        patients.is_known_at(institution.code), Patient.merged_into_id.is_(None), patients.matches(text)
    )
    found = session.scalars(query.order_by(Patient.id.desc()).limit(MOST + 1)).unique().all()
    carrying = _carrying(session, document, [p.id for p in found]) if document is not None else set()
    shown = [_candidate(p, institution.code, p.id in carrying) for p in found[:MOST]]
    return Met(document, says, tuple(shown), len(found) > MOST)


def read(document: Document, institution: Institution, now: datetime) -> Reading:
    """What a document's number says, today at the institution."""
    return identity.read(document, now.astimezone(ZoneInfo(institution.timezone)).date())


def chosen(session: Session, by: Actor, patient_id: str) -> PatientFacts:
    """The patient whom a person chose among the candidates, by the number of the actor's institution and no more.

    Raises
    ------
    NotFound
        ``no_such_patient``, which may be another institution's.
    """
    code = session.get_one(Institution, by.institution_id).code
    found = session.scalar(
        select(Patient).where(Patient.id == patient_id, patients.is_known_at(code), Patient.merged_into_id.is_(None))
    )
    if found is None:
        raise NotFound("no_such_patient")
    return PatientFacts(identifiers=(_number(found, code),))


def candidate(session: Session, by: Actor, patient_id: str) -> Candidate:
    """A patient of the actor's institution, as the desk shows them.

    Raises
    ------
    NotFound
        ``no_such_patient``.
    """
    chosen(session, by, patient_id)
    code = session.get_one(Institution, by.institution_id).code
    return _candidate(session.get_one(Patient, patient_id), code, False)


def carrier(session: Session, by: Actor, document: Document, name: str) -> PatientFacts | None:
    """The one patient of the actor's institution with this document and this name; a card alone may be a parent's."""
    code = session.get_one(Institution, by.institution_id).code
    query = select(Patient).where(
        patients.is_known_at(code),
        Patient.merged_into_id.is_(None),
        Patient.id.in_(
            select(PatientDocument.patient_id).where(
                PatientDocument.number.in_(identity.forms(document)), PatientDocument.kind == document.kind
            )
        ),
    )
    plain = PersonName(name).plain
    found = [p for p in session.scalars(query).unique() if plain in (PersonName(p.name).plain, p.name_alphabetic)]
    return PatientFacts(identifiers=(_number(found[0], code),)) if len(found) == 1 else None


def _carrying(session: Session, document: Document, among: list[str]) -> set[str]:
    return set(
        session.scalars(
            select(PatientDocument.patient_id).where(
                PatientDocument.patient_id.in_(among), PatientDocument.number.in_(identity.forms(document))
            )
        )
    )


def _candidate(patient: Patient, code: str, by_document: bool) -> Candidate:
    return Candidate(
        id=patient.id,
        name=PersonName(patient.name, patient.name_alphabetic),
        sex=patient.sex,
        birth_date=patient.birth_date,
        number=_number(patient, code).value,
        is_alias=patient.is_alias,
        by_document=by_document,
    )


def _number(patient: Patient, code: str) -> Identifier:
    """The institution's own number; one of a numbering within it where it gave no plain one."""
    own = [i for i in patient.identifiers if i.issuer.partition("/")[0] == code]
    best = next((i for i in own if i.issuer == code), own[0])
    return Identifier(best.issuer.partition("/")[2], best.value, best.kind)
