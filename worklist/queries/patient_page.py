"""One patient with all that is known and that the asker may see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import select, true
from sqlalchemy.orm import Session

from worklist.actions import persons
from worklist.people import Actor
from worklist.queries import parts, patient_pairs, patients, scope
from worklist.queries.outside import of_patient as results_of_patient
from worklist.queries.patient_views import (
    ChangeLine,
    DocumentView,
    OrderLine,
    PatientView,
    ReportLine,
    VisitLine,
)
from worklist.queries.patients import SHOWN
from worklist.queries.views import StudyRow
from worklist.rules import identity
from worklist.rules.identity import Document
from worklist.tables import (
    AuditRow,
    Institution,
    Order,
    Patient,
    PatientDocument,
    Reading,
    ReportVersion,
    Study,
    Visit,
)

OF_PATIENTS = (
    "patient made",
    "patient changed",
    "patient corrected",
    "patient renumbered",
    "patient identified",
    "patient document added",
    "patient document removed",
)
ISSUED = ("preliminary", "final", "corrected", "addendum", "withdrawal")


def detail(session: Session, by: Actor, patient_id: str, now: datetime) -> PatientView:
    """One patient with all that the actor may see.

    Raises
    ------
    NotFound
        ``no_such_patient``.
    """
    patient = patients.one(session, by, patient_id)
    mine = [patient.id]
    same = session.scalars(
        select(Patient)
        .where(Patient.person_id == patient.person_id, Patient.id != patient.id, Patient.merged_into_id.is_(None))
        .where(patients.visible(session, by))  # a township is not told where else somebody is treated
        .order_by(Patient.id)
        .limit(SHOWN)
    ).unique()
    names = patients.institution_names(session)
    may_decide = persons.may_decide(session, by, patient)
    return PatientView(
        row=patients.rows(session, [patient])[0],
        phone=patient.phone,
        address=patient.address,
        may_decide=may_decide,
        documents=tuple(_documents(session, patient, now.date())),
        person=tuple(patients.rows(session, list(same))),
        visits=tuple(_visits(session, by, mine, names)),
        orders=tuple(_orders(session, by, mine)),
        studies=tuple(_studies(session, by, mine)),
        reports=tuple(_reports(session, by, mine)),
        outside=tuple(results_of_patient(session, by, patient.id)),
        merges=tuple(patient_pairs.merges_of(session, by, patient.id)),
        changes=tuple(_changes(session, patient.id)),
        suggestions=tuple(patient_pairs.suggestions_of(session, by, patient.id)) if may_decide else (),
        created_at=patient.created_at,
    )


def _documents(session: Session, patient: Patient, today: date) -> Iterable[DocumentView]:
    query = select(PatientDocument).where(PatientDocument.patient_id == patient.id).order_by(PatientDocument.id)
    for row in session.scalars(query):
        said = identity.read(Document(row.kind, row.country, row.number), today)
        own = row.kind not in identity.RELATIVES
        disagrees = tuple(
            name
            for name, theirs in (("birth_date", said.birth_date), ("sex", said.sex))
            if own and theirs and getattr(patient, name) and getattr(patient, name) != theirs
        )
        yield DocumentView(
            row.id, row.kind, row.country, row.number, said.flaw, said.checked, said.birth_date, said.sex, disagrees
        )


def _visits(session: Session, by: Actor, ids: Sequence[str], names: dict[str, str]) -> Iterable[VisitLine]:
    home = true() if by.has("PACS admin") or by.centers() else Visit.institution_id == by.institution_id
    query = (
        select(Visit, Institution.name)
        .join(Institution, Institution.id == Visit.institution_id)
        .where(Visit.patient_id.in_(ids), home)
        .order_by(Visit.id.desc())
        .limit(SHOWN)
    )
    for v, name in session.execute(query):
        yield VisitLine(v.state, v.number, name, v.patient_class, v.location, v.doctor, v.opened_at, v.closed_at)


def _orders(session: Session, by: Actor, ids: Sequence[str]) -> Iterable[OrderLine]:
    query = select(Order).where(Order.patient_id.in_(ids), scope.seen_orders(by)).order_by(Order.id.desc()).limit(SHOWN)
    for order in session.scalars(query).unique():
        procedure = order.procedure
        yield OrderLine(
            id=order.id,
            state=order.state,
            accession_number=order.accession_number,
            institution=order.institution.name,
            procedure=procedure.name if procedure else order.procedure_text or order.procedure_code,
            procedure_en=procedure.name_en if procedure else "",
            modality=procedure.modality if procedure else "",
            placed_at=order.placed_at,
        )


def _studies(session: Session, by: Actor, ids: Sequence[str]) -> list[StudyRow]:
    query = (
        select(Study)
        .where(Study.patient_id.in_(ids), scope.seen_studies(by))
        .order_by(Study.study_date.desc(), Study.id.desc())
        .limit(SHOWN)
    )
    return parts.studies(session, session.scalars(query).unique().all())


def _reports(session: Session, by: Actor, ids: Sequence[str]) -> Iterable[ReportLine]:
    everything = true() if by.has("PACS admin") else scope.seen_readings(by)
    query = (
        select(ReportVersion, Reading)
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .where(Reading.patient_id.in_(ids), ReportVersion.state.in_(ISSUED), everything)
        .order_by(ReportVersion.signed_at.desc())
        .limit(SHOWN)
    )
    for version, reading in session.execute(query).unique():
        words = "" if by.has("PACS admin") and not by.centers() else version.impression
        yield ReportLine(reading.id, version.status, version.signed_at, reading.institution.name, words)


def _changes(session: Session, patient_id: str) -> Iterable[ChangeLine]:
    query = (
        select(AuditRow)
        .where(AuditRow.thing_id == patient_id, AuditRow.action.in_(OF_PATIENTS))
        .order_by(AuditRow.seq.desc())
        .limit(SHOWN)
    )
    found = session.scalars(query).all()
    people = parts.people_called(session, (row.actor for row in found))
    for row in found:
        detail: dict[str, Any] = row.detail
        fields = tuple(detail.get("fields", ())) or tuple(filter(None, (detail.get("kind", ""),)))
        yield ChangeLine(row.at, row.action, row.actor, row.why, fields, people.get(row.actor, ""))
