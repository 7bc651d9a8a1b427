"""Versions of the rules of recognition, quality assessments, and rules tried on past orders: for those who set them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions.recognition_rules import allow
from worklist.people import Actor
from worklist.queries import recognition
from worklist.queries.recognition import Rules
from worklist.rules.recognition import RuleSet, Verdict
from worklist.tables import Institution, Order, Qualification, ReadingOrder

AT_MOST: Final = 500
"""Past orders on which rules are tried: the newest."""
SHOWN: Final = 50


@dataclass(frozen=True)
class QualificationRow:
    """A quality assessment that was passed. Days are DA."""

    id: str
    institution_id: str
    institution: str
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
    """A past order that the tried rules see otherwise than those in force; empty outcome: not recognised."""

    accession_number: str
    procedure: str
    institution: str
    placed_at: datetime
    outcome_now: str
    outcome_then: str


@dataclass(frozen=True)
class Tried:
    """How many of the `orders` looked at had a result that serves: by the rules in force (`now`), and those tried."""

    orders: int
    now: int
    then: int
    changed: tuple[Changed, ...]


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
        select(Qualification, Institution.name)
        .join(Institution, Institution.id == Qualification.institution_id)
        .order_by(Institution.code, Qualification.item, Qualification.id)
    )
    return [
        QualificationRow(
            id=q.id,
            institution_id=q.institution_id,
            institution=name,
            item=q.item,
            mark=q.mark,
            region=q.region,
            valid_from=q.valid_from,
            valid_to=q.valid_to,
            note=q.note,
            changed_by=q.changed_by,
            changed_at=q.changed_at,
        )
        for q, name in rows
    ]


def tried(session: Session, by: Actor, rules: RuleSet, now: datetime) -> Tried:
    """What `rules` would have offered for the newest orders when they were placed, beside the rules in force now.

    Raises
    ------
    Forbidden
    """
    allow(by)
    present = recognition.rules_at(session, now).rules
    newest = select(Order).where(Order.procedure_id.is_not(None)).order_by(Order.id.desc()).limit(AT_MOST)
    orders = session.scalars(newest).unique().all()
    served = {"now": 0, "then": 0}
    changed: list[Changed] = []
    for order in orders:
        outcomes = []
        for name, each in (("now", present), ("then", rules)):
            best = _best(session, order, each)
            served[name] += best is not None
            outcomes.append(best.outcome if best is not None else "")
        if outcomes[0] != outcomes[1] and len(changed) < SHOWN and order.procedure is not None:
            changed.append(
                Changed(
                    order.accession_number, order.procedure.name, order.institution.name, order.placed_at, *outcomes
                )
            )
    return Tried(len(orders), served["now"], served["then"], tuple(changed))


def _best(session: Session, order: Order, rules: RuleSet) -> Verdict | None:
    """The newest result that would have served the order when it was placed; its own report is none."""
    if order.procedure is None:
        return None
    own = set(session.scalars(select(ReadingOrder.reading_id).where(ReadingOrder.order_id == order.id)))
    results = recognition.judged(
        session, order.patient, order.procedure.code, order.laterality, order.institution_id, rules, order.placed_at
    )
    return next((r.verdict for r in results if r.verdict.recognised and r.reading_id not in own), None)
