"""Who signs in the name of an institution, and what a content signature looks like.

`Signer` is the interface. `seal.Seal`, a key in a file, and `service.SigningService`, a service that holds the key for
us, are the ones that are built in; `docs/signing.md` says how another one is plugged in.

A content signature is a JSON Web Signature (RFC 7515) in compact form. Any JOSE library checks it against the published
keys (`keys`). Here every byte counts: whatever `signed` would not write is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

RSA_SHA256: Final = "RS256"
"""RSASSA-PKCS1-v1_5 with SHA-256, by its name in RFC 7518 section 3.3."""
MOST_KEY_BITS: Final = 8192
LONGEST: Final = 8192
"""Characters of a signature that is looked at; ours take some 1,500."""

Sound = Literal["whole", "altered", "unknown"]
"""Of a signature: it holds; it does not; it may, with a key that is not trusted here."""


class Signer(Protocol):
    """Who signs in the name of an institution.

    `trial` is false only where the operator answers for the certificate. No implementation may claim a cryptographic
    assessment. What signs over a network raises `TryLater` where the other side is away: nothing is issued then, and
    the doctor signs again.
    """

    @property
    def trial(self) -> bool:
        """Whether the sheets have to say that this is no legal electronic signature."""

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that signatures are checked against."""

    @property
    def chain(self) -> Sequence[x509.Certificate]:
        """The certificates above it."""

    @property
    def algorithm(self) -> str:
        """What `sign` does, by its name in RFC 7518 section 3.1, such as ``RS256``."""

    def sign(self, data: bytes) -> bytes:
        """The bare signature over `data`."""

    def seal(self, pdf: bytes, reason: str, now: datetime) -> bytes:
        """`pdf` with a signature appended; `reason` goes into its dictionary, and `now`, aware, is the time that it
        claims. One whose key is RSA leaves it to `seal.seal_pdf`."""


def key_id(certificate: x509.Certificate) -> str:
    """How a signature names its key: the certificate's SHA-256 in base64url (``x5t#S256``, RFC 7517 section 4.9)."""
    return _encoded(hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest())


def signed(signer: Signer, payload: bytes) -> str:
    """A signature with its `payload` inside."""
    said = f"{_head(signer.algorithm, key_id(signer.certificate))}.{_encoded(payload)}"
    return f"{said}.{_encoded(signer.sign(said.encode()))}"


def check_signed(signature: str, trusted: Sequence[x509.Certificate]) -> tuple[Sound, bytes]:
    """Check what `signed` wrote, against the keys of `trusted`; with it what it carries, b"" unless whole."""
    parts = signature.split(".")
    if len(signature) > LONGEST or len(parts) != 3:
        return "altered", b""
    head, payload, value = (_decoded(part) for part in parts)
    try:
        said = json.loads(head or b"")
        kid, algorithm = str(said["kid"]), str(said["alg"])
    except (ValueError, KeyError, TypeError):
        return "altered", b""
    if payload is None or value is None or parts[0] != _head(algorithm, kid):
        return "altered", b""
    certificate = next((c for c in trusted if key_id(c) == kid), None)
    key = certificate.public_key() if certificate is not None else None
    if algorithm != RSA_SHA256 or not isinstance(key, rsa.RSAPublicKey) or key.key_size > MOST_KEY_BITS:
        return "unknown", b""
    try:
        key.verify(value, f"{parts[0]}.{parts[1]}".encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return "altered", b""
    return "whole", payload


def _head(algorithm: str, kid: str) -> str:
    """The protected header in its one form: sorted, without spaces (RFC 7515 section 4)."""
    return _encoded(json.dumps({"alg": algorithm, "kid": kid}, sort_keys=True, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes | None:
    """None for what `_encoded` would write otherwise: one value has one text."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _encoded(data) == text else None
