"""Carrying one signed report to one HIS: the job that the outbox runs for a delivery.

The delivery is done when the receiver has acknowledged our message with AA or CA and our own control id in
MSA-2. A crash anywhere in between sends the report again, with the same control id, so that the receiver can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

import structlog

from gateway.mllp.sender import NotAnswered, send
from interfaces.hl7v2.answers import read_acknowledgement
from interfaces.hl7v2.results import write_report
from worklist.actions.deliveries import Attempt, Outcome, begin_attempt, finish_attempt
from worklist.database import Database
from worklist.documents import from_canonical
from worklist.errors import BadInput, HurenError, TryLater

log = structlog.get_logger(__name__)


class Documents(Protocol):
    """Where the canonical documents lie; the object store is one."""

    def read(self, key: str) -> bytes:
        """The whole document."""


def deliver(database: Database, store: Documents, delivery_id: str, clock: Callable[[], datetime]) -> datetime | None:
    """Try once to deliver.

    Returns
    -------
    When to try again (aware UTC); None when the delivery is done, was done before, or is stuck until a person
    looks.

    Raises TryLater where the database is away: the outbox's lease then runs out, and the job is run again.
    """
    attempt = database.write(lambda session: begin_attempt(session, delivery_id, clock()))
    if attempt is None:
        return None
    sent, answer, outcome = _attempt(attempt, store, clock())
    log.info("delivery", delivery=delivery_id, attempt=attempt.attempt, outcome=outcome.kind, reason=outcome.reason)
    return database.write(lambda session: finish_attempt(session, delivery_id, sent, answer, outcome, clock()))


def _attempt(attempt: Attempt, store: Documents, now: datetime) -> tuple[bytes, bytes, Outcome]:
    """What was sent (empty where nothing left the house), what came back, and what that means."""
    to = attempt.to
    try:
        report = from_canonical(store.read(attempt.document_key))
        message = write_report(report, to, control_id=attempt.control_id, sent_at=now)
        try:
            answer = send(to.host, to.port, message, answer_seconds=to.answer_seconds)
        except NotAnswered as error:
            return message, error.received, Outcome("retry", error.code, "")
    except HurenError as error:
        kind: Literal["retry", "stuck"] = "retry" if isinstance(error, TryLater) else "stuck"
        return b"", b"", Outcome(kind, error.code, _detail(error))
    return message, answer, _understood(attempt, answer)


def _understood(attempt: Attempt, answer: bytes) -> Outcome:
    """What the receiver's acknowledgement means (HL7 v2 chapter 2.9.2 and 2.9.3)."""
    try:
        said = read_acknowledgement(answer, attempt.to.character_set)
    except BadInput as error:
        return Outcome("retry", "unreadable_answer", _detail(error))
    if said.control_id != attempt.control_id:
        return Outcome("retry", "answer_for_another_message", "")
    if said.code in ("AA", "CA"):
        return Outcome("acknowledged", "", said.text)
    if said.code in ("AE", "CE"):
        return Outcome("retry", "receiver_error", said.text)
    return Outcome("stuck", "receiver_rejected", said.text)


def _detail(error: HurenError) -> str:
    """The parameters of an error in one line; they never hold a patient's data."""
    return " ".join(f"{name}={value}" for name, value in error.params.items())
