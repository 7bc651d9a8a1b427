"""A person corrects who a patient is: name, sex, birth date, documents; and says who an unknown emergency patient is.

Nothing that was signed or stored changes. Lists, worklists and images on their way out show what is known now.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import merging, patients, persons
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.numbers import next_value
from worklist.people import Actor
from worklist.rules import identity
from worklist.rules.romanising import romanise
from worklist.tables import Institution, Order, Patient, PatientDocument, PatientIdentifier, PatientMerge

ALIAS: Final = "无名氏"
TEMPORARY: Final = "TEMP"  # HL7 table 0203
_DATE: Final = re.compile(r"(?:\d{4}(?:\d{2}(?:\d{2})?)?)?", re.ASCII)


def correct(session: Session, by: Actor, patient_id: str, facts: PatientFacts, why: str, now: datetime) -> list[str]:
    """Write what a person says of a patient: name, sex, birth date, telephone and address as `facts` have them.

    What is empty in `facts` becomes empty. Returns the names of what changed. News of a HIS that is older than this
    is not applied any more.

    Raises
    ------
    BadInput
        ``reason_missing``, ``field_missing`` without a name, ``field_wrong`` for a date that is none.
    Conflict
        ``patient_was_merged``; ``patient_is_not_identified`` for an alias: see `identify`.
    """
    patient = _one(session, by, patient_id)
    if not why.strip():
        raise BadInput("reason_missing")
    if patient.is_alias:
        raise Conflict("patient_is_not_identified")
    return _write(session, by, patient, facts, why, now)


def add_document(session: Session, by: Actor, patient_id: str, kind: str, number: str, why: str, now: datetime) -> bool:
    """Note a document's number beside the patient, valid or not; whether it is new."""
    patient = _one(session, by, patient_id)
    if not identity.is_document(kind) or not number.strip() or len(number) > 40:
        raise BadInput("field_wrong", field="number")
    fresh = patients.add_document(session, patient, Identifier("", number, kind))
    if fresh:
        _note(session, by, "patient document added", patient, why, now, {"kind": kind})
        persons.look(session, patient, now)
    return fresh


def remove_document(session: Session, by: Actor, patient_id: str, document_id: str, why: str, now: datetime) -> None:
    """Take a document away that is not the patient's: a parent's number noted as a child's own, say."""
    patient = _one(session, by, patient_id)
    if not why.strip():
        raise BadInput("reason_missing")
    row = session.get(PatientDocument, document_id)
    if row is None or row.patient_id != patient.id:
        raise NotFound("no_such_document")
    session.delete(row)
    session.flush()
    _note(session, by, "patient document removed", patient, why, now, {"kind": row.kind})
    persons.look(session, patient, now)


def unknown_patient(session: Session, by: Actor, now: datetime) -> PatientFacts:
    """A marked alias with a temporary number for somebody whom nobody can name yet; the order makes the patient.

    Sex and birth date stay empty: they would be guesses.
    """
    by.require_scope("order")
    by.require("technician", "doctor")
    institution = session.get_one(Institution, by.institution_id)
    serial = next_value(session, f"alias {institution.code}")
    today = now.astimezone(ZoneInfo(institution.timezone)).date()
    return PatientFacts(
        identifiers=(Identifier(TEMPORARY, f"{TEMPORARY}{today:%y%m%d}{serial:04d}", TEMPORARY),),
        name=PersonName(f"{ALIAS}{serial:04d}", f"WuMingShi^{serial:04d}"),
        is_alias=True,
    )


def identify(
    session: Session, by: Actor, patient_id: str, facts: PatientFacts, number: str, why: str, now: datetime
) -> Patient:
    """Say who an unknown patient is, who is new here: `number` is the institution's own for them, if it has one.

    The temporary number stays theirs, so that images which still come under it are matched.

    Raises
    ------
    Conflict
        ``patient_is_identified``; ``number_is_known`` where the number is a known patient's: they are joined instead.
    """
    patient = _one(session, by, patient_id)
    if not patient.is_alias:
        raise Conflict("patient_is_identified")
    if not why.strip():
        raise BadInput("reason_missing")
    if number.strip():
        code = next(iter(sorted(persons.towns(patient))), "")
        if patients.find(session, code, number.strip()) is not None:
            raise Conflict("number_is_known")
        if "\\" in number or len(number) > 64:
            raise BadInput("field_wrong", field="identifier")
        patient.identifiers.append(PatientIdentifier(issuer=code, value=number.strip(), kind="MR"))
        for order in session.scalars(select(Order).where(Order.patient_id == patient.id)).unique():
            order.patient_issuer, order.patient_value = code, number.strip()
    patient.is_alias = False
    _write(session, by, patient, facts, why, now)
    patients.show_as_known(session, patient, now)
    _note(session, by, "patient identified", patient, why, now, {})
    return patient


