"""What stands in front of pynetdicom: limits that hold before a thread starts or memory is taken.

pynetdicom believes the length in a PDU's header, waits for the rest of a PDU without an end, and starts two threads
for each silent connection. So connections wait in `front` until they have asked for an association, they are counted
here, and each connection's socket reads the framing of the PDUs that pass through it (DICOM PS3.8 9.3.1) and cuts
what goes too far, with an A-ABORT as the last word.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

A_ASSOCIATE_RQ: Final = 0x01
P_DATA_TF: Final = 0x04
_HEADER: Final = struct.Struct(">BxL")

# A-ABORT (PS3.8 9.3.8): by the service provider for an invalid parameter; by the user, who says no more.
INVALID_PARAMETER: Final = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 6))
GOING_AWAY: Final = bytes((7, 0, 0, 0, 0, 4, 0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the door takes. Times are in seconds, sizes in bytes."""

    pdu: int = 1 << 20  # of one PDU, and what we announce as our maximum
    request_pdu: int = 256 << 10  # of the A-ASSOCIATE-RQ, which comes before we know who calls
    message: int = 512 << 20  # not yet answered, of one association
    unanswered: int = 1 << 30  # not yet answered, of all associations
    # Of messages that bring no object and are not yet answered, of one association. Peers wait for each answer (PS3.7
    # D.3.3.3 is not negotiated), and the longest, a commitment request of 10,000 objects, has less than 2 MiB.
    in_memory: int = 8 << 20
    associations: int = 64
    associations_per_address: int = 32  # a township's devices may share one address behind its router
    waiting: int = 128  # connections that have not yet asked for an association; they cost no thread
    waiting_per_address: int = 16
    request_seconds: float = 15.0  # from the connection to the end of its A-ASSOCIATE-RQ
    pdu_seconds: float = 300.0  # from the first byte of a PDU to its last: 1 MiB at 64 kbit/s takes 131
    message_seconds: float = 4 * 3600.0  # from the first PDU of a message to its last
    idle_seconds: float = 120.0  # without a byte
    stop_seconds: float = 30.0  # for the messages in work when the door is closed


class Guard:
    """Counts the associations and the unanswered bytes of one door."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._open: set[GuardedSocket] = set()
        self._by_address: Counter[str] = Counter()
        self._unanswered = 0

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def enter(self, connection: GuardedSocket) -> bool:
        """Count a connection in; False when there are too many, of all or of its address."""
        with self._lock:
            full = len(self._open) >= self.limits.associations
            if full or self._by_address[connection.address] >= self.limits.associations_per_address:
                return False
            self._open.add(connection)
            self._by_address[connection.address] += 1
            return True

    def leave(self, connection: GuardedSocket) -> None:
        """Count a connection out, once, with the bytes it still held."""
        with self._lock:
            if connection not in self._open:
                return
            self._open.remove(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]
            self._unanswered -= connection.unanswered
            connection.unanswered = 0

    def take(self, connection: GuardedSocket, size: int) -> bool:
        """Count bytes of a message in; False when they are too many, of all or of this connection."""
        with self._lock:
            if connection not in self._open:
                return False
            connection.unanswered += size
            self._unanswered += size
            within = connection.unanswered <= self.limits.message
            return within and self._unanswered <= self.limits.unanswered

    def hold(self, connection: GuardedSocket, size: int) -> bool:
        """Count what is kept in memory of messages that wait; False when it is too much."""
        with self._lock:
            connection.held += size
            return connection.held <= self.limits.in_memory

    def answered(self, connection: GuardedSocket) -> None:
        """Forget the bytes of a connection whose messages are all answered."""
        with self._lock:
            self._unanswered -= connection.unanswered
            connection.unanswered = connection.held = 0

    def cut_all(self) -> None:
        """End every connection, with an A-ABORT."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.cut(GOING_AWAY)


