"""The whole story of an order or a patient across all doors, as one timeline.

Everything is read from what was written when it happened: transitions, messages, claims in the audit rows. Nothing is
stored for this. Whoever may not see a thing does not see its lines either: the scope is that of the orders, and only
the PACS admin sees messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, defer

from worklist.errors import NotFound
from worklist.facts import PersonName
from worklist.people import Actor
from worklist.queries import parts, scope
from worklist.queries.orders import rows_of
from worklist.queries.views import Story, StoryEntry
from worklist.tables import (
    AuditRow,
    CriticalResult,
    Delivery,
    Device,
    Endpoint,
    Institution,
    LateImages,
    Message,
    Order,
    OutsideReport,
    Patient,
    PatientMerge,
    ProcedureStep,
    ProcedureStepStudy,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportVersion,
    Route,
    RouteTable,
    SetAside,
    Study,
    StudyOrder,
    Transition,
    Visit,
)

MOST_ORDERS: Final = 100
MOST_LINES: Final = 2000
CLAIMS: Final = ("case claimed", "case taken over", "cases joined", "case split")
"""Moves of a lease are no transitions; they are on record as audit rows."""
QUIET: Final = {
    ("delivery", "send"),
    ("report version", "write"),
    ("set aside", "set aside"),
    ("study link", "receive"),
}
"""What is said better by the line that follows it, or that comes with it."""


def order_story(session: Session, by: Actor, order_id: str, now: datetime) -> Story:
    """What happened to one order, the oldest first.

    Raises
    ------
    NotFound
        ``no_such_order``, also where it is not the actor's to see.
    """
    order = session.scalar(select(Order).where(Order.id == order_id, _orders(by)))
    if order is None:
        raise NotFound("no_such_order")
    entries = _of_orders(session, by, [order])
    return _story(session, by, order.patient, [order], entries, now)


def patient_story(session: Session, by: Actor, patient_id: str, now: datetime) -> Story:
    """What happened to one patient: all orders that the actor may see, the newest hundred, and their identity.

    Rows that were merged into this one are told along; a linked person of another institution has a story of their own.

    Raises
    ------
    NotFound
        ``no_such_patient``, also where no order of theirs is the actor's to see.
    """
    patient = session.get(Patient, patient_id)
    if patient is None:
        raise NotFound("no_such_patient")
    rows = [patient_id, *session.scalars(select(Patient.id).where(Patient.merged_into_id == patient_id))]
    found = session.scalars(
        select(Order).where(Order.patient_id.in_(rows), _orders(by)).order_by(Order.id.desc()).limit(MOST_ORDERS + 1)
    )
    orders = list(found.unique())
    if not orders and not by.has("PACS admin"):
        raise NotFound("no_such_patient")
    entries = _of_orders(session, by, orders[:MOST_ORDERS])
    entries += _identity(session, by, rows)
    return _story(session, by, patient, orders[:MOST_ORDERS], entries, now, shortened=len(orders) > MOST_ORDERS)


def _orders(by: Actor) -> ColumnElement[bool]:
    """Orders of the actor's scope, and those that a case of their centers covers."""
    if by.scopes is not None and "read cases" not in by.scopes:
        return scope.seen_orders(by)
    covered = select(ReadingOrder.order_id).join(Reading, Reading.id == ReadingOrder.reading_id)
    return or_(scope.seen_orders(by), Order.id.in_(covered.where(Reading.center_id.in_(by.centers()))))


def _story(
    session: Session,
    by: Actor,
    patient: Patient,
    orders: Sequence[Order],
    entries: list[StoryEntry],
    now: datetime,
    *,
    shortened: bool = False,
) -> Story:
    # What happened in one transaction has one time: the message that caused it, then the moves in their order.
    entries.sort(key=lambda e: (e.at, e.kind != "message"))
    first = orders[0] if orders else None
    home = first.institution if first is not None else None
    identifier = first.patient_value if first else next((i.value for i in patient.identifiers), "")
    return Story(
        entries=tuple(entries[-MOST_LINES:]),
        orders=tuple(rows_of(session, orders, now)),
        patient_id=patient.id,
        patient_name=PersonName(patient.name, patient.name_alphabetic),
        patient_identifier=identifier,
        institution=home.name if home is not None else "",
        timezone=home.timezone if home is not None else "Asia/Shanghai",
        shortened=shortened or len(entries) > MOST_LINES,
    )


