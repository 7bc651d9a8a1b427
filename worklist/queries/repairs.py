"""What repairing a wrong patient would do, told before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import reading_making, wrong_patient
from worklist.people import Actor
from worklist.queries import parts, reports
from worklist.queries.views import StudyRow
from worklist.tables import CriticalResult, Delivery, Order, Reading, ReadingStudy, Study, StudyOrder


@dataclass(frozen=True)
class IssuedReport:
    """A report that would be withdrawn, and everybody who has it."""

    report_id: str
    status: str
    version: int
    signer: str
    signed_at: datetime | None
    told: tuple[str, ...]  # endpoints
    prints: int
    center: str
    may_withdraw: bool


@dataclass(frozen=True)
class RepairPlan:
    """A study, whose it is said to be, and what hangs on it."""

    study: StudyRow
    orders: tuple[tuple[str, str, str], ...]  # (id, accession number, patient's name) it serves now
    issued: tuple[IssuedReport, ...]
    begun: int  # readings without an issued version: their drafts stay on record, the cases are closed
    criticals: tuple[str, ...]  # words that will alarm the right patient's side
    may_repair: bool


def plan(session: Session, by: Actor, study_id: str, now: datetime) -> RepairPlan:
    """What a repair of this study would do.

    Raises
    ------
    NotFound
        ``no_such_study``.
    """
    row = reports.study(session, by, study_id, now)
    issued = wrong_patient.issued(session, study_id)
    begun = session.scalars(
        select(Reading.id)
        .join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        .where(ReadingStudy.study_id == study_id, Reading.state.not_in(reading_making.CLOSED))
    ).all()
    orders = session.scalars(
        select(Order).join(StudyOrder, StudyOrder.order_id == Order.id).where(StudyOrder.study_id == study_id)
    ).unique()
    words = session.scalars(
        select(CriticalResult.words).where(
            CriticalResult.reading_id.in_(begun), CriticalResult.state.not_in(wrong_patient.OVER)
        )
    )
    return RepairPlan(
        study=row,
        orders=tuple((o.id, o.accession_number, o.patient.name or o.patient.name_alphabetic) for o in orders),
        issued=tuple(_issued(session, by, reading) for reading in issued),
        begun=len(begun) - len(issued),
        criticals=tuple(dict.fromkeys(words)),
        may_repair=session.get_one(Study, study_id).link in ("matched", "matched by a person", "moved")
        and wrong_patient.may_repair(session, by, study_id),
    )


def _issued(session: Session, by: Actor, reading: Reading) -> IssuedReport:
    version = next(v for v in parts.versions(session, reading.id) if v.status)
    told = session.scalars(select(Delivery).where(Delivery.reading_id == reading.id)).unique()
    return IssuedReport(
        report_id=reading.id,
        status=version.status,
        version=version.number,
        signer=version.signer,
        signed_at=version.signed_at,
        told=tuple(sorted({d.endpoint.name for d in told})),
        prints=len(reports.prints(session, reading.id)),
        center=reading.center.name,
        may_withdraw=by.has("senior reader", reading.center_id),
    )
