"""Publishing one version of a report to a regional platform: written as its endpoint wants it, posted, the answer read.

Whatever a platform takes back in part gets stuck with what it said of which entry: sending the same again would change
nothing, and a person has to look.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway import posting
from gateway.outgoing import NOWHERE, Allowed
from gateway.posting import Answered, There
from gateway.tls import Identity
from interfaces.fhir.capability import JSON
from interfaces.fhir.checking import to_json
from interfaces.fhir.elements import Resource
from interfaces.fhir.systems import Systems
from interfaces.fhir.transactions import outcome_words, refused_entries, transaction
from interfaces.hl7v2.results import in_base64
from interfaces.wst500.documents import document
from worklist.actions.deliveries import Attempt, Outcome
from worklist.documents import verification_link
from worklist.errors import BadInput, Broken, HurenError, TryLater
from worklist.facts import Addressee, SignedReport

LONGEST_ANSWER: Final = 1 << 20
_OID: Final = "urn:oid:"


def _sealed_elsewhere(_sealed: str) -> str:
    raise Broken("sealed_elsewhere")


@dataclass(frozen=True)
class Platforms:
    """How platforms are reached: where may be called, how a kept token is opened, and the names of our systems."""

    allowed: Allowed = NOWHERE
    unseal: Callable[[str], str] = _sealed_elsewhere
    identifier_systems: Mapping[str, str] = field(default_factory=dict)


def publish(
    attempt: Attempt,
    report: SignedReport,
    pdf: bytes | None,
    platforms: Platforms,
    public_url: str,
    identity: Identity | None,
) -> tuple[bytes, bytes, Outcome]:
    """Try once. Returns what was sent, as the log keeps it (empty where nothing left the house), what came back, and
    what that means. `pdf` is the sealed one where the endpoint wants it inside."""
    to = attempt.to
    try:
        if attempt.publication is None:
            raise Broken("report_without_patient")
        link = verification_link(public_url, report.verification_code) if to.pdf == "link" else ""
        systems = Systems(f"{public_url}/fhir" if public_url else "urn:huren", platforms.identifier_systems)
        bundle: Resource = {}
        if to.kind == "fhir":
            bundle = transaction(report, attempt.publication, systems, pdf, link)
            body, form = to_json(bundle), JSON
        else:
            oid = systems.patient(report.patient_issuer).removeprefix(_OID)
            oid = oid if oid.replace(".", "").isdecimal() else ""
            body = document(report, attempt.publication, patient_oid=oid, pdf=pdf, link=link)
            form = "application/xml; charset=utf-8"
        headers = {"Content-Type": form, "Accept": JSON, "Idempotency-Key": attempt.control_id}
        if to.secret:
            headers["Authorization"] = f"Bearer {platforms.unseal(to.secret)}"
        flags = ("document_not_sent",) if to.pdf != "none" and not (pdf or link) else ()
        logged = without_pdf(body, pdf)
    except HurenError as error:
        return b"", b"", _of(error)
    try:
        there = There(to.host, to.port, to.path, to.tls, to.trusted)
        seconds = to.answer_seconds
        answer = posting.post(
            platforms.allowed, there, body, headers, seconds=seconds, identity=identity, most=LONGEST_ANSWER
        )
    except HurenError as error:
        is_sent = error.code == "no_answer"
        return logged if is_sent else b"", b"", _of(error, flags=flags)
    return logged, answer.body, understood(to, answer, bundle, flags)


def understood(to: Addressee, answer: Answered, bundle: Resource, flags: tuple[str, ...] = ()) -> Outcome:
    """What a platform's answer means: of a transaction every entry counts, of a document the status alone."""
    if not 200 <= answer.status < 300:
        return _of(posting.refusal(answer.status), outcome_words(answer.body), flags)
    if to.kind != "fhir":
        return Outcome("acknowledged", flags=flags)
    try:
        refused = refused_entries(answer.body, bundle)
    except BadInput as error:
        return Outcome("retry", error.code, flags=flags)
    if not refused:
        return Outcome("acknowledged", flags=flags)
    said = "; ".join(f"{entry.kind} ({entry.status}): {entry.words}" for entry in refused)
    return Outcome("stuck", "platform_entries_refused", said, {"count": len(refused)}, flags)


def without_pdf(body: bytes, pdf: bytes | None) -> bytes:
    """The body as the log keeps it: of a PDF inside its size and SHA-256, since the file itself is in the store.

    Otherwise every try would put hundreds of kilobytes into the database.
    """
    if not pdf:
        return body
    said = f"[PDF, {len(pdf)} bytes, SHA-256 {hashlib.sha256(pdf).hexdigest()}]"
    return body.replace(in_base64(pdf).encode("ascii"), said.encode("ascii"))


def _of(error: HurenError, text: str = "", flags: tuple[str, ...] = ()) -> Outcome:
    kind: Literal["retry", "stuck"] = "retry" if isinstance(error, TryLater) else "stuck"
    return Outcome(kind, error.code, text, dict(error.params), flags)
