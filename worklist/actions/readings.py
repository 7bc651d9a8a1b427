"""Reading: claim, write, submit, send back, return, refer, close. Signing is in `worklist.actions.reports`.

A lease (holder, until) says who works on a case now; it changes no state, and when it runs out neither the state
nor the words change. A draft carries a revision: writing on a stale one is refused and loses nobody's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import late
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import ReportText
from worklist.moves import begin, can, move
from worklist.people import Actor
from worklist.tables import Center, Order, Reading, ReadingOrder, ReadingStudy, ReportVersion, Study

READERS = ("reader", "senior reader")


@dataclass(frozen=True)
class Saved:
    """A draft as it is held now."""

    reading_id: str
    version_id: str
    revision: int
    held_until: datetime


def get(session: Session, by: Actor, reading_id: str) -> Reading:
    """The reading, if it is the actor's center's work.

    Raises
    ------
    NotFound
        not there, or not theirs: the two look the same.
    """
    reading = session.get(Reading, reading_id)
    if reading is None or reading.center_id not in by.centers(*READERS):
        raise NotFound("no_such_reading")
    return reading


def claim(session: Session, by: Actor, reading_id: str, now: datetime) -> Reading:
    """Take the lease of a case, or extend one's own.

    Raises
    ------
    Conflict
        ``held_by_another`` while somebody else's lease runs, ``nothing_to_read`` in a state without work.
    """
    by.require_scope("report")
    reading = get(session, by, reading_id)
    if reading.state not in ("unread", "drafted", "in review"):
        raise Conflict("nothing_to_read", state=reading.state)
    if reading.state == "in review" and not by.has("senior reader", reading.center_id):
        raise Forbidden("role_needed", roles="senior reader")
    center = session.get_one(Center, reading.center_id)
    until = now + timedelta(minutes=center.lease_minutes)
    fresh = reading.holder_id != by.id or reading.held_until is None or reading.held_until <= now
    taken = session.execute(
        update(Reading)
        .where(
            Reading.id == reading.id,
            or_(Reading.holder_id.is_(None), Reading.holder_id == by.id, Reading.held_until <= now),
        )
        .values(holder_id=by.id, held_until=until)
        .returning(Reading.id)
        .execution_options(synchronize_session=False)
    ).first()
    if taken is None:
        raise Conflict("held_by_another")
    session.refresh(reading, ["holder_id", "held_until"])
    if fresh:
        _note(session, by, "case claimed", reading, now)
    return reading


def take_over(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """A senior takes a case from its holder, with a reason. The words written so far stay."""
    by.require_scope("report")
    reading = get(session, by, reading_id)
    by.require("senior reader", center_id=reading.center_id)
    if not why.strip():
        raise BadInput("reason_missing")
    before = reading.holder_id
    reading.holder_id = reading.held_until = None
    session.flush()
    claim(session, by, reading_id, now)
    _note(session, by, "case taken over", reading, now, why, {"from": before})
    return reading


def release(session: Session, by: Actor, reading_id: str, now: datetime) -> Reading:
    """Give the lease back; the draft stays."""
    by.require_scope("report")
    reading = get(session, by, reading_id)
    if reading.holder_id != by.id:
        raise Conflict("not_held_by_you")
    reading.holder_id = reading.held_until = None
    return reading


def draft_of(session: Session, reading_id: str) -> ReportVersion | None:
    """The version being written, or None."""
    return session.scalar(
        select(ReportVersion).where(ReportVersion.reading_id == reading_id, ReportVersion.state == "draft")
    )


def save_draft(
    session: Session, by: Actor, reading_id: str, text: ReportText, revision: int | None, now: datetime
) -> Saved:
    """Write the draft; the first words make it. `revision` is the one the words were based on (None: the present).

    Raises
    ------
    Conflict
        ``draft_is_newer`` (with the present revision) if somebody wrote meanwhile, or the lease is not the actor's.
    """
    by.require_scope("report")
    reading = get(session, by, reading_id)
    require_lease(reading, by, now)
    draft = draft_of(session, reading.id)
    if draft is None:
        if reading.state != "unread":
            raise Conflict("cannot_move", machine="reading", state=reading.state, verb="draft")
        draft = new_draft(session, reading, by, now)
        move(session, "reading", reading, "draft", by, now)
    elif reading.state == "in review" and by.id != draft.writer_id:
        by.require("senior reader", center_id=reading.center_id)
    if revision is not None and revision != draft.revision:
        raise Conflict("draft_is_newer", revision=draft.revision)
    written = session.execute(
        update(ReportVersion)
        .where(ReportVersion.id == draft.id, ReportVersion.state == "draft", ReportVersion.revision == draft.revision)
        .values(
            findings=text.findings,
            impression=text.impression,
            critical=text.critical,
            revision=draft.revision + 1,
            changed_at=now,
        )
        .returning(ReportVersion.revision)
        .execution_options(synchronize_session=False)
    ).first()
    if written is None:
        raise Conflict("draft_is_newer", revision=draft.revision)
    session.refresh(draft)
    if reading.state == "drafted":
        # Whoever writes last before the review is the writer: taking over a draft is no way around the second person.
        draft.writer_id = reading.writer_id = by.id
    reading.held_until = now + timedelta(minutes=reading.center.lease_minutes)
    return Saved(reading.id, draft.id, draft.revision, reading.held_until)


def new_draft(
    session: Session,
    reading: Reading,
    by: Actor,
    now: datetime,
    *,
    kind: str = "original",
    text: ReportText | None = None,
    reason: str = "",
) -> ReportVersion:
    """The next version of a reading's report, as a draft."""
    text = text or ReportText()
    draft = ReportVersion(
        reading_id=reading.id,
        number=next_number(session, reading.id),
        kind=kind,
        findings=text.findings,
        impression=text.impression,
        critical=text.critical,
        reason=reason,
        revision=0,
        writer_id=by.id,
        changed_at=now,
    )
    begin(session, "report version", draft, "write", by, now, reason)
    session.flush()
    return draft


