"""Doing what one HL7 message or Bundle of results says: orders, news of patients, results; done, set aside for a
person, or refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist.actions import admissions, linking, order_changes, orders, outside, patients
from worklist.errors import HurenError, Refused
from worklist.facts import KnownDevice, OrderAnswer, OrderMessage, PatientFacts, PatientMessage, ResultMessage
from worklist.moves import begin
from worklist.people import HUREN, device_actor
from worklist.tables import Institution, Message, SetAside

Content = OrderMessage | tuple[PatientMessage, ...] | tuple[ResultMessage, ...] | HurenError
"""What a message says; several patients of one message are taken all or none."""

_REJECTED: Final = ("message_type_unsupported", "version_unsupported", "structure_wrong", "operation_not_allowed")
"""Refused however often it is sent (AR); other refusals are errors in what it says (AE). HL7 table 0008."""

_FOR_A_PERSON: Final = ("patient_contradicts", "merge_unclear", "result_of_another_patient")
"""Set aside: a correction, or another person under this number? Somebody looks."""

# Asked with every message, and so made once.
_INSTITUTION: Final = select(Institution).where(Institution.id == bindparam("id"))


@dataclass(frozen=True)
class MessageOutcome:
    """What a door answers: `stored_answer` as it is, or an answer of `code` made from the rest."""

    message_id: str
    code: str  # AA, AE, AR
    reason: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    answers: tuple[OrderAnswer, ...] = ()
    stored_answer: bytes | None = None
    duplicate: bool = False


def do(
    session: Session,
    device: KnownDevice,
    message: Message,
    content: Content,
    now: datetime,
    *,
    sure: bool = False,
    came_at: datetime | None = None,
) -> MessageOutcome:
    """Do what a kept message says, and note on it what became of it.

    With `sure` a person has said that contradicting news of a patient is a correction; `came_at` is when the message
    came in, where it is done again now.
    """
    outcome = _done(session, device, message, content, now, sure=sure, came_at=came_at)
    if message.door == "fhir" and message.outcome == "refused":  # nobody reads a platform's answers: somebody here does
        _aside(session, message, message.reason, message.params, now)
    return outcome


def _done(
    session: Session,
    device: KnownDevice,
    message: Message,
    content: Content,
    now: datetime,
    *,
    sure: bool,
    came_at: datetime | None,
) -> MessageOutcome:
    if isinstance(content, HurenError):
        return refused(message, "AR" if content.code in _REJECTED else "AE", content.code, content.params)
    first = content if isinstance(content, OrderMessage) else content[0]
    operation = _operation(first)
    if operation not in device.operations:
        return refused(message, "AR", "operation_not_allowed", {"operation": operation})
    institution = _institution(session, device, first)
    if institution is None:
        return _set_aside(session, message, "institution_unclear", {}, now)
    message.institution_id = institution.id
    if isinstance(content, OrderMessage):
        facts = patients.with_scope(session, content.patient, institution, device.institutions)
        return _take_orders(session, device, message, institution, facts, content, now, sure, came_at)
    try:
        with session.begin_nested():  # all or none
            for part in content:
                facts = patients.with_scope(session, part.patient, institution, device.institutions)
                if isinstance(part, PatientMessage):
                    _take_patient(session, device, message, institution, facts, part, now, sure)
                else:
                    _take_results(session, device, message, institution, facts, part, now, sure)
    except Refused as error:
        message.patient_id = message.order_id = None
        if error.code in _FOR_A_PERSON:
            return _set_aside(session, message, error.code, dict(error.params), now)
        return refused(message, "AE", error.code, error.params)
    return MessageOutcome(message.id, "AA")


def _operation(part: OrderMessage | PatientMessage | ResultMessage) -> str:
    """Which of `facts.OPERATIONS` a message is."""
    if isinstance(part, OrderMessage):
        return "orders"
    return "patients" if isinstance(part, PatientMessage) else "results"


def _take_patient(
    session: Session,
    device: KnownDevice,
    message: Message,
    institution: Institution,
    facts: PatientFacts,
    content: PatientMessage,
    now: datetime,
    sure: bool,
) -> None:
    by = device_actor(device.id, device.name, device.institutions)
    heard = admissions.take(
        session, by, device, institution, facts, content, now, message_id=message.id, sure=sure
    )  # fmt: skip
    message.patient_id = message.patient_id or heard.patient_id
    if not heard.applied and "older_than_known" not in message.flags:
        message.flags = [*message.flags, "older_than_known"]


def _take_results(
    session: Session,
    device: KnownDevice,
    message: Message,
    institution: Institution,
    facts: PatientFacts,
    content: ResultMessage,
    now: datetime,
    sure: bool,
) -> None:
    filed = outside.take_results(session, device, institution, facts, content, message.id, now, sure=sure)
    message.patient_id = message.patient_id or filed[0].patient_id
    message.order_id = message.order_id or next((report.order_id for report in filed if report.order_id), None)


def _take_orders(
    session: Session,
    device: KnownDevice,
    message: Message,
    institution: Institution,
    facts: PatientFacts,
    content: OrderMessage,
    now: datetime,
    sure: bool,
    came_at: datetime | None,
) -> MessageOutcome:
    answers = []
    for request in content.orders:
        answer, order = orders.answer_request(
            session, device, institution, facts, request, now, sure=sure, came_at=came_at
        )
        answers.append(answer)
        if order is None:
            continue
        message.order_id = message.order_id or order.id
        message.patient_id = message.patient_id or order.patient_id
        if answer.waiting:
            _aside(session, message, "procedure_not_mapped", {"code": request.procedure_code}, now)
            message.outcome, message.reason = "set aside", "procedure_not_mapped"
        elif request.control in ("NW", "XO"):
            linking.try_waiting_studies(session, order, now)
    not_done = [answer for answer in answers if not answer.accepted]
    wrong = [answer.accession_number for answer in not_done if answer.reason == order_changes.WRONG_PATIENT]
    if wrong:  # the sender is told that nothing was cancelled, and somebody here looks who is meant
        params = {"orders": ", ".join(wrong)}
        _set_aside(session, message, order_changes.WRONG_PATIENT, params, now)
        return MessageOutcome(message.id, "AE", order_changes.WRONG_PATIENT, params, tuple(answers))
    if not_done:
        message.outcome, message.reason = "refused", not_done[0].reason
        return MessageOutcome(message.id, "AE", not_done[0].reason, answers=tuple(answers))
    return MessageOutcome(message.id, "AA", answers=tuple(answers))


def _institution(
    session: Session, device: KnownDevice, content: OrderMessage | PatientMessage | ResultMessage
) -> Institution | None:
    """The institution that the message speaks for, inside the device's list; None where it is not clear."""
    if len(device.institutions) == 1:
        return session.scalar(_INSTITUTION, {"id": device.institutions[0]})
    code = content.facility_fields.get(device.institution_field, "")
    if not code:
        return None
    return session.scalar(select(Institution).where(Institution.code == code, Institution.id.in_(device.institutions)))


