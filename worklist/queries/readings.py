"""The reader's worklist and the case page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from worklist.actions.late import ISSUED
from worklist.actions.patients import facts_of
from worklist.actions.readings import orders_of, studies_of
from worklist.errors import NotFound
from worklist.facts import PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.views import CaseOrder, CaseView, LateTask, Page, Prior, ReadingRow
from worklist.rules.routing import within
from worklist.tables import (
    CriticalResult,
    LateImages,
    Order,
    Patient,
    PatientIdentifier,
    Procedure,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportVersion,
    Study,
    User,
)

OPEN: Final = ("unread", "drafted", "in review", "referred", "returned")
FAR: Final = datetime(9999, 1, 1, tzinfo=UTC)


def worklist(
    session: Session,
    by: Actor,
    now: datetime,
    *,
    status: str = "",
    discipline: str = "",
    center: str = "",
    q: str = "",
    after: str = "",
    limit: int = 50,
) -> Page[ReadingRow]:
    """Readings in the actor's scope, most urgent first (priority, then due time, then arrival).

    `status`: one of the reading's states, ``""`` for all open ones, ``"all"``. `q` looks in name, pinyin, patient
    number and accession number. `after` is the `next` of the page before.
    """
    due = func.coalesce(Reading.due_at, FAR)
    query = select(Reading).where(scope.readings(by)).order_by(Reading.rank, due, Reading.id).limit(limit + 1)
    if status == "":
        query = query.where(Reading.state.in_(OPEN))
    elif status != "all":
        query = query.where(Reading.state == status)
    if discipline:
        query = query.where(Reading.center.has(discipline=discipline))
    if center:
        query = query.where(Reading.center_id == center)
    if q:
        query = query.where(_found(q))
    if after:
        last = session.get(Reading, after)
        if last is not None:
            at = last.due_at or FAR
            query = query.where(
                or_(
                    Reading.rank > last.rank,
                    and_(Reading.rank == last.rank, due > at),
                    and_(Reading.rank == last.rank, due == at, Reading.id > last.id),
                )
            )
    found = session.scalars(query).unique().all()
    shown = found[:limit]
    return Page(tuple(rows(session, shown, now)), shown[-1].id if len(found) > limit else "")


def case(session: Session, by: Actor, reading_id: str, now: datetime) -> CaseView:
    """A case with all that its page shows; for readers of its center.

    Raises
    ------
    NotFound
        ``no_such_reading``.
    """
    reading = session.scalar(select(Reading).where(Reading.id == reading_id, Reading.center_id.in_(by.centers())))
    if reading is None:
        raise NotFound("no_such_reading")
    orders = orders_of(session, reading)
    versions = parts.versions(session, reading.id)
    tasks = session.scalars(select(LateImages).where(LateImages.reading_id == reading.id).order_by(LateImages.id))
    zone = ZoneInfo(reading.center.institution.timezone)
    return CaseView(
        row=rows(session, [reading], now)[0],
        patient=facts_of(reading.patient) if reading.patient is not None else PatientFacts(),
        orders=tuple(_case_order(order) for order in orders),
        studies=tuple(parts.studies(session, studies_of(session, reading))),
        draft=next((v for v in versions if v.state == "draft"), None),
        versions=tuple(v for v in versions if v.status),
        criticals=tuple(parts.criticals(session, CriticalResult.reading_id == reading.id)),
        late_images=tuple(LateTask(t.id, t.state, len(t.instances), t.at) for t in tasks),
        priors=tuple(priors(session, by, reading, now)),
        two_people=reading.center.two_people,
        preliminary_now=within(now.astimezone(zone).time(), reading.center.preliminary_hours),
        story=tuple(parts.story(session, [reading.id, *(v.id for v in versions)])),
        others=tuple(_others(session, reading, now)),
    )


def row(session: Session, by: Actor, reading_id: str, now: datetime) -> ReadingRow:
    """One line of the worklist."""
    reading = session.scalar(select(Reading).where(Reading.id == reading_id, scope.readings(by)))
    if reading is None:
        raise NotFound("no_such_reading")
    return rows(session, [reading], now)[0]


def next_unread(session: Session, by: Actor, now: datetime, reviewing: bool = False) -> str:
    """The most urgent case that waits for this reader and that nobody holds; ``""`` if there is none."""
    free = or_(Reading.holder_id.is_(None), Reading.held_until <= now, Reading.holder_id == by.id)
    states = ["in review"] if reviewing else ["unread", "drafted"]
    centers = by.centers("senior reader") if reviewing else by.centers("reader", "senior reader")
    found = session.scalar(
        select(Reading.id)
        .where(Reading.center_id.in_(centers), Reading.state.in_(states), free)
        .order_by(Reading.rank, func.coalesce(Reading.due_at, FAR), Reading.id)
        .limit(1)
    )
    return found or ""


def priors(session: Session, by: Actor, reading: Reading, now: datetime) -> list[Prior]:
    """Issued reports of the same patient. The lease opens those of every member; without it, the center's own."""
    if reading.patient_id is None:
        return []
    query = (
        select(ReportVersion, Reading)
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .where(
            Reading.patient_id == reading.patient_id,
            Reading.id != reading.id,
            ReportVersion.state.in_(ISSUED),
        )
        .order_by(ReportVersion.signed_at.desc())
        .limit(50)
    )
    if not scope.lease_opens(session, by, reading.patient_id, now):
        query = query.where(scope.readings(by))
    found = []
    for version, earlier in session.execute(query).unique():
        first = next(iter(orders_of(session, earlier)), None)
        procedure = first.procedure if first is not None else None
        studies = studies_of(session, earlier)
        found.append(
            Prior(
                report_id=earlier.id,
                signed_at=version.signed_at,
                institution=earlier.institution.name,
                procedure=procedure.name if procedure else "",
                procedure_en=(procedure.name_en or procedure.name) if procedure else "",
                modality=studies[0].modality if studies else "",
                impression=version.impression,
                study_ids=tuple(s.id for s in studies),
                study_instance_uids=tuple(s.study_instance_uid for s in studies),
            )
        )
    return found


