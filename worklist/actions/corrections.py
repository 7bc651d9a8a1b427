"""After a report was issued: corrected, added to, withdrawn. Each is a version of its own, with a reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from worklist import register
from worklist.actions import anew, critical, deliveries, filing, giving, late, reading_making, readings, reports
from worklist.errors import BadInput, Conflict, Forbidden
from worklist.facts import ReportDocument, ReportText
from worklist.moves import begin, can, move
from worklist.numbers import new_verification_code
from worklist.people import Actor
from worklist.rules import measurements
from worklist.rules.kinds import ANEW
from worklist.tables import Reading, ReportVersion, new_id


def may_sign_correction(session: Session, by: Actor, reading_id: str) -> bool:
    """Whether the actor may sign a correction that they write themselves: a senior reader who did not write the
    version being corrected, or any senior reader where the center does not want two people."""
    reading = readings.get(session, by, reading_id)
    current = late.current_version(session, reading.id)
    may_sign = by.scopes is None or "sign" in by.scopes
    if current is None or not may_sign or not by.has("senior reader", reading.center_id):
        return False
    return not reading.center.two_people or current.writer_id != by.id


def correct(
    session: Session,
    by: Actor,
    reading_id: str,
    text: ReportText,
    why: str,
    now: datetime,
    *,
    addendum: bool = False,
    as_reviewer: bool = False,
) -> ReportVersion:
    """Reopen a signed case with a new draft: a correction, or an addendum, with a reason.

    The issued version stays as it is and stays current until the new one is signed. The writer of the correction is
    the actor; where the center wants two people, somebody else signs it. `as_reviewer`: the actor changes the words
    as a reviewer does, whose changes leave the writer of record as it was; the case is in review and held by them.

    Raises
    ------
    Forbidden
        ``signer_is_writer`` or ``role_needed`` for a reviewer who may not be one (`may_sign_correction`).
    """
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    if not why.strip():
        raise BadInput("reason_missing")
    if not text.impression.strip():
        raise BadInput("impression_missing")
    current = late.current_version(session, reading.id)
    if current is None:
        raise Conflict("nothing_issued")
    if reading.state != "signed":
        raise Conflict("cannot_move", machine="reading", state=reading.state, verb="reopen")
    if as_reviewer:
        by.require("senior reader", center_id=reading.center_id)
        if not may_sign_correction(session, by, reading_id):
            raise Forbidden("signer_is_writer")
    move(session, "reading", reading, "reopen", by, now, why)
    kind = "addendum" if addendum else "correction"
    draft = readings.new_draft(
        session,
        reading,
        by,
        now,
        kind=kind,
        text=text,
        reason=why,
        key_images=current.key_images,
        numbers=current.measurements,
    )
    reading.holder_id = reading.held_until = None
    if as_reviewer:
        draft.writer_id = current.writer_id
        move(session, "reading", reading, "submit", by, now)
    readings.claim(session, by, reading.id, now)
    reports.note(session, by, f"{kind} begun", reading, draft, now, why)
    return draft


def give_up_correction(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> Reading:
    """Leave the issued version as it is; the draft of the correction is discarded, on record."""
    by.require_scope("report")
    reading = readings.get(session, by, reading_id)
    readings.require_lease(reading, by, now)
    draft = readings.draft_of(session, reading.id)
    if draft is None or draft.kind == "original":
        raise Conflict("no_correction_begun")
    move(session, "report version", draft, "discard", by, now, why)
    move(session, "reading", reading, "give up correction", by, now, why)
    reading.holder_id = reading.held_until = None
    return reading


def prepare_withdrawal(session: Session, by: Actor, reading_id: str, why: str, now: datetime) -> reports.Prepared:
    """Read what a withdrawal would say. A senior reader withdraws, with a reason.

    The caller puts in the identity under which the version was issued: it stands in the document, not here. Nobody's
    lease or draft stands in the way.
    """
    by.require_scope("sign")
    reading = readings.get(session, by, reading_id)
    by.require("senior reader", center_id=reading.center_id)
    if not why.strip():
        raise BadInput("reason_missing")
    current = late.current_version(session, reading.id)
    if current is None:
        raise Conflict("nothing_issued")
    if not can("reading", reading, "withdraw"):
        raise Conflict("cannot_move", machine="reading", state=reading.state, verb="withdraw")
    text = ReportText(current.findings, current.impression, current.critical)
    report = reports.compose(session, reading, current, "withdrawal", text, by, now)
    number = readings.next_number(session, reading.id)
    report = replace(report, version=number, reason=why, verification_code=new_verification_code())
    filed = filing.filing_of(
        session, reading, readings.orders_of(session, reading), readings.studies_of(session, reading)
    )
    return reports.Prepared(report, filed, current.id, current.revision, "withdrawal")


def withdraw(
    session: Session, by: Actor, prepared: reports.Prepared, documents: tuple[ReportDocument, ...], now: datetime
) -> ReportVersion:
    """Issue a withdrawal: a version of its own, delivered to everyone who had an earlier one."""
    canonical = filing.canonical("withdrawal", documents, is_filed=prepared.filing.is_filed)
    reports.require_same_signer(by, prepared)
    current = session.get_one(ReportVersion, prepared.version_id)
    reading = readings.get(session, by, current.reading_id)
    newest = readings.next_number(session, reading.id) == prepared.report.version
    if late.current_version(session, reading.id) is not current or not newest:
        raise Conflict("draft_is_newer")
    version = ReportVersion(
        id=new_id(),
        reading_id=reading.id,
        number=prepared.report.version,
        kind="withdrawal",
        findings=current.findings,
        impression=current.impression,
        critical=current.critical,
        reason=prepared.report.reason,
        writer_id=current.writer_id,
        changed_at=now,
        signer_id=by.id,
        signed_at=prepared.report.signed_at,
        status="withdrawal",
        document_key=canonical.stored.key,
        document_sha256=canonical.stored.sha256,
        key_images=[list(k) for k in prepared.report.key_images],
        measurements=measurements.as_json(prepared.report.measurements),
        verification_code=prepared.report.verification_code,
        instances=[list(i) for i in prepared.report.instances],
    )
    begin(session, "report version", version, "withdraw", by, now, prepared.report.reason)
    session.flush()
    filing.keep(session, readings.studies_of(session, reading), version, documents)
    move(session, "report version", current, "supersede", by, now)
    giving.outdate(session, current)
    draft = readings.draft_of(session, reading.id)
    if draft is not None:  # a correction or an owed review of what is withdrawn; its words stay on record
        move(session, "report version", draft, "discard", by, now, prepared.report.reason)
    move(session, "reading", reading, "withdraw", by, now, prepared.report.reason)
    reading.holder_id = reading.held_until = None
    for order in readings.orders_of(session, reading):
        if reading.kind != ANEW and can("order", order, "reopen"):
            move(session, "order", order, "reopen", by, now, prepared.report.reason)
    critical.retract_all(session, by, reading, prepared.report.reason, now)
    if reading.kind == ANEW:
        anew.after_withdrawal(session, reading, by, now, prepared.report.reason)
    else:
        orders = readings.orders_of(session, reading)
        reading_making.open_again(session, reading, orders, by, now, prepared.report.reason)
    deliveries.owe(session, reading, version, by, now)
    reports.tell_of_change(session, by, reading, now)
    reports.note(session, by, "report withdrawn", reading, version, now, prepared.report.reason)
    register.enter(session, version, documents, now)
    return version
