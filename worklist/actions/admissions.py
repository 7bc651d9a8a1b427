"""News of patients from a HIS (HL7 v2 chapter 3.3, ADT): who they are, where they lie, and which two are one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import merging, patients, persons, visits
from worklist.errors import BadInput
from worklist.facts import Identifier, KnownDevice, PatientFacts, PatientMessage
from worklist.people import HUREN, Actor
from worklist.rules.identity import is_document
from worklist.rules.stamps import believable, is_before
from worklist.tables import Institution, Order, Patient, PatientIdentifier, PatientMerge

MERGES = "A40"
RENUMBERS = "A47"


@dataclass(frozen=True)
class Heard:
    """Whose news it was; not `applied` where something newer was known, so that the message is kept and no more."""

    patient_id: str
    applied: bool


def take(
    session: Session,
    by: Actor,
    device: KnownDevice,
    institution: Institution,
    facts: PatientFacts,
    content: PatientMessage,
    now: datetime,
    *,
    message_id: str,
    sure: bool = False,
) -> Heard:
    """Apply one PID group of an ADT message: A01 A02 A03 A04 A08 A11 A28 A31 A40 A47.

    `facts` are scoped (`patients.with_scope`), `content.retired` not yet. With `sure` a person has looked at what
    contradicts and says that the message is right.

    Raises
    ------
    BadInput
        ``patient_contradicts`` or ``merge_unclear``: a person must look. ``patient_identifier_missing``,
        ``retired_identifier_missing``, ``visit_of_another_patient`` and what `patients` raises: the sender is wrong.
    """
    retired = _retired(session, institution, device, content)
    if content.event == MERGES:
        return _merge(session, by, institution, facts, retired, content, now, message_id=message_id, sure=sure)
    if content.event == RENUMBERS:
        known_better = _renumber(session, by, institution, facts, retired, content.event_at, now, sure=sure)
        if known_better is not None:
            return Heard(known_better.id, False)
    patient, applied = patients.hear(session, facts, content.event_at, by, institution, now, sure=sure)
    # A visit has its own newest message: an old A03 is news of a visit although a newer A08 has told the rest.
    of_visit = visits.hear(session, by, institution, patient, content.event, content.visit, content.event_at, now)
    if content.event in visits.OF_VISITS and content.visit.number:
        applied = of_visit
    if content.event == RENUMBERS:
        persons.look(session, patient, now)  # else `hear` has, where something changed that links rest on
    return Heard(patient.id, applied)


def _retired(
    session: Session, institution: Institution, device: KnownDevice, content: PatientMessage
) -> tuple[Identifier, ...]:
    """MRG-1 under our issuers; documents in it name nobody."""
    codes = tuple(session.scalars(select(Institution.code).where(Institution.id.in_(device.institutions))))
    scoped = (patients.scoped(i, institution.code, codes) for i in content.retired if i.value)
    found = tuple(i for i in scoped if not is_document(i.kind))
    if content.event in (MERGES, RENUMBERS) and not found:
        raise BadInput("retired_identifier_missing")
    return found


def _merge(
    session: Session,
    by: Actor,
    institution: Institution,
    facts: PatientFacts,
    retired: tuple[Identifier, ...],
    content: PatientMessage,
    now: datetime,
    *,
    message_id: str,
    sure: bool,
) -> Heard:
    """A40: the patients whom MRG-1 names become one with the one whom PID-3 names.

    A retired number that we never saw gets a patient of its own first, so that it leads to the survivor from now on
    and the step can be undone like any other.
    """
    main = patients.main_identifier(facts)
    if any((i.issuer, i.value) == (main.issuer, main.value) for i in retired):
        raise BadInput("merge_unclear")
    if any(_town(i.issuer) != _town(main.issuer) for i in retired):
        raise BadInput("merge_unclear")  # numbers of two institutions are two rows of one person, never one row
    # What PID-3 repeats of MRG-1 is not the survivor's own number.
    own = tuple(i for i in facts.identifiers if all((i.issuer, i.value) != (r.issuer, r.value) for r in retired))
    facts = replace(facts, identifiers=own)
    survivor, applied = patients.hear(session, facts, content.event_at, by, institution, now, sure=sure)
    found = {p.id: p for i in retired if (p := patients.find(session, i.issuer, i.value)) is not None}
    found.pop(survivor.id, None)  # told before
    if len(found) > 1:
        raise BadInput("merge_unclear")
    told_at = believable(content.event_at, now)
    unknown = [i for i in retired if patients.find(session, i.issuer, i.value) is None]
    if unknown:
        other = next(iter(found.values()), None) or Patient(created_at=now)
        other.identifiers += [PatientIdentifier(issuer=i.issuer, value=i.value, kind=i.kind) for i in unknown]
        session.add(other)
        session.flush()
        found[other.id] = other
    for other in found.values():
        if is_before(told_at, other.told_at):
            return Heard(survivor.id, False)  # something newer says that the retired number is somebody by itself
        parted_at = _parted_at(session, institution, survivor, other)
        if is_before(told_at, parted_at):
            return Heard(survivor.id, False)
        # A message that does not say that it was sent after a person parted the two may be the old one once more.
        is_parted = bool(parted_at) and not is_before(parted_at, told_at)
        if not sure and (is_parted or merging.is_doubtful(survivor, other)):
            raise BadInput("merge_unclear")
        merging.merge_rows(session, by, survivor, other, content.event, now, message_id=message_id)
        applied = True
    persons.look(session, survivor, now)
    return Heard(survivor.id, applied)


def _parted_at(session: Session, institution: Institution, one: Patient, other: Patient) -> str:
    """When a person last said that the two are two, by the institution's clock as an HL7 TS; ``""`` if nobody has."""
    parted = session.scalar(
        select(func.max(PatientMerge.undone_at)).where(
            PatientMerge.survivor_id.in_((one.id, other.id)),
            PatientMerge.retired_id.in_((one.id, other.id)),
            PatientMerge.state == "undone",
            PatientMerge.undone_by != HUREN.name,
        )
    )
    return f"{parted.astimezone(ZoneInfo(institution.timezone)):%Y%m%d%H%M%S}" if parted is not None else ""


