"""Pieces that several queries answer with. They do not scope: their callers already have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session, aliased, lazyload

from worklist.facts import PersonName
from worklist.queries.views import CriticalView, DeliveryRow, DocumentRow, Step, StudyRow, VersionView
from worklist.rules import measurements
from worklist.rules.report_checks import from_json
from worklist.tables import (
    CriticalResult,
    Delivery,
    Device,
    Instance,
    Institution,
    Order,
    Patient,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportDocument,
    ReportVersion,
    Study,
    Transition,
    User,
)


def people_called(session: Session, logins: Iterable[str]) -> dict[str, str]:
    """People's names by the logins that records hold. What devices and Huren itself did has no person's name."""
    wanted = set(logins) - {""}
    return dict(session.execute(select(User.login, User.name).where(User.login.in_(wanted))).all()) if wanted else {}


def names(session: Session, table: Any, ids: Iterable[str | None]) -> dict[str, str]:
    """Names by id of the rows of a table that has both."""
    wanted = {id for id in ids if id}
    return dict(session.execute(select(table.id, table.name).where(table.id.in_(wanted))).all())


def versions(session: Session, reading_id: str) -> list[VersionView]:
    """All versions of a reading's report, the newest first, drafts included."""
    found = session.scalars(
        select(ReportVersion).where(ReportVersion.reading_id == reading_id).order_by(ReportVersion.number.desc())
    ).all()
    people = {v.writer_id for v in found} | {v.signer_id for v in found if v.signer_id}
    names = dict(session.execute(select(User.id, User.name).where(User.id.in_(people))).all())
    return [
        VersionView(
            id=v.id,
            number=v.number,
            kind=v.kind,
            state=v.state,
            status=v.status,
            findings=v.findings,
            impression=v.impression,
            critical=v.critical,
            reason=v.reason,
            revision=v.revision,
            writer=names.get(v.writer_id, ""),
            writer_id=v.writer_id,
            signer=names.get(v.signer_id or "", ""),
            changed_at=v.changed_at,
            signed_at=v.signed_at,
            document_key=v.document_key,
            document_sha256=v.document_sha256,
            key_images=tuple((uid, frame) for uid, frame in v.key_images),
            measurements=measurements.from_json(v.measurements),
            verification_code=v.verification_code,
            template_id=v.template_id or "",
            values=dict(v.values),
            warnings=tuple(from_json(v.warnings)),
        )
        for v in found
    ]


def documents(session: Session, version_id: str) -> dict[str, DocumentRow]:
    """The stored documents of a version by their kind; the canonical one stands on the version itself."""
    rows = session.scalars(select(ReportDocument).where(ReportDocument.version_id == version_id))
    return {d.kind: DocumentRow(d.kind, d.store_key, d.size, d.sha256, d.sop_instance_uid) for d in rows}


def shown_objects() -> ColumnElement[bool]:
    """Instances that are shown with their study: what was received, and of our own documents those of the newest
    version; none of a report on somebody else, from whom the study was taken after that report was withdrawn.
    """
    current = (
        select(ReportVersion.id)
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .join(Study, Study.patient_id == Reading.patient_id)
        .where(
            ReportVersion.id == Instance.version_id,
            ReportVersion.state != "superseded",
            Study.id == Instance.study_id,
        )
        .correlate(Instance)
        .exists()
    )
    return or_(Instance.version_id.is_(None), current)


def studies(session: Session, found: Sequence[Study]) -> list[StudyRow]:
    """Studies as rows, in their order."""
    devices = dict(
        session.execute(select(Device.id, Device.name).where(Device.id.in_({s.device_id for s in found}))).all()
    )
    readings = dict(
        session.execute(
            select(ReadingStudy.study_id, Reading.id)
            .join(Reading, Reading.id == ReadingStudy.reading_id)
            .where(ReadingStudy.study_id.in_([s.id for s in found]), Reading.kind == "primary")
            .order_by(Reading.id)
        ).all()
    )
    return [
        StudyRow(
            id=s.id,
            arrival=s.arrival,
            link=s.link,
            institution_code=s.institution.code,
            institution=s.institution.name,
            institution_id=s.institution_id,
            device=devices.get(s.device_id or "", ""),
            study_instance_uid=s.study_instance_uid,
            patient_id=s.patient_id or "",
            sent_name=PersonName(s.sent_name, s.sent_name_alphabetic),
            sent_patient_id=s.sent_patient_id,
            sent_issuer=s.sent_issuer,
            sent_sex=s.sent_sex,
            sent_birth_date=s.sent_birth_date,
            sent_accession_number=s.sent_accession_number,
            reason=s.link_reason,
            params=s.link_params,
            modality=s.modality,
            body_part=s.body_part,
            description=s.description,
            study_date=s.study_date,
            study_time=s.study_time,
            received=s.instances,
            expected=s.expected,
            first_at=s.first_at,
            last_at=s.last_at,
            reading_id=readings.get(s.id, ""),
            proposed_images=tuple((uid, frame) for uid, frame in s.proposed_images),
        )
        for s in found
    ]


OPEN_CRITICALS: Final = ("detected", "notified", "escalated", "acknowledged")
"""Critical results that somebody still has to do something about."""


