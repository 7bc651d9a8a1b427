"""News of a patient that says nothing new, recognised with few small statements.

A HIS tells the same of the same patients all day. What `patients.hear` would find unchanged is found here without
loading a patient with all that hangs on one; only the time of the telling moves on. Whatever is not plainly nothing
new is left to `admissions.take`, which decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.orm import Session

from worklist.actions import patients, visits
from worklist.errors import BadInput
from worklist.facts import Identifier, KnownDevice, PatientFacts, PatientMessage
from worklist.prepared import Prepared
from worklist.rules.identity import document_of, is_document
from worklist.rules.romanising import romanise
from worklist.rules.stamps import believable, is_before, newest
from worklist.tables import Institution, Patient, PatientDocument, PatientIdentifier, Visit
from worklist.tables.base import table_of

EVENTS: Final = ("A01", "A02", "A03", "A04", "A08", "A11", "A28", "A31")

# Statements are made once: to make one takes ten times as long as to run it.
_OF = table_of(Institution).c
_PATIENT = table_of(Patient)
_NUMBER = table_of(PatientIdentifier)
_DOCUMENT = table_of(PatientDocument).c
_VISIT = table_of(Visit).c
_INSTITUTION: Final = Prepared(select(_OF.id, _OF.code).where(_OF.id == bindparam("id")))
_INSTITUTIONS: Final = select(_OF.id, _OF.code).where(_OF.id.in_(bindparam("ids", expanding=True)))
_KNOWN: Final = Prepared(
    select(*_PATIENT.c)
    .join(_NUMBER, _NUMBER.c.patient_id == _PATIENT.c.id)
    .where(_NUMBER.c.issuer == bindparam("issuer"), _NUMBER.c.value == bindparam("value"))
)
_NUMBERS: Final = Prepared(
    select(_NUMBER.c.issuer, _NUMBER.c.value).where(_NUMBER.c.patient_id == bindparam("patient"))
)
_DOCUMENTS: Final = Prepared(
    select(_DOCUMENT.kind, _DOCUMENT.number).where(_DOCUMENT.patient_id == bindparam("patient"))
)
_IS_VISIT: Final = Prepared(
    select(_VISIT.id).where(_VISIT.institution_id == bindparam("institution"), _VISIT.number == bindparam("number"))
)
_TOLD: Final = Prepared(update(_PATIENT).where(_PATIENT.c.id == bindparam("patient")).values(told_at=bindparam("told")))


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Whose news it was, and which institution's."""

    patient_id: str
    institution_id: str


def take(session: Session, device: KnownDevice, content: PatientMessage, now: datetime) -> Unchanged | None:
    """Take news that says nothing new; None where it may say something, or something is wrong with it."""
    if content.event not in EVENTS or "patients" not in device.operations:
        return None
    ids = device.institutions
    if len(ids) == 1:
        found = _INSTITUTION.rows(session, {"id": ids[0]})
    else:
        found = session.connection().execute(_INSTITUTIONS, {"ids": ids}).all()
    codes: dict[str, str] = {row.id: row.code for row in found}
    institution_id = _institution(device, codes, content)
    if institution_id is None:
        return None
    spoken_for = tuple(codes.values())
    code = codes[institution_id]
    said = content.patient
    numbers = tuple(patients.scoped(i, code, spoken_for) for i in said.identifiers if i.value)
    told_at = believable(content.event_at, now)
    held = _same(session, said, numbers, told_at)
    if held is None or not _no_news_of_visit(session, institution_id, content):
        return None
    told_last = newest(told_at, held.told_at)
    if told_last != held.told_at:
        _TOLD.run(session, {"patient": held.id, "told": told_last})
    return Unchanged(held.id, institution_id)


def _institution(device: KnownDevice, codes: dict[str, str], content: PatientMessage) -> str | None:
    """As `messages` finds it: the only one, or the one that the message names."""
    if len(device.institutions) == 1:
        return device.institutions[0] if codes else None
    named = content.facility_fields.get(device.institution_field, "")
    return next((row_id for row_id, code in codes.items() if named and code == named), None)


def _same(session: Session, said: PatientFacts, numbers: tuple[Identifier, ...], told_at: str) -> Row[Any] | None:
    """The patient of whom all that is said is known; None if there is none, or something newer is known."""
    main = next((i for i in numbers if not is_document(i.kind)), None)
    if main is None:
        return None
    held = _KNOWN.first(session, {"issuer": main.issuer, "value": main.value})
    if held is None or held.merged_into_id is not None or (said.is_alias and not held.is_alias):
        return None
    if is_before(told_at, held.told_at):
        return None
    alphabetic = said.name.alphabetic
    if not alphabetic and (said.name.ideographic or not held.name_alphabetic):
        alphabetic = romanise(held.name)
        if alphabetic != held.name_alphabetic:
            return None
    pairs = (
        (said.name.ideographic, held.name),
        (alphabetic, held.name_alphabetic),
        (said.sex, held.sex),
        (said.birth_date, held.birth_date),
        (said.phone, held.phone),
        (said.address, held.address),
    )
    if any(value and value != known for value, known in pairs):
        return None
    try:
        patients.check_writing(PatientFacts(numbers, said.name))
    except BadInput:
        return None
    others = [i for i in numbers if i is not main]
    return held if not others or _are_held(session, held.id, others) else None


def _are_held(session: Session, patient_id: str, numbers: list[Identifier]) -> bool:
    of_patient = {"patient": patient_id}
    held = {(row.issuer, row.value) for row in _NUMBERS.rows(session, of_patient)}
    if any((i.issuer, i.value) not in held for i in numbers if not is_document(i.kind)):
        return False
    documents = [document_of(i) for i in numbers if is_document(i.kind)]
    if not documents:
        return True
    noted = {(row.kind, row.number) for row in _DOCUMENTS.rows(session, of_patient)}
    return all((document.kind, document.number) in noted for document in documents if document.number)


def _no_news_of_visit(session: Session, institution_id: str, content: PatientMessage) -> bool:
    """Whether no visit is told of, or only a patient's news with one that we do not keep (`visits.hear`)."""
    number = content.visit.number
    if not number or content.event not in (*visits.OF_VISITS, "A08"):
        return True
    if content.event != "A08":
        return False
    return _IS_VISIT.first(session, {"institution": institution_id, "number": number}) is None
