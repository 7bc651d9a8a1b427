"""Two patients of one institution become one (HL7 A40, or a person says so); `parting` undoes it.

The retired row stays, without anything of its own, and points to the survivor. What changed hands is listed by table
in `PatientMerge.moved`, so that parting puts exactly that back. Signed versions keep the identity that they were
printed with; images are shown under the survivor's on their way out, and their bytes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from worklist.actions import archiving, patients, persons
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.moves import begin
from worklist.people import Actor
from worklist.tables import (
    CriticalResult,
    Order,
    OutsideReport,
    Patient,
    PatientDocument,
    PatientIdentifier,
    PatientMerge,
    Reading,
    Recognition,
    Study,
    Visit,
)

TABLES: Final[dict[str, type[Any]]] = {
    "identifier": PatientIdentifier,
    "document": PatientDocument,
    "visit": Visit,
    "order": Order,
    "study": Study,
    "reading": Reading,
    "critical result": CriticalResult,
    "outside report": OutsideReport,
    "recognition": Recognition,
}
"""What a patient has, by the name under which `PatientMerge.moved` lists it. Each has a `patient_id`."""

AT_ONCE: Final = 500  # ids in one statement


def is_doubtful(survivor: Patient, retired: Patient) -> bool:
    """Whether the two are plainly different people, so that a person must look before they become one."""
    if survivor.is_alias or retired.is_alias:
        return False
    return patients.contradicts(survivor, patients.facts_of(retired))


def holdings(session: Session, by: Actor, patient_id: str) -> dict[str, int]:
    """How many things of each table a merge would move away from this patient."""
    patient = session.get(Patient, patient_id)
    if patient is None or not persons.may_decide(session, by, patient):
        raise NotFound("no_such_patient")
    return {name: len(ids) for name, ids in _held(session, patient_id).items()}


def merge(
    session: Session, by: Actor, survivor_id: str, retired_id: str, why: str, now: datetime, *, sure: bool = False
) -> PatientMerge:
    """A person makes two patients of one institution one: all that the retired one has is the survivor's.

    Raises
    ------
    BadInput
        ``reason_missing``, ``same_patient``; ``merge_unclear`` where the two plainly differ and `sure` was not said.
    Conflict
        ``patients_of_two_institutions``: those are linked, not merged. ``patient_was_merged``: one is retired already.
    Forbidden, NotFound
        the actor may not decide about both.
    """
    by.require_scope("order")
    if not why.strip():
        raise BadInput("reason_missing")
    survivor, retired = _both(session, by, survivor_id, retired_id)
    if persons.towns(survivor) != persons.towns(retired) and not retired.is_alias:
        raise Conflict("patients_of_two_institutions")
    if not sure and is_doubtful(survivor, retired):
        raise BadInput("merge_unclear")
    row = merge_rows(session, by, survivor, retired, why, now)
    persons.look(session, survivor, now)
    return row


def merge_rows(
    session: Session, by: Actor, survivor: Patient, retired: Patient, why: str, now: datetime, *, message_id: str = ""
) -> PatientMerge:
    """Move all that `retired` has to `survivor`, on record. The caller has checked that this is allowed."""
    session.flush()
    hold_numbers(session, survivor.id, retired.id)
    moved: dict[str, Any] = _held(session, retired.id)
    kept = {
        (row.kind, row.country, row.number)
        for row in session.scalars(select(PatientDocument).where(PatientDocument.patient_id == survivor.id))
    }
    mine = session.scalars(select(PatientDocument).where(PatientDocument.patient_id == retired.id)).all()
    moved["document"] = [row.id for row in mine if (row.kind, row.country, row.number) not in kept]
    # Shown as the survivor's from now on, whatever their bytes say.
    fresh = select(Study.id).where(Study.patient_id == retired.id, Study.coerced.is_(False))
    moved["coerced"] = list(session.scalars(fresh))
    numbers = _renumber(session, survivor, moved["order"])
    for name, table in TABLES.items():
        for ids in slices(moved.get(name, [])):
            write(session, update(table).where(table.id.in_(ids)).values(patient_id=survivor.id))
    for ids in slices(moved["coerced"]):
        write(session, update(Study).where(Study.id.in_(ids)).values(coerced=True))
    retired.merged_into_id = survivor.id
    row = PatientMerge(
        kind="merge",
        survivor_id=survivor.id,
        retired_id=retired.id,
        moved={name: ids for name, ids in moved.items() if ids} | {"order number": numbers},
        message_id=message_id or None,
        by=by.name,
        by_id=by.id,
        why=why,
        at=now,
    )
    begin(session, "patient merge", row, "merge", by, now, why)
    session.flush()
    session.expire_all()
    persons.recompute(session, (survivor.id, retired.id))
    persons.settle_suggestion(session, by, survivor, retired, now)
    persons.drop_suggestions(session, retired, now)
    detail = {"counts": {name: len(ids) for name, ids in row.moved.items()}}
    note_of(session, by, "patients merged", row, why, now, detail)
    archiving.owe(session, moved.get("study", []), now)
    return row


def hold_numbers(session: Session, *patient_ids: str) -> None:
    """Wait for whoever files something under these patients now (`patients.find`), and let nobody begin to."""
    numbers = select(PatientIdentifier.id).where(PatientIdentifier.patient_id.in_(patient_ids))
    session.execute(numbers.order_by(PatientIdentifier.id).with_for_update())


def _held(session: Session, patient_id: str) -> dict[str, list[str]]:
    return {
        name: list(session.scalars(select(table.id).where(table.patient_id == patient_id).order_by(table.id)))
        for name, table in TABLES.items()
    }


def _renumber(session: Session, survivor: Patient, order_ids: Sequence[str]) -> list[list[str]]:
    """Orders name their patient by the survivor's number, so that worklists and reports do; what they said before."""
    before: list[list[str]] = []
    for ids in slices(order_ids):
        rows = session.execute(
            select(Order.id, Order.patient_issuer, Order.patient_value).where(Order.id.in_(ids)).order_by(Order.id)
        )
        for order_id, issuer, value in rows:
            number = _number(survivor, issuer)
            if number is None or (number.issuer, number.value) == (issuer, value):
                continue
            before.append([order_id, issuer, value])
            write(
                session,
                update(Order)
                .where(Order.id == order_id)
                .values(patient_issuer=number.issuer, patient_value=number.value),
            )
    return before


