"""Critical results (危急值): marked, shown at the township, answered with read-back, escalated until somebody does."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import readings
from worklist.errors import BadInput, NotFound
from worklist.moves import begin, can, move
from worklist.people import HUREN, Actor
from worklist.tables import Center, CriticalResult, OnDuty, Order, Reading, ReadingOrder, User

OPEN = ("detected", "verified", "notified", "escalated", "read back", "acknowledged")
UNANSWERED = ("notified", "escalated")


def mark(session: Session, by: Actor, reading_id: str, words: str, now: datetime) -> CriticalResult:
    """A doctor marks a critical result, before signing too; the township's page shows it from this moment.

    Marking the same words again for the same case changes nothing; other words supersede the open one.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    return mark_for_report(session, by, reading, words, now)


def mark_for_report(session: Session, by: Actor, reading: Reading, words: str, now: datetime) -> CriticalResult:
    """As `mark`, for a reading whose permission was checked already."""
    words = words.strip()
    if not words:
        raise BadInput("critical_words_missing")
    held = session.scalars(
        select(CriticalResult).where(CriticalResult.reading_id == reading.id).order_by(CriticalResult.id.desc())
    ).all()
    for earlier in held:
        if earlier.words == words and earlier.state not in ("retracted", "superseded"):
            return earlier
    for earlier in held:
        if can("critical result", earlier, "supersede"):
            move(session, "critical result", earlier, "supersede", by, now)
            earlier.closed_at = now
    minutes = session.get_one(Center, reading.center_id).escalation_minutes
    result = CriticalResult(
        reading_id=reading.id,
        institution_id=reading.institution_id,
        patient_id=reading.patient_id,
        words=words,
        marked_by=by.id,
        marked_at=now,
        notified_at=now,
        escalate_at=now + timedelta(minutes=minutes[0]) if minutes else None,
    )
    begin(session, "critical result", result, "detect", by, now)
    session.flush()
    # The doctor who marks it has looked at the images: marking is the verification (two people come with issue 5).
    move(session, "critical result", result, "verify", by, now)
    move(session, "critical result", result, "notify", HUREN, now)
    _note(session, by, "critical result marked", result, now)
    return result


def acknowledge(session: Session, by: Actor, result_id: str, read_back: str, now: datetime) -> CriticalResult:
    """A doctor of the township answers on the page, reading the result back in their own words.

    Raises
    ------
    NotFound
        not theirs.
    BadInput
        ``read_back_missing``.
    """
    by.require_scope("order")
    by.require("doctor")
    result = session.get(CriticalResult, result_id)
    if result is None or result.institution_id != by.institution_id:
        raise NotFound("no_such_critical_result")
    return _answer(session, by, result, by.shown or by.name, read_back, "page", now)


def record_call(
    session: Session, by: Actor, result_id: str, answered_by: str, read_back: str, now: datetime
) -> CriticalResult:
    """A reader records that somebody answered by telephone and read the result back."""
    by.require_scope("report")
    result = _of_center(session, by, result_id)
    if not answered_by.strip():
        raise BadInput("who_answered_missing")
    return _answer(session, by, result, answered_by.strip(), read_back, "telephone", now)


def dispose(session: Session, by: Actor, result_id: str, disposition: str, now: datetime) -> CriticalResult:
    """The township records what was done for the patient; this closes the result."""
    by.require_scope("order")
    by.require("doctor")
    result = session.get(CriticalResult, result_id)
    if result is None or result.institution_id != by.institution_id:
        raise NotFound("no_such_critical_result")
    if not disposition.strip():
        raise BadInput("disposition_missing")
    move(session, "critical result", result, "dispose", by, now)
    result.disposition, result.closed_at = disposition.strip(), now
    _note(session, by, "critical result disposed", result, now)
    return result


