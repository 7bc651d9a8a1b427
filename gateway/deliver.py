"""Carrying one signed report, or the news of an order, to one HIS, or a report to a regional platform: the job that
the outbox runs for a delivery.

The delivery is done when the receiver has acknowledged our message with AA or CA and our own control id in
MSA-2. A crash anywhere in between sends it again, with the same control id, so that the receiver can tell.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Literal, Protocol

import structlog

from gateway.mllp.sender import NotAnswered, send
from gateway.regional import Platforms, publish, without_pdf
from gateway.tls import Identity, client_context
from interfaces.hl7v2.answers import read_acknowledgement
from interfaces.hl7v2.results import write_report
from interfaces.hl7v2.statuses import write_status
from worklist.actions.deliveries import Attempt, Outcome, begin_attempt, finish_attempt
from worklist.database import Database
from worklist.documents import as_recognised, from_canonical, verification_link
from worklist.errors import BadInput, HurenError, TryLater

log = structlog.get_logger(__name__)


class Documents(Protocol):
    """Where the documents of reports lie; the object store is one."""

    def read(self, key: str) -> bytes:
        """The whole document."""


def deliver(
    database: Database,
    store: Documents,
    delivery_id: str,
    clock: Callable[[], datetime],
    public_url: str = "",
    identity: Identity | None = None,
    platforms: Platforms | None = None,
) -> datetime | None:
    """Try once to deliver. `public_url` is how the receivers reach this server, for endpoints that want a link;
    `identity` is our own certificate, for endpoints that want TLS; `platforms` how regional platforms are reached.

    Returns
    -------
    When to try again (aware UTC); None when the delivery is done, was done before, or is stuck until a person
    looks.

    Raises TryLater where the database is away, and as `begin_attempt`: the job is then run again.
    """
    attempt = database.write(lambda session: begin_attempt(session, delivery_id, clock()))
    if attempt is None:
        return None
    if attempt.publication is None:
        sent, answer, outcome = _attempt(attempt, store, clock(), public_url, identity)
    else:
        sent, answer, outcome = _published(attempt, store, public_url, identity, platforms or Platforms())
    log.info("delivery", delivery=delivery_id, attempt=attempt.attempt, outcome=outcome.kind, reason=outcome.reason)
    return database.write(lambda session: finish_attempt(session, delivery_id, sent, answer, outcome, clock()))


def _attempt(
    attempt: Attempt, store: Documents, now: datetime, public_url: str, identity: Identity | None
) -> tuple[bytes, bytes, Outcome]:
    """What was sent, as it is logged (empty where nothing left the house), what came back, and what that means."""
    to = attempt.to
    try:
        message, logged, flags = _written(attempt, store, now, public_url)
        tls: ssl.SSLContext | None = client_context(identity, to.trusted) if to.tls else None
        try:
            answer = send(to.host, to.port, message, answer_seconds=to.answer_seconds, tls=tls)
        except NotAnswered as error:
            return logged, error.received, Outcome("retry", error.code, flags=flags)
    except HurenError as error:
        kind: Literal["retry", "stuck"] = "retry" if isinstance(error, TryLater) else "stuck"
        return b"", b"", Outcome(kind, error.code, params=dict(error.params))
    return logged, answer, replace(_understood(attempt, answer), flags=flags)


def _published(
    attempt: Attempt, store: Documents, public_url: str, identity: Identity | None, platforms: Platforms
) -> tuple[bytes, bytes, Outcome]:
    """As `_attempt`, for a regional platform."""
    try:
        report = from_canonical(store.read(attempt.document_key))
        pdf = store.read(attempt.pdf_key) if attempt.pdf_key else None
    except HurenError as error:
        kind: Literal["retry", "stuck"] = "retry" if isinstance(error, TryLater) else "stuck"
        return b"", b"", Outcome(kind, error.code, params=dict(error.params))
    return publish(attempt, report, pdf, platforms, public_url, identity)


def _written(
    attempt: Attempt, store: Documents, now: datetime, public_url: str
) -> tuple[bytes, bytes, tuple[str, ...]]:
    """The message, the same as the log keeps it, and what is to be said of it there."""
    to = attempt.to
    if attempt.news is not None:
        message = write_status(attempt.news, to, control_id=attempt.control_id, sent_at=now)
        return message, message, ()
    report = from_canonical(store.read(attempt.document_key))
    if attempt.recognised is not None:
        report = as_recognised(report, attempt.recognised)
    pdf = store.read(attempt.pdf_key) if attempt.pdf_key else None
    link = verification_link(public_url, report.verification_code) if to.pdf == "link" else ""
    message = write_report(report, to, control_id=attempt.control_id, sent_at=now, pdf=pdf, link=link)
    lacks = (to.pdf == "embedded" and not pdf) or (to.pdf == "link" and not link)
    return message, without_pdf(message, pdf), ("document_not_sent",) if lacks else ()


def _understood(attempt: Attempt, answer: bytes) -> Outcome:
    """What the receiver's acknowledgement means (HL7 v2 chapter 2.9.2 and 2.9.3)."""
    try:
        said = read_acknowledgement(answer, attempt.to.character_set)
    except BadInput as error:
        return Outcome("retry", "unreadable_answer", params=dict(error.params))
    if said.control_id != attempt.control_id:
        return Outcome("retry", "answer_for_another_message")
    if said.code in ("AA", "CA"):
        return Outcome("acknowledged", "", said.text)
    if said.code in ("AE", "CE"):
        return Outcome("retry", "receiver_error", said.text)
    return Outcome("stuck", "receiver_rejected", said.text)
