"""Handing cases on: returned to the sender, referred upward, answered and recalled, closed, joined, split."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import anew, late, notices, readings
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import Fault
from worklist.moves import begin, can, move
from worklist.people import HUREN, Actor
from worklist.queries import rota
from worklist.rules.due import most_urgent
from worklist.rules.kinds import ANEW
from worklist.rules.returns import REASONS
from worklist.tables import CaseReturn, Center, Reading, ReadingOrder, ReadingStudy, StudyOrder, Transition


def return_to_sender(
    session: Session, by: Actor, reading_id: str, why: str, now: datetime, *, reason: str = "other"
) -> Reading:
    """Ask the township to repeat the examination: its orders are on the worklist again under their numbers.

    `reason` is what is counted; `why` tells the township what to do otherwise, and is always needed.

    Raises
    ------
    BadInput
        ``reason_missing``, ``field_wrong``.
    Conflict
        ``already_issued``, ``not_held_by_you``.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    if reason not in REASONS:
        raise BadInput("field_wrong", field="reason")
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    if reading.kind == ANEW:  # a repeat is a first examination of this order, and no fault of whom it is asked of
        anew.examine(session, reading, by, why.strip(), now)
        return reading
    return _send_home(session, reading, by, why.strip(), reason, (), now)


def return_faulty(session: Session, study_id: str, faults: Sequence[Fault], now: datetime) -> Reading | None:
    """Huren itself found that the recordings of a study cannot be read: its case goes back at once, while the patient
    is still there. What nobody may keep waiting (STAT) and what somebody has begun to read stays where it is. So does
    what was sent back in this way before: perhaps it cannot be done better, and a reader judges.

    Returns the reading where it was returned.
    """
    waiting = session.scalar(
        select(Reading.id)
        .join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        .where(ReadingStudy.study_id == study_id, Reading.kind == "primary", Reading.state == "unread")
        .limit(1)
        .with_for_update(of=Reading)  # a reader may be claiming it
    )
    reading = session.get_one(Reading, waiting) if waiting else None
    if not faults or reading is None or reading.priority == "STAT" or reading.holder_id is not None:
        return None
    before = select(CaseReturn.id).where(CaseReturn.reading_id == reading.id, CaseReturn.by_id.is_(None)).limit(1)
    if session.scalar(before) is not None:
        return None
    return _send_home(session, reading, HUREN, "", "incomplete", faults, now)


