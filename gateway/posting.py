"""Posting over HTTP to an address that a person typed: one request, no redirect, an answer of bounded length."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.outgoing import Allowed, connect, within
from gateway.tls import Identity
from worklist.errors import Broken, HurenError, TryLater

AGAIN: Final = frozenset({408, 425, 429})
"""Statuses below 500 after which the same request may be taken later (RFC 9110, 8470, 6585)."""


@dataclass(frozen=True)
class There:
    """Where is posted to. `path` holds the query, too; `trusted` are PEM certificates that the receiver may show,
    empty: those whom the system trusts, for this name."""

    host: str
    port: int
    path: str
    tls: bool
    trusted: str = ""


@dataclass(frozen=True)
class Answered:
    """What the receiver said."""

    status: int
    body: bytes


def post(
    allowed: Allowed,
    there: There,
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
    identity: Identity | None = None,
    most: int = 0,
) -> Answered:
    """Post once; whatever the status is, the answer is returned, with up to `most` bytes of its body.

    Raises
    ------
    TryLater
        ``no_answer``, and as `gateway.outgoing.connect`.
    Broken
        as `gateway.outgoing.connect`.
    """
    connection = connect(
        allowed, there.host, there.port, tls=there.tls, trusted=there.trusted, identity=identity
    )  # fmt: skip
    with within(connection, seconds) as deadline:
        asking = http.client.HTTPConnection(there.host, there.port)
        asking.default_port = 443 if there.tls else 80  # what the Host header leaves out
        asking.auto_open = 0  # never a connection of its own, which would not be to the checked address
        asking.sock = connection
        try:
            asking.request("POST", there.path, body, {"User-Agent": "Huren", "Connection": "close", **headers})
            with asking.getresponse() as answer:
                found = Answered(answer.status, answer.read(most) if most else b"")
        except (OSError, http.client.HTTPException) as error:
            raise TryLater("no_answer") from error
        if deadline.is_over:  # what was cut off in the middle may look like an answer
            raise TryLater("no_answer")
    return found


def refusal(status: int) -> HurenError:
    """What a status that is no success means: ``receiver_redirects`` (3xx) and ``receiver_refused`` (4xx) get stuck,
    ``receiver_status`` (5xx and `AGAIN`) may pass."""
    if 300 <= status < 400:
        return Broken("receiver_redirects", status=status)
    if status >= 500 or status in AGAIN:
        return TryLater("receiver_status", status=status)
    return Broken("receiver_refused", status=status)