def _number(patient: Patient, issuer: str) -> PatientIdentifier | None:
    """The patient's number of the same issuer, else one of the same institution."""
    town = issuer.partition("/")[0]
    same = [i for i in patient.identifiers if i.issuer == issuer]
    near = [i for i in patient.identifiers if i.issuer.partition("/")[0] == town]
    return next(iter([*same, *near]), None)


def _both(session: Session, by: Actor, survivor_id: str, retired_id: str) -> tuple[Patient, Patient]:
    if survivor_id == retired_id:
        raise BadInput("same_patient")
    query = select(Patient).where(Patient.id.in_((survivor_id, retired_id))).order_by(Patient.id).with_for_update()
    rows = {row.id: row for row in session.scalars(query)}
    mine = [row for row in rows.values() if persons.may_decide(session, by, row)]
    if len(rows) != 2 or not mine:
        raise NotFound("no_such_patient")
    if len(mine) != 2:
        raise Forbidden("role_needed", roles="PACS admin")
    if any(row.merged_into_id is not None for row in rows.values()):
        raise Conflict("patient_was_merged")
    return rows[survivor_id], rows[retired_id]


def retired_by(session: Session, patient_id: str) -> list[str]:
    """Ids of the rows that were merged into this patient, directly or through another."""
    found: list[str] = []
    edge = [patient_id]
    while edge:
        edge = list(session.scalars(select(Patient.id).where(Patient.merged_into_id.in_(edge))))
        found += edge
    return found


def newest_of(session: Session, patient_ids: Sequence[str]) -> list[PatientMerge]:
    """Merges that any of these patients was part of, the newest first."""
    either = or_(PatientMerge.survivor_id.in_(patient_ids), PatientMerge.retired_id.in_(patient_ids))
    return list(session.scalars(select(PatientMerge).where(either).order_by(PatientMerge.id.desc()).limit(100)))


def write(session: Session, statement: Any) -> None:
    """Run a statement that changes many rows; what the session holds of them is stale then."""
    session.execute(statement.execution_options(synchronize_session=False))


def slices(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in pieces, each for one statement."""
    for at in range(0, len(ids), AT_ONCE):
        yield ids[at : at + AT_ONCE]


def note_of(
    session: Session, by: Actor, action: str, row: PatientMerge, why: str, now: datetime, detail: dict[str, Any]
) -> None:
    """Audit a step of this merge, beside both patients."""
    persons.note(session, by, action, row.survivor_id, row.retired_id, why, now, {"merge": row.id, **detail})
