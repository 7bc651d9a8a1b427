"""Patients as people find them, within what the asker may see.

A township sees whom it knows by a number of its own; a center whose case it has; a PACS admin everybody.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select, true, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from worklist.actions import persons
from worklist.errors import NotFound
from worklist.facts import PersonName
from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.patient_views import PatientRow
from worklist.queries.views import Page
from worklist.rules import identity
from worklist.rules.identity import Document
from worklist.tables import Institution, Patient, PatientDocument, PatientIdentifier, PatientMerge, Reading

SHOWN = 50  # of each list


def visible(session: Session, by: Actor) -> ColumnElement[bool]:
    """Patients whom the actor may see."""
    if by.has("PACS admin"):
        return true()
    allowed: list[ColumnElement[bool]] = [scope.opened(by, Patient.id)]
    if by.has("technician") or by.has("doctor"):
        code = session.get_one(Institution, by.institution_id).code
        retired = exists().where(
            PatientMerge.retired_id == Patient.id,
            PatientMerge.kind == "merge",
            PatientMerge.state == "merged",
            is_known_at(code, PatientMerge.survivor_id),
        )
        allowed.append(or_(is_known_at(code), retired))
    if by.centers():
        allowed.append(exists().where(Reading.patient_id == Patient.id, Reading.center_id.in_(by.centers())))
    return or_(false(), *allowed)


def is_known_at(
    code: str, patient_id: ColumnElement[str] | InstrumentedAttribute[str] = Patient.id
) -> ColumnElement[bool]:
    """Whether the institution with this code knows a patient by a number of its own.

    Asked of each patient that is looked at: the ids of all of them would be gathered for every search.
    """
    return exists().where(
        PatientIdentifier.patient_id == patient_id,
        or_(
            PatientIdentifier.issuer == code,
            and_(PatientIdentifier.issuer >= f"{code}/", PatientIdentifier.issuer < f"{code}0"),
        ),
    )


def find(session: Session, by: Actor, q: str, *, after: str = "", limit: int = SHOWN) -> Page[PatientRow]:
    """Patients by name, pinyin or its initials, number or document, the newest first; merged ones are left out.

    What is somebody's number, or the beginning of one, is looked for in no name, which would read every patient.
    """
    query = select(Patient).where(visible(session, by), Patient.merged_into_id.is_(None))
    text = q.strip()
    if text:
        numbered = has_number(text)
        is_number = any(map(str.isdigit, text)) and session.scalar(select(exists(query.where(numbered))))
        query = query.where(numbered if is_number else matches(text))
    if after:
        query = query.where(Patient.id < after)
    found = session.scalars(query.order_by(Patient.id.desc()).limit(limit + 1)).unique().all()
    shown = found[:limit]
    return Page(tuple(rows(session, shown)), shown[-1].id if len(found) > limit else "")


def unidentified(session: Session, by: Actor) -> list[PatientRow]:
    """Aliases that nobody has identified yet, the newest first."""
    query = (
        select(Patient)
        .where(visible(session, by), Patient.is_alias, Patient.merged_into_id.is_(None))
        .order_by(Patient.id.desc())
        .limit(SHOWN)
    )
    return rows(session, session.scalars(query).unique().all())


def by_number(session: Session, by: Actor, number: str) -> PatientRow | None:
    """The patient whom the actor's own institution knows under this number."""
    code = session.get_one(Institution, by.institution_id).code
    found = session.scalar(
        select(Patient)
        .join(PatientIdentifier, PatientIdentifier.patient_id == Patient.id)
        .where(PatientIdentifier.issuer == code, PatientIdentifier.value == number)
    )
    return rows(session, [found])[0] if found is not None else None


def one(session: Session, by: Actor, patient_id: str) -> Patient:
    """The patient, if the actor may see them.

    Raises
    ------
    NotFound
        ``no_such_patient``.
    """
    patient = session.scalar(select(Patient).where(Patient.id == patient_id, visible(session, by)))
    if patient is None:
        raise NotFound("no_such_patient")
    return patient


def rows(session: Session, found: Sequence[Patient]) -> list[PatientRow]:
    """Patients as rows, in their order."""
    names = institution_names(session)
    return [
        PatientRow(
            id=p.id,
            person_id=p.person_id,
            name=PersonName(p.name, p.name_alphabetic),
            sex=p.sex,
            birth_date=p.birth_date,
            is_alias=p.is_alias,
            identifiers=tuple((i.issuer, i.value, i.kind) for i in p.identifiers),
            institutions=tuple(names.get(code, code) for code in sorted(persons.towns(p))),
            merged_into_id=p.merged_into_id or "",
        )
        for p in found
    ]


def institution_names(session: Session) -> dict[str, str]:
    """Names of institutions by code."""
    return {row.code: row.name for row in session.execute(select(Institution.code, Institution.name))}


def matches(text: str) -> ColumnElement[bool]:
    """Patients (rows of `Patient`) with `text` in name or pinyin, as initials, or at the beginning of a number."""
    plain = "".join(text.replace("^", "").split())
    found: list[ColumnElement[bool]] = [
        has_number(text),
        func.replace(Patient.name, "^", "").icontains(plain, autoescape=True, escape="\\"),
    ]
    if plain.isascii():
        letters = func.replace(Patient.name_alphabetic, "^", "")
        found.append(letters.icontains(plain, autoescape=True, escape="\\"))
        if plain.isalpha() and 2 <= len(plain) <= 5:
            found.append(_initials(plain))
    return or_(*found)


def has_number(text: str) -> ColumnElement[bool]:
    """Patients (rows of `Patient`) with a number that begins so, or a document with this number."""
    kept = Document("NI", "CN", text.upper().replace(" ", ""))
    begins = PatientIdentifier.value.startswith(text, autoescape=True, escape="\\")
    numbers = select(PatientIdentifier.patient_id).where(begins)
    documents = select(PatientDocument.patient_id).where(PatientDocument.number.in_(identity.forms(kept)))
    return Patient.id.in_(union_all(numbers, documents))


def _initials(letters: str) -> ColumnElement[bool]:
    """``wxd`` finds Wang^XiaoDong. Capitals begin syllables; where a database compares without regard to case, a few
    more are found."""
    family, given = letters[0].upper(), letters[1:].upper()
    return Patient.name_alphabetic.like(f"{family}%^" + "".join(f"{letter}%" for letter in given))
