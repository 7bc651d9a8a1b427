"""Finding and making patients, and hearing news of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.people import Actor
from worklist.rules.romanising import romanise
from worklist.tables import Institution, Patient, PatientIdentifier

NATIONAL_KINDS: Final = ("NI", "NNCHN", "PPN")
"""Numbers of a country, not of an institution (HL7 table 0203): they help a person to compare, and link nobody yet."""

AHEAD: Final = timedelta(days=2)  # of our clock: any zone, and a clock that goes somewhat wrong


def scoped(identifier: Identifier, institution_code: str, spoken_for: Iterable[str]) -> Identifier:
    """The identifier with the issuer that Huren files it under.

    What a township calls its own number is that township's, whatever name it gives to its numbering: the same
    "HIS" from two townships is two issuers. Only an institution that the sender may speak for is taken by name.
    """
    if identifier.kind in NATIONAL_KINDS:
        # Under the country, whoever issued it: a sender could name a township, and the number would be that one's own.
        issuer = f"CN/{identifier.issuer}" if identifier.issuer not in ("", "CN") else "CN"
        return Identifier(issuer, identifier.value, identifier.kind)
    if identifier.issuer in ("", institution_code):
        return Identifier(institution_code, identifier.value, identifier.kind)
    if identifier.issuer in spoken_for:
        return identifier
    return Identifier(f"{institution_code}/{identifier.issuer}", identifier.value, identifier.kind)


def main_identifier(facts: PatientFacts) -> Identifier:
    """The number that goes onto devices' worklists: the first that an institution gave.

    Raises
    ------
    BadInput
        ``patient_identifier_missing``.
    """
    for identifier in facts.identifiers:
        if identifier.value and identifier.kind not in NATIONAL_KINDS:
            return identifier
    raise BadInput("patient_identifier_missing")


def find(session: Session, issuer: str, value: str) -> Patient | None:
    """The patient whom `issuer` knows under `value`."""
    return session.scalar(
        select(Patient)
        .join(PatientIdentifier)
        .where(PatientIdentifier.issuer == issuer, PatientIdentifier.value == value)
    )


def with_scope(
    session: Session, facts: PatientFacts, institution: Institution, spoken_for: Iterable[str]
) -> PatientFacts:
    """`facts` with each identifier under its scoped issuer; `spoken_for` are institution ids."""
    codes = tuple(session.scalars(select(Institution.code).where(Institution.id.in_(tuple(spoken_for)))))
    return PatientFacts(
        identifiers=tuple(scoped(i, institution.code, codes) for i in facts.identifiers if i.value),
        name=facts.name,
        sex=facts.sex,
        birth_date=facts.birth_date,
        phone=facts.phone,
        address=facts.address,
        is_alias=facts.is_alias,
    )


def contradicts(patient: Patient, facts: PatientFacts) -> bool:
    """Whether an order's patient is plainly somebody else than the one known under that number.

    One differing item may be a corrected slip; a differing name without an equal birth date that confirms the person,
    or with another sex, is not.
    """
    same_birth = bool(patient.birth_date and patient.birth_date == facts.birth_date)
    other_sex = bool(patient.sex and facts.sex and patient.sex != facts.sex)
    return _is_another_name(patient, facts) and (other_sex or not same_birth)


def _is_another_name(patient: Patient, facts: PatientFacts) -> bool:
    """Whether both say a name and it is not the same; two writings are compared only with their like."""
    if patient.name and facts.name.ideographic:
        return PersonName(patient.name).plain != PersonName(facts.name.ideographic).plain
    known, said = PersonName("", patient.name_alphabetic).plain, PersonName("", facts.name.alphabetic).plain
    return bool(known and said and known != said)


def take(
    session: Session, facts: PatientFacts, by: Actor, institution: Institution, now: datetime, *, sure: bool = False
) -> Patient:
    """The patient whom scoped `facts` name, made if unknown; what is newly said fills what was not known.

    Raises
    ------
    BadInput
        ``patient_identifier_missing``, or ``patient_contradicts`` where the number is known for somebody else.
    """
    main = main_identifier(facts)
    _check_writing(facts)
    patient = find(session, main.issuer, main.value)
    if patient is None:
        patient = Patient(created_at=now)
        # Not asked whether it is taken: if somebody makes this patient at the same time, one transaction runs again.
        patient.identifiers.append(PatientIdentifier(issuer=main.issuer, value=main.value, kind=main.kind))
        session.add(patient)
        _write(patient, facts, only_missing=False)
        session.flush()
        audit.note(
            session,
            by,
            "patient made",
            now,
            thing="patient",
            thing_id=patient.id,
            institution_id=institution.id,
            patient_id=patient.id,
        )
    elif not sure and not patient.is_alias and contradicts(patient, facts):
        raise BadInput("patient_contradicts")
    else:
        _write(patient, facts, only_missing=True)
    _add_identifiers(session, patient, facts)
    return patient


def hear(
    session: Session,
    facts: PatientFacts,
    told_at: str,
    by: Actor,
    institution: Institution,
    now: datetime,
    *,
    sure: bool = False,
) -> tuple[Patient, bool]:
    """Apply an ADT message with scoped `facts`, told at `told_at` (HL7 TS as written).

    Returns the patient and whether the news was applied: news older than what is known is kept and not applied.

    Raises
    ------
    BadInput
        ``patient_contradicts`` where the news would make another person of the patient; with `sure` a person has
        looked and says that it is a correction.
    """
    main = main_identifier(facts)
    if _comparable(told_at) >= f"{now + AHEAD:%Y%m%d}":
        told_at = ""  # a clock that is wrong must not make all later news old news
    patient = find(session, main.issuer, main.value)
    if patient is None:
        patient = take(session, facts, by, institution, now)
        patient.told_at = told_at
        return patient, True
    if told_at and patient.told_at and _comparable(told_at) < _comparable(patient.told_at):
        return patient, False
    if not sure and not patient.is_alias and contradicts(patient, facts):
        raise BadInput("patient_contradicts")
    before = [patient.name, patient.sex, patient.birth_date]
    if patient.is_alias and not facts.is_alias and _is_another_name(patient, facts):
        patient.is_alias = False  # identified: from now on contradicting news is looked at
    _write(patient, facts, only_missing=False)
    patient.told_at = told_at or patient.told_at
    changed = [
        name
        for name, old, new in zip(
            ("name", "sex", "birth_date"), before, [patient.name, patient.sex, patient.birth_date], strict=True
        )
        if old != new
    ]
    _add_identifiers(session, patient, facts)
    audit.note(
        session,
        by,
        "patient changed",
        now,
        thing="patient",
        thing_id=patient.id,
        institution_id=institution.id,
        patient_id=patient.id,
        detail={"fields": changed},
    )
    return patient, True


def facts_of(patient: Patient) -> PatientFacts:
    """What is known of a patient, as facts."""
    return PatientFacts(
        identifiers=tuple(Identifier(i.issuer, i.value, i.kind) for i in patient.identifiers),
        name=PersonName(patient.name, patient.name_alphabetic),
        sex=patient.sex,  # type: ignore[arg-type]
        birth_date=patient.birth_date,
        phone=patient.phone,
        address=patient.address,
        is_alias=patient.is_alias,
    )


def _check_writing(facts: PatientFacts) -> None:
    """Refuse what no worklist answer could carry: it would be accepted here and never be seen by a device.

    Backslash parts two values and ``=`` two writings of a name, which has at most five components (PS3.5 6.2).
    """
    if any("\\" in i.value for i in facts.identifiers):
        raise BadInput("field_wrong", field="identifier")
    for writing in (facts.name.ideographic, facts.name.alphabetic):
        if "\\" in writing or "=" in writing or writing.count("^") > 4:
            raise BadInput("name_separator")


def _comparable(stamp: str) -> str:
    """An HL7 TS without its zone, padded, so that stamps of one sender compare as text."""
    digits = stamp.split("+")[0].split("-")[0].replace(".", "")
    return digits.ljust(18, "0")


def _write(patient: Patient, facts: PatientFacts, *, only_missing: bool) -> None:
    said = {
        "name": facts.name.ideographic,
        "name_alphabetic": facts.name.alphabetic,
        "sex": facts.sex,
        "birth_date": facts.birth_date,
        "phone": facts.phone,
        "address": facts.address,
    }
    for column, value in said.items():
        if value and not (only_missing and getattr(patient, column)):
            setattr(patient, column, value)
    if (facts.name.ideographic and not facts.name.alphabetic and not only_missing) or not patient.name_alphabetic:
        patient.name_alphabetic = romanise(patient.name)
    patient.is_alias = patient.is_alias or facts.is_alias


def _add_identifiers(session: Session, patient: Patient, facts: PatientFacts) -> None:
    """Note further numbers of the patient. One that is known for somebody else stays theirs: nothing is merged here."""
    held = {(i.issuer, i.value) for i in patient.identifiers}
    for identifier in facts.identifiers:
        if identifier.kind in NATIONAL_KINDS and _is_taken(session, identifier):
            continue  # a parent's number on a child: not proof that two patients are one
        if (identifier.issuer, identifier.value) not in held and not _is_taken(session, identifier):
            patient.identifiers.append(
                PatientIdentifier(issuer=identifier.issuer, value=identifier.value, kind=identifier.kind)
            )
            held.add((identifier.issuer, identifier.value))


def _is_taken(session: Session, identifier: Identifier) -> bool:
    return find(session, identifier.issuer, identifier.value) is not None
