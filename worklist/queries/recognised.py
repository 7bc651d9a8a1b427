"""Offers with their answers, as the pages of their orders and managers see them, and questions about refusals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import outside
from worklist.queries.views import Recognised
from worklist.tables import (
    Institution,
    OutsideReport,
    Patient,
    Procedure,
    Reading,
    Recognition,
    Study,
    StudyOrder,
    User,
)

SHOWN: Final = 50
"""Refusals of one page."""


def of_orders(session: Session, order_ids: Sequence[str]) -> list[Recognised]:
    """What was recognised for these orders, or declined before they were placed. For callers that scope."""
    return _recognised(session, Recognition.order_id.in_(order_ids))


def declined(
    session: Session, by: Actor, since: datetime, until: datetime, *, after: str = "", limit: int = SHOWN
) -> list[Recognised]:
    """Refusals of that time, the newest first, for managers, who may challenge them.

    Raises
    ------
    Forbidden
        ``role_needed``.
    """
    by.require("manager", "PACS admin")
    conditions = [
        Recognition.state == "declined",
        Recognition.answered_at >= since,
        Recognition.answered_at < until,
    ]
    if after:
        conditions.append(Recognition.id < after)
    return _recognised(session, *conditions, limit=limit)


def asked_about(session: Session, by: Actor, recognition_id: str) -> Recognised:
    """A refusal of the caller's institution that a manager may have asked about.

    Raises
    ------
    Forbidden, NotFound
        ``role_needed``; ``no_such_recognition``.
    """
    by.require("technician", "doctor")
    found = _recognised(
        session,
        Recognition.id == recognition_id,
        Recognition.institution_id == by.institution_id,
        Recognition.state == "declined",
    )
    if not found:
        raise NotFound("no_such_recognition")
    return found[0]


def questions(session: Session, by: Actor) -> list[Recognised]:
    """Refusals of the caller's institution that a manager asked about and nobody has answered for, the newest first.

    Raises
    ------
    Forbidden
        ``role_needed``.
    """
    by.require("technician", "doctor")
    return _recognised(
        session,
        Recognition.institution_id == by.institution_id,
        Recognition.state == "declined",
        Recognition.challenged_at.is_not(None),
        Recognition.replied_at.is_(None),
    )


def _recognised(session: Session, *conditions: object, limit: int = 50) -> list[Recognised]:
    ours, theirs = aliased(Patient), aliased(Patient)
    rows = session.execute(
        select(Recognition, Procedure, User.name, Reading.state, theirs.person_id == ours.person_id, OutsideReport)
        .join(Procedure, Procedure.id == Recognition.procedure_id)
        .outerjoin(User, User.id == Recognition.answered_by_id)
        .outerjoin(Reading, Reading.id == Recognition.reading_id)
        .outerjoin(OutsideReport, OutsideReport.id == Recognition.outside_id)
        .join(ours, ours.id == Recognition.patient_id)
        .outerjoin(theirs, theirs.id == Reading.patient_id)
        .where(*conditions)  # type: ignore[arg-type]
        .order_by(Recognition.id.desc())
        .limit(limit)
    ).all()
    if not rows:
        return []
    # Read again, for the study may have become somebody else's.
    held = session.execute(
        select(Recognition.id, Study.id)
        .join(StudyOrder, StudyOrder.order_id == Recognition.result_order_id)
        .join(Study, Study.id == StudyOrder.study_id)
        .join(ours, ours.id == Recognition.patient_id)
        .join(theirs, theirs.id == Study.patient_id)
        .where(Recognition.id.in_([row.id for row, *_rest in rows]), theirs.person_id == ours.person_id)
        .order_by(Study.id)
    ).all()
    views = []
    for row, procedure, answered_by, state, same_person, theirs_row in rows:
        home = session.get_one(Institution, row.institution_id)
        place = session.get_one(Institution, row.result_institution_id) if row.result_institution_id else home
        elsewhere: OutsideReport | None = theirs_row
        source = outside.source_of(elsewhere) if elsewhere is not None else None
        if elsewhere is not None:
            is_withdrawn = not outside.stands(session, elsewhere.id, row.patient_id)
            same_person = True  # `stands` has asked
        else:
            is_withdrawn = state == "withdrawn" or not same_person
        views.append(
            Recognised(
                id=row.id,
                state=row.state,
                institution=home.name,
                result_institution=source.name if source is not None else place.name,
                procedure=procedure.name,
                procedure_en=procedure.name_en or procedure.name,
                reading_id=row.reading_id or "",
                study_ids=tuple(study_id for of, study_id in held if of == row.id),
                taken_at=row.taken_at,
                timezone=place.timezone,
                outcome=row.outcome,
                adopted=row.adopted,
                reason=row.reason,
                words=row.words,
                patient_told=row.patient_told,
                offered_at=row.offered_at,
                answered_by=answered_by or "",
                answered_at=row.answered_at,
                order_id=row.order_id or "",
                challenge=row.challenge,
                challenged_by=row.challenged_by,
                challenged_at=row.challenged_at,
                reply=row.reply,
                replied_by=row.replied_by,
                replied_at=row.replied_at,
                because=tuple(row.because),
                is_withdrawn=is_withdrawn,
                outside_id=row.outside_id or "",
                is_of_another=not same_person,
            )
        )
    return views
