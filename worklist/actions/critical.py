"""Critical results (危急值), and in a second tier major positive ones (重大阳性值): marked, verified, shown at the
township, answered with read-back, else escalated.

The ladder: 0 the township's pages, 1 the ordering doctor and the township's other doctors, then the center's people on
call, tier after tier and again from the first, until a person answers.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit, outbox
from worklist.actions import aids, calling, notices, readings
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.moves import begin, can, move
from worklist.people import HUREN, Actor
from worklist.rules.routing import within
from worklist.tables import Center, CriticalResult, Institution, Reading

OPEN = ("detected", "verified", "notified", "escalated", "read back", "acknowledged")
UNANSWERED = ("notified", "escalated")
VERIFY_JOB: Final = "verify_critical"
ASKING: Final = ("critical", "critical verify")
"""Notices that ask for an answer."""


def mark(session: Session, by: Actor, reading_id: str, words: str, now: datetime) -> CriticalResult:
    """A doctor marks a critical result, before signing too; the township's page shows it from this moment, or, where
    the center asks for two people, once a second doctor has verified it.

    Marking the same words again for the same case changes nothing, unless it is the second doctor who does; other words
    supersede the open one. Words that name an entry of the center's second tier climb that tier's ladder; others are
    critical.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    return mark_for_report(session, by, reading, words, now)


def mark_for_report(
    session: Session, by: Actor, reading: Reading, words: str, now: datetime, *, is_verified: bool = False
) -> CriticalResult:
    """As `mark`, for a reading whose permission was checked already. `is_verified`: two people have seen it."""
    words = words.strip()
    if not words:
        raise BadInput("critical_words_missing")
    held = session.scalars(
        select(CriticalResult).where(CriticalResult.reading_id == reading.id).order_by(CriticalResult.id.desc())
    ).all()
    for earlier in held:
        if earlier.words == words and earlier.state not in ("retracted", "superseded"):
            if earlier.state == "detected" and (is_verified or earlier.marked_by != by.id):
                _verify(session, earlier, by, now)
            return earlier
    for earlier in held:
        if can("critical result", earlier, "supersede"):
            move(session, "critical result", earlier, "supersede", by, now)
            earlier.closed_at = now
            notices.settle(session, page_of(earlier), ASKING, now)
    item = aids.critical_item_of(session, reading.center_id, words)
    result = CriticalResult(
        reading_id=reading.id,
        institution_id=reading.institution_id,
        patient_id=reading.patient_id,
        words=words,
        item_id=item.id if item is not None else None,
        tier=item.tier if item is not None else "critical",
        marked_by=by.id,
        marked_at=now,
    )
    _begin(session, result, reading.center, by, now, is_verified=is_verified)
    return result


def drill(
    session: Session, by: Actor, center_id: str, institution_id: str, words: str, now: datetime
) -> CriticalResult:
    """A manager lets a center and an institution practise: a critical result of nobody, on every step of the ladder.

    It belongs to no case, so no report, message or figure can carry it.

    Raises
    ------
    NotFound, BadInput
        ``no_such_institution``; ``critical_words_missing``.
    Conflict
        ``drill_is_running``: the one before is not closed yet.
    """
    by.require_scope("report")
    by.require("manager", center_id=center_id)
    if session.get(Institution, institution_id) is None:
        raise NotFound("no_such_institution")
    if not words.strip():
        raise BadInput("critical_words_missing")
    running = select(CriticalResult.id).where(
        CriticalResult.is_drill,
        CriticalResult.center_id == center_id,
        CriticalResult.institution_id == institution_id,
        CriticalResult.closed_at.is_(None),
    )
    if session.scalar(running.limit(1)) is not None:
        raise Conflict("drill_is_running")
    center = session.get_one(Center, center_id)
    result = CriticalResult(
        center_id=center.id,
        institution_id=institution_id,
        words=words.strip(),
        is_drill=True,
        marked_by=by.id,
        marked_at=now,
    )
    _begin(session, result, center, by, now)
    return result