def retract(session: Session, by: Actor, result_id: str, why: str, now: datetime) -> CriticalResult:
    """A reader takes a critical result back, with a reason."""
    by.require_scope("report")
    result = _of_center(session, by, result_id)
    if not why.strip():
        raise BadInput("reason_missing")
    _retract(session, by, result, why, now)
    return result


def retract_all(session: Session, by: Actor, reading: Reading, why: str, now: datetime) -> list[str]:
    """Retract the open critical results of a reading that is withdrawn or closed; returns their words."""
    rows = session.scalars(
        select(CriticalResult).where(CriticalResult.reading_id == reading.id).order_by(CriticalResult.id)
    ).all()
    retracted = [result for result in rows if can("critical result", result, "retract")]
    for result in retracted:
        _retract(session, by, result, why, now)
    return [result.words for result in retracted]


def escalate(session: Session, result_id: str, now: datetime) -> datetime | None:
    """Climb the ladder if nobody has answered in time; returns when to look again.

    Step 1 names the ordering doctor, every later step the next person of the center's on-duty list, who is named
    again and again until a person closes it.
    """
    result = session.get(CriticalResult, result_id)
    if result is None or result.state not in UNANSWERED or result.escalate_at is None:
        return None
    if now < result.escalate_at:
        return result.escalate_at
    reading = session.get_one(Reading, result.reading_id)
    minutes = session.get_one(Center, reading.center_id).escalation_minutes
    move(session, "critical result", result, "escalate", HUREN, now)
    result.step += 1
    result.called = [
        *result.called,
        {"step": result.step, "who": _whom(session, reading, result.step), "at": now.isoformat()},
    ]
    last = int(minutes[-1])
    gap = int(minutes[result.step]) - int(minutes[result.step - 1]) if result.step < len(minutes) else last
    result.escalate_at = now + timedelta(minutes=max(gap, 1))
    _note(session, HUREN, "critical result escalated", result, now)
    return result.escalate_at


def _whom(session: Session, reading: Reading, step: int) -> str:
    if step == 1:
        doctor = session.scalar(
            select(Order.ordering_doctor)
            .join(ReadingOrder, ReadingOrder.order_id == Order.id)
            .where(ReadingOrder.reading_id == reading.id, Order.ordering_doctor != "")
            .limit(1)
        )
        if doctor:
            return doctor
    names = session.scalars(
        select(User.name)
        .join(OnDuty, OnDuty.user_id == User.id)
        .where(OnDuty.center_id == reading.center_id)
        .order_by(OnDuty.place, User.id)
    ).all()
    return names[(step - 2) % len(names)] if names and step >= 2 else ", ".join(names)


def _answer(
    session: Session, by: Actor, result: CriticalResult, who: str, read_back: str, way: str, now: datetime
) -> CriticalResult:
    if not read_back.strip():
        raise BadInput("read_back_missing")
    move(session, "critical result", result, "read back", by, now)
    move(session, "critical result", result, "acknowledge", by, now)
    result.answered_by, result.answered_at, result.answer_way = who, now, way
    result.read_back, result.escalate_at = read_back.strip(), None
    _note(session, by, "critical result acknowledged", result, now)
    return result


def _retract(session: Session, by: Actor, result: CriticalResult, why: str, now: datetime) -> None:
    move(session, "critical result", result, "retract", by, now, why)
    result.closed_at, result.escalate_at = now, None
    _note(session, by, "critical result retracted", result, now, why)


def _of_center(session: Session, by: Actor, result_id: str) -> CriticalResult:
    result = session.get(CriticalResult, result_id)
    if result is None:
        raise NotFound("no_such_critical_result")
    readings.get(session, by, result.reading_id)
    return result


def _note(session: Session, by: Actor, action: str, result: CriticalResult, now: datetime, why: str = "") -> None:
    audit.note(
        session,
        by,
        action,
        now,
        thing="critical result",
        thing_id=result.id,
        institution_id=result.institution_id,
        patient_id=result.patient_id,
        why=why,
    )