def _of_orders(session: Session, by: Actor, orders: Sequence[Order]) -> list[StoryEntry]:
    ids = [order.id for order in orders]
    covering = select(Reading.id).join(ReadingOrder, ReadingOrder.reading_id == Reading.id)
    covering = covering.where(ReadingOrder.order_id.in_(ids))
    reading_ids = set(session.scalars(covering.where(scope.followed_readings(by))))
    study_ids = set(session.scalars(select(StudyOrder.study_id).where(StudyOrder.order_id.in_(ids))))
    study_ids |= set(session.scalars(select(ReadingStudy.study_id).where(ReadingStudy.reading_id.in_(reading_ids))))
    # Whoever marked it: a critical result is the township's to answer.
    alarming = set(session.scalars(covering))
    facts = _Facts(session, by, orders, reading_ids, study_ids, alarming)
    lines = facts.transitions()
    lines += _claims(session, reading_ids, facts)
    lines += _outside(session, OutsideReport.order_id.in_(ids))
    if by.has("PACS admin"):
        lines += _messages(session, Message.order_id.in_(ids))
    return _with_retries_counted(lines)


class _Facts:
    """What the lines of some orders need to know of the things that moved."""

    def __init__(
        self,
        session: Session,
        by: Actor,
        orders: Sequence[Order],
        reading_ids: set[str],
        study_ids: set[str],
        alarming: set[str],
    ) -> None:
        self.session = session
        self.is_admin = by.has("PACS admin")
        self.centers = by.centers()
        self.orders = {o.id: o for o in orders}
        self.readings = {r.id: r for r in session.scalars(select(Reading).where(Reading.id.in_(reading_ids))).unique()}
        self.studies = {s.id: s for s in session.scalars(select(Study).where(Study.id.in_(study_ids))).unique()}
        uids = {s.study_instance_uid for s in self.studies.values()} | {o.study_instance_uid for o in orders}
        homes = {o.institution_id for o in orders}
        self.steps = self._by_id(
            select(ProcedureStep)
            .join(ProcedureStepStudy, ProcedureStepStudy.step_id == ProcedureStep.id)
            .where(
                ProcedureStepStudy.study_instance_uid.in_(uids - {""}),
                or_(ProcedureStep.institution_id.is_(None), ProcedureStep.institution_id.in_(homes)),
            )
        )
        self.versions = self._by_id(select(ReportVersion).where(ReportVersion.reading_id.in_(reading_ids)))
        self.criticals = self._by_id(select(CriticalResult).where(CriticalResult.reading_id.in_(alarming)))
        self.late = self._by_id(select(LateImages).where(LateImages.reading_id.in_(reading_ids)))
        self.aside = self._by_id(select(SetAside).where(SetAside.study_id.in_(study_ids))) if self.is_admin else {}
        self.deliveries = self._by_id(
            select(Delivery).where(or_(Delivery.reading_id.in_(reading_ids), Delivery.order_id.in_(list(self.orders))))
        )
        self.endpoints = dict(
            session.execute(
                select(Endpoint.id, Endpoint.name).where(
                    Endpoint.id.in_({d.endpoint_id for d in self.deliveries.values()})
                )
            ).all()
        )
        self.routes = {
            id: (name, number)
            for id, name, number in session.execute(
                select(Route.id, Route.name, RouteTable.number)
                .join(RouteTable, RouteTable.id == Route.table_id)
                .where(Route.id.in_({r.route_id for r in self.readings.values() if r.route_id}))
            )
        }
        self.people: dict[str, str] = {}

    def _by_id(self, query: Any) -> dict[str, Any]:
        return {row.id: row for row in self.session.scalars(query).unique()}

    def _is_within(self, reading: Reading) -> bool:
        """Whether the reader may know what a case's own readers say to each other."""
        return self.is_admin or reading.center_id in self.centers

    def transitions(self) -> list[StoryEntry]:
        """A line for each move of each thing."""
        things: list[str] = [
            *self.orders, *self.readings, *self.studies, *self.steps, *self.versions,
            *self.criticals, *self.late, *self.aside, *self.deliveries,
        ]  # fmt: skip
        found: list[Transition] = []
        for start in range(0, len(things), 500):
            part = things[start : start + 500]
            query = select(Transition).where(Transition.thing_id.in_(part)).order_by(Transition.seq.desc())
            found += self.session.scalars(query.limit(MOST_LINES)).all()
        found.sort(key=lambda t: t.seq)
        self.name_people({t.actor for t in found})
        lines = (self._line(t) for t in found if (t.machine, t.verb) not in QUIET)
        return [line for line in lines if line is not None]

    def name_people(self, logins: set[str]) -> None:
        """People's names by the logins that records hold; a device's name and ours stay as they are."""
        self.people |= parts.people_called(self.session, logins - set(self.people))

    def who(self, actor: str) -> str:
        """As people read it."""
        return self.people.get(actor, "") or actor

    def _line(self, t: Transition) -> StoryEntry | None:
        kind, params, thing_id, why = self._about(t)
        if not kind:
            return None
        return StoryEntry(t.at, kind, f"{t.machine}: {t.verb}", self.who(t.actor), thing_id, params, why)

    def _about(self, t: Transition) -> tuple[str, dict[str, Any], str, str]:
        """Kind, what the line says, what it links to, and the reason as far as the reader may know it."""
        why = t.why
        if order := self.orders.get(t.thing_id):
            return "order", {"accession_number": order.accession_number}, order.id, why
        if study := self.studies.get(t.thing_id):
            params: dict[str, Any] = {"count": study.instances, "expected": study.expected, "modality": study.modality}
            if t.machine == "study link" and t.verb == "fail to match":
                params |= {"reason": why, "reason_params": study.link_params if study.link_reason == why else {}}
                why = ""
            return "images", params, study.id, why
        if step := self.steps.get(t.thing_id):
            return "step", {"count": len(step.instances) if step.instances is not None else None}, "", why
        if reading := self.readings.get(t.thing_id):
            params = {"center": reading.center.name, "reading_kind": reading.kind}
            if t.verb == "open":
                name, number = self.routes.get(reading.route_id or "", ("", 0))
                params |= {"route": name, "route_version": number}
            # What the readers of a center say to each other stays with them.
            is_told = self._is_within(reading) or t.verb in ("return", "close", "withdraw")
            return "reading", params, reading.id, why if is_told else ""
        if version := self.versions.get(t.thing_id):
            if version.state in ("draft", "discarded") and not self._is_within(self.readings[version.reading_id]):
                return "", {}, "", ""
            return "report", {"version": version.number, "status": version.status}, version.reading_id, why
        if critical := self.criticals.get(t.thing_id):
            return "critical", {"by": critical.answered_by, "way": critical.answer_way}, critical.reading_id, why
        if late := self.late.get(t.thing_id):
            return "images", {"count": len(late.instances)}, late.study_id, why
        if aside := self.aside.get(t.thing_id):
            return "images", {"reason": aside.reason, "reason_params": aside.params}, aside.study_id or "", why
        delivery = self.deliveries[t.thing_id]
        params = {"endpoint": self.endpoints.get(delivery.endpoint_id, ""), "delivery_kind": delivery.kind}
        if delivery.kind != "order status":
            params["version"] = self.versions[delivery.version_id].number if delivery.version_id in self.versions else 0
        else:
            params["news"] = delivery.order_state
        if t.verb in ("retry", "stick"):
            params |= {"reason": why, "reason_params": delivery.error_params if delivery.last_error == why else {}}
            why = ""
        params["control_id"] = delivery.control_id
        return "delivery", params, delivery.id if self.is_admin else "", why


