"""Looking for those who may be the same person as a patient: few of a million, by indexes."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, false, or_, select
from sqlalchemy.orm import Session

from worklist.facts import PersonName
from worklist.prepared import Prepared
from worklist.rules import identity
from worklist.rules.identity import Document
from worklist.tables import Patient, PatientDocument
from worklist.tables.base import table_of

LOOKED_AT: Final = 40
"""So many rows are compared for each kind of evidence: a telephone number of a village shop is nobody's proof."""

_DOCUMENT = table_of(PatientDocument).c
_DOCUMENTS: Final = Prepared(  # asked of every patient who is new or has changed
    select(_DOCUMENT.kind, _DOCUMENT.country, _DOCUMENT.number).where(_DOCUMENT.patient_id == bindparam("patient"))
)


def likely(session: Session, patient: Patient) -> list[Patient]:
    """Those who share a document, a birth date and name, or a telephone number and name; each found by an index."""
    found: dict[str, Patient] = {}
    for row in _DOCUMENTS.rows(session, {"patient": patient.id}):
        if row.kind in identity.RELATIVES:
            continue
        numbers = identity.forms(Document(row.kind, row.country, row.number))
        query = (
            select(Patient)
            .join(PatientDocument, PatientDocument.patient_id == Patient.id)
            .where(PatientDocument.number.in_(numbers), Patient.id != patient.id)
            .order_by(Patient.id)
            .limit(LOOKED_AT)
        )
        found.update((p.id, p) for p in session.scalars(query).unique())
    plain = PersonName(patient.name, patient.name_alphabetic).plain
    for column in (Patient.birth_date, Patient.phone):
        value = getattr(patient, column.key)
        if not value or not plain or patient.is_alias:
            continue
        rows = session.execute(
            select(Patient.id, Patient.name, Patient.name_alphabetic).where(
                column == value, Patient.id != patient.id, _may_be_alike(patient)
            )
        )
        alike = [row.id for row in rows if _alike(patient, PersonName(row.name, row.name_alphabetic))][:LOOKED_AT]
        if alike:
            found.update((p.id, p) for p in session.scalars(select(Patient).where(Patient.id.in_(alike))).unique())
    return list(found.values())


def _may_be_alike(patient: Patient) -> ColumnElement[bool]:
    """Passes all whom `_alike` finds and few others: thousands share 1 January 1970, and few of them a name.

    A name's characters stand in their order, whatever parts them. Letters beyond ASCII fold in ways that databases do
    not know (ß, ſ): such a name is left to `_alike`.
    """
    letters = PersonName("", patient.name_alphabetic).plain
    alphabetic: ColumnElement[bool] = false()
    if letters:
        alphabetic = or_(
            Patient.name_alphabetic.ilike(_in_order(letters), escape="\\"),
            Patient.name_alphabetic.regexp_match("[^ -~]"),
        )
    if not patient.name:
        return alphabetic
    return or_(
        Patient.name.like(_in_order(PersonName(patient.name).plain), escape="\\"),
        and_(Patient.name == "", alphabetic),
    )


def _in_order(characters: str) -> str:
    """A pattern for LIKE: these characters with anything between them."""
    return "%" + "".join(f"\\{c}%" if c in "%_\\" else f"{c}%" for c in characters)


def _alike(patient: Patient, other: PersonName) -> bool:
    if patient.name and other.ideographic:
        return PersonName(patient.name).plain == PersonName(other.ideographic).plain
    letters = PersonName("", patient.name_alphabetic).plain
    return bool(letters) and letters == PersonName("", other.alphabetic).plain