def criticals(session: Session, condition: ColumnElement[bool], limit: int = 200) -> list[CriticalView]:
    """Critical results that meet `condition`, the newest first."""
    second = aliased(User)
    query = (
        select(CriticalResult, Institution.name, User.name, second.name, Patient)
        .join(Institution, Institution.id == CriticalResult.institution_id)
        .join(User, User.id == CriticalResult.marked_by)
        .outerjoin(second, second.id == CriticalResult.verified_by)
        .outerjoin(Patient, Patient.id == CriticalResult.patient_id)
        .options(lazyload(Patient.identifiers))
        .where(condition)
        .order_by(CriticalResult.id.desc())
        .limit(limit)
    )
    found = session.execute(query).unique().all()
    if not found:
        return []  # as a rule: every page of a township and every list of cases asks
    orders: dict[str, Order] = {}
    for reading_id, order in session.execute(
        select(ReadingOrder.reading_id, Order)
        .options(lazyload(Order.patient), lazyload(Order.institution), lazyload(Order.procedure))
        .join(Order, Order.id == ReadingOrder.order_id)
        .where(ReadingOrder.reading_id.in_({c.reading_id for c, *_rest in found}))
        .order_by(Order.id)
    ).unique():
        orders.setdefault(reading_id, order)
    views = []
    for result, institution, marked_by, verified_by, of_patient in found:
        patient: Patient | None = of_patient
        of = orders.get(result.reading_id or "")
        views.append(
            CriticalView(
                id=result.id,
                state=result.state,
                words=result.words,
                reading_id=result.reading_id or "",
                institution=institution,
                patient_name=PersonName(patient.name, patient.name_alphabetic) if patient is not None else PersonName(),
                patient_identifier=of.patient_value if of else "",
                accession_number=of.accession_number if of else "",
                marked_by=marked_by,
                marked_at=result.marked_at,
                escalate_at=result.escalate_at,
                step=result.step,
                called=tuple(result.called),
                answered_by=result.answered_by,
                answered_at=result.answered_at,
                answer_way=result.answer_way,
                read_back=result.read_back,
                disposition=result.disposition,
                order_id=of.id if of else "",
                tier=result.tier,
                is_drill=result.is_drill,
                verified_by=verified_by or "",
                verified_at=result.verified_at,
                notified_at=result.notified_at,
                is_unverified=_is_unverified(result),
                closed_at=result.closed_at,
            )
        )
    return views


def deliveries(session: Session, query: Iterable[Delivery]) -> list[DeliveryRow]:
    """Deliveries as rows, in their order."""
    found = list(query)
    about = {
        v.id: (v.number, v.status)
        for v in session.scalars(select(ReportVersion).where(ReportVersion.id.in_({d.version_id for d in found})))
    }
    first: dict[str, tuple[str, str]] = {}  # the first order of a reading, or the one itself: its id and number
    for reading_id, order_id, number in session.execute(
        select(ReadingOrder.reading_id, Order.id, Order.accession_number)
        .join(Order, Order.id == ReadingOrder.order_id)
        .where(ReadingOrder.reading_id.in_({d.reading_id for d in found if d.reading_id}))
        .order_by(Order.id)
    ):
        first.setdefault(reading_id, (order_id, number))
    for order_id, number in session.execute(
        select(Order.id, Order.accession_number).where(Order.id.in_({d.order_id for d in found if d.order_id}))
    ):
        first[order_id] = (order_id, number)
    names = dict(
        session.execute(
            select(Institution.id, Institution.name).where(Institution.id.in_({d.institution_id for d in found}))
        ).all()
    )
    return [
        DeliveryRow(
            id=d.id,
            state=d.state,
            report_id=d.reading_id or "",
            version=about.get(d.version_id or "", (0, ""))[0],
            status=about.get(d.version_id or "", (0, ""))[1],
            institution=names.get(d.institution_id, ""),
            endpoint=d.endpoint.name,
            address=f"{d.endpoint.host}:{d.endpoint.port}",
            accession_number=first.get(d.order_id or d.reading_id or "", ("", ""))[1],
            control_id=d.control_id,
            attempts=d.attempts,
            next_at=d.next_at,
            last_error=d.last_error,
            created_at=d.created_at,
            sent_at=d.sent_at,
            acknowledged_at=d.acknowledged_at,
            kind=d.kind,
            order_id=first.get(d.order_id or d.reading_id or "", ("", ""))[0],
            order_state=d.order_state,
            endpoint_id=d.endpoint_id,
            institution_id=d.institution_id,
            params=d.error_params,
        )
        for d in found
    ]


def story(session: Session, thing_ids: Sequence[str]) -> list[Step]:
    """The moves of some things, in the database's order."""
    query = select(Transition).where(Transition.thing_id.in_(thing_ids)).order_by(Transition.seq).limit(500)
    return [Step(t.at, t.machine, t.verb, t.target, t.actor, t.why) for t in session.scalars(query)]


def _is_unverified(result: CriticalResult) -> bool:
    """Whether a second person was waited for in vain: where one doctor is enough, marking announces it at once."""
    return result.notified_at is not None and result.verified_at is None and result.notified_at > result.marked_at
