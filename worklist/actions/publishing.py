"""Publishing to regional platforms: which of them are owed a version, and what they are told beside its document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.errors import Broken
from worklist.facts import Identifier, Publication, Publisher
from worklist.queries.recognition import FINAL, member
from worklist.queries.records import reports
from worklist.rules.identity import RELATIVES
from worklist.tables import Endpoint, Institution, PatientDocument, Reading, ReportVersion

KINDS: Final = ("fhir", "wst500")
"""Kinds of endpoints that are regional platforms."""


def platforms(session: Session, center_id: str, status: str, *, marked: bool) -> set[str]:
    """Ids of the platforms that want a version of this status from this center. None is owed a preliminary version,
    and a withdrawal goes only to those that had what it withdraws, which is the caller's to know."""
    if status not in FINAL:
        return set()
    rows: Sequence[Endpoint] = session.scalars(select(Endpoint).where(Endpoint.kind.in_(KINDS), Endpoint.enabled)).all()
    return {
        row.id
        for row in rows
        if (not row.center_ids or center_id in row.center_ids) and (marked or not row.marked_only)
    }


def publication(session: Session, version: ReportVersion) -> Publication:
    """What a platform is told of a version.

    Raises
    ------
    Broken
        ``report_without_patient``: its reading names none any more.
    """
    found = reports.by_version_ids(session, [version.id])
    if not found:
        raise Broken("report_without_patient")
    reading = session.get_one(Reading, version.reading_id)
    place = session.get_one(Institution, reading.institution_id)
    documents = session.scalars(
        select(PatientDocument)
        .where(PatientDocument.patient_id == reading.patient_id, PatientDocument.kind.not_in(RELATIVES))
        .order_by(PatientDocument.id)
    )
    return Publication(
        found[0],
        tuple(Identifier(row.country, row.number, row.kind) for row in documents),
        Publisher(place.code, place.name, place.uscc, place.grade, member(session, place.id).region),
    )
