"""Whether an issued version is still the current one, asked by its code or by a document's hash.

No scope: the code is printed on the paper that the asker holds, and 80 random bits are not guessed. A code that is
unknown and one that was never issued look the same. What the report says comes from its canonical document, so that
it shows the identity that was printed, whatever became of the patient's record since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.tables import ReportDocument, ReportVersion

Outcome = Literal["current", "superseded", "withdrawn"]


@dataclass(frozen=True)
class Standing:
    """Where an issued version stands among the versions of its report."""

    version_id: str
    report_id: str
    number: int
    newest: int  # the number of the newest issued version
    outcome: Outcome
    document_key: str  # the canonical document in the object store
    documents: dict[str, str]  # SHA-256 by kind, "json" among them


def by_code(session: Session, code: str) -> Standing | None:
    """The version that carries a verification code, as `worklist.numbers.new_verification_code` writes it."""
    if not code:
        return None
    query = select(ReportVersion).where(ReportVersion.verification_code == code, ReportVersion.status != "")
    return _standing(session, session.scalar(query))


def by_sha256(session: Session, sha256: str) -> Standing | None:
    """The version that one of its documents, or its canonical document, belongs to; `sha256` in hexadecimal."""
    if not sha256:
        return None
    query = select(ReportVersion).where(ReportVersion.document_sha256 == sha256, ReportVersion.status != "")
    version = session.scalar(query)
    if version is None:
        of_document = select(ReportVersion).join(ReportDocument, ReportDocument.version_id == ReportVersion.id)
        version = session.scalar(of_document.where(ReportDocument.sha256 == sha256, ReportVersion.status != ""))
    return _standing(session, version)


def _standing(session: Session, version: ReportVersion | None) -> Standing | None:
    if version is None:
        return None
    newest = session.execute(
        select(ReportVersion.number, ReportVersion.status)
        .where(ReportVersion.reading_id == version.reading_id, ReportVersion.status != "")
        .order_by(ReportVersion.number.desc())
        .limit(1)
    ).one()
    if newest.status == "withdrawal":
        outcome: Outcome = "withdrawn"
    else:
        outcome = "current" if newest.number == version.number else "superseded"
    documents = session.execute(
        select(ReportDocument.kind, ReportDocument.sha256).where(ReportDocument.version_id == version.id)
    )
    return Standing(
        version_id=version.id,
        report_id=version.reading_id,
        number=version.number,
        newest=newest.number,
        outcome=outcome,
        document_key=version.document_key,
        documents={"json": version.document_sha256} | {row.kind: row.sha256 for row in documents},
    )
