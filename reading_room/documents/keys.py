"""The public keys of the seals as one small file, so that anybody checks a document without asking us.

A JSON Web Key Set (RFC 7517): for each key its modulus and exponent, for any JOSE library, and its certificate and
those above it (``x5c``), which are what counts here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from reading_room.documents.signer import RSA_SHA256, key_id

LONGEST: Final = 4 * 1024 * 1024
"""Bytes of a key file that is read."""


@dataclass(frozen=True)
class PublicKey:
    """One institution's certificate and those above it; `trial` where we signed it ourselves."""

    certificates: Sequence[x509.Certificate]
    trial: bool


def published(keys: Iterable[PublicKey]) -> bytes:
    """The key file."""
    found = {key_id(key.certificates[0]): _jwk(key) for key in keys if key.certificates}
    whole = {"keys": [found[kid] for kid in sorted(found)]}
    return (json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_keys(data: bytes) -> list[x509.Certificate]:
    """Every certificate of a key file, or of a PEM file.

    Raises
    ------
    ValueError
        when it is neither, holds none, or names a key otherwise than its certificate.
    """
    if len(data) > LONGEST:
        raise ValueError("the key file is too large")
    if b"-----BEGIN" in data:
        return x509.load_pem_x509_certificates(data)
    try:
        keys = json.loads(data)["keys"]
        found: list[x509.Certificate] = []
        for key in keys:
            chain = [x509.load_der_x509_certificate(base64.b64decode(text, validate=True)) for text in key["x5c"]]
            named = _numbers(chain[0])
            if key["kid"] != key_id(chain[0]) or any(key.get(name, value) != value for name, value in named.items()):
                raise ValueError("a key and its certificate differ")
            found += chain
    except (KeyError, TypeError, IndexError, AttributeError, binascii.Error, RecursionError) as error:
        raise ValueError("no key file") from error
    if not found:
        raise ValueError("the key file holds no key")
    return found


def _jwk(key: PublicKey) -> dict[str, Any]:
    own = key.certificates[0]
    der = [c.public_bytes(serialization.Encoding.DER) for c in key.certificates]
    return {
        **_numbers(own),
        "kid": key_id(own),
        "not_after": own.not_valid_after_utc.isoformat(),
        "not_before": own.not_valid_before_utc.isoformat(),
        "subject": own.subject.rfc4514_string(),
        "trial": key.trial,
        "use": "sig",
        "x5c": [base64.b64encode(one).decode() for one in der],
        "x5t#S256": key_id(own),
    }


def _numbers(certificate: x509.Certificate) -> dict[str, str]:
    """Kind, modulus and exponent (RFC 7518 section 6.3.1); nothing for a key that is not RSA."""
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return {}
    numbers = key.public_numbers()
    return {"kty": "RSA", "alg": RSA_SHA256, "n": _number(numbers.n), "e": _number(numbers.e)}


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8)).rstrip(b"=").decode()
