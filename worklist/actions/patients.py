"""Finding and making patients, and hearing news of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import archiving, persons
from worklist.errors import BadInput
from worklist.facts import Identifier, PatientFacts, PersonName
from worklist.people import Actor
from worklist.rules.identity import document_of, is_document
from worklist.rules.romanising import romanise
from worklist.rules.stamps import believable, is_before, newest
from worklist.tables import Institution, Order, Patient, PatientDocument, PatientIdentifier, Study

_FIND: Final = (  # made once: to make it takes longer than to run it
    select(Patient)
    .join(PatientIdentifier)
    .where(PatientIdentifier.issuer == bindparam("issuer"), PatientIdentifier.value == bindparam("value"))
    # A merge that is under way is waited for: what is filed under a row that is retired meanwhile would be lost to all.
    .with_for_update(read=True, of=PatientIdentifier)
)


def scoped(identifier: Identifier, institution_code: str, spoken_for: Iterable[str]) -> Identifier:
    """The identifier with the issuer that Huren files it under.

    What a township calls its own number is that township's, whatever name it gives to its numbering: the same
    "HIS" from two townships is two issuers. Only an institution that the sender may speak for is taken by name.
    """
    if is_document(identifier.kind):
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
        if identifier.value and not is_document(identifier.kind):
            return identifier
    raise BadInput("patient_identifier_missing")


def find(session: Session, issuer: str, value: str) -> Patient | None:
    """The patient whom `issuer` knows under `value`, who stays so until this transaction ends."""
    return session.scalar(_FIND, {"issuer": issuer, "value": value})


def hold(session: Session, things: Sequence[Order | Study]) -> None:
    """Wait for a merge of their patients that is under way, and read again whose they are; none begins meanwhile.

    On SQLite, where one writes at a time, none can be under way.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    held = {thing.patient_id for thing in things if thing.patient_id is not None}
    if not held:
        return
    numbers = select(PatientIdentifier.id).where(PatientIdentifier.patient_id.in_(held)).order_by(PatientIdentifier.id)
    session.execute(numbers.with_for_update(read=True))
    for thing in things:
        session.refresh(thing, ["patient_id"])


def numbers_for(order: Order) -> tuple[tuple[str, str], ...]:
    """(issuer, value) by which an order's patient may be named: the order's own, and the others of that institution.

    Who asked for a worklist, or placed the order, before two numbers became one patient still uses the old one.
    """
    known = ((i.issuer, i.value) for i in order.patient.identifiers)
    return numbers_among(order.patient_issuer, order.patient_value, known)


