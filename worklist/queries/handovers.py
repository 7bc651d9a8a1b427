"""How a case changed hands: what its drafts held, and its returns to the township. For callers that scope."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from worklist.actions.submissions import written
from worklist.facts import Written
from worklist.queries import parts
from worklist.queries.views import Handed, ReturnView
from worklist.tables import CaseReturn, ReportVersion, Submission, User


def handed(session: Session, reading_ids: Sequence[str]) -> list[Handed]:
    """How the words of the readings' versions changed hands, the newest first within each reading."""
    versions = session.scalars(
        select(ReportVersion)
        .where(ReportVersion.reading_id.in_(reading_ids))
        .order_by(ReportVersion.reading_id, ReportVersion.number)
    ).all()
    found = session.execute(
        select(Submission, User.name)
        .join(User, User.id == Submission.by_id)
        .where(Submission.version_id.in_([v.id for v in versions]))
        .order_by(Submission.at, Submission.id)
    ).all()
    told: list[Handed] = []
    for _reading, group in groupby(versions, lambda version: version.reading_id):
        issued = Written()
        for version in group:
            before = issued
            for row, name in found:
                if row.version_id == version.id:
                    told.append(_handed(row, name, version.number, before))
                    before = written(row)
            if version.status:
                issued = written(version)
    return told[::-1]


def _handed(row: Submission, name: str, number: int, before: Written) -> Handed:
    return Handed(
        id=row.id,
        version_id=row.version_id,
        number=number,
        verb=row.verb,
        by=name,
        by_id=row.by_id,
        at=row.at,
        findings=row.findings,
        impression=row.impression,
        critical=row.critical,
        measurements=written(row).measurements,
        remark=row.remark,
        seen=row.seen_at is not None,
        before=before,
    )


def returns(session: Session, condition: ColumnElement[bool]) -> list[ReturnView]:
    """Returned cases that meet `condition`, the newest first."""
    found = session.execute(
        select(CaseReturn, User.name)
        .outerjoin(User, User.id == CaseReturn.by_id)
        .where(condition)
        .order_by(CaseReturn.id.desc())
        .limit(100)
    ).all()
    people = parts.people_called(session, [row.answered_by for row, _name in found])
    return [
        ReturnView(
            id=row.id,
            reading_id=row.reading_id,
            reason=row.reason,
            words=row.words,
            faults=tuple((fault["code"], fault["params"]) for fault in row.faults),
            by=name or "",
            at=row.at,
            answer=row.answer,
            answered_by=people.get(row.answered_by, row.answered_by),
            answered_at=row.answered_at,
        )
        for row, name in found
    ]
