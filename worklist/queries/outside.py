"""Results that other systems made, as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session, aliased

from worklist.facts import OutsideLine
from worklist.people import Actor
from worklist.queries import scope
from worklist.queries.views import OutsideState, OutsideView
from worklist.tables import Device, Institution, Order, OutsideReport, Patient, Reading

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


def _views(session: Session, by: Actor, which: ColumnElement[bool], superseded: bool) -> list[OutsideView]:
    query = (
        select(OutsideReport, Institution.code, Institution.name, Device.name)
        .join(Institution, Institution.id == OutsideReport.institution_id)
        .join(Device, Device.id == OutsideReport.device_id)
        .where(which, _in_scope(by))
        .order_by(OutsideReport.id.desc())
        .limit(200)
    )
    if not superseded:
        query = query.where(OutsideReport.superseded_by_id.is_(None))
    return [_view(row, code, name, sender) for row, code, name, sender in session.execute(query)]


def _view(row: OutsideReport, code: str, institution: str, sender: str) -> OutsideView:
    lines = tuple(OutsideLine(*line) for line in row.lines)
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
    )


def state_of(status: str, lines: Sequence[OutsideLine]) -> OutsideState:
    """What a result counts as: withdrawn where its status says so or every line of it was taken back."""
    observations = [line.status for line in lines if line.kind != "NTE"]
    if observations and all(written in _TAKEN_BACK for written in observations):
        return "withdrawn"
    return _STATES.get(status, "preliminary" if status else "not said")
