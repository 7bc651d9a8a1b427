"""Images that turn out to be another patient's, repaired in one step.

What was issued is withdrawn to everybody who had it, under the name it was issued with; the study goes to the orders
it was made for, or to the unmatched bin; and a new reading waits for a doctor. No words are carried over. Either all
of it happens or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import corrections, late, linking, reading_making
from worklist.actions.reports import Prepared
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import ReportDocument
from worklist.people import Actor
from worklist.rules.kinds import ANEW
from worklist.tables import CriticalResult, Order, Reading, ReadingStudy, Study

Withdrawal = tuple[Prepared, tuple[ReportDocument, ...]]
OVER = ("retracted", "superseded")


def issued(session: Session, study_id: str) -> list[Reading]:
    """The readings whose issued reports rest on a study."""
    readings = session.scalars(
        select(Reading)
        .join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
        .where(ReadingStudy.study_id == study_id, Reading.state.not_in(reading_making.CLOSED))
        .order_by(Reading.id)
    ).unique()
    return [reading for reading in readings if late.current_version(session, reading.id) is not None]


def prepare(
    session: Session, by: Actor, study_id: str, order_ids: Sequence[str], why: str, now: datetime
) -> list[Prepared]:
    """Check what can be checked, and read the withdrawals that the repair needs (none if nothing was issued).

    The caller puts in the identity under which each version was issued, as for `corrections.prepare_withdrawal`.

    Raises
    ------
    BadInput
        ``reason_missing``; ``orders_are_its_own`` where nothing would change.
    Forbidden, NotFound
        a senior reader of the center withdraws what was issued; where nothing was, the study's technician or a PACS
        admin moves it too.
    Conflict
        ``read_anew_elsewhere``: another center read the images anew, and withdraws its report first.
    """
    study = _study(session, by, study_id)
    if not why.strip():
        raise BadInput("reason_missing")
    _targets(session, study, order_ids)
    readings = issued(session, study.id)
    for reading in readings:
        if _is_elsewhere(by, reading):
            raise Conflict("read_anew_elsewhere", center=reading.center.name)
        by.require("senior reader", center_id=reading.center_id)
    return [corrections.prepare_withdrawal(session, by, reading.id, why, now) for reading in readings]


def repair(
    session: Session,
    by: Actor,
    study_id: str,
    order_ids: Sequence[str],
    why: str,
    withdrawals: Sequence[Withdrawal],
    now: datetime,
) -> Study:
    """Withdraw, move and open anew. Critical results of what is withdrawn alarm the right patient's side at once.

    Raises
    ------
    Conflict
        ``somebody_was_faster`` where a report was issued or withdrawn since `prepare`; ``critical_result_is_open``
        where the images would be nobody's while somebody must be told; else as `linking.move_study`.
    """
    study = _study(session, by, study_id)
    if not why.strip():
        raise BadInput("reason_missing")
    orders = _targets(session, study, order_ids)
    readings = issued(session, study.id)
    if {reading.id for reading in readings} != {prepared.report.report_id for prepared, _documents in withdrawals}:
        raise Conflict("somebody_was_faster", machine="reading", state="", verb="withdraw")
    alarms = _alarms(session, readings)
    if alarms and not orders:
        raise Conflict("critical_result_is_open")
    for prepared, documents in withdrawals:
        corrections.withdraw(session, by, prepared, documents, now)
    session.flush()
    if not orders:
        return linking.unlink_study(session, by, study, why, now)
    return linking.move_to(session, by, study, orders, why, now, alarms=alarms)


def may_repair(session: Session, by: Actor, study_id: str) -> bool:
    """Whether the actor could repair this study as things are; for showing the button."""
    try:
        _study(session, by, study_id)
    except (Forbidden, NotFound):
        return False
    readings = issued(session, study_id)
    ours = [reading for reading in readings if not _is_elsewhere(by, reading)]  # told whom to ask when they try
    return all(by.has("senior reader", reading.center_id) for reading in ours)


def _is_elsewhere(by: Actor, reading: Reading) -> bool:
    """Another center has read the images anew: its own doctor takes its report back."""
    return reading.kind == ANEW and not by.has("senior reader", reading.center_id)


def _alarms(session: Session, readings: Sequence[Reading]) -> list[str]:
    """Words of the critical results on what is withdrawn, answered ones too: the right patient's doctor heard none."""
    rows = session.scalars(
        select(CriticalResult)
        .where(CriticalResult.reading_id.in_([r.id for r in readings]), CriticalResult.state.not_in(OVER))
        .order_by(CriticalResult.id)
    )
    return list(dict.fromkeys(row.words for row in rows))


def _study(session: Session, by: Actor, study_id: str) -> Study:
    """The study, locked: of the actor's institution, or one that a center of theirs reads as senior reader."""
    by.require_scope("order")
    study = session.get(Study, study_id, with_for_update={"of": Study})
    if study is None:
        raise NotFound("no_such_study")
    if by.has("PACS admin") or (by.has("technician") and study.institution_id == by.institution_id):
        return study
    reads = select(Reading.id).join(ReadingStudy, ReadingStudy.reading_id == Reading.id)
    ours = reads.where(ReadingStudy.study_id == study.id, Reading.center_id.in_(by.centers()))
    if session.scalar(ours.limit(1)) is None and study.institution_id != by.institution_id:
        raise NotFound("no_such_study")
    theirs = reads.where(ReadingStudy.study_id == study.id, Reading.center_id.in_(by.centers("senior reader")))
    if session.scalar(theirs.limit(1)) is None:
        raise Forbidden("role_needed", roles="PACS admin, technician, senior reader")
    return study


def _targets(session: Session, study: Study, order_ids: Sequence[str]) -> list[Order]:
    if study.link not in linking.LINKED:
        raise Conflict("study_is_unmatched")
    if not order_ids:
        return []
    orders = linking.orders_for(session, study, list(order_ids))
    if {order.id for order in orders} == {order.id for order in linking.orders_of(session, study)}:
        raise BadInput("orders_are_its_own")
    return orders
