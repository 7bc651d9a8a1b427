"""The case page, and the lines of lists of cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions.anew import is_of_another
from worklist.actions.handing import may_recall
from worklist.actions.late import ISSUED
from worklist.actions.patients import facts_of
from worklist.actions.readings import orders_of, studies_of
from worklist.errors import NotFound
from worklist.facts import PatientFacts, PersonName
from worklist.people import Actor
from worklist.queries import handovers, parts, scope
from worklist.queries.reading_rows import rows
from worklist.queries.views import CaseOrder, CaseView, LateTask, MergedPatient, Prior, ReadAnew, ReadingRow, StudyRow
from worklist.rules.kinds import ANEW, PRIMARY
from worklist.rules.routing import within
from worklist.tables import (
    CaseReturn,
    Center,
    CriticalResult,
    Institution,
    LateImages,
    Order,
    Patient,
    PatientIdentifier,
    PatientMerge,
    Procedure,
    Reading,
    ReadingOrder,
    ReadingStudy,
    Recognition,
    ReportVersion,
    Study,
    User,
)


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
        row=rows(session, [reading.id], now)[0],
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
        merges=tuple(_merges(session, reading)),
        doubts=tuple(_doubts(session, reading)),
        handed=tuple(handovers.handed(session, [reading.id])),
        returns=tuple(handovers.returns(session, CaseReturn.reading_id == reading.id)),
        can_recall=may_recall(session, by, reading),
        referred_to=_asked(session, reading),
        image_grade=reading.image_grade,
        image_grade_reason=reading.image_grade_reason,
        earlier=tuple(_earlier_studies(session, by, reading, now)),
        anew=_read_anew(session, reading, orders),
    )


def _read_anew(session: Session, reading: Reading, orders: Sequence[Order]) -> ReadAnew | None:
    """The result whose images this case reads anew, and what became of it since it was accepted."""
    if reading.kind != ANEW:
        return None
    found = session.execute(
        select(Recognition, Institution, Reading.state)
        .join(Institution, Institution.id == Recognition.result_institution_id)
        .join(Reading, Reading.id == Recognition.reading_id)
        .where(Recognition.order_id.in_([o.id for o in orders]), Recognition.state.in_(("accepted", "given up")))
        .order_by(Recognition.id.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    row, place, state = found
    newer = select(ReportVersion.id).where(
        ReportVersion.reading_id == row.reading_id,
        ReportVersion.status.in_(("corrected", "addendum")),
        ReportVersion.signed_at > row.answered_at,
    )
    changed = "withdrawn" if state == "withdrawn" else ""
    return ReadAnew(
        taken_at=row.taken_at,
        timezone=place.timezone,
        institution=place.name,
        report_id=row.reading_id or "",
        accession_number=orders[0].accession_number if orders else "",
        changed=changed or ("corrected" if session.scalar(newer.limit(1)) is not None else ""),
        is_of_another=is_of_another(session, reading),
    )


def _asked(session: Session, reading: Reading) -> str:
    """Who is asked for an opinion on a referred case: the expert, and the center."""
    if reading.state != "referred":
        return ""
    asked = session.execute(
        select(Center.name, User.name)
        .select_from(Reading)
        .join(Center, Center.id == Reading.center_id)
        .outerjoin(User, User.id == Reading.assigned_id)
        .where(Reading.asked_by_id == reading.id)
        .order_by(Reading.id.desc())
        .limit(1)
    ).first()
    return "" if asked is None else " · ".join(name for name in asked if name)


def _earlier_studies(session: Session, by: Actor, reading: Reading, now: datetime) -> list[StudyRow]:
    """Other studies of the same person that no issued report covers, within what the lease opens, the newest first."""
    if reading.patient_id is None:
        return []
    reported = (
        select(ReadingStudy.study_id)
        .join(ReportVersion, ReportVersion.reading_id == ReadingStudy.reading_id)
        .where(ReadingStudy.study_id == Study.id, ReportVersion.state.in_(ISSUED))
    )
    own = select(ReadingStudy.study_id).where(ReadingStudy.reading_id == reading.id)
    query = (
        select(Study)
        .where(
            scope.of_person(Study.patient_id, select(Patient.id).where(Patient.id == reading.patient_id)),
            Study.id.not_in(own),
            ~reported.correlate(Study).exists(),
        )
        .order_by(Study.study_date.desc(), Study.id.desc())
        .limit(20)
    )
    if not scope.lease_opens(session, by, reading.patient_id, now):
        query = query.where(scope.studies(by))
    return parts.studies(session, session.scalars(query).unique().all())


def _merges(session: Session, reading: Reading) -> Iterable[MergedPatient]:
    """Who became this patient since the images were made or while the case is open."""
    query = (
        select(PatientMerge, Patient)
        .join(Patient, Patient.id == PatientMerge.retired_id)
        .where(
            PatientMerge.survivor_id == reading.patient_id,
            PatientMerge.kind == "merge",
            PatientMerge.state == "merged",
        )
        .order_by(PatientMerge.id.desc())
        .limit(5)
    )
    for merge, retired in session.execute(query).unique():
        if reading.id not in merge.moved.get("reading", []) and merge.at < reading.created_at:
            continue
        # The row has no numbers of its own any more: they moved with the rest.
        ids = merge.moved.get("identifier", [])
        numbers = session.scalars(select(PatientIdentifier.value).where(PatientIdentifier.id.in_(ids)))
        yield MergedPatient(merge.at, PersonName(retired.name, retired.name_alphabetic), ", ".join(numbers))


def _doubts(session: Session, reading: Reading) -> Iterable[tuple[str, str, str]]:
    """Where the images speak of another sex or birth date than is known: asked whenever the case is looked at, so a
    merge or correction is checked at once."""
    patient = reading.patient
    if patient is None:
        return
    for study in studies_of(session, reading):
        for what, sent, known in (
            ("sex", study.sent_sex, patient.sex),
            ("birth_date", study.sent_birth_date, patient.birth_date),
        ):
            if sent and known and sent != known:
                yield what, sent, known


def row(session: Session, by: Actor, reading_id: str, now: datetime) -> ReadingRow:
    """One line of the worklist."""
    reading = session.scalar(select(Reading).where(Reading.id == reading_id, scope.readings(by)))
    if reading is None:
        raise NotFound("no_such_reading")
    return rows(session, [reading.id], now)[0]


def priors(session: Session, by: Actor, reading: Reading, now: datetime) -> list[Prior]:
    """Issued reports of the same patient. The lease opens those of every member; without it, the center's own."""
    if reading.patient_id is None:
        return []
    query = (
        select(ReportVersion, Reading)
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .where(
            scope.of_person(Reading.patient_id, select(Patient.id).where(Patient.id == reading.patient_id)),
            Reading.id != reading.id,
            ReportVersion.state.in_(ISSUED),
        )
        .order_by(ReportVersion.signed_at.desc())
        .limit(50)
    )
    if not scope.lease_opens(session, by, reading.patient_id, now):
        query = query.where(scope.readings(by))
    modalities, body_parts = _shown_by(session, reading)
    issued = session.execute(query).unique().all()
    orders, studies_by_case = _covered(session, [earlier.id for _version, earlier in issued])
    found = []
    for version, earlier in issued:
        first = next(iter(orders[earlier.id]), None)
        procedure = first.procedure if first is not None else None
        studies = studies_by_case[earlier.id]
        part = (procedure.body_part if procedure else "") or (studies[0].body_part if studies else "")
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
                findings=version.findings,
                body_part=part,
                likeness=2 * (part in body_parts) + any(s.modality in modalities for s in studies),
            )
        )
    # The newest come first among those that are equally like this case.
    return sorted(found, key=lambda prior: -prior.likeness)


