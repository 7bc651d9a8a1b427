"""Reports and images: who may open which."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.views import InstanceRow, Page, StudyRow, VersionView
from worklist.tables import Instance, Order, Reading, ReadingOrder, ReportVersion, Series, SetAside, Study


def versions(session: Session, by: Actor, report_id: str, now: datetime) -> list[VersionView]:
    """The issued versions of a report, the newest first: for its center, its orderers, and the holder of a lease on
    another case of the same patient.

    Raises
    ------
    NotFound
        ``no_such_report``: not there, not issued yet, or not theirs.
    """
    reading = session.get(Reading, report_id)
    if reading is None:
        raise NotFound("no_such_report")
    allowed = session.scalar(select(Reading.id).where(Reading.id == report_id, scope.readings(by))) is not None
    if not allowed and reading.patient_id is not None:
        allowed = scope.lease_opens(session, by, reading.patient_id, now)
    found = [v for v in parts.versions(session, report_id) if v.status] if allowed else []
    if not found:
        raise NotFound("no_such_report")
    return found


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
        .where(Instance.study_id == held.id)
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
        select(Instance, Series).join(Series, Series.id == Instance.series_id).where(Instance.id == instance_id)
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


def store_keys(session: Session) -> set[str]:
    """Every object store key that the database refers to; whatever else lies in the store is an orphan."""
    keys = set(session.scalars(select(Instance.store_key)))
    keys |= set(session.scalars(select(ReportVersion.document_key).where(ReportVersion.document_key != "")))
    for row in session.scalars(select(SetAside.store_keys)):
        keys |= set(row)
    return keys


def _study(session: Session, by: Actor, study_id: str, now: datetime) -> Study:
    found = session.scalar(select(Study).where(Study.id == study_id, scope.studies(by)))
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
    )
