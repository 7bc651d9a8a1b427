"""The message log: searched, walked from the newest backwards, and one message looked into.

Every way to search it has an index behind it: the log of a county holds millions of messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session, defer

from worklist import audit
from worklist.errors import NotFound
from worklist.facts import Finding, PersonName
from worklist.people import Actor
from worklist.queries import ledger, parts, scope
from worklist.queries.views import MessageDetail, MessageRow, Page
from worklist.tables import Device, Endpoint, Institution, Message, Order, Patient, PatientIdentifier

MOST_PATIENTS: Final = 200
"""A search that means more patients than this is no search; the first of them are looked at."""
MOST_ORDERS: Final = 500
"""Orders of those patients that are looked at, the newest first."""
FEW: Final = 2000
LEADING: Final = ("outcome", "device_id", "endpoint_id", "kind", "direction")
"""Filters, the one that leaves the fewest messages of interest first."""
LAST: Final = "\U0010ffff"
SKEW: Final = timedelta(minutes=10)
"""How far the times of two messages may be off from the order in which they were written."""


@dataclass(frozen=True)
class MessageSearch:
    """Which messages; what is empty does not count. `since` and `until` are aware.

    `q` is any of the rest: how a control id begins, a number of an order, a number or the name of a patient.
    """

    q: str = ""
    patient: str = ""  # a number, or part of the name
    order: str = ""  # an accession number, the sender's own number, or our id
    control_id: str = ""  # how it begins
    device_id: str = ""
    endpoint_id: str = ""
    kind: str = ""
    outcome: str = ""
    direction: str = ""
    since: datetime | None = None
    until: datetime | None = None


def messages(
    session: Session, by: Actor, search: MessageSearch | None = None, *, after: int = 0, limit: int = 50
) -> Page[MessageRow]:
    """The message log, the newest first. For the PACS admin."""
    scope.require_admin(by)
    wanted = search or MessageSearch()
    query = select(Message).options(defer(Message.raw), defer(Message.answer)).order_by(Message.seq.desc())
    filters = {name: value for name in LEADING if (value := getattr(wanted, name))}
    if (wanted.device_id and wanted.direction == "out") or (wanted.endpoint_id and wanted.direction == "in"):
        return Page(())  # devices send to us, and endpoints receive from us
    # One filter leads, by its index; a planner without statistics would take any of them.
    for n, (name, value) in enumerate(filters.items()):
        column = getattr(Message, name)
        query = query.where(column == value if n == 0 else func.coalesce(column, "") == value)
    if wanted.control_id:
        query = query.where(_begins(session, wanted.control_id))
    query = _between(session, query, wanted.since, wanted.until)
    if after:
        query = query.where(Message.seq < after)
    found = _any_of(session, query, _meanings(session, wanted), limit + 1)
    shown = found[:limit]
    return Page(tuple(message_rows(session, shown)), str(shown[-1].seq) if len(found) > limit else "")


def _meanings(session: Session, wanted: MessageSearch) -> list[ColumnElement[bool]] | None:
    """What the words of a search may mean, each answered by an index of its own; None: there are no words.

    Where order and patient are both named, a message is of such an order of such a patient.
    """
    if not (wanted.q or wanted.order or wanted.patient):
        return None
    if wanted.q:
        orders, patients = _orders_numbered(session, wanted.q), _patients_called(session, wanted.q)
        return [_begins(session, wanted.q), *_of(orders, patients, session)]
    orders = _orders_numbered(session, wanted.order) if wanted.order else []
    if not wanted.patient:
        return _of(orders, [], session)
    patients = _patients_called(session, wanted.patient)
    if wanted.order:
        both = select(Order.id).where(Order.id.in_(orders), Order.patient_id.in_(patients))
        return _of(list(session.scalars(both)), [], session)
    return _of([], patients, session)


def _of(orders: list[str], patients: list[str], session: Session) -> list[ColumnElement[bool]]:
    """Messages about these orders, or about these patients, whose orders count too."""
    if patients:
        theirs = select(Order.id).where(Order.patient_id.in_(patients)).order_by(Order.id.desc()).limit(MOST_ORDERS)
        orders = [*orders, *session.scalars(theirs)]
    found: list[ColumnElement[bool]] = []
    if orders:
        found.append(Message.order_id.in_(orders))
    if patients:
        found.append(Message.patient_id.in_(patients))
    return found


def _any_of(
    session: Session, query: Select[Message], meanings: list[ColumnElement[bool]] | None, limit: int
) -> list[Message]:
    """The newest that any of the conditions finds. One by one: joined by OR, a planner may walk the whole log."""
    if meanings is None:
        return list(session.scalars(query.limit(limit)))
    found = {m.seq: m for meaning in meanings for m in session.scalars(query.where(meaning).limit(limit))}
    return [found[seq] for seq in sorted(found, reverse=True)[:limit]]


def message_kinds(session: Session, by: Actor) -> list[str]:
    """The kinds of messages that the log holds, such as ``ORM^O01``; found by jumping along the index."""
    scope.require_admin(by)
    kinds: list[str] = []
    last = ""
    while len(kinds) < 100:
        found = session.scalar(select(func.min(Message.kind)).where(Message.kind > last))
        if not found:
            break
        kinds.append(found)
        last = found
    return kinds


def message(session: Session, by: Actor, message_id: str, now: datetime) -> MessageDetail:
    """One message with its bytes; the look is noted in the audit rows, so run this in a writing transaction."""
    scope.require_admin(by)
    found = session.scalar(select(Message).where(Message.id == message_id))
    if found is None:
        raise NotFound("no_such_message")
    audit.note(
        session,
        by,
        "message looked at",
        now,
        thing="message",
        thing_id=found.id,
        institution_id=found.institution_id or "",
        patient_id=found.patient_id,
    )
    return MessageDetail(
        next(iter(message_rows(session, [found]))),
        found.raw,
        found.answer,
        tuple(Finding(**finding) for finding in found.findings),
        tuple(ledger.waiting_for(session, by, found.id)),
    )


def _begins(session: Session, text: str) -> ColumnElement[bool]:
    """The control id begins so. A range of the index where few do; where many do, the newest are found by walking."""
    begins = and_(Message.control_id >= text, Message.control_id < text + LAST)
    few = select(Message.seq).where(begins).limit(FEW).subquery()
    if (session.scalar(select(func.count()).select_from(few)) or 0) < FEW:
        return begins
    return func.substr(Message.control_id, 1, len(text)) == text


def _orders_numbered(session: Session, number: str) -> list[str]:
    found = select(Order.id).where(
        or_(Order.accession_number == number, Order.placer_number == number, Order.id == number)
    )
    return list(session.scalars(found.limit(MOST_PATIENTS)))


def _patients_called(session: Session, text: str) -> list[str]:
    """Patients with this number or id, or whose name holds the text, the newest first."""
    numbered = session.scalars(select(PatientIdentifier.patient_id).where(PatientIdentifier.value == text).limit(50))
    found = dict.fromkeys(numbered)
    plain = text.replace(" ", "").replace("^", "")
    named: list[ColumnElement[bool]] = [Patient.id == text]
    if len(plain) > 1 and not plain.isdecimal():
        named += [
            func.replace(Patient.name, "^", "").contains(plain, autoescape=True, escape="\\"),
            func.replace(Patient.name_alphabetic, "^", "").icontains(plain, autoescape=True, escape="\\"),
        ]
    query = select(Patient.id).where(or_(*named)).order_by(Patient.id.desc()).limit(MOST_PATIENTS)
    return list(found | dict.fromkeys(session.scalars(query)))


def _between(
    session: Session, query: Select[Message], since: datetime | None, until: datetime | None
) -> Select[Message]:
    """Messages of a stretch of time. Keys follow time but for small disorder, so that a stretch of keys bounds it."""
    if since is not None:
        first = session.scalar(
            select(Message.seq).where(Message.at >= since - SKEW).order_by(Message.at, Message.seq).limit(1)
        )
        query = query.where(Message.at >= since, Message.seq >= (first or 0))
    if until is not None:
        last = session.scalar(
            select(Message.seq)
            .where(Message.at <= until + SKEW)
            .order_by(Message.at.desc(), Message.seq.desc())
            .limit(1)
        )
        query = query.where(Message.at <= until, Message.seq <= (last or 0))
    return query


def message_rows(session: Session, found: Iterable[Message]) -> list[MessageRow]:
    """Messages as rows, in their order. Does not ask who wants to know."""
    rows = list(found)
    devices = parts.names(session, Device, (m.device_id for m in rows))
    endpoints = parts.names(session, Endpoint, (m.endpoint_id for m in rows))
    institutions = parts.names(session, Institution, (m.institution_id for m in rows))
    orders = {
        id: (number, patient_id)
        for id, number, patient_id in session.execute(
            select(Order.id, Order.accession_number, Order.patient_id).where(
                Order.id.in_({m.order_id for m in rows if m.order_id})
            )
        )
    }
    patient_of = {m.id: m.patient_id or orders.get(m.order_id or "", ("", ""))[1] for m in rows}
    patients = {
        id: PersonName(name, alphabetic)
        for id, name, alphabetic in session.execute(
            select(Patient.id, Patient.name, Patient.name_alphabetic).where(
                Patient.id.in_({id for id in patient_of.values() if id})
            )
        )
    }
    return [
        MessageRow(
            seq=m.seq,
            id=m.id,
            direction=m.direction,
            at=m.at,
            device=devices.get(m.device_id or "", ""),
            endpoint=endpoints.get(m.endpoint_id or "", ""),
            institution=institutions.get(m.institution_id or "", ""),
            address=m.address,
            sending_application=m.sending_application,
            sending_facility=m.sending_facility,
            control_id=m.control_id,
            kind=m.kind,
            outcome=m.outcome,
            answer_code=m.answer_code,
            reason=m.reason,
            params=m.params,
            flags=tuple(m.flags),
            accession_number=orders.get(m.order_id or "", ("", ""))[0],
            delivery_id=m.delivery_id or "",
            order_id=m.order_id or "",
            patient_id=patient_of[m.id],
            patient_name=patients.get(patient_of[m.id], PersonName()),
            device_id=m.device_id or "",
            endpoint_id=m.endpoint_id or "",
            findings=len(m.findings),
        )
        for m in rows
    ]
