"""Break-glass: a doctor or reader opens a patient who is none of theirs, says why, and answers for it to the auditor.

For half an hour they see the patient's orders, images and issued reports in every institution; they can change nothing
by it. `worklist.queries.scope` says what is open, and every look is on record as any other is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import notices, persons
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.people import Actor
from worklist.queries import patients
from worklist.tables import BreakGlass, Institution, Patient, User, UserRole

OPEN_FOR: Final = timedelta(minutes=30)
SHORTEST_REASON: Final = 5  # characters: a word, not a keystroke
LONGEST_REASON: Final = 2000
OPENERS: Final = ("doctor", "reader", "senior reader")
JUDGEMENTS: Final = ("justified", "not justified")


def may_open(by: Actor) -> bool:
    """Whether the actor is one of those who may break the glass."""
    return any(by.has(role) for role in OPENERS)


def require_opener(by: Actor) -> None:
    """Raise `Forbidden` unless the actor may break the glass."""
    by.require_scope("people")  # a token for looking was not made for this
    by.require(*OPENERS)


def open_patient(session: Session, by: Actor, patient_id: str, reason: str, now: datetime) -> BreakGlass:
    """Open a patient for half an hour, and tell those who must know.

    Raises
    ------
    Forbidden
        ``role_needed``.
    BadInput
        ``reason_too_short``: it has fewer than ``least`` characters.
    NotFound
        ``no_such_patient``.
    Conflict
        ``patient_is_open``: the actor sees this patient already.
    """
    require_opener(by)
    why = reason.strip()[:LONGEST_REASON]
    if len(why) < SHORTEST_REASON:
        raise BadInput("reason_too_short", least=SHORTEST_REASON)
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise NotFound("no_such_patient")
    if patient.merged_into_id:
        patient = session.get_one(Patient, patient.merged_into_id)
    seen = select(Patient.id).where(Patient.id == patient.id, patients.visible(session, by))
    if session.scalar(seen) is not None:
        raise Conflict("patient_is_open")
    row = BreakGlass(user_id=by.id, patient_id=patient.id, reason=why, at=now, until=now + OPEN_FOR)
    session.add(row)
    session.flush()
    audit.note(session, by, "glass broken", now, thing="break-glass", thing_id=row.id, patient_id=patient.id, why=why)
    auditors, security = _to_be_told(session, by, patient.id)
    params = {"login": by.name}
    notices.tell(session, auditors, "glass broken", params, f"/audit/break-glass#use-{row.id}", now)
    notices.tell(session, security, "glass broken", params, f"/people/{by.id}", now)
    return row


def close(session: Session, by: Actor, opening_id: str, now: datetime) -> None:
    """End one's own opening before its time.

    Raises
    ------
    NotFound
        ``no_such_opening``: there is none, or it is another person's.
    """
    require_opener(by)
    row = session.get(BreakGlass, opening_id)
    if row is None or row.user_id != by.id:
        raise NotFound("no_such_opening")
    if row.until <= now:
        return
    row.until = now
    audit.note(session, by, "opening ended", now, thing="break-glass", thing_id=row.id, patient_id=row.patient_id)


def judge(session: Session, by: Actor, opening_id: str, judgement: str, remark: str, now: datetime) -> None:
    """An auditor says whether an opening was justified. It is said once.

    Raises
    ------
    Forbidden, NotFound, BadInput, Conflict
        ``own_opening``; ``no_such_opening``; ``field_wrong``, ``field_missing`` (not justified needs a remark);
        ``opening_is_judged``.
    """
    by.require_scope("admin")
    by.require("auditor")
    row = session.get(BreakGlass, opening_id)
    if row is None:
        raise NotFound("no_such_opening")
    if row.user_id == by.id:
        raise Forbidden("own_opening")
    if judgement not in JUDGEMENTS:
        raise BadInput("field_wrong", field="judgement")
    if judgement == "not justified" and not remark.strip():
        raise BadInput("field_missing", field="remark")
    if row.judged_at is not None:
        raise Conflict("opening_is_judged")
    row.judgement, row.remark = judgement, remark.strip()[:LONGEST_REASON]
    row.judged_by, row.judged_at = by.shown or by.name, now
    audit.note(
        session,
        by,
        "opening judged",
        now,
        thing="break-glass",
        thing_id=row.id,
        patient_id=row.patient_id,
        why=row.remark,
        detail={"judgement": judgement},
    )


def note_search(session: Session, by: Actor, now: datetime, found: int) -> None:
    """Somebody looked for a stranger. What they typed may be an identity number, and is not kept."""
    require_opener(by)
    audit.note(session, by, "patient sought", now, thing="patient", detail={"found": found})


def _to_be_told(session: Session, by: Actor, patient_id: str) -> tuple[list[str], list[str]]:
    """Ids of those who are told of an opening: the auditors, and the security admins of both institutions."""
    towns = persons.towns(session.get_one(Patient, patient_id))
    theirs = select(Institution.id).where(or_(Institution.code.in_(towns), Institution.id == by.institution_id))
    rows = session.execute(
        select(User.id, UserRole.role)
        .join(UserRole, UserRole.user_id == User.id)
        .where(
            User.enabled,
            User.id != by.id,
            or_(
                UserRole.role == "auditor",
                and_(UserRole.role == "security admin", User.institution_id.in_(theirs)),
            ),
        )
        .order_by(User.id)
    ).all()
    return [id for id, role in rows if role == "auditor"], [id for id, role in rows if role != "auditor"]