def refused(message: Message, code: str, reason: str, params: dict[str, Any] | None = None) -> MessageOutcome:
    """Say no, and note it on the message."""
    message.outcome, message.reason, message.params = "refused", reason, {k: str(v) for k, v in (params or {}).items()}
    return MessageOutcome(message.id, code, reason, message.params)


def _set_aside(
    session: Session, message: Message, reason: str, params: dict[str, Any], now: datetime
) -> MessageOutcome:
    """Kept, shown, and ours from now on: the sender gets AA."""
    message.outcome, message.reason, message.params = "set aside", reason, params
    _aside(session, message, reason, params, now)
    return MessageOutcome(message.id, "AA", reason, params)


def _aside(session: Session, message: Message, reason: str, params: dict[str, Any], now: datetime) -> None:
    """Show it to the admin. What waits already for the same reason goes on waiting, and is as old as its message."""
    same = select(SetAside).where(
        SetAside.message_id == message.id, SetAside.state == "waiting", SetAside.reason == reason
    )
    if any(row.params == params for row in session.scalars(same)):
        return
    row = SetAside(
        kind="message",
        device_id=message.device_id,
        institution_id=message.institution_id,
        message_id=message.id,
        reason=reason,
        params=params,
        at=message.at,
    )
    begin(session, "set aside", row, "set aside", HUREN, now, reason)
