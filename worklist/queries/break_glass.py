"""Break-glass as people see it: whom one may open, what one has open, and, every use with its looks for auditors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from worklist.actions import persons
from worklist.actions.break_glass import require_opener
from worklist.facts import PersonName
from worklist.people import Actor
from worklist.queries.patients import institution_names, visible
from worklist.queries.views import Page
from worklist.rules import identity
from worklist.rules.identity import Document
from worklist.tables import (
    AuditRow,
    BreakGlass,
    Institution,
    Patient,
    PatientDocument,
    PatientIdentifier,
    User,
)

MOST_FOUND: Final = 5
MOST_LOOKS: Final = 200
LOOKS: Final = ("opened", "printed", "fetched")
"""How the actions end that say somebody saw something."""


@dataclass(frozen=True)
class Stranger:
    """A patient whom the actor may not see yet: enough to know whether it is the right one."""

    id: str
    name: PersonName
    sex: str
    birth_date: str
    institutions: tuple[str, ...]  # names of those who know the patient


@dataclass(frozen=True)
class Opening:
    """A patient whom the actor has open."""

    id: str
    patient_id: str
    patient_name: PersonName
    until: datetime


@dataclass(frozen=True)
class Look:
    """Something that was looked at while the patient was open."""

    at: datetime
    action: str
    thing: str
    thing_id: str


@dataclass(frozen=True)
class Use:
    """One use of break-glass, as an auditor judges it."""

    id: str
    at: datetime
    until: datetime
    login: str
    person: str
    institution: str
    patient_id: str
    patient_name: PersonName
    patient_institutions: tuple[str, ...]
    reason: str
    judgement: str  # "": not judged yet
    remark: str
    judged_by: str
    judged_at: datetime | None
    looks: tuple[Look, ...]


def strangers(session: Session, by: Actor, q: str, birth_date: str = "") -> list[Stranger]:
    """Patients who are none of the actor's, by a whole number: of an identity document, or a patient number; or by the
    whole name with the birth date. A part of either finds nobody: this is no list to browse."""
    require_opener(by)
    text = q.strip()
    if not text:
        return []
    kept = Document("NI", "CN", text.upper().replace(" ", ""))
    plain = "".join(text.replace("^", "").split())
    which: list[ColumnElement[bool]] = [
        Patient.id.in_(select(PatientDocument.patient_id).where(PatientDocument.number.in_(identity.forms(kept)))),
        Patient.id.in_(select(PatientIdentifier.patient_id).where(PatientIdentifier.value == text)),
    ]
    if birth_date:
        which.append(and_(func.replace(Patient.name, "^", "") == plain, Patient.birth_date == birth_date))
    query = (
        select(Patient)
        .where(or_(*which), Patient.merged_into_id.is_(None), ~visible(session, by))
        .order_by(Patient.id)
        .limit(MOST_FOUND)
    )
    names = institution_names(session)
    return [
        Stranger(
            p.id,
            PersonName(p.name, p.name_alphabetic),
            p.sex,
            p.birth_date,
            tuple(names.get(code, code) for code in sorted(persons.towns(p))),
        )
        for p in session.scalars(query).unique()
    ]


def open_now(session: Session, by: Actor, now: datetime) -> list[Opening]:
    """What the actor has open, the longest first."""
    rows = session.execute(
        select(BreakGlass, Patient)
        .join(Patient, Patient.id == BreakGlass.patient_id)
        .where(BreakGlass.user_id == by.id, BreakGlass.until > now)
        .order_by(BreakGlass.until.desc(), BreakGlass.id)
    ).unique()
    return [Opening(row.id, p.id, PersonName(p.name, p.name_alphabetic), row.until) for row, p in rows]


def uses(
    session: Session, by: Actor, *, unjudged: bool = False, after: str = "", limit: int = 20, id: str = ""
) -> Page[Use]:
    """Every use of break-glass with what was looked at, the newest first. For the auditor."""
    by.require("auditor")
    query = (
        select(BreakGlass, Patient, User, Institution.name)
        .join(Patient, Patient.id == BreakGlass.patient_id)
        .join(User, User.id == BreakGlass.user_id)
        .join(Institution, Institution.id == User.institution_id)
        .order_by(BreakGlass.id.desc())
        .limit(limit + 1)
    )
    if unjudged:
        query = query.where(BreakGlass.judged_at.is_(None))
    if after:
        query = query.where(BreakGlass.id < after)
    if id:
        query = query.where(BreakGlass.id == id)
    found = session.execute(query).unique().all()
    names = institution_names(session)
    items = tuple(
        Use(
            id=row.id,
            at=row.at,
            until=row.until,
            login=user.login,
            person=user.name,
            institution=institution,
            patient_id=patient.id,
            patient_name=PersonName(patient.name, patient.name_alphabetic),
            patient_institutions=tuple(names.get(code, code) for code in sorted(persons.towns(patient))),
            reason=row.reason,
            judgement=row.judgement,
            remark=row.remark,
            judged_by=row.judged_by,
            judged_at=row.judged_at,
            looks=tuple(_looks(session, row, patient)),
        )
        for row, patient, user, institution in found[:limit]
    )
    return Page(items, items[-1].id if len(found) > limit else "")


def unjudged(session: Session, by: Actor) -> int:
    """How many uses wait for an auditor's judgement; 0 for everybody else."""
    if not by.has("auditor"):
        return 0
    return session.scalar(select(func.count()).select_from(BreakGlass).where(BreakGlass.judged_at.is_(None))) or 0


def _looks(session: Session, row: BreakGlass, patient: Patient) -> list[Look]:
    person = select(Patient.id).where(Patient.person_id == patient.person_id)
    looks = session.scalars(
        select(AuditRow)
        .where(
            AuditRow.patient_id.in_(person),
            AuditRow.actor_id == row.user_id,
            AuditRow.at >= row.at,
            AuditRow.at < row.until + timedelta(minutes=1),
            or_(*(AuditRow.action.endswith(word) for word in LOOKS)),
        )
        .order_by(AuditRow.seq)
        .limit(MOST_LOOKS)
    )
    return [Look(r.at, r.action, r.thing, r.thing_id) for r in looks]