def next_number(session: Session, reading_id: str) -> int:
    """The number of the next version; discarded ones keep theirs."""
    last = session.scalar(select(func.max(ReportVersion.number)).where(ReportVersion.reading_id == reading_id))
    return (last or 0) + 1


def submit(session: Session, by: Actor, reading_id: str, now: datetime) -> Reading:
    """Hand the draft to a reviewer and give up the lease.

    Raises
    ------
    BadInput
        ``impression_missing``.
    """
    by.require_scope("report")
    reading = get(session, by, reading_id)
    require_lease(reading, by, now)
    draft = draft_of(session, reading.id)
    if draft is None or not draft.impression.strip():
        raise BadInput("impression_missing")
    move(session, "reading", reading, "submit", by, now)
    reading.holder_id = reading.held_until = None
    reading.note = ""
    return reading


def send_back(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """The reviewer sends the draft back to its writer with remarks."""
    by.require_scope("report")
    reading = get(session, by, reading_id)
    by.require("senior reader", center_id=reading.center_id)
    require_lease(reading, by, now)
    if not why.strip():
        raise BadInput("reason_missing")
    move(session, "reading", reading, "send back", by, now, why)
    reading.holder_id = reading.held_until = None
    reading.note = why
    return reading


def return_to_sender(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """Ask the township to repeat the examination: its orders are on the worklist again under their numbers."""
    by.require_scope("report")
    reading = get(session, by, reading_id)
    require_lease(reading, by, now)
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    move(session, "reading", reading, "return", by, now, why)
    reading.note = why
    reading.holder_id = reading.held_until = reading.due_at = None
    for order in orders_of(session, reading):
        if can("order", order, "return"):
            move(session, "order", order, "return", by, now, why)
        order.note = "returned"
    _note(session, by, "case returned", reading, now, why)
    return reading


def refer(session: Session, by: Actor, reading_id: str, center_id: str, why: str, now: datetime) -> Reading:
    """Refer a case upward: it goes to another center's list until that center answers."""
    by.require_scope("report")
    reading = get(session, by, reading_id)
    require_lease(reading, by, now)
    other = session.get(Center, center_id)
    if other is None or other.id == reading.center_id or other.discipline != reading.center.discipline:
        raise BadInput("no_such_center")
    if not why.strip():
        raise BadInput("reason_missing")
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
        note=why,
        created_at=now,
    )
    begin(session, "reading", consultation, "open", by, now, why)
    session.flush()
    for study in studies_of(session, reading):
        session.add(ReadingStudy(reading_id=consultation.id, study_id=study.id))
    for order in orders_of(session, reading):
        session.add(ReadingOrder(reading_id=consultation.id, order_id=order.id))
    _note(session, by, "case referred", reading, now, why, {"to": other.id, "consultation": consultation.id})
    return reading


def answer_referral(session: Session, by: Actor, consultation_id: str, now: datetime) -> Reading:
    """Give the opinion written in a consultation back to the case that asked; that case goes on where it was."""
    by.require_scope("report")
    consultation = get(session, by, consultation_id)
    require_lease(consultation, by, now)
    opinion = draft_of(session, consultation.id)
    if consultation.kind != "consultation" or opinion is None or not opinion.impression.strip():
        raise BadInput("impression_missing")
    asked = _asked_by(session, consultation)
    if asked is None:
        raise Conflict("nobody_asks_any_more")
    move(session, "reading", consultation, "close", by, now)
    consultation.holder_id = consultation.held_until = None
    words = "\n".join(part for part in (opinion.findings, opinion.impression) if part)
    _give_back(session, asked, words, by, now)
    _note(session, by, "referral answered", asked, now, detail={"consultation": consultation.id})
    return asked


def _asked_by(session: Session, consultation: Reading) -> Reading | None:
    """The referred case that waits for this consultation."""
    return session.scalar(
        select(Reading)
        .join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        .where(
            Reading.kind == "primary",
            Reading.state == "referred",
            ReadingStudy.study_id.in_([study.id for study in studies_of(session, consultation)]),
        )
        .limit(1)
    )


def _give_back(session: Session, asked: Reading, words: str, by: Actor, now: datetime) -> None:
    move(session, "reading", asked, "answer", by, now)
    asked.note = words
    if draft_of(session, asked.id) is None:
        new_draft(session, asked, by, now)


def close(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """Close a case without a report, with a reason; its orders are no longer waiting.

    Closing a consultation declines it: the case that asked goes on with the reason, and its orders stay as they are.
    """
    by.require_scope("report")
    reading = get(session, by, reading_id)
    by.require("senior reader", center_id=reading.center_id)
    if not why.strip():
        raise BadInput("reason_missing")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    draft = draft_of(session, reading.id)
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
        for order in orders_of(session, reading):
            if can("order", order, "abandon"):
                move(session, "order", order, "abandon", by, now, why)
            order.note = "closed_without_report"
    _note(session, by, "case closed without report", reading, now, why)
    return reading


def join(session: Session, by: Actor, reading_id: str, other_id: str, why: str, now: datetime) -> Reading:
    """One examination, two orders: the other reading's orders and studies join this one, which is kept."""
    by.require_scope("report")
    reading, other = get(session, by, reading_id), get(session, by, other_id)
    if reading.id == other.id or reading.patient_id is None or reading.patient_id != other.patient_id:
        raise BadInput("not_the_same_patient")
    if not why.strip():
        raise BadInput("reason_missing")
    if other.state != "unread" or other.kind != "primary" or reading.state not in ("unread", "drafted", "in review"):
        raise Conflict("cannot_join")
    if late.current_version(session, reading.id) is not None:
        raise Conflict("already_issued")
    for order in orders_of(session, other):
        if session.get(ReadingOrder, (reading.id, order.id)) is None:
            session.add(ReadingOrder(reading_id=reading.id, order_id=order.id))
    for study in studies_of(session, other):
        if session.get(ReadingStudy, (reading.id, study.id)) is None:
            session.add(ReadingStudy(reading_id=reading.id, study_id=study.id))
    move(session, "reading", other, "close", by, now, why)
    other.note = why
    if other.rank < reading.rank:
        reading.priority, reading.rank = other.priority, other.rank
    if other.due_at is not None:
        reading.due_at = min(reading.due_at or other.due_at, other.due_at)
    _note(session, by, "cases joined", reading, now, why, {"joined": other.id})
    return reading


def split(session: Session, by: Actor, reading_id: str, order_id: str, why: str, now: datetime) -> Reading:
    """Give one covered order a reading of its own over the same studies, until something is issued."""
    by.require_scope("report")
    reading = get(session, by, reading_id)
    row = session.get(ReadingOrder, (reading.id, order_id))
    orders = orders_of(session, reading)
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
        created_at=now,
    )
    begin(session, "reading", own, "open", by, now, why)
    session.flush()
    session.delete(row)
    session.add(ReadingOrder(reading_id=own.id, order_id=order_id))
    for study in studies_of(session, reading):
        session.add(ReadingStudy(reading_id=own.id, study_id=study.id))
    _note(session, by, "case split", reading, now, why, {"order": order_id, "new": own.id})
    return own


def orders_of(session: Session, reading: Reading) -> list[Order]:
    """The orders that a reading covers."""
    query = select(Order).join(ReadingOrder, ReadingOrder.order_id == Order.id)
    return list(session.scalars(query.where(ReadingOrder.reading_id == reading.id).order_by(Order.id)))


def studies_of(session: Session, reading: Reading) -> list[Study]:
    """The studies that a reading covers."""
    query = select(Study).join(ReadingStudy, ReadingStudy.study_id == Study.id)
    return list(session.scalars(query.where(ReadingStudy.reading_id == reading.id).order_by(Study.id)))


def require_lease(reading: Reading, by: Actor, now: datetime) -> None:
    """Raise `Conflict` unless the actor holds the case; one's own lease that ran out and nobody took still counts."""
    if reading.holder_id != by.id or reading.held_until is None:
        raise Conflict("not_held_by_you")


def _note(
    session: Session,
    by: Actor,
    action: str,
    reading: Reading,
    now: datetime,
    why: str = "",
    detail: dict[str, object] | None = None,
) -> None:
    audit.note(
        session,
        by,
        action,
        now,
        thing="reading",
        thing_id=reading.id,
        institution_id=reading.institution_id,
        patient_id=reading.patient_id,
        why=why,
        detail=detail,
    )