def rows(session: Session, readings: Sequence[Reading], now: datetime) -> list[ReadingRow]:
    """Lines for `readings`, in their order, with a fixed number of queries however many there are."""
    ids = [reading.id for reading in readings]
    orders: dict[str, Order] = {}
    for reading_id, order in session.execute(
        select(ReadingOrder.reading_id, Order)
        .join(Order, Order.id == ReadingOrder.order_id)
        .where(ReadingOrder.reading_id.in_(ids))
        .order_by(Order.id)
    ).unique():
        orders.setdefault(reading_id, order)
    studies: dict[str, list[Study]] = defaultdict(list)
    for reading_id, study in session.execute(
        select(ReadingStudy.reading_id, Study)
        .join(Study, Study.id == ReadingStudy.study_id)
        .where(ReadingStudy.reading_id.in_(ids))
        .order_by(Study.id)
    ).unique():
        studies[reading_id].append(study)
    newest = (
        select(ReportVersion.reading_id, ReportVersion.status)
        .where(ReportVersion.reading_id.in_(ids), ReportVersion.status != "")
        .order_by(ReportVersion.number)
    )
    issued: dict[str, str] = dict(session.execute(newest).all())
    people = [r.holder_id for r in readings] + [r.writer_id for r in readings]
    wanted = select(User.id, User.name).where(User.id.in_({p for p in people if p}))
    names: dict[str, str] = dict(session.execute(wanted).all())
    critical = set(
        session.scalars(
            select(CriticalResult.reading_id).where(
                CriticalResult.reading_id.in_(ids), CriticalResult.state.in_(("notified", "escalated", "acknowledged"))
            )
        )
    )
    late = set(
        session.scalars(select(LateImages.reading_id).where(LateImages.reading_id.in_(ids), LateImages.state == "open"))
    )
    return [
        _row(r, orders.get(r.id), studies[r.id], issued.get(r.id, ""), names, r.id in critical, r.id in late, now)
        for r in readings
    ]


