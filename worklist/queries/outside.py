"""Results that other systems and regions made, as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, false, or_, select, true
from sqlalchemy.orm import Session, aliased

from worklist.errors import NotFound
from worklist.facts import OutsideLine, OutsideSource, PatientFacts, PersonName, Sex
from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.views import OutsideState, OutsideView
from worklist.tables import Device, Institution, Order, OutsideReport, Patient, Reading, Recognition

_STATES: Final[dict[str, OutsideState]] = {"F": "final", "C": "corrected", "X": "withdrawn", "W": "withdrawn"}
_TAKEN_BACK: Final = {"W", "X", "D"}
"""HL7 tables 0123 (OBR-25; W as some write it) and 0085 (OBX-11): posted as wrong, not to be had, deleted."""


def of_patient(session: Session, by: Actor, patient_id: str, *, superseded: bool = False) -> list[OutsideView]:
    """Results of the person that `patient_id` is a row of, the newest first; with `superseded` the older ones too.

    Only those of the actor's scope: of their institution, of patients of whom their centers have a case, or all for
    the PACS admin.
    """
    asked = aliased(Patient)
    same_person = select(Patient.id).join(asked, asked.person_id == Patient.person_id).where(asked.id == patient_id)
    return _views(session, by, OutsideReport.patient_id.in_(same_person), superseded)


def of_order(session: Session, by: Actor, order_id: str, *, superseded: bool = False) -> list[OutsideView]:
    """Results of other systems that answer an order in the actor's scope, the newest first."""
    seen = select(Order.id).where(Order.id == order_id, scope.seen_orders(by))
    return _views(session, by, OutsideReport.order_id.in_(seen), superseded)


def one(session: Session, by: Actor, outside_id: str, now: datetime) -> OutsideView:
    """A result of the actor's scope, or one of another region that was offered to them or accepted at their
    institution; the newest word on it.

    Raises
    ------
    NotFound
        ``no_such_outside_result``.
    """
    newest = newest_of(session, outside_id)
    # Begins with what was asked for: what of it was offered, and what replaced it, is one chain.
    known = chain(session, outside_id)
    views = _views(session, by, OutsideReport.id == newest.id, True, or_(_in_scope(by), _offered(by, known, now)))
    if not views:
        raise NotFound("no_such_outside_result")
    return views[0]


def about(session: Session, patient_id: str) -> PatientFacts:
    """Who a result is about, as it names them. For callers that were shown the result."""
    row = session.get_one(Patient, patient_id)
    sex: Sex = row.sex  # type: ignore[assignment]
    return PatientFacts(name=PersonName(row.name, row.name_alphabetic), sex=sex, birth_date=row.birth_date)


def newest_of(session: Session, outside_id: str) -> OutsideReport:
    """What has replaced this result, or the result itself. It does not scope.

    Raises
    ------
    NotFound
        ``no_such_outside_result``.
    """
    row = session.get(OutsideReport, outside_id)
    if row is None:
        raise NotFound("no_such_outside_result")
    seen = {row.id}
    while row.superseded_by_id is not None and row.superseded_by_id not in seen:
        seen.add(row.superseded_by_id)
        row = session.get_one(OutsideReport, row.superseded_by_id)
    return row


def stands(session: Session, outside_id: str, patient_id: str) -> bool:
    """Whether the newest word on a result is no withdrawal, and about the same person as this patient."""
    row = newest_of(session, outside_id)
    ours, theirs = session.get_one(Patient, patient_id), session.get_one(Patient, row.patient_id)
    return ours.person_id == theirs.person_id and state_of(row.status, lines_of(row)) != "withdrawn"


def lines_of(row: OutsideReport) -> tuple[OutsideLine, ...]:
    """The lines of a result."""
    return tuple(OutsideLine(*line) for line in row.lines)


def chain(session: Session, outside_id: str) -> list[str]:
    """Ids of a result and of all that it replaced or was replaced by."""
    found, waiting = {outside_id}, [outside_id]
    while waiting:
        near = session.execute(
            select(OutsideReport.id, OutsideReport.superseded_by_id).where(
                or_(OutsideReport.id.in_(waiting), OutsideReport.superseded_by_id.in_(waiting))
            )
        )
        fresh = {id for pair in near for id in pair if id is not None} - found
        found |= fresh
        waiting = list(fresh)
    return sorted(found)


def _offered(by: Actor, ids: Sequence[str], now: datetime) -> ColumnElement[bool]:
    """One of these was offered to the actor, or accepted at their institution, and is still the same person's."""
    if not any(by.has(role) for role in scope.HOME_ROLES):
        return false()
    ours, theirs = aliased(Patient), aliased(Patient)
    offered = (
        select(Recognition.id)
        .join(ours, ours.id == Recognition.patient_id)
        .join(theirs, theirs.person_id == ours.person_id)
        .where(Recognition.outside_id.in_(ids), theirs.id == OutsideReport.patient_id, scope.may_see_offer(by, now))
    )
    return offered.correlate(OutsideReport).exists()


def _in_scope(by: Actor) -> ColumnElement[bool]:
    if by.has("PACS admin"):
        return true()
    allowed: list[ColumnElement[bool]] = [scope.opened(by, OutsideReport.patient_id)]
    if by.has("technician") or by.has("doctor"):
        allowed.append(OutsideReport.institution_id == by.institution_id)
    if by.centers():
        cases = select(Reading.patient_id).where(
            Reading.center_id.in_(by.centers()), Reading.patient_id == OutsideReport.patient_id
        )
        allowed.append(cases.correlate(OutsideReport).exists())
    return or_(*allowed)


def _views(
    session: Session,
    by: Actor,
    which: ColumnElement[bool],
    superseded: bool,
    seen: ColumnElement[bool] | None = None,
) -> list[OutsideView]:
    query = (
        select(OutsideReport, Institution.code, Institution.name, Device.name)
        .join(Institution, Institution.id == OutsideReport.institution_id)
        .join(Device, Device.id == OutsideReport.device_id)
        .where(which, _in_scope(by) if seen is None else seen)
        .order_by(OutsideReport.id.desc())
        .limit(200)
    )
    if not superseded:
        query = query.where(OutsideReport.superseded_by_id.is_(None))
    return [_view(row, code, name, sender) for row, code, name, sender in session.execute(query)]


def _view(row: OutsideReport, code: str, institution: str, sender: str) -> OutsideView:
    lines = lines_of(row)
    return OutsideView(
        id=row.id,
        institution_code=code,
        institution=institution,
        sender=sender,
        patient_id=row.patient_id,
        order_id=row.order_id or "",
        number=row.number,
        issuer=row.issuer,
        code=row.code,
        name=row.name,
        status=row.status,
        state=state_of(row.status, lines),
        observed_at=row.observed_at,
        reported_at=row.reported_at,
        author=row.author,
        lines=lines,
        at=row.at,
        superseded=row.superseded_by_id is not None,
        message_id=row.message_id,
        source=source_of(row),
    )


def source_of(row: OutsideReport) -> OutsideSource | None:
    """Who made a result of another region; None for one of a system of ours."""
    if row.source is None:
        return None
    return OutsideSource(**{**row.source, "marks": tuple(row.source["marks"])})


def state_of(status: str, lines: Sequence[OutsideLine]) -> OutsideState:
    """What a result counts as: withdrawn where its status says so or every line of it was taken back."""
    observations = [line.status for line in lines if line.kind != "NTE"]
    if observations and all(written in _TAKEN_BACK for written in observations):
        return "withdrawn"
    return _STATES.get(status, "preliminary" if status else "not said")