def verify(session: Session, by: Actor, result_id: str, now: datetime) -> CriticalResult:
    """A second doctor of the center has looked as well: the result is announced.

    In the hours in which a center lets a reader be alone, who marked it may look a second time.

    Raises
    ------
    NotFound, Forbidden
        not theirs; ``second_person_needed``.
    Conflict
        ``cannot_move``: it was announced already, or taken back.
    """
    by.require_scope("report")
    result = _of_center(session, by, result_id)
    center = calling.center_of(session, result)
    by.require(*readings.READERS, center_id=center.id)
    if result.marked_by == by.id and not is_alone(center, now):
        raise Forbidden("second_person_needed")
    _verify(session, result, by, now)
    return result


def is_alone(center: Center, now: datetime) -> bool:
    """Whether a reader of the center may be alone at this hour."""
    local = now.astimezone(ZoneInfo(center.institution.timezone))
    return within(local.time(), center.preliminary_hours)


def announce_unverified(session: Session, result_id: str, now: datetime) -> datetime | None:
    """Announce a result that nobody has verified in time: a patient waits no longer for our second look.

    Returns when to look again, or None.
    """
    result = session.get(CriticalResult, result_id)
    if result is None or result.state != "detected":
        return None
    if result.escalate_at is not None and now < result.escalate_at:
        return result.escalate_at
    _announce(session, result, HUREN, now)
    _note(session, HUREN, "critical result announced unverified", result, now)
    return None


def acknowledge(session: Session, by: Actor, result_id: str, read_back: str, now: datetime) -> CriticalResult:
    """A doctor of the township answers on the page, reading the result back in their own words.

    Raises
    ------
    NotFound
        not theirs, or not announced yet.
    BadInput
        ``read_back_missing``.
    """
    result = _of_home(session, by, result_id)
    return _answer(session, by, result, by.shown or by.name, read_back, "page", now)


def record_call(
    session: Session, by: Actor, result_id: str, answered_by: str, read_back: str, now: datetime
) -> CriticalResult:
    """A reader records that somebody answered by telephone and read the result back."""
    by.require_scope("report")
    result = _of_center(session, by, result_id)
    by.require(*readings.READERS, center_id=calling.center_of(session, result).id)
    if not answered_by.strip():
        raise BadInput("who_answered_missing")
    return _answer(session, by, result, answered_by.strip(), read_back, "telephone", now)


def dispose(session: Session, by: Actor, result_id: str, disposition: str, now: datetime) -> CriticalResult:
    """The township records what was done for the patient; this closes the result."""
    result = _of_home(session, by, result_id)
    if not disposition.strip():
        raise BadInput("disposition_missing")
    move(session, "critical result", result, "dispose", by, now)
    result.disposition, result.closed_at = disposition.strip(), now
    _tell_center(session, result, by, now)
    _note(session, by, "critical result disposed", result, now)
    return result


def retract(session: Session, by: Actor, result_id: str, why: str, now: datetime) -> CriticalResult:
    """A reader takes a critical result back, with a reason; a manager ends a drill so."""
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
    """Climb the ladder if nobody has answered in time; returns when to look again."""
    result = session.get(CriticalResult, result_id)
    if result is None or result.state not in UNANSWERED or result.escalate_at is None:
        return None
    if now < result.escalate_at:
        return result.escalate_at
    center = calling.center_of(session, result)
    minutes = calling.ladder(center, result.tier)
    move(session, "critical result", result, "escalate", HUREN, now)
    result.step += 1
    names, users = calling.whom(session, result, center, now)
    call = {"step": result.step, "who": ", ".join(names), "users": users, "at": now.isoformat()}
    result.called = [*result.called, call]
    _tell(session, result, users, "critical", now)
    last = minutes[-1]
    gap = minutes[result.step] - minutes[result.step - 1] if result.step < len(minutes) else last
    result.escalate_at = now + timedelta(minutes=max(gap, 1))
    _note(session, HUREN, "critical result escalated", result, now)
    return result.escalate_at


def page_of(result: CriticalResult) -> str:
    """The address of a critical result's own page."""
    return f"/critical/{result.id}"