def identify_as(session: Session, by: Actor, patient_id: str, known_id: str, why: str, now: datetime) -> PatientMerge:
    """Say that an unknown patient is one whom the institution knows: all that the alias has is that patient's."""
    patient = _one(session, by, patient_id)
    if not patient.is_alias:
        raise Conflict("patient_is_identified")
    row = merging.merge(session, by, known_id, patient.id, why, now, sure=True)
    _note(session, by, "patient identified", patient, why, now, {"as": known_id})
    return row


def check(facts: PatientFacts, today: date) -> None:
    """Refuse what is no name, sex or birth date.

    Raises
    ------
    BadInput
        ``field_missing``, ``field_wrong``.
    """
    if not facts.name.shown:
        raise BadInput("field_missing", field="name")
    born = facts.birth_date
    if not _DATE.fullmatch(born):
        raise BadInput("field_wrong", field="birth_date")
    if len(born) == 8:
        try:
            day = date(int(born[:4]), int(born[4:6]), int(born[6:]))
        except ValueError:
            raise BadInput("field_wrong", field="birth_date") from None
        if not date(1850, 1, 1) <= day <= today:
            raise BadInput("field_wrong", field="birth_date")
    if facts.sex not in ("", "M", "F", "O"):
        raise BadInput("field_wrong", field="sex")


def _one(session: Session, by: Actor, patient_id: str) -> Patient:
    by.require_scope("order")
    patient = session.scalar(select(Patient).where(Patient.id == patient_id).with_for_update())
    if patient is None or not persons.may_decide(session, by, patient):
        raise NotFound("no_such_patient")
    if patient.merged_into_id is not None:
        raise Conflict("patient_was_merged")
    return patient


def _write(session: Session, by: Actor, patient: Patient, facts: PatientFacts, why: str, now: datetime) -> list[str]:
    patients.check_writing(facts)
    check(facts, now.date())
    said = {
        "name": facts.name.ideographic,
        "name_alphabetic": facts.name.alphabetic or romanise(facts.name.ideographic),
        "sex": facts.sex,
        "birth_date": facts.birth_date,
        "phone": facts.phone,
        "address": facts.address,
    }
    changed = [column for column, value in said.items() if getattr(patient, column) != value]
    for column in changed:
        setattr(patient, column, said[column])
    if not changed:
        return []
    zone = ZoneInfo(_institution(session, patient).timezone)
    patient.told_at = f"{now.astimezone(zone):%Y%m%d%H%M%S}"
    if {"name", "name_alphabetic", "sex", "birth_date"} & set(changed):
        patients.show_as_known(session, patient, now)
    _note(session, by, "patient corrected", patient, why, now, {"fields": changed})
    persons.look(session, patient, now)
    return changed


def _institution(session: Session, patient: Patient) -> Institution:
    codes = persons.towns(patient)
    found = session.scalar(select(Institution).where(Institution.code.in_(codes)).order_by(Institution.id).limit(1))
    return found or session.scalars(select(Institution).order_by(Institution.id).limit(1)).one()


def with_name(facts: PatientFacts, name: str) -> PatientFacts:
    """The facts with a name as somebody typed it: Chinese, or in letters."""
    typed = name.strip()
    return replace(facts, name=PersonName(alphabetic=typed) if typed.isascii() else PersonName(ideographic=typed))


def _note(
    session: Session, by: Actor, action: str, patient: Patient, why: str, now: datetime, detail: dict[str, object]
) -> None:
    audit.note(
        session, by, action, now, thing="patient", thing_id=patient.id, patient_id=patient.id, why=why, detail=detail
    )
