"""What a share opens, to whom, and who looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Final

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session, aliased

from worklist.errors import NotFound
from worklist.facts import PersonName
from worklist.people import Actor, digest
from worklist.queries import parts, scope
from worklist.queries.views import VersionView
from worklist.rules.identity import RELATIVES
from worklist.rules.kinds import ANEW, PRIMARY
from worklist.tables import (
    AuditRow,
    Order,
    Patient,
    PatientDocument,
    PatientIdentifier,
    Reading,
    ReadingOrder,
    Recognition,
    Share,
    Study,
    StudyOrder,
    User,
)

LOOKS: Final = ("shared results opened", "shared report opened", "shared images opened")
MOST_LOOKS: Final = 100  # shown for one share
MOST_ORDERS: Final = 500  # of one person, the newest: a code belongs to one of them


@dataclass(frozen=True)
class Look:
    """Somebody looked, from an address."""

    at: datetime
    action: str
    address: str


@dataclass(frozen=True)
class ShareRow:
    """A share as those who gave it see it."""

    id: str
    holder: str
    made_by: str  # empty: the patient
    made_at: datetime
    until: datetime
    ended_at: datetime | None
    is_open: bool
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class SharedReport:
    """A report of the order, or one that serves it: its signed versions, the newest first; none before it is signed."""

    id: str
    versions: tuple[VersionView, ...]


@dataclass(frozen=True)
class SharedStudy:
    """Images of the order. The date is DA as written."""

    study_instance_uid: str
    modality: str
    description: str
    study_date: str


@dataclass(frozen=True)
class SharedResults:
    """What a guest sees of one order. `birth_date` is DA as written, `until` UTC."""

    accession_number: str
    institution: str
    timezone: str
    procedure: str
    name: PersonName
    sex: str
    birth_date: str
    holder: str
    until: datetime
    reports: tuple[SharedReport, ...]
    studies: tuple[SharedStudy, ...]


def guest(session: Session, share_id: str, secret: str, address: str, now: datetime) -> Actor:
    """Whom the secret of a link lets in.

    Raises
    ------
    NotFound
        ``no_such_share``: there is none, it is over, or the secret is another one's.
    """
    row = session.get(Share, share_id)
    if row is None or not compare_digest(row.token_hash, digest(secret)) or not _is_open(row, now):
        raise NotFound("no_such_share")
    return Actor(
        id="",
        name="guest",
        address=address,
        session_id=f"share {row.id}",
        share=row.id,
        shared_order=row.order_id,
    )


def results(session: Session, by: Actor) -> SharedResults:
    """What the guest's share opens. Ask `guest` first."""
    row = session.get_one(Share, by.share)
    order = session.get_one(Order, by.shared_order)
    covering = (
        select(Reading.id)
        .join(ReadingOrder, ReadingOrder.reading_id == Reading.id)
        .where(ReadingOrder.order_id == order.id, Reading.patient_id == order.patient_id)
        .where(or_(Reading.kind == PRIMARY, and_(Reading.kind == ANEW, Reading.state != "closed without report")))
    )
    person = select(Patient.id).where(Patient.id == order.patient_id)
    serving = (
        select(Reading.id)
        .join(Recognition, Recognition.reading_id == Reading.id)
        .join(Order, Order.id == Recognition.order_id)
        # Where its images are read anew, the report of that is the order's.
        .where(Order.id == order.id, Order.state == "recognised", Recognition.state == "accepted")
        .where(scope.of_person(Reading.patient_id, person))
    )
    readings = sorted(session.scalars(covering.union(serving)))
    seen = session.scalars(select(Study).where(studies(by, row.id)).order_by(Study.id))
    return SharedResults(
        accession_number=order.accession_number,
        institution=order.institution.name,
        timezone=order.institution.timezone,
        procedure=order.procedure.name if order.procedure else order.procedure_text,
        name=PersonName(order.patient.name, order.patient.name_alphabetic),
        sex=order.patient.sex,
        birth_date=order.patient.birth_date,
        holder=row.holder,
        until=row.until,
        reports=tuple(SharedReport(id, _signed(session, id)) for id in readings),
        studies=tuple(SharedStudy(s.study_instance_uid, s.modality, s.description, s.study_date) for s in seen),
    )


def studies(by: Actor, share_id: str) -> ColumnElement[bool]:
    """Studies of the order that a guest's share opens, which are still images of its patient."""
    if not by.share or by.share != share_id:
        return false()
    of_order = select(StudyOrder.study_id).where(StudyOrder.order_id == by.shared_order)
    patient = select(Order.patient_id).where(Order.id == by.shared_order)
    return and_(Study.id.in_(of_order), scope.of_person(Study.patient_id, patient))


def of_order(session: Session, by: Actor, order_id: str, now: datetime) -> list[ShareRow]:
    """The shares of an order, the newest first, with who looked. For those who may see the order."""
    rows = session.execute(
        select(Share, User.name)
        .join(Order, Order.id == Share.order_id)
        .outerjoin(User, User.id == Share.made_by_id)
        .where(Share.order_id == order_id, scope.orders(by))
        .order_by(Share.id.desc())
    ).all()
    return [
        ShareRow(
            id=row.id,
            holder=row.holder,
            made_by=name or "",
            made_at=row.made_at,
            until=row.until,
            ended_at=row.ended_at,
            is_open=_is_open(row, now),
            looks=_looks(session, row.id),
        )
        for row, name in rows
    ]


def orders_of_number(session: Session, number: str) -> Sequence[str]:
    """Ids of the newest orders of everybody who has this number: of a document, or, for who has none on record, of an
    institution. A number that stands on the slip beside its code would prove nothing more than the slip."""
    theirs = select(PatientDocument.patient_id).where(
        PatientDocument.number == number, PatientDocument.kind.not_in(RELATIVES)
    )
    same = aliased(Patient)
    has_document = (
        select(PatientDocument.id)
        .join(same, same.id == PatientDocument.patient_id)
        .where(same.person_id == Patient.person_id, PatientDocument.kind.not_in(RELATIVES))
        .exists()
    )
    known_here = (
        select(Patient.id)
        .join(PatientIdentifier, PatientIdentifier.patient_id == Patient.id)
        .where(PatientIdentifier.value == number, ~has_document)
    )
    return session.scalars(
        select(Order.id)
        .where(or_(scope.of_person(Order.patient_id, theirs), scope.of_person(Order.patient_id, known_here)))
        .order_by(Order.id.desc())
        .limit(MOST_ORDERS)
    ).all()


def _signed(session: Session, reading_id: str) -> tuple[VersionView, ...]:
    return tuple(v for v in parts.versions(session, reading_id) if v.status and v.status != "preliminary")


def _is_open(row: Share, now: datetime) -> bool:
    return row.ended_at is None and now < row.until


def _looks(session: Session, share_id: str) -> tuple[Look, ...]:
    rows = session.execute(
        select(AuditRow.at, AuditRow.action, AuditRow.address)
        .where(AuditRow.thing_id == share_id, AuditRow.action.in_(LOOKS))
        .order_by(AuditRow.seq.desc())
        .limit(MOST_LOOKS)
    )
    return tuple(Look(*row) for row in rows)
