"""Asking a time stamping authority (RFC 3161) to say that a digest existed, and checking what it said.

Only the digest leaves the house. The answer is checked before it is kept: granted, for this digest and this question
(nonce), signed by a certificate for time stamping (RFC 3161 section 2.3) that leads to one that the operator trusts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx
from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from worklist.errors import Broken, TryLater

SECONDS: Final = 10.0
BIGGEST: Final = 256 * 1024
"""Bytes of an answer that is looked at; a token with its certificates takes some 6,000."""
_HEADERS: Final = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}


@dataclass(frozen=True)
class Authority:
    """Whom to ask, and which certificates its tokens have to lead to."""

    url: str
    trusted: tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class Stamp:
    """What an authority said: the time, aware UTC, and its TimeStampToken in DER."""

    at: datetime
    token: bytes


def ask(authority: Authority, sha256: bytes) -> Stamp:
    """A time stamp over a SHA-256 of 32 bytes.

    Raises
    ------
    TryLater
        ``time_stamps_away``: no answer, or one that says that it cannot now.
    Broken
        ``time_stamp_wrong``: it refuses, or its answer is none that we could show to anybody.
    """
    nonce = secrets.randbits(63)
    request = tsp.TimeStampReq(
        {
            "version": "v1",
            "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": sha256},
            "nonce": nonce,
            "cert_req": True,
        }
    )
    try:
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            answer = client.post(authority.url, content=request.dump(), headers=_HEADERS)
    except httpx.HTTPError as error:
        raise TryLater("time_stamps_away") from error
    if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
        raise TryLater("time_stamps_away")
    if answer.status_code != 200 or len(answer.content) > BIGGEST:
        raise Broken("time_stamp_wrong")
    try:
        said = tsp.TimeStampResp.load(answer.content, strict=True)
        if said["status"]["status"].native not in ("granted", "granted_with_mods"):
            raise Broken("time_stamp_wrong")
        token = said["time_stamp_token"]
        if token["content"]["encap_content_info"]["content"].parsed["nonce"].native != nonce:
            raise Broken("time_stamp_wrong")
        der = bytes(token.dump())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Broken("time_stamp_wrong") from error
    at = check(der, sha256, authority.trusted)
    if at is None:
        raise Broken("time_stamp_wrong")
    return Stamp(at, der)


def check(token: bytes, sha256: bytes, trusted: Sequence[x509.Certificate]) -> datetime | None:
    """When a token says that this SHA-256 existed, aware UTC; None where it does not hold.

    Certificates are judged as of that time: a token outlives the certificate that signed it. Nothing is fetched.
    """
    # Tens of megabytes that only those need who check a token.
    from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
    from pyhanko.sign.validation.status import TimestampSignatureStatus
    from pyhanko_certvalidator import ValidationContext

    try:
        content = cms.ContentInfo.load(token, strict=True)
        signed = content["content"]
        info = signed["encap_content_info"]["content"].parsed
        at: datetime = info["gen_time"].native
        roots = [asn1_x509.Certificate.load(c.public_bytes(serialization.Encoding.DER)) for c in trusted]
        context = ValidationContext(trust_roots=roots, moment=at, allow_fetching=False)
        said = asyncio.run(validate_tst_signed_data(signed, context, lambda name: sha256 if name == "sha256" else b""))
        status = TimestampSignatureStatus(**said)
    except Exception:  # noqa: BLE001 - strangers' bytes: whatever a parser stumbles over, this token does not hold
        return None
    return at.astimezone(UTC) if status.intact and status.valid and status.trusted else None