class GuardedSocket(socket.socket):
    """A caller's connection. It passes bytes through, and raises ConnectionAbortedError when they go too far."""

    first: frozenset[int] = frozenset({A_ASSOCIATE_RQ})  # kinds of PDU with which the peer may begin
    address = ""  # of the peer
    certificate = ""  # fingerprint of the one that the peer showed
    idle_seconds = 0.0
    unanswered = 0  # bytes of P-DATA; the guard's lock protects it
    held = 0  # bytes of these that wait in memory; so is this
    _guard: Guard | None = None
    _unread = b""
    _left = 0  # bytes of the PDU in hand that are still to come
    _kind = 0  # of the PDU in hand; 0 before the first

    @classmethod
    def around(cls, accepted: socket.socket, address: str, guard: Guard) -> GuardedSocket:
        """The connection `accepted`, guarded; that object must not be used any more."""
        made = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        made.watch(address, guard)
        return made

    def watch(self, address: str, guard: Guard) -> None:
        """Begin to look at what comes in."""
        self.address, self.idle_seconds = address, guard.limits.idle_seconds
        self._guard = guard
        self._header = bytearray()
        self._deadline = time.monotonic() + guard.limits.request_seconds
        # pynetdicom answers in several small PDUs, each of which would wait for the peer's acknowledgement.
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read, and look at the framing of what was read."""
        if self._unread:
            data, self._unread = self._unread[:buflen], self._unread[buflen:]
            return data
        data = super().recv(buflen, flags)
        self._look_at(data)
        return data

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read into `buffer`, and look at the framing of what was read; returns how many bytes came."""
        with memoryview(buffer) as room:
            if self._unread:
                data = self.recv(nbytes or len(room))
                room[: len(data)] = data
                return len(data)
            count = super().recv_into(room, nbytes or len(room), flags)
            with room[:count] as fresh:
                self._look_at(fresh)
        return count

    def hold(self, size: int) -> bool:
        """Count what is kept in memory of messages that wait for their turn; False when it is too much."""
        return self._guard is None or self._guard.hold(self, size)

    def unread(self, data: bytes) -> None:
        """Put back what was read, for the next `recv`."""
        self._unread = data + self._unread

    def pending(self) -> int:
        """How many bytes can be read of which the system, asked about this socket, knows nothing."""
        return len(self._unread)

    def cut(self, last_word: bytes) -> None:
        """Say `last_word` (not over TLS) and end the connection both ways; who reads or writes it finds it closed."""
        with contextlib.suppress(OSError, ValueError):
            super().send(last_word, socket.MSG_DONTWAIT)
        self.shutdown(socket.SHUT_RDWR)

    def shutdown(self, how: int, /) -> None:
        """End the connection; one that is not there any more is no error. Of TLS nothing is taken down with it, since
        another thread may be reading."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self, how)

    def close(self) -> None:
        """Close, and make room for another caller."""
        super().close()
        if self._guard is not None:
            self._guard.leave(self)

    def _look_at(self, data: bytes | memoryview) -> None:
        if self._guard is not None and (problem := self._problem_in(data, self._guard)):
            log.warning("dimse_connection_cut", address=self.address, problem=problem)
            self.cut(INVALID_PARAMETER)
            raise ConnectionAbortedError(problem)

    def _problem_in(self, data: bytes | memoryview, guard: Guard) -> str:
        if self._left and time.monotonic() > self._deadline:
            return "too_slow"
        at = 0
        while at < len(data):
            if not self._left:
                if not self._header and self._kind:
                    self._deadline = time.monotonic() + guard.limits.pdu_seconds
                needed = _HEADER.size - len(self._header)
                self._header += data[at : at + needed]
                at += needed
                if len(self._header) == _HEADER.size and (problem := self._problem_of_header(guard.limits)):
                    return problem
                continue
            step = min(self._left, len(data) - at)
            self._left -= step
            at += step
            if self._kind == P_DATA_TF and not guard.take(self, step):
                return "too_much"
        return ""

    def _problem_of_header(self, limits: Limits) -> str:
        is_first = not self._kind
        self._kind, self._left = _HEADER.unpack(self._header)
        self._header.clear()
        if is_first and self._kind not in self.first:
            return "no_association"
        longest = limits.pdu if self._kind == P_DATA_TF else limits.request_pdu
        return "pdu_too_long" if self._left > longest else ""


class GuardedTlsSocket(GuardedSocket, ssl.SSLSocket):
    """The same over TLS. Made by a context whose `sslsocket_class` it is; then `watch` must be called."""

    def pending(self) -> int:
        """How many bytes can be read of which the system, asked about this socket, knows nothing."""
        return super().pending() + (ssl.SSLSocket.pending(self) if self._sslobj is not None else 0)

    _sslobj: Any
