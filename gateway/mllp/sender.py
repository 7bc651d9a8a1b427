"""Carrying one message out by MLLP and bringing one answer back.

Each message has a connection of its own. So an answer that comes too late meets a closed socket and is
never taken for the answer to the next message.

Where the endpoint wants TLS, the connection is wrapped before the first byte; nothing is ever sent in the open instead.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Final

from gateway.mllp.framer import Framer, wrap
from worklist.errors import TryLater

LONGEST_ANSWER: Final = 65_536  # bytes; an acknowledgement takes 200
CONNECT_SECONDS: Final = 5.0
PIECE: Final = 16_384  # bytes


class NotAnswered(TryLater):
    """The message may or may not have arrived; `received` is what came instead of an answer."""

    def __init__(self, code: str, received: bytes = b"", **params: object) -> None:
        super().__init__(code, **params)
        self.received = received


def send(
    host: str,
    port: int,
    message: bytes,
    *,
    answer_seconds: float,
    connect_seconds: float = CONNECT_SECONDS,
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """Send one message and return the answer, both without frames.

    Parameters
    ----------
    host
        A name or an address; it is resolved once, and the connection goes to what it gave.
    answer_seconds
        From the first byte sent to the last byte of the answer, however slowly either side goes.
    connect_seconds
        For all addresses of the host together, and as long again for the TLS handshake.
    tls
        How to speak TLS (`gateway.tls.client_context`); None: in the open.

    Raises
    ------
    TryLater
        ``peer_away``: no connection; ``receiver_certificate_unknown`` or ``receiver_tls_failed``: none that is safe.
        Nothing was sent.
    NotAnswered
        ``no_answer``, ``unreadable_answer`` (not MLLP, broken off, too long), or ``receiver_tls_failed`` where the
        receiver ended the secure connection (it may not know our certificate).
    BadInput
        ``frame_mark_in_message``: the message cannot travel by MLLP.
    """
    framed = wrap(message)
    connection = _connect(host, port, connect_seconds)
    if tls is not None:
        connection = _secured(connection, tls, host, port, connect_seconds)
    deadline = time.monotonic() + answer_seconds
    with connection:
        try:
            connection.settimeout(answer_seconds)
            connection.sendall(framed)
        except OSError:
            # A peer that refuses early may have said why before it closed.
            pass
        return _answer(connection, deadline)


def _connect(host: str, port: int, seconds: float) -> socket.socket:
    deadline = time.monotonic() + seconds
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TryLater("peer_away", port=port) from error
    cause: OSError | None = None
    for family, kind, protocol, _, address in found:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left)
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            cause = error
        else:
            return connection
    raise TryLater("peer_away", port=port) from cause


def _secured(connection: socket.socket, tls: ssl.SSLContext, host: str, port: int, seconds: float) -> socket.socket:
    try:
        connection.settimeout(seconds)
        return tls.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise TryLater("receiver_certificate_unknown", port=port) from error
    except OSError as error:  # ssl.SSLError is one
        connection.close()
        raise TryLater("receiver_tls_failed", port=port) from error


def _answer(connection: socket.socket, deadline: float) -> bytes:
    framer = Framer(LONGEST_ANSWER)
    cause: OSError | None = None
    while framer.fault is None:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            connection.settimeout(left)
            piece = connection.recv(PIECE)
        except OSError as error:
            cause = error
            break
        answers = framer.feed(piece)
        if answers:
            return answers[0]
        if framer.is_held:
            # Nothing but a 0x0D can follow that would matter: the connection ends with this answer.
            return framer.release()
        if not piece:
            break
    if framer.fault is not None or framer.unused:
        raise NotAnswered("unreadable_answer", framer.unused) from (framer.fault or cause)
    # In TLS 1.3 a receiver says after the handshake that it does not want our certificate.
    raise NotAnswered("receiver_tls_failed" if isinstance(cause, ssl.SSLError) else "no_answer") from cause
