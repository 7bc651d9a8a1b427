"""Certificates as people hand them in: PEM text, read here, since the ground knows no X.509."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.tls import fingerprint
from worklist.errors import BadInput

LONGEST_PEM: Final = 64 << 10  # characters
MOST_AT_ONCE: Final = 5


@dataclass(frozen=True)
class Certificate:
    """What a certificate says of itself."""

    fingerprint: str  # SHA-256 of the DER form, hex
    subject: str  # RFC 4514
    not_after: datetime  # aware UTC
    pem: str


def read_certificates(text: str) -> list[Certificate]:
    """Every certificate of a PEM text, each once.

    Raises
    ------
    BadInput
        ``certificate_unreadable``, or ``key_in_certificate``: a private key was pasted along and must not travel.
    """
    if "PRIVATE KEY" in text:
        raise BadInput("key_in_certificate")
    try:
        found = x509.load_pem_x509_certificates(text.encode()) if len(text) <= LONGEST_PEM else []
    except ValueError as error:
        raise BadInput("certificate_unreadable") from error
    if not 0 < len(found) <= MOST_AT_ONCE:
        raise BadInput("certificate_unreadable")
    try:
        read = [
            Certificate(
                fingerprint(one.public_bytes(Encoding.DER)),
                one.subject.rfc4514_string()[:200] or "—",
                one.not_valid_after_utc,
                one.public_bytes(Encoding.PEM).decode(),
            )
            for one in found
        ]
    except ValueError as error:  # names that are no text
        raise BadInput("certificate_unreadable") from error
    return list({one.fingerprint: one for one in read}.values())
