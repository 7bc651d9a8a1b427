"""Reports and images: who may open which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.facts import PersonName
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.views import DocumentRow, InstanceRow, Page, PrintRow, StudyRow, VersionView
from worklist.tables import (
    Instance,
    Order,
    Patient,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportPrint,
    ReportVersion,
    Series,
    Study,
    User,
)


def versions(session: Session, by: Actor, report_id: str, now: datetime) -> list[VersionView]:
    """The issued versions of a report, the newest first: for its center, its orderers, and the holder of a lease on
    another case of the same patient, and to whom it was offered instead of a new examination.

    Raises
    ------
    NotFound
        ``no_such_report``: not there, not issued yet, or not theirs.
    """
    reading = session.get(Reading, report_id)
    if reading is None:
        raise NotFound("no_such_report")
    mine = or_(scope.readings(by), scope.offered_readings(by, now))
    allowed = session.scalar(select(Reading.id).where(Reading.id == report_id, mine)) is not None
    if not allowed and reading.patient_id is not None:
        allowed = scope.lease_opens(session, by, reading.patient_id, now)
    found = [v for v in parts.versions(session, report_id) if v.status] if allowed else []
    if not found:
        raise NotFound("no_such_report")
    return found


def document(session: Session, version: VersionView, kind: str) -> DocumentRow:
    """A stored document of an issued version. Ask `versions` first.

    Raises
    ------
    NotFound
        ``no_such_document``: a preliminary version has no DICOM objects, a withdrawal no structured report.
    """
    found = parts.documents(session, version.id).get(kind)
    if found is None:
        raise NotFound("no_such_document")
    return found


def key_image_keys(session: Session, report_id: str, uids: Sequence[str]) -> dict[str, str]:
    """Store keys by SOP Instance UID of images that the report's patient still has. Ask `versions` first."""
    rows = session.execute(
        select(Instance.sop_instance_uid, Instance.store_key)
        .join(Study, Study.id == Instance.study_id)
        .join(ReadingStudy, ReadingStudy.study_id == Study.id)
        .join(Reading, Reading.id == ReadingStudy.reading_id)
        .where(
            Reading.id == report_id,
            Study.patient_id == Reading.patient_id,
            Instance.sop_instance_uid.in_(uids),
            Instance.version_id.is_(None),
        )
    )
    return {row.sop_instance_uid: row.store_key for row in rows}


def prints(session: Session, report_id: str) -> list[PrintRow]:
    """Who printed the versions of a report, the newest first. Ask `versions` first."""
    rows = session.execute(
        select(ReportPrint, ReportVersion.number, User.name)
        .join(ReportVersion, ReportVersion.id == ReportPrint.version_id)
        .join(User, User.id == ReportPrint.by_id)
        .where(ReportVersion.reading_id == report_id)
        .order_by(ReportPrint.id.desc())
    )
    return [PrintRow(version, p.number, name, p.at, p.marked) for p, version, name in rows]


@dataclass(frozen=True)
class Subject:
    """Whom a report is about, as the patient's record says it now, and the orders it answers."""

    name: PersonName
    is_alias: bool
    identifiers: tuple[str, ...]  # by which the orders name the patient
    accession_numbers: tuple[str, ...]
    study_ids: tuple[str, ...] = ()


def subject(session: Session, report_id: str) -> Subject:
    """Whom a report is about. Ask `versions` first."""
    patient = session.scalars(
        select(Patient).join(Reading, Reading.patient_id == Patient.id).where(Reading.id == report_id)
    ).one()
    covered = session.scalars(
        select(Order)
        .join(ReadingOrder, ReadingOrder.order_id == Order.id)
        .where(ReadingOrder.reading_id == report_id)
        .order_by(Order.id)
    ).all()
    return Subject(
        PersonName(patient.name, patient.name_alphabetic),
        patient.is_alias,
        tuple(dict.fromkeys(order.patient_value for order in covered)),
        tuple(order.accession_number for order in covered),
        tuple(session.scalars(select(ReadingStudy.study_id).where(ReadingStudy.reading_id == report_id))),
    )


def covered_orders(session: Session, report_id: str) -> list[tuple[str, str, str]]:
    """(order id, accession number, placer number) of the orders that a report answers. Ask `versions` first."""
    rows = session.execute(
        select(Order.id, Order.accession_number, Order.placer_number)
        .join(ReadingOrder, ReadingOrder.order_id == Order.id)
        .where(ReadingOrder.reading_id == report_id)
        .order_by(Order.id)
    )
    return [(row.id, row.accession_number, row.placer_number) for row in rows]


def study(session: Session, by: Actor, study_id: str, now: datetime) -> StudyRow:
    """A study that the actor may look at.

    Raises
    ------
    NotFound
        ``no_such_study``.
    """
    return parts.studies(session, [_study(session, by, study_id, now)])[0]


def instances(session: Session, by: Actor, study_id: str, now: datetime) -> list[InstanceRow]:
    """The objects of a study, by series number and instance number."""
    held = _study(session, by, study_id, now)
    rows = session.execute(
        select(Instance, Series)
        .join(Series, Series.id == Instance.series_id)
        .where(Instance.study_id == held.id, parts.shown_objects())
        .order_by(Series.number, Series.id, Instance.number, Instance.id)
    )
    return [_instance(instance, series) for instance, series in rows]


def instance(session: Session, by: Actor, instance_id: str, now: datetime) -> InstanceRow:
    """One object that the actor may look at.

    Raises
    ------
    NotFound
        ``no_such_instance``.
    """
    row = session.execute(
        select(Instance, Series)
        .join(Series, Series.id == Instance.series_id)
        .where(Instance.id == instance_id, parts.shown_objects())
    ).first()
    if row is None:
        raise NotFound("no_such_instance")
    try:
        _study(session, by, row[0].study_id, now)
    except NotFound as error:
        raise NotFound("no_such_instance") from error
    return _instance(row[0], row[1])


def unmatched(
    session: Session, by: Actor, *, after: str = "", limit: int = 50, rejected: bool = False
) -> Page[StudyRow]:
    """The unmatched bin in the actor's scope, the newest first."""
    state = "rejected" if rejected else "unmatched"
    query = select(Study).where(Study.link == state, scope.studies(by)).order_by(Study.id.desc()).limit(limit + 1)
    if after:
        query = query.where(Study.id < after)
    found = session.scalars(query).unique().all()
    shown = found[:limit]
    return Page(tuple(parts.studies(session, shown)), shown[-1].id if len(found) > limit else "")


def _study(session: Session, by: Actor, study_id: str, now: datetime) -> Study:
    found = session.scalar(
        select(Study).where(Study.id == study_id, or_(scope.studies(by), scope.offered_studies(by, now)))
    )
    if found is not None:
        return found
    other = session.get(Study, study_id)
    if other is not None and other.patient_id is not None and scope.lease_opens(session, by, other.patient_id, now):
        return other
    raise NotFound("no_such_study")


def _instance(instance: Instance, series: Series) -> InstanceRow:
    return InstanceRow(
        id=instance.id,
        study_id=instance.study_id,
        series_id=series.id,
        series_number=series.number,
        series_description=series.description,
        modality=series.modality,
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        number=instance.number,
        frames=instance.frames,
        rows=instance.rows,
        columns=instance.columns,
        store_key=instance.store_key,
        size=instance.size,
        is_document=instance.version_id is not None,
    )
