"""Reading: claim, write, submit, send back. Handing a case on is in `handing`, signing in `reports`.

A lease (holder, until) says who works on a case now; it changes no state, and when it runs out neither the state
nor the words change. A draft carries a revision: writing on a stale one is refused and loses nobody's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import notices, submissions
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import Measurement, ReportText
from worklist.moves import begin, move
from worklist.people import Actor
from worklist.rules import measurements
from worklist.rules.documents import MOST_KEY_IMAGES
from worklist.rules.templates import read_values
from worklist.tables import (
    Center,
    Instance,
    Order,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportTemplate,
    ReportVersion,
    Study,
)

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
            Reading.state == reading.state,  # whose case it is now depends on it
            or_(Reading.holder_id.is_(None), Reading.holder_id == by.id, Reading.held_until <= now),
        )
        .values(holder_id=by.id, held_until=until, **({"claimed_at": now} if fresh else {}))
        .returning(Reading.id)
        .execution_options(synchronize_session=False)
    ).first()
    if taken is None:
        before = reading.state
        session.refresh(reading, ["state"])
        if reading.state != before:  # somebody handed it on at this very moment
            return claim(session, by, reading_id, now)
        raise Conflict("held_by_another")
    session.refresh(reading, ["holder_id", "held_until", "claimed_at"])
    if fresh:
        note(session, by, "case claimed", reading, now)
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
    note(session, by, "case taken over", reading, now, why, {"from": before})
    told = [before] if before != by.id else []
    notices.tell(session, told, "case taken over", notices.of_case(session, reading, by), case_page(reading), now)
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
    session: Session,
    by: Actor,
    reading_id: str,
    text: ReportText,
    revision: int | None,
    now: datetime,
    *,
    key_images: Sequence[tuple[str, int]] | None = None,
    template_id: str | None = None,
    values: Mapping[str, Any] | None = None,
    measured: Sequence[tuple[str, int, str]] | None = None,
) -> Saved:
    """Write the draft; the first words make it. `revision` is the one the words were based on (None: the present).

    `key_images` are (SOP Instance UID, frame from 1) of the images that are printed with the report, in that order;
    None leaves those that were chosen. `template_id` and `values` are the template that the words began with and what
    was typed into its fields (`worklist.rules.templates`): an empty id is none, None leaves what was. `measured` are
    (name, value, formula) of the numbers of an ECG (`worklist.rules.measurements`); None leaves those that are held.

    Raises
    ------
    BadInput
        ``key_images_too_many``, ``not_an_image_of_the_case``; ``measurements_of_an_ecg`` where the case is none.
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
    chosen = draft.key_images
    if key_images is not None:
        _check_key_images(session, reading, key_images)
        chosen = [[uid, frame] for uid, frame in key_images]
    numbers = draft.measurements
    if measured is not None:
        numbers = measurements.as_json(_measurements(session, reading, measured))
    template, typed = draft.template_id, draft.values
    if template_id is not None:
        template, typed = _template(session, reading, draft, template_id), {}
    if values is not None:
        typed = read_values(values)
    written = session.execute(
        update(ReportVersion)
        .where(ReportVersion.id == draft.id, ReportVersion.state == "draft", ReportVersion.revision == draft.revision)
        .values(
            findings=text.findings,
            impression=text.impression,
            critical=text.critical,
            key_images=chosen,
            measurements=numbers,
            template_id=template,
            values=typed,
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


def _template(session: Session, reading: Reading, draft: ReportVersion, template_id: str) -> str | None:
    """The template's id, if the center has it; one that was taken out of use stays where it stood."""
    if not template_id or template_id == draft.template_id:
        return template_id or None
    found = session.get(ReportTemplate, template_id)
    if found is None or found.center_id != reading.center_id or not found.enabled:
        raise NotFound("no_such_report_template")
    return found.id


def new_draft(
    session: Session,
    reading: Reading,
    by: Actor,
    now: datetime,
    *,
    kind: str = "original",
    text: ReportText | None = None,
    reason: str = "",
    key_images: Sequence[Sequence[object]] = (),
    numbers: Sequence[Mapping[str, Any]] = (),
) -> ReportVersion:
    """The next version of a reading's report, as a draft. `numbers` are measurements as a version keeps them."""
    text = text or ReportText()
    draft = ReportVersion(
        reading_id=reading.id,
        number=next_number(session, reading.id),
        kind=kind,
        findings=text.findings,
        impression=text.impression,
        critical=text.critical,
        reason=reason,
        key_images=[list(image) for image in key_images],
        measurements=[dict(one) for one in numbers],
        revision=0,
        writer_id=by.id,
        changed_at=now,
    )
    begin(session, "report version", draft, "write", by, now, reason)
    session.flush()
    return draft


def _measurements(session: Session, reading: Reading, given: Sequence[tuple[str, int, str]]) -> tuple[Measurement, ...]:
    if given and reading.center.discipline != "ecg":
        raise BadInput("measurements_of_an_ecg")
    said = [one for study in studies_of(session, reading) for one in study.measured.values()]
    return measurements.read(given, said)


def _check_key_images(session: Session, reading: Reading, chosen: Sequence[tuple[str, int]]) -> None:
    """Each must be a frame of an image of the case, once; our own documents and waveforms have no picture."""
    if len(chosen) > MOST_KEY_IMAGES:
        raise BadInput("key_images_too_many", most=MOST_KEY_IMAGES)
    rows = session.execute(
        select(Instance.sop_instance_uid, Instance.frames)
        .join(ReadingStudy, ReadingStudy.study_id == Instance.study_id)
        .where(
            ReadingStudy.reading_id == reading.id,
            Instance.sop_instance_uid.in_([uid for uid, _frame in chosen]),
            Instance.version_id.is_(None),
            Instance.rows.is_not(None),
        )
    )
    frames = {row.sop_instance_uid: row.frames for row in rows}
    if len(set(chosen)) != len(chosen) or any(not 1 <= frame <= frames.get(uid, 0) for uid, frame in chosen):
        raise BadInput("not_an_image_of_the_case")


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
    submissions.keep(session, draft, "submit", by, now)
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
    draft = draft_of(session, reading.id)
    if draft is not None:
        submissions.keep(session, draft, "send back", by, now, why)
        told = [draft.writer_id] if draft.writer_id != by.id else []
        notices.tell(session, told, "case sent back", notices.of_case(session, reading, by), case_page(reading), now)
    reading.holder_id = reading.held_until = None
    reading.note = why
    return reading


def case_page(reading: Reading) -> str:
    """The address of a case's page."""
    return f"/reading/{reading.id}"


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


def note(
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
