"""The audit rows as an auditor searches them, and what they are about in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from worklist.errors import BadInput
from worklist.facts import PersonName
from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.views import AuditView, Page
from worklist.tables import (
    AuditRow,
    Center,
    Device,
    Institution,
    Order,
    Patient,
    PatientDocument,
    PatientIdentifier,
    Study,
    User,
)

MOST_EXPORTED: Final = 50_000  # rows of one export
BATCH: Final = 1000
MOST_PATIENTS: Final = 50


@dataclass(frozen=True)
class AuditSearch:
    """What an auditor asks for; what is empty does not count. Times are aware; `until` itself is left out."""

    q: str = ""  # login, action or id
    person: str = ""  # login or name of who did it
    action: str = ""
    thing: str = ""
    thing_id: str = ""  # our id, or an order's accession number
    patient: str = ""  # our id, name or a whole number of the patient
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Named:
    """What the ids of some rows stand for: by id, in words that people know."""

    people: dict[str, str]  # by login: the person's name
    things: dict[str, str]  # by id: accession number, login, name of a device or place
    patients: dict[str, PersonName]


def rows(session: Session, by: Actor, asked: AuditSearch, *, after: int = 0, limit: int = 100) -> Page[AuditView]:
    """Audit rows that fit, the newest first. For the auditor.

    Raises
    ------
    Forbidden, BadInput
        ``role_needed``; ``patient_not_one``: more than 50 patients are called so.
    """
    _require(by)
    query = _fitting(session, asked).order_by(AuditRow.seq.desc()).limit(limit + 1)
    if after:
        query = query.where(AuditRow.seq < after)
    found = session.scalars(query).all()
    shown = found[:limit]
    return Page(tuple(_view(r) for r in shown), str(shown[-1].seq) if len(found) > limit else "")


def named(session: Session, by: Actor, shown: tuple[AuditView, ...]) -> Named:
    """What the rows of a page are about."""
    _require(by)
    ids = {r.thing_id for r in shown if r.thing_id}
    patients = {r.patient_id for r in shown if r.patient_id} | ids
    logins = {r.actor for r in shown}
    things: dict[str, str] = {}
    for query in (
        select(Order.id, Order.accession_number),
        select(User.id, User.login),
        select(Device.id, Device.name),
        select(Center.id, Center.name),
        select(Institution.id, Institution.name),
        select(Study.id, Study.sent_accession_number),
    ):
        column = query.selected_columns[0]
        things |= {id: name for id, name in session.execute(query.where(column.in_(ids))).all() if name}
    found = session.execute(select(Patient.id, Patient.name, Patient.name_alphabetic).where(Patient.id.in_(patients)))
    return Named(
        people=dict(session.execute(select(User.login, User.name).where(User.login.in_(logins))).all()),
        things=things,
        patients={id: PersonName(name, alphabetic) for id, name, alphabetic in found},
    )


def _require(by: Actor) -> None:
    by.require("auditor")


def _fitting(session: Session, asked: AuditSearch) -> Select[AuditRow]:
    query = select(AuditRow)
    if asked.q:
        q = asked.q
        query = query.where(
            or_(scope.contains(AuditRow.actor, q), scope.contains(AuditRow.action, q), AuditRow.thing_id == q)
        )
    if asked.person:
        named = select(User.login).where(
            or_(User.login == asked.person.lower(), scope.contains(User.name, asked.person))
        )
        query = query.where(or_(AuditRow.actor == asked.person.lower(), AuditRow.actor.in_(named)))
    if asked.action:
        query = query.where(AuditRow.action == asked.action)
    if asked.thing:
        query = query.where(AuditRow.thing == asked.thing)
    if asked.thing_id:
        orders = session.scalars(select(Order.id).where(Order.accession_number == asked.thing_id)).all()
        query = query.where(AuditRow.thing_id.in_([asked.thing_id, *orders]))
    if asked.patient:
        query = query.where(AuditRow.patient_id.in_(_patients(session, asked.patient)))
    if asked.address:
        query = query.where(AuditRow.address == asked.address)
    if asked.since is not None:
        query = query.where(AuditRow.at >= asked.since)
    if asked.until is not None:
        query = query.where(AuditRow.at < asked.until)
    return query


def _patients(session: Session, text: str) -> list[str]:
    """Ids of the patient, of all whom the same person is known as, and of those merged into them."""
    plain = text.replace(" ", "").replace("^", "")
    which = or_(
        Patient.id == text,
        Patient.name.in_([text, plain]),
        Patient.id.in_(select(PatientIdentifier.patient_id).where(PatientIdentifier.value == text)),
        Patient.id.in_(select(PatientDocument.patient_id).where(PatientDocument.number == text.upper())),
    )
    persons = select(Patient.person_id).where(which)
    found = session.scalars(select(Patient.id).where(Patient.person_id.in_(persons)).limit(MOST_PATIENTS + 1)).all()
    if len(found) > MOST_PATIENTS:
        raise BadInput("patient_not_one", most=MOST_PATIENTS)
    merged = session.scalars(select(Patient.id).where(Patient.merged_into_id.in_(found))).all()
    return [*found, *merged]


def _view(r: AuditRow) -> AuditView:
    detail: dict[str, Any] = r.detail
    return AuditView(r.seq, r.at, r.actor, r.action, r.thing, r.thing_id, r.patient_id, r.address, r.why, detail)