def numbers_among(issuer: str, value: str, known: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """An order's own (issuer, value), and those of its institution among all that are `known` of its patient."""
    town = issuer.partition("/")[0]
    return tuple(dict.fromkeys([(issuer, value), *(n for n in known if n[0].partition("/")[0] == town)]))


def goes_by(order: Order, value: str, issuer: str = "") -> bool:
    """Whether `value` names the order's patient; an issuer that was not said agrees with any."""
    return any(value == own and issuer in ("", theirs) for theirs, own in numbers_for(order))


def with_scope(
    session: Session, facts: PatientFacts, institution: Institution, spoken_for: Iterable[str]
) -> PatientFacts:
    """`facts` with each identifier under its scoped issuer; `spoken_for` are institution ids."""
    spoken_for = tuple(spoken_for)
    codes: tuple[str, ...] = (institution.code,)
    if spoken_for != (institution.id,):
        codes = tuple(session.scalars(select(Institution.code).where(Institution.id.in_(spoken_for))))
    return replace(facts, identifiers=tuple(scoped(i, institution.code, codes) for i in facts.identifiers if i.value))


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
    check_writing(facts)
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
    fresh = patient.created_at == now
    if _add_identifiers(session, patient, facts) or session.is_modified(patient) or fresh:
        persons.look(session, patient, now, fresh=fresh)
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
    told_at = believable(told_at, now)
    patient = find(session, main.issuer, main.value)
    if patient is None:
        patient = take(session, facts, by, institution, now)
        patient.told_at = told_at
        return patient, True
    if is_before(told_at, patient.told_at):
        return patient, False
    check_writing(facts)
    if not sure and not patient.is_alias and contradicts(patient, facts):
        raise BadInput("patient_contradicts")
    before, evidence, held = _identity(patient), _evidence(patient), _columns(patient)
    if patient.is_alias and not facts.is_alias and _is_another_name(patient, facts):
        patient.is_alias = False  # identified: from now on contradicting news is looked at
    _write(patient, facts, only_missing=False)
    patient.told_at = newest(told_at, patient.told_at)
    changed = [name for name, value in _identity(patient).items() if value != before[name]]
    numbered = _add_identifiers(session, patient, facts)
    if changed:
        show_as_known(session, patient, now)
    if numbered or _columns(patient) != held:
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
    if numbered or _evidence(patient) != evidence:
        persons.look(session, patient, now)
    return patient, True


def facts_of(patient: Patient) -> PatientFacts:
    """What is known of a patient, as facts; documents are left out, which takes no further query."""
    return PatientFacts(
        identifiers=tuple(Identifier(i.issuer, i.value, i.kind) for i in patient.identifiers),
        name=PersonName(patient.name, patient.name_alphabetic),
        sex=patient.sex,  # type: ignore[arg-type]
        birth_date=patient.birth_date,
        phone=patient.phone,
        address=patient.address,
        is_alias=patient.is_alias,
    )


def _identity(patient: Patient) -> dict[str, str]:
    """What images and reports show of a patient; another writing of the same name is no other name."""
    name = PersonName(patient.name, patient.name_alphabetic).plain
    return {"name": name, "sex": patient.sex, "birth_date": patient.birth_date}


def _evidence(patient: Patient) -> tuple[str | bool, ...]:
    """What links rest on, beside the patient's documents and numbers (`persons.look`)."""
    return (
        patient.name,
        patient.name_alphabetic,
        patient.sex,
        patient.birth_date,
        patient.phone,
        patient.is_alias,
    )


def _columns(patient: Patient) -> tuple[str | bool, ...]:
    """All that news may change."""
    return (*_evidence(patient), patient.address)


def check_writing(facts: PatientFacts) -> None:
    """Refuse what no worklist answer could carry: it would be accepted here and never be seen by a device.

    Backslash parts two values and ``=`` two writings of a name, which has at most five components (PS3.5 6.2).
    """
    if any("\\" in i.value for i in facts.identifiers):
        raise BadInput("field_wrong", field="identifier")
    for writing in (facts.name.ideographic, facts.name.alphabetic):
        if "\\" in writing or "=" in writing or writing.count("^") > 4:
            raise BadInput("name_separator")


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


def show_as_known(session: Session, patient: Patient, now: datetime) -> None:
    """The patient was corrected: their images are shown under what is known now; the bytes stay as they are."""
    session.flush()
    session.execute(
        update(Study)
        .where(Study.patient_id == patient.id, Study.coerced.is_(False))
        .values(coerced=True)
        .execution_options(synchronize_session="fetch")
    )
    archiving.owe_of_patient(session, patient.id, now)


def _add_identifiers(session: Session, patient: Patient, facts: PatientFacts) -> bool:
    """Note further numbers of the patient, and say whether there were any.

    One that is known for somebody else stays theirs: nothing is merged here.
    A document is noted even where another patient has the same: a parent's number on a child proves nothing.
    """
    held = {(i.issuer, i.value) for i in patient.identifiers}
    before = len(held)
    fresh = False
    for identifier in facts.identifiers:
        if is_document(identifier.kind):
            fresh = add_document(session, patient, identifier) or fresh
        elif (identifier.issuer, identifier.value) not in held and not _is_taken(session, identifier):
            patient.identifiers.append(
                PatientIdentifier(issuer=identifier.issuer, value=identifier.value, kind=identifier.kind)
            )
            held.add((identifier.issuer, identifier.value))
    return fresh or len(held) > before


def add_document(session: Session, patient: Patient, identifier: Identifier) -> bool:
    """Note a document's number beside the patient, as it is, right or wrong; return whether it is new."""
    document = document_of(identifier)
    known = session.scalar(
        select(PatientDocument.id).where(
            PatientDocument.patient_id == patient.id,
            PatientDocument.kind == document.kind,
            PatientDocument.number == document.number,
        )
    )
    if known is not None or not document.number:
        return False
    session.add(
        PatientDocument(patient_id=patient.id, kind=document.kind, country=document.country, number=document.number)
    )
    session.flush()
    return True


def documents_of(session: Session, patient_id: str) -> list[PatientDocument]:
    """The documents noted beside a patient."""
    query = select(PatientDocument).where(PatientDocument.patient_id == patient_id).order_by(PatientDocument.id)
    return list(session.scalars(query))


def _is_taken(session: Session, identifier: Identifier) -> bool:
    return find(session, identifier.issuer, identifier.value) is not None
