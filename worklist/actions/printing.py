"""Printing an issued version: on record, each print of a version with its number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import reports
from worklist.queries.views import VersionView
from worklist.tables import Reading, ReportPrint, ReportVersion

PRINTERS: Final = ("technician", "doctor", "reader", "senior reader", "manager")

Mark = Literal["", "superseded", "withdrawal"]
"""What stands across a print of a version that does not hold any more."""


@dataclass(frozen=True)
class Printed:
    """A print on record. `mark` is what its watermark says: nothing on a version that still holds."""

    version: VersionView
    number: int
    mark: Mark


def may_print(by: Actor) -> bool:
    """Whether this person's role prints reports at all."""
    return any(by.has(role) for role in PRINTERS)


def mark_of(versions: list[VersionView], version: VersionView) -> Mark:
    """What a print of this version must say over its text, besides what it was sealed with.

    ``withdrawal`` where the report was withdrawn after it, ``superseded`` where another version replaced it.
    """
    if version.state != "superseded":
        return ""
    return "withdrawal" if versions[0].status == "withdrawal" else "superseded"


def print_version(session: Session, by: Actor, report_id: str, number: int | None, now: datetime) -> Printed:
    """Record that somebody prints a version (None: the newest): at home, or at the center.

    Raises
    ------
    NotFound
        ``no_such_report``; ``no_such_document`` of a version issued before documents were made.
    Forbidden
        ``role_needed``.
    """
    by.require(*PRINTERS)
    versions = reports.versions(session, by, report_id, now)
    version = next((v for v in versions if number in (None, v.number)), None)
    if version is None:
        raise NotFound("no_such_report")
    mark = mark_of(versions, version)
    if not mark:
        reports.document(session, version, "pdf")  # none of a version from before there were any: nothing to print
    # The version's row is locked: two people who print at once get two numbers.
    session.execute(select(ReportVersion.id).where(ReportVersion.id == version.id).with_for_update())
    count = session.scalar(select(func.count()).where(ReportPrint.version_id == version.id)) or 0
    session.add(ReportPrint(version_id=version.id, by_id=by.id, at=now, number=count + 1, marked=mark))
    reading = session.get_one(Reading, report_id)
    audit.note(
        session,
        by,
        "report printed",
        now,
        thing="reading",
        thing_id=report_id,
        institution_id=reading.institution_id,
        patient_id=reading.patient_id,
        detail={"version": version.number, "print": count + 1},
    )
    return Printed(version, count + 1, mark)
