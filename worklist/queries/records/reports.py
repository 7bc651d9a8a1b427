"""Issued versions of reports as records: those of the asker's centers, and those sent to the asker's institution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from worklist.facts import ReportRecord, Sought
from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.records import patients
from worklist.queries.records.searching import (
    Condition,
    Records,
    Wanted,
    conditions,
    equals,
    in_span,
    narrowed,
    number_of,
    one_of,
    without_openings,
)
from worklist.tables import (
    Center,
    Order,
    Procedure,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportDocument,
    ReportVersion,
    Study,
)


def search(session: Session, wanted: Wanted, *, every_version: bool = False) -> Records[ReportRecord]:
    """Issued versions that match, the newest first; without `every_version` only the current one of each report.

    The page goes on behind a version's id.
    """
    of_versions = [criterion for criterion in wanted.criteria if criterion.name in _OF_VERSIONS]
    of_readings = [criterion for criterion in wanted.criteria if criterion.name not in _OF_VERSIONS]
    # Asked for each version, so that versions are walked from the newest, or by when they were signed: a planner that
    # begins with the readings sorts all that a center ever read.
    seen = select(Reading.id).join(Center, Center.id == Reading.center_id)
    seen = seen.where(
        Reading.id == ReportVersion.reading_id,
        Reading.patient_id.is_not(None),
        _in_scope(wanted.by),
        conditions(of_readings, _KNOWN),
    )
    query = select(ReportVersion.id).where(
        ReportVersion.status != "",
        narrowed(session, ReportVersion.id, of_versions, _KNOWN),
        narrowed(session, Reading.id, of_readings, _KNOWN, ReportVersion.reading_id),
        conditions(of_versions, _KNOWN),
        seen.exists(),
    )
    if not every_version:
        query = query.where(ReportVersion.state != "superseded")
    if wanted.after:
        query = query.where(ReportVersion.id < wanted.after)
    ids = session.scalars(query.order_by(ReportVersion.id.desc()).limit(wanted.limit + 1)).all()
    return Records(tuple(by_version_ids(session, ids[: wanted.limit])), len(ids) > wanted.limit)


def by_version_ids(session: Session, ids: Sequence[str]) -> list[ReportRecord]:
    """These issued versions, the newest first. It does not scope: ask `worklist.queries.reports.versions` first."""
    return _records(session, _versions().where(ReportVersion.id.in_(ids)).order_by(ReportVersion.id.desc()))


def _versions() -> Select[ReportVersion, Reading, str]:
    return (
        select(ReportVersion, Reading, Center.discipline)
        .join(Reading, Reading.id == ReportVersion.reading_id)
        .join(Center, Center.id == Reading.center_id)
        .where(ReportVersion.status != "", Reading.patient_id.is_not(None))
    )


def _in_scope(by: Actor) -> ColumnElement[bool]:
    return scope.readings(without_openings(by))


def _answering(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    covered = select(ReadingOrder.reading_id).join(Order, Order.id == ReadingOrder.order_id).where(condition)
    return Reading.id.in_(covered)


def _by_number(value: Sought) -> ColumnElement[bool]:
    number = number_of(value)
    accession = _answering(one_of(number, "accession", Order.accession_number))
    return or_(one_of(number, "report", Reading.id), accession)


def _by_procedure(value: Sought) -> ColumnElement[bool]:
    return _answering(Order.procedure_id.in_(select(Procedure.id).where(Procedure.code == value)))


def _by_what_was_made(value: Sought) -> ColumnElement[bool]:
    """The version of this id, and the current one of the report of this id."""
    current = and_(ReportVersion.reading_id == value, ReportVersion.state != "superseded")
    return or_(ReportVersion.id == value, current)


_OBSERVED: Final = (
    select(func.min(Study.acquired_at))
    .join(ReadingStudy, ReadingStudy.study_id == Study.id)
    .where(ReadingStudy.reading_id == Reading.id)
    .correlate(Reading)
    .scalar_subquery()
)

_OF_VERSIONS: Final = frozenset({"version", "made of", "issued", "status"})
"""What the ground asks of a version alone."""
_KNOWN: Final[dict[str, Condition]] = {
    "id": equals(Reading.id),
    "version": equals(ReportVersion.id),
    "made of": _by_what_was_made,
    "number": _by_number,
    "patient": equals(Reading.patient_id),
    "patient number": lambda value: Reading.patient_id.in_(patients.with_number(number_of(value))),
    "order": lambda value: _answering(Order.id == value),
    "issued": in_span(ReportVersion.signed_at),
    "observed": in_span(_OBSERVED),
    "status": equals(ReportVersion.status),
    "procedure": _by_procedure,
    "discipline": equals(Center.discipline),
}


def _records(session: Session, query: Select[ReportVersion, Reading, str]) -> list[ReportRecord]:
    found = session.execute(query).unique().all()
    readings = {reading.id for _version, reading, _discipline in found}
    orders = _pairs(session, select(ReadingOrder.reading_id, ReadingOrder.order_id), ReadingOrder, readings)
    linked = (
        select(ReadingStudy.reading_id, ReadingStudy.study_id)
        .join(Reading, Reading.id == ReadingStudy.reading_id)
        .join(Study, Study.id == ReadingStudy.study_id)
        # Images that turned out to be somebody else's stay with a withdrawn report, and are not this patient's.
        .where(Study.patient_id == Reading.patient_id, Study.instances > 0)
    )
    studies = _pairs(session, linked, ReadingStudy, readings)
    withdrawn = set(
        session.scalars(
            select(ReportVersion.reading_id).where(
                ReportVersion.reading_id.in_(readings), ReportVersion.status == "withdrawal"
            )
        )
    )
    former = _former(session, [version.id for version, _reading, _discipline in found])
    pdfs = {
        row.version_id: row
        for row in session.scalars(
            select(ReportDocument).where(
                ReportDocument.version_id.in_([version.id for version, _reading, _discipline in found]),
                ReportDocument.kind == "pdf",
            )
        )
    }
    return [
        ReportRecord(
            report_id=reading.id,
            version_id=version.id,
            number=version.number,
            state=version.state,
            discipline=discipline,
            patient_id=reading.patient_id or "",
            order_ids=tuple(orders.get(reading.id, ())),
            study_ids=tuple(studies.get(reading.id, ())),
            document_key=version.document_key,
            signed_at=version.signed_at or version.changed_at,
            withdrawn=reading.id in withdrawn,
            former_id=former.get(version.id, ""),
            pdf_key=pdfs[version.id].store_key if version.id in pdfs else "",
            pdf_size=pdfs[version.id].size if version.id in pdfs else 0,
        )
        for version, reading, discipline in found
    ]


def _pairs(session: Session, pairs: Select[str, str], table: Any, readings: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for reading_id, id in sorted((r, i) for r, i in session.execute(pairs.where(table.reading_id.in_(readings)))):
        found.setdefault(reading_id, []).append(id)
    return found


def _former(session: Session, ids: Sequence[str]) -> dict[str, str]:
    """The issued version before each of these."""
    earlier = aliased(ReportVersion)
    rows = session.execute(
        select(ReportVersion.id, earlier.id)
        .join(earlier, earlier.reading_id == ReportVersion.reading_id)
        .where(ReportVersion.id.in_(ids), earlier.status != "", earlier.number < ReportVersion.number)
        .order_by(earlier.number)
    )
    return {row[0]: row[1] for row in rows}