def _send_home(
    session: Session, reading: Reading, by: Actor, why: str, reason: str, faults: Sequence[Fault], now: datetime
) -> Reading:
    move(session, "reading", reading, "return", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = reading.due_at = reading.ready_at = None
    for order in readings.orders_of(session, reading):
        if can("order", order, "return"):
            move(session, "order", order, "return", by, now, why)
        order.note = "returned"
    session.add(
        CaseReturn(
            reading_id=reading.id,
            center_id=reading.center_id,
            institution_id=reading.institution_id,
            reason=reason,
            words="" if faults else why,
            faults=[{"code": fault.code, "params": dict(fault.params)} for fault in faults],
            by_id=by.id or None,
            at=now,
        )
    )
    found = {"faults": [fault.code for fault in faults]} if faults else {}
    readings.note(session, by, "case returned", reading, now, why, {"reason": reason, **found})
    for order in readings.orders_of(session, reading):
        params = {"accession_number": order.accession_number, "by": "" if by.is_system else by.shown or by.name}
        home = notices.home_staff(session, order.institution_id)
        notices.tell(session, home, "case returned", params, f"/orders/{order.id}", now)
    return reading


def answer_return(session: Session, by: Actor, return_id: str, words: str, now: datetime) -> CaseReturn:
    """The township says something to a return: what was wrong, when the patient comes, why it cannot be repeated.

    It is said once, by a technician or doctor of the institution, and is shown with the case when it comes back.

    Raises
    ------
    NotFound
        ``no_such_return``.
    BadInput
        ``field_missing``.
    Conflict
        ``return_is_answered``.
    """
    by.require_scope("order")
    row = session.get(CaseReturn, return_id)
    if row is None or row.institution_id != by.institution_id or not (by.has("technician") or by.has("doctor")):
        raise NotFound("no_such_return")
    if not words.strip():
        raise BadInput("field_missing", field="answer")
    answered = session.execute(
        update(CaseReturn)
        .where(CaseReturn.id == row.id, CaseReturn.answered_at.is_(None))
        .values(answer=words.strip(), answered_by=by.name, answered_at=now)
        .returning(CaseReturn.id)
        .execution_options(synchronize_session=False)
    ).first()
    if answered is None:
        raise Conflict("return_is_answered")
    session.refresh(row)
    audit.note(
        session,
        by,
        "return answered",
        now,
        thing="reading",
        thing_id=row.reading_id,
        institution_id=row.institution_id,
        detail={"return": row.id},
    )
    reading = session.get_one(Reading, row.reading_id)
    told, says = [row.by_id], notices.of_case(session, reading, by)
    notices.tell(session, told, "return answered", says, readings.case_page(reading), now)
    return row


def refer(
    session: Session, by: Actor, reading_id: str, center_id: str, why: str, now: datetime, *, expert_id: str = ""
) -> Reading:
    """Ask for an opinion: another center's, or that of one of its readers, or of a colleague of one's own center.

    It goes to that center's list until it is answered or recalled. With an `expert_id` it is given to that person, as
    a manager gives cases: nobody else is offered it as their next case, but whoever reads there may open and take it,
    so that no question waits for somebody who is away.

    Raises
    ------
    BadInput
        ``no_such_center``: not there, of another discipline, or one's own without an expert; ``reason_missing``;
        ``not_a_reader_here``: the expert does not read there, or is the actor.
    Conflict
        ``reader_is_absent``, ``not_held_by_you``.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    other = session.get(Center, center_id)
    if other is None or other.discipline != reading.center.discipline or (other is reading.center and not expert_id):
        raise BadInput("no_such_center")
    if not why.strip():
        raise BadInput("reason_missing")
    if expert_id:
        if expert_id == by.id or expert_id not in {reader.id for reader in rota.readers(session, other.id, now)}:
            raise BadInput("not_a_reader_here")
        if rota.is_absent(session, expert_id, now):
            raise Conflict("reader_is_absent")
    move(session, "reading", reading, "refer", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = None
    consultation = Reading(
        kind="consultation",
        center_id=other.id,
        patient_id=reading.patient_id,
        institution_id=reading.institution_id,
        priority=reading.priority,
        rank=reading.rank,
        due_at=reading.due_at,
        asked_by_id=reading.id,
        assigned_id=expert_id or None,
        note=why,
        created_at=now,
    )
    begin(session, "reading", consultation, "open", by, now, why)
    session.flush()
    for study in readings.studies_of(session, reading):
        session.add(ReadingStudy(reading_id=consultation.id, study_id=study.id))
    for order in readings.orders_of(session, reading):
        session.add(ReadingOrder(reading_id=consultation.id, order_id=order.id))
    detail: dict[str, object] = {"to": other.id, "consultation": consultation.id}
    if expert_id:
        detail["expert"] = expert_id
    readings.note(session, by, "case referred", reading, now, why, detail)
    asked = [expert_id] if expert_id else notices.holders_of(session, ("senior reader",), other.id)
    says = notices.of_case(session, reading, by)
    notices.tell(session, (id for id in asked if id != by.id), "referral", says, readings.case_page(consultation), now)
    return reading


def recall(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """Take a question back that nobody has answered yet: who asked it may, and any senior reader of their center.

    What was written for an answer so far is discarded with the consultation, on record.

    Raises
    ------
    Forbidden
        ``role_needed``.
    Conflict
        ``cannot_move``: it was answered, or nothing was asked. BadInput: ``reason_missing``.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    if reading.state == "referred" and not may_recall(session, by, reading):
        raise Forbidden("role_needed", roles="senior reader")
    if not why.strip():
        raise BadInput("reason_missing")
    move(session, "reading", reading, "recall", by, now, why)
    consultation = session.scalar(
        select(Reading).where(Reading.asked_by_id == reading.id, Reading.state.in_(("unread", "drafted")))
    )
    if consultation is not None:
        opinion = readings.draft_of(session, consultation.id)
        if opinion is not None:
            move(session, "report version", opinion, "discard", by, now, why)
        move(session, "reading", consultation, "close", by, now, why)
        consultation.note = why
        consultation.holder_id = consultation.held_until = None
        notices.settle(session, readings.case_page(consultation), ("referral",), now)
    reading.note = ""
    if readings.draft_of(session, reading.id) is None:
        readings.new_draft(session, reading, by, now)
    readings.note(session, by, "referral recalled", reading, now, why)
    return reading


def may_recall(session: Session, by: Actor, reading: Reading) -> bool:
    """Whether the case is referred and the actor may take the question back."""
    if reading.state != "referred":
        return False
    asked = select(Transition.actor).where(Transition.thing_id == reading.id, Transition.verb == "refer")
    asker = session.scalar(asked.order_by(Transition.seq.desc()).limit(1))
    return asker == by.name or by.has("senior reader", reading.center_id)


def answer_referral(session: Session, by: Actor, consultation_id: str, now: datetime) -> Reading:
    """Give the opinion written in a consultation back to the case that asked; that case goes on where it was."""
    by.require_scope("report")
    consultation = readings.get(session, by, consultation_id)
    readings.require_lease(consultation, by, now)
    opinion = readings.draft_of(session, consultation.id)
    if consultation.kind != "consultation" or opinion is None or not opinion.impression.strip():
        raise BadInput("impression_missing")
    asked = _asked_by(session, consultation)
    if asked is None:
        raise Conflict("nobody_asks_any_more")
    move(session, "reading", consultation, "close", by, now)
    consultation.holder_id = consultation.held_until = None
    words = "\n".join(part for part in (opinion.findings, opinion.impression) if part)
    _give_back(session, asked, words, by, now)
    readings.note(session, by, "referral answered", asked, now, detail={"consultation": consultation.id})
    return asked


def _asker(session: Session, reading: Reading) -> str | None:
    """Id of the person who referred a case last."""
    asked = select(Transition.actor_id).where(Transition.thing_id == reading.id, Transition.verb == "refer")
    return session.scalar(asked.order_by(Transition.seq.desc()).limit(1))


def _asked_by(session: Session, consultation: Reading) -> Reading | None:
    """The referred case that waits for this consultation."""
    asked = session.get(Reading, consultation.asked_by_id) if consultation.asked_by_id else None
    return asked if asked is not None and asked.state == "referred" else None


def _give_back(session: Session, asked: Reading, words: str, by: Actor, now: datetime) -> None:
    move(session, "reading", asked, "answer", by, now)
    asked.note = words
    held = readings.draft_of(session, asked.id)
    says = notices.of_case(session, asked, by)
    told = [_asker(session, asked), held.writer_id if held is not None else None]
    notices.tell(session, told, "referral answered", says, readings.case_page(asked), now)
    if held is None:
        readings.new_draft(session, asked, by, now)


def close(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """Close a case without a report, with a reason; its orders are no longer waiting.

    Closing a consultation declines it: the case that asked goes on with the reason, and its orders stay as they are.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    by.require("senior reader", center_id=reading.center_id)
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    draft = readings.draft_of(session, reading.id)
    if draft is not None:
        move(session, "report version", draft, "discard", by, now, why)
    move(session, "reading", reading, "close", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = None
    if reading.kind == "consultation":
        asked = _asked_by(session, reading)
        if asked is not None:
            _give_back(session, asked, why, by, now)
    else:
        for order in readings.orders_of(session, reading):
            if reading.kind == ANEW:
                anew.give_up(session, order, by, why, now)
            if can("order", order, "abandon"):
                move(session, "order", order, "abandon", by, now, why)
            order.note = "closed_without_report"
    readings.note(session, by, "case closed without report", reading, now, why)
    return reading


def join(session: Session, by: Actor, reading_id: str, other_id: str, why: str, now: datetime) -> Reading:
    """One examination, two orders: the other reading's orders and studies join this one, which is kept."""
    by.require_scope("report")
    reading, other = readings.get(session, by, reading_id), readings.get(session, by, other_id)
    if reading.id == other.id or reading.patient_id is None or reading.patient_id != other.patient_id:
        raise BadInput("not_the_same_patient")
    # A report goes to one institution, and a consultation to none: the other's orders would never be answered.
    if reading.kind != "primary" or reading.institution_id != other.institution_id:
        raise Conflict("cannot_join")
    if not why.strip():
        raise BadInput("reason_missing")
    if other.state != "unread" or other.kind != "primary" or reading.state not in ("unread", "drafted", "in review"):
        raise Conflict("cannot_join")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    for order in readings.orders_of(session, other):
        if session.get(ReadingOrder, (reading.id, order.id)) is None:
            session.add(ReadingOrder(reading_id=reading.id, order_id=order.id))
    for study in readings.studies_of(session, other):
        if session.get(ReadingStudy, (reading.id, study.id)) is None:
            session.add(ReadingStudy(reading_id=reading.id, study_id=study.id))
    move(session, "reading", other, "close", by, now, why)
    other.note = why
    reading.priority = most_urgent([reading.priority, other.priority])
    reading.rank = min(reading.rank, other.rank)
    if other.due_at is not None:
        reading.due_at = min(reading.due_at or other.due_at, other.due_at)
    if other.ready_at is not None:
        reading.ready_at = min(reading.ready_at or other.ready_at, other.ready_at)
    readings.note(session, by, "cases joined", reading, now, why, {"joined": other.id})
    return reading


def split(session: Session, by: Actor, reading_id: str, order_id: str, why: str, now: datetime) -> Reading:
    """Give one covered order a reading of its own over the studies that serve it, until something is issued.

    What serves another order of the case, or none that is known, stays there; both have a study that serves both.
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    row = session.get(ReadingOrder, (reading.id, order_id))
    orders = readings.orders_of(session, reading)
    if row is None or len(orders) < 2 or reading.state not in ("unread", "drafted", "in review"):
        raise Conflict("nothing_to_split")
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    own = Reading(
        center_id=reading.center_id,
        group_id=reading.group_id,
        route_id=reading.route_id,
        patient_id=reading.patient_id,
        institution_id=reading.institution_id,
        priority=reading.priority,
        rank=reading.rank,
        due_at=reading.due_at,
        ready_at=reading.ready_at,
        created_at=now,
    )
    begin(session, "reading", own, "open", by, now, why)
    session.flush()
    session.delete(row)
    session.add(ReadingOrder(reading_id=own.id, order_id=order_id))
    studies = readings.studies_of(session, reading)
    serving = select(StudyOrder.study_id, StudyOrder.order_id).where(StudyOrder.study_id.in_([s.id for s in studies]))
    served: dict[str, set[str]] = {}
    for study_id, served_id in session.execute(serving):
        served.setdefault(study_id, set()).add(served_id)
    left = {order.id for order in orders} - {order_id}
    taken = [study for study in studies if order_id in served.get(study.id, ())] or studies
    staying = [study for study in studies if study not in taken or left & served.get(study.id, set())]
    for study in taken:
        session.add(ReadingStudy(reading_id=own.id, study_id=study.id))
        if staying and study not in staying:
            session.delete(session.get_one(ReadingStudy, (reading.id, study.id)))
    readings.note(session, by, "case split", reading, now, why, {"order": order_id, "new": own.id})
    return own