def _covered(session: Session, ids: Sequence[str]) -> tuple[dict[str, list[Order]], dict[str, list[Study]]]:
    """The orders and studies that each of several readings covers, in the order in which they were made."""
    orders: dict[str, list[Order]] = defaultdict(list)
    of_orders = select(ReadingOrder.reading_id, Order).join(Order, Order.id == ReadingOrder.order_id)
    for reading_id, order in session.execute(of_orders.where(ReadingOrder.reading_id.in_(ids)).order_by(Order.id)):
        orders[reading_id].append(order)
    studies: dict[str, list[Study]] = defaultdict(list)
    of_studies = select(ReadingStudy.reading_id, Study).join(Study, Study.id == ReadingStudy.study_id)
    for reading_id, study in session.execute(of_studies.where(ReadingStudy.reading_id.in_(ids)).order_by(Study.id)):
        studies[reading_id].append(study)
    return orders, studies


def _shown_by(session: Session, reading: Reading) -> tuple[set[str], set[str]]:
    """Modalities and parts of the body of a case."""
    studies, orders = studies_of(session, reading), orders_of(session, reading)
    parts_shown = {o.procedure.body_part for o in orders if o.procedure} | {s.body_part for s in studies}
    return {s.modality for s in studies} - {""}, parts_shown - {""}


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
    if reading.kind != PRIMARY or reading.patient_id is None or reading.state not in ("unread", "drafted", "in review"):
        return []
    query = select(Reading.id).where(
        Reading.patient_id == reading.patient_id,
        Reading.center_id == reading.center_id,
        Reading.id != reading.id,
        Reading.state == "unread",
        Reading.kind == PRIMARY,
    )
    return rows(session, session.scalars(query).all(), now)