def _claims(session: Session, reading_ids: set[str], facts: _Facts) -> list[StoryEntry]:
    rows = session.scalars(
        select(AuditRow)
        .where(AuditRow.thing_id.in_(reading_ids), AuditRow.action.in_(CLAIMS))
        .order_by(AuditRow.seq.desc())
        .limit(500)
    ).all()
    facts.name_people({row.actor for row in rows})
    return [StoryEntry(r.at, "reading", r.action, facts.who(r.actor), r.thing_id) for r in reversed(rows)]


def _messages(session: Session, condition: ColumnElement[bool]) -> list[StoryEntry]:
    """Messages that came in; those that went out are told by their deliveries."""
    rows = session.scalars(
        select(Message)
        .options(defer(Message.raw), defer(Message.answer))
        .where(Message.direction == "in", condition)
        .order_by(Message.seq.desc())
        .limit(500)
    ).all()
    devices = dict(
        session.execute(select(Device.id, Device.name).where(Device.id.in_({m.device_id for m in rows}))).all()
    )
    return [
        StoryEntry(
            m.at,
            "message",
            f"message: {m.outcome}",
            devices.get(m.device_id or "", ""),
            m.id,
            {"message": m.kind, "answer": m.answer_code, "reason": m.reason, "reason_params": m.params},
        )
        for m in reversed(rows)
    ]


