"""Versions of the rules of recognition, quality assessments, and rules tried on past orders: for those who set them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions.recognition_rules import allow
from worklist.people import Actor
from worklist.queries import recognition
from worklist.queries.recognition import Judged, Rules
from worklist.rules.recognition import Because, Member, RuleSet, Verdict, Wanted, judge
from worklist.tables import Institution, Order, Procedure, Qualification, ReadingOrder

AT_MOST: Final = 500
"""Past orders on which rules are tried: the newest."""
SHOWN: Final = 50


@dataclass(frozen=True)
class QualificationRow:
    """A quality assessment that was passed. Days are DA."""

    id: str
    institution_id: str
    institution: str
    grade: str  # of the hospital, as the PACS admin noted it
    item: str
    mark: str
    region: str
    valid_from: str
    valid_to: str
    note: str
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True)
class Changed:
    """A past order that the tried rules see otherwise than those in force; empty outcome: nothing served.

    The result is the newest that the one rule set or the other takes; `against` is why the other does not take it.
    """

    order_id: str
    accession_number: str
    procedure: str
    procedure_en: str
    institution: str
    placed_at: datetime
    result_institution: str
    taken_at: datetime | None
    outcome_now: str
    outcome_then: str
    against: tuple[Because, ...]


@dataclass(frozen=True)
class ByItem:
    """Of one item of the rules (empty: none): orders that had an earlier result, and those that one served."""

    item: str
    orders: int
    now: int
    then: int


@dataclass(frozen=True)
class Tried:
    """How many of the `orders` looked at had a result that serves: by the rules in force (`now`), and those tried.

    `changed` are the newest of `all_changed` orders.
    """

    orders: int
    now: int
    then: int
    all_changed: int
    items: tuple[ByItem, ...]
    changed: tuple[Changed, ...]


@dataclass(frozen=True)
class Doubt:
    """What is hardly meant in a rule set: a code with parameters."""

    code: str
    params: dict[str, object]


def versions(session: Session, by: Actor) -> list[Rules]:
    """All versions of the rules, the newest first; the starter rules are the last.

    Raises
    ------
    Forbidden
    """
    allow(by)
    return recognition.versions(session)


def qualifications(session: Session, by: Actor) -> list[QualificationRow]:
    """Who passed which quality assessment.

    Raises
    ------
    Forbidden
    """
    allow(by)
    rows = session.execute(
        select(Qualification, Institution.name, Institution.grade)
        .join(Institution, Institution.id == Qualification.institution_id)
        .order_by(Institution.code, Qualification.item, Qualification.id)
    )
    return [
        QualificationRow(
            id=q.id,
            institution_id=q.institution_id,
            institution=name,
            grade=grade,
            item=q.item,
            mark=q.mark,
            region=q.region,
            valid_from=q.valid_from,
            valid_to=q.valid_to,
            note=q.note,
            changed_by=q.changed_by,
            changed_at=q.changed_at,
        )
        for q, name, grade in rows
    ]


def tried(session: Session, by: Actor, rules: RuleSet, now: datetime) -> Tried:
    """What `rules` would have offered for the newest orders when they were placed, beside the rules in force now.

    Grades and quality assessments are those that are known today.

    Raises
    ------
    Forbidden
    """
    allow(by)
    present = recognition.rules_at(session, now).rules
    newest = select(Order).where(Order.procedure_id.is_not(None)).order_by(Order.id.desc()).limit(AT_MOST)
    orders = session.scalars(newest).unique().all()
    members: dict[str, Member] = {}
    totals: dict[str, list[int]] = {}  # by item: orders with earlier results, served now, served then
    changed: list[Changed] = []
    all_changed = 0
    for order in orders:
        results = _earlier(session, order, present, rules)
        if not results or order.procedure is None:
            continue
        if order.institution_id not in members:
            members[order.institution_id] = recognition.member(session, order.institution_id)
        wanted = Wanted(order.procedure.code, members[order.institution_id], order.laterality)
        pairs = [(r, r.verdict, judge(r.existing, wanted, rules, order.placed_at)) for r in results]
        before = next((pair for pair in pairs if pair[1].recognised), None)
        after = next((pair for pair in pairs if pair[2].recognised), None)
        shown = after or before or pairs[0]
        counts = totals.setdefault(shown[2].item or shown[1].item, [0, 0, 0])
        for place, one in enumerate((True, before, after)):
            counts[place] += bool(one)
        outcomes = (before[1].outcome if before else "", after[2].outcome if after else "")
        if outcomes[0] == outcomes[1]:
            continue
        all_changed += 1
        if len(changed) < SHOWN:
            changed.append(_changed(order, order.procedure, shown, outcomes))
    items = tuple(ByItem(item, *counts) for item, counts in sorted(totals.items()))
    served = (sum(item.now for item in items), sum(item.then for item in items))
    return Tried(len(orders), *served, all_changed, items, tuple(changed))


def _earlier(session: Session, order: Order, present: RuleSet, rules: RuleSet) -> list[Judged]:
    """Results that were there when the order was placed, judged by `present`, the newest first; its own is none."""
    if order.procedure is None:
        return []
    code = order.procedure.code
    results = recognition.judged(
        session,
        order.patient,
        code,
        order.laterality,
        order.institution_id,
        present,
        order.placed_at,
        more=rules.equal(code),
    )
    if not results:
        return []
    own = set(session.scalars(select(ReadingOrder.reading_id).where(ReadingOrder.order_id == order.id)))
    return [r for r in results if r.reading_id not in own]


def _changed(
    order: Order, procedure: Procedure, shown: tuple[Judged, Verdict, Verdict], outcomes: tuple[str, str]
) -> Changed:
    result, was, would = shown
    refused = next((verdict for verdict in (would, was) if not verdict.recognised), None)
    return Changed(
        order_id=order.id,
        accession_number=order.accession_number,
        procedure=procedure.name,
        procedure_en=procedure.name_en or procedure.name,
        institution=order.institution.name,
        placed_at=order.placed_at,
        result_institution=result.institution,
        taken_at=result.taken_at,
        outcome_now=outcomes[0],
        outcome_then=outcomes[1],
        against=tuple(b for b in refused.because if not b.speaks_for) if refused is not None else (),
    )


def doubts(session: Session, by: Actor, rules: RuleSet) -> list[Doubt]:
    """What is hardly meant in a rule set, as the catalogue is today.

    Raises
    ------
    Forbidden
    """
    allow(by)
    catalogue = {p.code: p for p in session.scalars(select(Procedure))}
    named = Counter(code for item in rules.items for code in item.procedures)
    modalities = Counter(modality for item in rules.items for modality in item.modalities)
    unknown = sorted({*named, *(code for group in rules.equivalents for code in group)} - set(catalogue))
    found = [Doubt("codes_unknown", {"codes": unknown})] if unknown else []
    twice = sorted(name for counted in (named, modalities) for name, count in counted.items() if count > 1)
    if twice:
        found.append(Doubt("named_twice", {"codes": twice}))
    left_out = sorted(p.code for p in catalogue.values() if p.enabled and rules.item_of(p.code, p.modality) is None)
    if left_out:
        found.append(Doubt("in_no_item", {"codes": left_out}))
    return found


def catalogue(session: Session, by: Actor) -> list[tuple[str, str, str, str]]:
    """(id, code, name, English name) of every catalogue entry, for those who set rules and tariffs.

    Raises
    ------
    Forbidden
    """
    allow(by)
    rows = session.scalars(select(Procedure).order_by(Procedure.code))
    return [(p.id, p.code, p.name, p.name_en or p.name) for p in rows]