def _begin(
    session: Session, result: CriticalResult, center: Center, by: Actor, now: datetime, *, is_verified: bool = False
) -> None:
    begin(session, "critical result", result, "detect", by, now)
    session.flush()
    _note(session, by, "drill begun" if result.is_drill else "critical result marked", result, now)
    if center.two_person_critical and not is_verified:
        result.escalate_at = now + timedelta(minutes=center.verify_minutes)
        outbox.put(session, VERIFY_JOB, result.id, now)
        others = [id for tier in calling.on_call(session, center.id, now) for id in tier if id != by.id]
        others = others or [id for id in notices.holders_of(session, readings.READERS, center.id) if id != by.id]
        _tell(session, result, others, "critical verify", now)
        return
    # Where one doctor is enough, whoever marks it has looked at the images: marking is the verification.
    move(session, "critical result", result, "verify", by, now)
    if is_verified:
        result.verified_by, result.verified_at = by.id, now
    _announce(session, result, HUREN, now)


def _verify(session: Session, result: CriticalResult, by: Actor, now: datetime) -> None:
    move(session, "critical result", result, "verify", by, now)
    result.verified_by, result.verified_at = by.id, now
    _announce(session, result, HUREN, now)
    _note(session, by, "critical result verified", result, now)


def _announce(session: Session, result: CriticalResult, by: Actor, now: datetime) -> None:
    """The township's pages show it, and the ladder begins."""
    minutes = calling.ladder(calling.center_of(session, result), result.tier)
    result.notified_at = now
    result.escalate_at = now + timedelta(minutes=minutes[0]) if minutes else None
    move(session, "critical result", result, "notify", by, now)
    notices.settle(session, page_of(result), ("critical verify",), now)
    _tell(session, result, notices.home_staff(session, result.institution_id), "critical", now)


def _answer(
    session: Session, by: Actor, result: CriticalResult, who: str, read_back: str, way: str, now: datetime
) -> CriticalResult:
    if not read_back.strip():
        raise BadInput("read_back_missing")
    move(session, "critical result", result, "read back", by, now)
    move(session, "critical result", result, "acknowledge", by, now)
    result.answered_by, result.answered_at, result.answer_way = who, now, way
    result.read_back, result.escalate_at = read_back.strip(), None
    notices.settle(session, page_of(result), ASKING, now)
    _tell_center(session, result, by, now)
    _note(session, by, "critical result acknowledged", result, now)
    return result


def _retract(session: Session, by: Actor, result: CriticalResult, why: str, now: datetime) -> None:
    move(session, "critical result", result, "retract", by, now, why)
    result.closed_at, result.escalate_at = now, None
    notices.settle(session, page_of(result), ASKING, now)
    _note(session, by, "critical result retracted", result, now, why)


def _of_center(session: Session, by: Actor, result_id: str) -> CriticalResult:
    """A result of a case that the actor may read, or a drill of a center that they work in or manage."""
    result = session.get(CriticalResult, result_id)
    if result is None:
        raise NotFound("no_such_critical_result")
    if result.reading_id is not None:
        readings.get(session, by, result.reading_id)
    elif result.center_id not in by.centers(*readings.READERS, "manager"):
        raise NotFound("no_such_critical_result")
    return result


def _of_home(session: Session, by: Actor, result_id: str) -> CriticalResult:
    """A result that was announced to the actor's institution, for its doctors."""
    by.require_scope("order")
    by.require("doctor")
    result = session.get(CriticalResult, result_id)
    if result is None or result.institution_id != by.institution_id or result.notified_at is None:
        raise NotFound("no_such_critical_result")
    return result


def _tell_center(session: Session, result: CriticalResult, by: Actor, now: datetime) -> None:
    told = [id for id in (result.marked_by, result.verified_by) if id != by.id]
    _tell(session, result, told, "critical answered", now, by)


def _tell(
    session: Session,
    result: CriticalResult,
    users: list[str | None] | list[str],
    kind: str,
    now: datetime,
    by: Actor | None = None,
) -> None:
    params: dict[str, object] = {}
    if result.reading_id is not None:
        params |= notices.of_case(session, session.get_one(Reading, result.reading_id), by)
    if result.is_drill:
        params["drill"] = True
    notices.tell(session, users, kind, params, page_of(result), now)


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
        detail={"drill": True} if result.is_drill else None,
    )