def _row(
    reading: Reading,
    order: Order | None,
    studies: Sequence[Study],
    status: str,
    names: dict[str, str],
    critical: bool,
    late: bool,
    now: datetime,
) -> ReadingRow:
    patient, study = reading.patient, studies[0] if studies else None
    held = reading.holder_id is not None and reading.held_until is not None and reading.held_until > now
    if patient is not None:
        name, sex, birth = PersonName(patient.name, patient.name_alphabetic), patient.sex, patient.birth_date
    elif study is not None:
        name = PersonName(study.sent_name, study.sent_name_alphabetic)
        sex, birth = study.sent_sex, study.sent_birth_date
    else:
        name, sex, birth = PersonName(), "", ""
    procedure = order.procedure if order is not None else None
    expected = [s.expected for s in studies if s.expected is not None]
    return ReadingRow(
        id=reading.id,
        state=reading.state,
        kind=reading.kind,
        priority=reading.priority,
        discipline=reading.center.discipline,
        center_id=reading.center_id,
        center=reading.center.name,
        due_at=reading.due_at,
        review_due_at=reading.review_due_at,
        patient_id=reading.patient_id or "",
        patient_name=name,
        patient_sex=sex,
        patient_birth_date=birth,
        patient_identifier=order.patient_value if order is not None else (study.sent_patient_id if study else ""),
        patient_issuer=order.patient_issuer if order is not None else "",
        is_alias=bool(patient is not None and patient.is_alias),
        accession_number=order.accession_number if order is not None else "",
        study_instance_uid=study.study_instance_uid if study else "",
        institution_code=reading.institution.code,
        institution=reading.institution.name,
        procedure=procedure.name if procedure else (study.description if study else ""),
        procedure_en=(procedure.name_en or procedure.name) if procedure else (study.description if study else ""),
        modality=study.modality if study else "",
        received=sum(s.instances for s in studies),
        expected=sum(expected) if expected else None,
        arriving=any(s.arrival == "arriving" for s in studies),
        linked=bool(studies) and all(s.link not in ("unlinked", "unmatched", "rejected") for s in studies),
        holder=names.get(reading.holder_id or "", "") if held else "",
        holder_id=(reading.holder_id or "") if held else "",
        held_until=reading.held_until if held else None,
        writer=names.get(reading.writer_id or "", ""),
        note=reading.note,
        report_id=reading.id if status else "",
        report_status=status,
        critical=critical,
        late_images=late,
        created_at=reading.created_at,
    )


def _found(q: str) -> ColumnElement[bool]:
    """Readings whose patient or order has `q` in name, pinyin or number."""
    text = q.strip()
    plain = text.replace(" ", "").replace("^", "")
    by_patient = Reading.patient_id.in_(
        select(Patient.id).where(
            or_(
                scope.contains(Patient.name, text),
                scope.contains(Patient.name_alphabetic, text),
                func.replace(Patient.name, "^", "").icontains(plain, autoescape=True, escape="\\"),
                func.replace(Patient.name_alphabetic, "^", "").icontains(plain, autoescape=True, escape="\\"),
            )
        )
    )
    by_number = Reading.patient_id.in_(
        select(PatientIdentifier.patient_id).where(scope.contains(PatientIdentifier.value, text))
    )
    by_accession = Reading.id.in_(
        select(ReadingOrder.reading_id)
        .join(Order, Order.id == ReadingOrder.order_id)
        .where(scope.contains(Order.accession_number, text))
    )
    return or_(by_patient, by_number, by_accession)


def _case_order(order: Order) -> CaseOrder:
    procedure: Procedure | None = order.procedure
    return CaseOrder(
        id=order.id,
        accession_number=order.accession_number,
        placer_number=order.placer_number,
        procedure=procedure.name if procedure else order.procedure_text,
        procedure_en=(procedure.name_en or procedure.name) if procedure else order.procedure_text,
        priority=order.priority,
        clinical_information=order.clinical_information,
        reason=order.reason,
        ordering_doctor=order.ordering_doctor,
        laterality=order.laterality,
        state=order.state,
        note=order.note,
    )


def _others(session: Session, reading: Reading, now: datetime) -> list[ReadingRow]:
    if reading.patient_id is None or reading.state not in ("unread", "drafted", "in review"):
        return []
    query = select(Reading).where(
        Reading.patient_id == reading.patient_id,
        Reading.center_id == reading.center_id,
        Reading.id != reading.id,
        Reading.state == "unread",
        Reading.kind == "primary",
    )
    return rows(session, session.scalars(query).unique().all(), now)