def _renumber(
    session: Session,
    by: Actor,
    institution: Institution,
    facts: PatientFacts,
    retired: tuple[Identifier, ...],
    told_at: str,
    now: datetime,
    *,
    sure: bool,
) -> Patient | None:
    """A47: a patient's number was wrong and another takes its place. The old one names nobody any more.

    Returns the patient where something newer is known of them, which then stands, numbers too.
    """
    main = patients.main_identifier(facts)
    holders = {p.id: p for i in retired if (p := patients.find(session, i.issuer, i.value)) is not None}
    if not holders:
        return None  # told before, or never seen: what PID says is taken like any news
    (patient,) = holders.values() if len(holders) == 1 else (None,)
    taken = patients.find(session, main.issuer, main.value)
    if patient is None or (taken is not None and taken.id != patient.id):
        raise BadInput("merge_unclear")  # the new number is somebody's: that would be a merge (A40)
    if is_before(told_at, patient.told_at):
        return patient
    if not sure and not patient.is_alias and patients.contradicts(patient, facts):
        raise BadInput("patient_contradicts")
    gone = {(i.issuer, i.value) for i in retired}
    patient.identifiers = [i for i in patient.identifiers if (i.issuer, i.value) not in gone]
    if taken is None:
        patient.identifiers.append(PatientIdentifier(issuer=main.issuer, value=main.value, kind=main.kind))
    session.flush()
    waiting = session.scalars(
        select(Order).where(Order.patient_id == patient.id, Order.state.in_(("placed", "scheduled")))
    ).unique()
    for order in waiting:
        if (order.patient_issuer, order.patient_value) in gone:
            order.patient_issuer, order.patient_value = main.issuer, main.value
    audit.note(
        session,
        by,
        "patient renumbered",
        now,
        thing="patient",
        thing_id=patient.id,
        institution_id=institution.id,
        patient_id=patient.id,
        detail={"from": [list(pair) for pair in sorted(gone)], "to": [main.issuer, main.value]},
    )
    return None


def _town(issuer: str) -> str:
    return issuer.partition("/")[0]