def _outside(session: Session, condition: ColumnElement[bool]) -> list[StoryEntry]:
    rows = session.execute(
        select(OutsideReport, Device.name)
        .join(Device, Device.id == OutsideReport.device_id)
        .where(condition)
        .order_by(OutsideReport.id.desc())
        .limit(200)
    ).all()
    return [
        StoryEntry(r.at, "report", "outside report: received", device, "", {"name": r.name or r.code})
        for r, device in reversed(rows)
    ]


def _identity(session: Session, by: Actor, patient_ids: Sequence[str]) -> list[StoryEntry]:
    """Who the patient is, and what was heard of them beside their orders."""
    merges = session.scalars(
        select(PatientMerge)
        .where(or_(PatientMerge.survivor_id.in_(patient_ids), PatientMerge.retired_id.in_(patient_ids)))
        .order_by(PatientMerge.id)
    ).all()
    if not by.has("PACS admin"):  # a link names a patient of another institution
        merges = [m for m in merges if m.kind == "merge"]
    home = and_(Visit.patient_id.in_(patient_ids), _own_visits(by))
    visits = {v.id: v for v in session.scalars(select(Visit).where(home).limit(500))}
    told = {m.id: m for m in merges}
    found = session.scalars(
        select(Transition).where(Transition.thing_id.in_([*told, *visits])).order_by(Transition.seq)
    ).all()
    people = parts.people_called(session, (t.actor for t in found))
    lines = []
    for t in found:
        merge, visit = told.get(t.thing_id), visits.get(t.thing_id)
        params: dict[str, Any] = {"visit": visit.number} if visit else {}
        if merge is not None:
            other = merge.retired_id if merge.survivor_id in patient_ids else merge.survivor_id
            params = {"merge_kind": merge.kind}
            lines.append(_patient_line(t, people, params, other, merge.why if t.verb == "merge" else merge.undone_why))
        else:
            lines.append(_patient_line(t, people, params, "", t.why))
    lines += _outside(
        session, and_(OutsideReport.patient_id.in_(patient_ids), OutsideReport.order_id.is_(None), _own_results(by))
    )
    if by.has("PACS admin"):
        lines += _messages(session, and_(Message.patient_id.in_(patient_ids), Message.order_id.is_(None)))
    return lines


def _patient_line(t: Transition, people: dict[str, str], params: dict[str, Any], thing: str, why: str) -> StoryEntry:
    return StoryEntry(t.at, "patient", f"{t.machine}: {t.verb}", people.get(t.actor, t.actor), thing, params, why)


def _own_visits(by: Actor) -> ColumnElement[bool]:
    everywhere = select(Institution.id)
    own = everywhere if by.has("PACS admin") else everywhere.where(Institution.id == by.institution_id)
    return Visit.institution_id.in_(own)


def _own_results(by: Actor) -> ColumnElement[bool]:
    everywhere = select(Institution.id)
    own = everywhere if by.has("PACS admin") else everywhere.where(Institution.id == by.institution_id)
    return OutsideReport.institution_id.in_(own)


def _with_retries_counted(lines: Iterable[StoryEntry]) -> list[StoryEntry]:
    """Tries that failed for the same reason, one after the other, are one line: how many, and until when."""
    told: list[StoryEntry] = []
    open_at: dict[str, int] = {}  # control id: where its line of tries stands
    for line in lines:
        key = str(line.params.get("control_id", ""))
        if line.code != "delivery: retry":
            open_at.pop(key, None)
            told.append(line)
            continue
        at = open_at.get(key)
        if at is not None and told[at].params["reason"] == line.params["reason"]:
            before = told[at]
            counted = before.params | {"times": before.params.get("times", 1) + 1, "until": line.at.isoformat()}
            told[at] = StoryEntry(before.at, before.kind, before.code, before.who, before.thing_id, counted, before.why)
            continue
        open_at[key] = len(told)
        told.append(line)
    return told
