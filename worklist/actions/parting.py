"""Two patients who were made one are two again: what had changed hands goes back, and what came since is told apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from worklist.actions import archiving, persons, reading_making
from worklist.actions.merging import TABLES, hold_numbers, note_of, slices, write
from worklist.errors import BadInput, Conflict, NotFound
from worklist.moves import move
from worklist.people import Actor
from worklist.tables import (
    CriticalResult,
    Order,
    Patient,
    PatientIdentifier,
    PatientMerge,
    Reading,
    ReadingOrder,
    ReadingStudy,
    Study,
    StudyOrder,
)


@dataclass(frozen=True)
class Parting:
    """What undoing a merge would do, or did: ids by table. `stays` is what came since and names no number."""

    back: dict[str, list[str]] = field(default_factory=dict)  # as it was before the merge
    since: dict[str, list[str]] = field(default_factory=dict)  # made since on the retired number
    stays: dict[str, list[str]] = field(default_factory=dict)


def plan(session: Session, by: Actor, merge_id: str) -> Parting:
    """What undoing this merge would move back, and what would stay; for asking before it is done."""
    row, _survivor, _retired = _merge_of(session, by, merge_id)
    return _parting(session, row)


def unmerge(session: Session, by: Actor, merge_id: str, why: str, now: datetime) -> Parting:
    """Part two patients again: what had changed hands goes back, and what was made since on the retired number too.

    A thing that was moved to somebody else meanwhile stays where a person put it. What came since and names neither
    number (a visit, another system's result) stays with the survivor and is listed.

    Raises
    ------
    Conflict
        ``merge_was_followed``: the survivor was merged into another since; that is undone first. ``split_first``: an
        open case or a study of the one covers an order or a study of the other by now; `orders` are the numbers.
    """
    by.require_scope("order")
    if not why.strip():
        raise BadInput("reason_missing")
    row, survivor, retired = _merge_of(session, by, merge_id, lock=True)
    if survivor.merged_into_id is not None:
        raise Conflict("merge_was_followed")
    hold_numbers(session, survivor.id, retired.id)
    parting = _parting(session, row)
    _require_apart(session, row, parting)
    move(session, "patient merge", row, "undo", by, now, why)
    row.undone_at, row.undone_by, row.undone_why = now, by.name, why
    for name, table in TABLES.items():
        for ids in slices([*parting.back.get(name, []), *parting.since.get(name, [])]):
            write(session, update(table).where(table.id.in_(ids)).values(patient_id=retired.id))
    for order_id, issuer, value in row.moved.get("order number", []):
        if order_id in parting.back.get("order", []):
            write(session, update(Order).where(Order.id == order_id).values(patient_issuer=issuer, patient_value=value))
    returned = set(parting.back.get("study", []))
    for ids in slices([i for i in row.moved.get("coerced", []) if i in returned]):
        write(session, update(Study).where(Study.id.in_(ids)).values(coerced=False))
    retired.merged_into_id = None
    session.flush()
    session.expire_all()
    persons.recompute(session, (survivor.id, retired.id))
    for patient in (survivor, retired):  # a link may have stood on what the other one has again
        persons.look(session, patient, now)
    detail = {
        "back": {name: len(ids) for name, ids in parting.back.items()},
        "since": parting.since,
        "stays": parting.stays,
    }
    note_of(session, by, "patients parted", row, why, now, detail)
    archiving.owe(session, [*parting.back.get("study", []), *parting.since.get("study", [])], now)
    return parting


def _parting(session: Session, row: PatientMerge) -> Parting:
    """What goes back is what is still the survivor's; what came since is told by the number that its order names."""
    back: dict[str, list[str]] = {}
    for name, table in TABLES.items():
        still: list[str] = []
        for ids in slices(row.moved.get(name, [])):
            query = select(table.id).where(table.id.in_(ids), table.patient_id == row.survivor_id)
            still += session.scalars(query.order_by(table.id))
        back[name] = still
    numbers = {
        (issuer, value)
        for issuer, value in session.execute(
            select(PatientIdentifier.issuer, PatientIdentifier.value).where(
                PatientIdentifier.id.in_(back["identifier"])
            )
        )
    }
    named = session.execute(
        select(Order.id, Order.patient_issuer, Order.patient_value).where(
            Order.patient_id == row.survivor_id, Order.placed_at >= row.at
        )
    )
    known = set(back["order"])
    new = [i for i, issuer, value in named if (issuer, value) in numbers and i not in known]
    since = {"order": new, **_follow(session, row, {*known, *new}, back)}
    stays: dict[str, list[str]] = {}
    for name in ("visit", "outside report"):
        table = TABLES[name]
        newer = select(table.id).where(table.patient_id == row.survivor_id, table.id > row.id)
        if kept := [i for i in session.scalars(newer.order_by(table.id)) if i not in back[name]]:
            stays[name] = kept
    return Parting({k: v for k, v in back.items() if v}, {k: v for k, v in since.items() if v}, stays)


def _require_apart(session: Session, row: PatientMerge, parting: Parting) -> None:
    """Refuse a parting after which one study, or one case that is not closed, would be two people's.

    Whichever side it is on: what was joined while the two were one patient is split by a person first, who alone knows
    whose the images are. A withdrawn or closed case is a record of what was, and stays whole.
    """
    going: dict[str, set[str]] = {}
    for name in ("order", "study", "reading"):
        going[name] = {*parting.back.get(name, []), *parting.since.get(name, [])}
    torn: set[tuple[str, str]] = set()  # (name of the table, id) of what stays and hangs on what goes, or the reverse
    for link, (one, one_id), (other, other_id) in (
        (StudyOrder, ("study", StudyOrder.study_id), ("order", StudyOrder.order_id)),
        (ReadingOrder, ("reading", ReadingOrder.reading_id), ("order", ReadingOrder.order_id)),
        (ReadingStudy, ("reading", ReadingStudy.reading_id), ("study", ReadingStudy.study_id)),
    ):
        both = select(one_id, other_id).join_from(link, TABLES[one], TABLES[one].id == one_id)
        both = both.join(TABLES[other], TABLES[other].id == other_id).where(
            TABLES[one].patient_id == row.survivor_id, TABLES[other].patient_id == row.survivor_id
        )
        if one == "reading":
            both = both.where(Reading.state.not_in(reading_making.CLOSED))
        torn |= {
            pair
            for one_row, other_row in session.execute(both)
            if (one_row in going[one]) != (other_row in going[other])
            for pair in ((one, one_row), (other, other_row))
        }
    if not torn:
        return
    numbers = session.scalars(
        select(Order.accession_number)
        .distinct()
        .outerjoin(StudyOrder, StudyOrder.order_id == Order.id)
        .outerjoin(ReadingOrder, ReadingOrder.order_id == Order.id)
        .where(
            or_(
                Order.id.in_([i for name, i in torn if name == "order"]),
                StudyOrder.study_id.in_([i for name, i in torn if name == "study"]),
                ReadingOrder.reading_id.in_([i for name, i in torn if name == "reading"]),
            )
        )
        .order_by(Order.accession_number)
    )
    raise Conflict("split_first", orders=", ".join(numbers))


def _follow(session: Session, row: PatientMerge, orders: set[str], back: dict[str, list[str]]) -> dict[str, list[str]]:
    """Studies, readings and critical results that came since and hang on orders that go back, and on no others."""
    studies: set[str] = set()
    for ids in slices(sorted(orders)):
        studies.update(session.scalars(select(StudyOrder.study_id).where(StudyOrder.order_id.in_(ids))))
    new_studies = _theirs(session, Study, row, studies - set(back["study"]))
    mixed: set[str] = set()
    for ids in slices(new_studies):
        others = session.execute(select(StudyOrder.study_id, StudyOrder.order_id).where(StudyOrder.study_id.in_(ids)))
        mixed.update(study_id for study_id, order_id in others if order_id not in orders)
    new_studies = [i for i in new_studies if i not in mixed]
    going = {*back["study"], *new_studies}
    readings: set[str] = set()
    for ids in slices(sorted(orders)):
        readings.update(session.scalars(select(ReadingOrder.reading_id).where(ReadingOrder.order_id.in_(ids))))
    for ids in slices(sorted(going)):
        readings.update(session.scalars(select(ReadingStudy.reading_id).where(ReadingStudy.study_id.in_(ids))))
    new_readings = _theirs(session, Reading, row, readings - set(back["reading"]))
    for ids in slices(new_readings):
        others = session.execute(
            select(ReadingOrder.reading_id, ReadingOrder.order_id).where(ReadingOrder.reading_id.in_(ids))
        )
        mixed.update(reading_id for reading_id, order_id in others if order_id not in orders)
    new_readings = [i for i in new_readings if i not in mixed]
    results: set[str] = set()
    for ids in slices(sorted({*back["reading"], *new_readings})):
        results.update(session.scalars(select(CriticalResult.id).where(CriticalResult.reading_id.in_(ids))))
    criticals = _theirs(session, CriticalResult, row, results - set(back["critical result"]))
    return {"study": new_studies, "reading": new_readings, "critical result": criticals}


def _theirs(session: Session, table: type[Any], row: PatientMerge, ids: set[str]) -> list[str]:
    found: list[str] = []
    for some in slices(sorted(ids)):
        found += session.scalars(select(table.id).where(table.id.in_(some), table.patient_id == row.survivor_id))
    return sorted(found)


def _merge_of(
    session: Session, by: Actor, merge_id: str, *, lock: bool = False
) -> tuple[PatientMerge, Patient, Patient]:
    row = session.get(PatientMerge, merge_id)
    if row is None or row.kind != "merge":
        raise NotFound("no_such_merge")
    query = select(Patient).where(Patient.id.in_((row.survivor_id, row.retired_id))).order_by(Patient.id)
    rows = {p.id: p for p in session.scalars(query.with_for_update() if lock else query)}
    survivor, retired = rows[row.survivor_id], rows[row.retired_id]
    if not persons.may_decide(session, by, survivor):
        raise NotFound("no_such_merge")
    return row, survivor, retired
