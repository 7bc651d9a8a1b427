"""Posting to a webhook: one request, no redirect, an answer of which only the status counts.

Signed as the Standard Webhooks say (``webhook-id``, ``webhook-timestamp``, ``webhook-signature: v1,…``): HMAC-SHA256
over id, time and body, so that a receiver can tell that it is ours, fresh, and new.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from gateway import posting
from gateway.outgoing import Allowed
from gateway.posting import There

SECONDS: Final = 15.0  # for request and answer; far below the lease of a job
PREFIX: Final = "whsec_"


def new_secret() -> str:
    """A new secret of 256 random bits, as Standard Webhooks write it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, id: str, at: datetime, body: bytes) -> str:
    """What ``webhook-signature`` says; `at` is aware and counts in whole seconds.

    Raises ValueError where the secret is not one of `new_secret`.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    signed = f"{id}.{int(at.timestamp())}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def post(
    allowed: Allowed,
    address: str,
    body: bytes,
    *,
    id: str,
    at: datetime,
    secret: str,
    trusted: str = "",
    seconds: float = SECONDS,
) -> None:
    """Post JSON; returns when the receiver has taken it (2xx).

    Parameters
    ----------
    id
        The same at every try of the same thing, so that the receiver can tell.
    trusted
        PEM certificates that the receiver may show; empty: those whom the system trusts, for this name.

    Raises
    ------
    TryLater
        ``receiver_status`` (5xx and a few others), ``no_answer``, and as `gateway.outgoing.connect`.
    Broken
        ``receiver_refused`` (4xx), ``receiver_redirects`` (3xx), and as `gateway.outgoing.connect`.
    """
    parts = urlsplit(address)
    is_tls = parts.scheme == "https"
    there = There(
        parts.hostname or "",
        parts.port or (443 if is_tls else 80),
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        is_tls,
        trusted,
    )
    headers = {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature(secret, id, at, body),
    }
    status = posting.post(allowed, there, body, headers, seconds=seconds).status
    if 200 <= status < 300:
        return
    raise posting.refusal(status)
