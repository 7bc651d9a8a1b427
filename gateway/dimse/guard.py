"""What stands in front of pynetdicom: limits that hold before a thread starts or memory is taken.

pynetdicom believes the length in a PDU's header, waits for the rest of a PDU without an end, and starts two threads
for each silent connection. So the listening socket counts callers before it hands them on, and each connection's
socket reads the framing of the PDUs that pass through it (DICOM PS3.8 9.3.1) and cuts what goes too far, with an
A-ABORT as the last word.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pynetdicom.ae import ApplicationEntity
from pynetdicom.transport import AssociationServer

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
    associations: int = 64
    connections_per_address: int = 32  # a township's devices may share one address behind its router
    request_seconds: float = 15.0  # from the connection to the end of its A-ASSOCIATE-RQ
    pdu_seconds: float = 300.0  # from the first byte of a PDU to its last: 1 MiB at 64 kbit/s takes 131
    idle_seconds: float = 120.0  # without a byte
    stop_seconds: float = 30.0  # for the messages in work when the door is closed

    @property
    def connections(self) -> int:
        """The most sockets: a few more than associations, so that those too many are told so and not just cut."""
        return self.associations + 16


class Guard:
    """Counts the connections and the unanswered bytes of one door."""

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
            full = len(self._open) >= self.limits.connections
            if full or self._by_address[connection.address] >= self.limits.connections_per_address:
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

    def answered(self, connection: GuardedSocket) -> None:
        """Forget the bytes of a connection whose messages are all answered."""
        with self._lock:
            self._unanswered -= connection.unanswered
            connection.unanswered = 0

    def cut_all(self) -> None:
        """End every connection, with an A-ABORT."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.cut(GOING_AWAY)


class GuardedSocket(socket.socket):
    """A caller's connection. It passes bytes through, and raises ConnectionAbortedError when they go too far."""

    first: frozenset[int] = frozenset({A_ASSOCIATE_RQ})  # kinds of PDU with which the peer may begin

    def __init__(self, accepted: socket.socket, address: str, guard: Guard) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.address = address
        self.idle_seconds = guard.limits.idle_seconds
        self.unanswered = 0  # bytes of P-DATA; the guard's lock protects it
        self._guard = guard
        self._header = bytearray()
        self._left = 0  # bytes of the PDU in hand that are still to come
        self._kind = 0  # of the PDU in hand; 0 before the first
        self._deadline = time.monotonic() + guard.limits.request_seconds
        self.settimeout(guard.limits.request_seconds)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read, and look at the framing of what was read."""
        data = super().recv(bufsize, flags)
        problem = self._problem_in(data)
        if problem:
            log.warning("dimse_connection_cut", address=self.address, problem=problem)
            self.cut(INVALID_PARAMETER)
            raise ConnectionAbortedError(problem)
        return data

    def cut(self, last_word: bytes) -> None:
        """Say `last_word` and end the connection both ways; whoever reads or writes it finds it closed."""
        with contextlib.suppress(OSError):
            super().send(last_word, socket.MSG_DONTWAIT)
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close, and make room for another caller."""
        super().close()
        self._guard.leave(self)

    def _problem_in(self, data: bytes) -> str:
        if self._left and time.monotonic() > self._deadline:
            return "too_slow"
        at = 0
        while at < len(data):
            if not self._left:
                if not self._header and self._kind:
                    self._deadline = time.monotonic() + self._guard.limits.pdu_seconds
                needed = _HEADER.size - len(self._header)
                self._header += data[at : at + needed]
                at += needed
                if len(self._header) == _HEADER.size and (problem := self._problem_of_header()):
                    return problem
                continue
            step = min(self._left, len(data) - at)
            self._left -= step
            at += step
            if self._kind == P_DATA_TF and not self._guard.take(self, step):
                return "too_much"
        return ""

    def _problem_of_header(self) -> str:
        limits = self._guard.limits
        is_first = not self._kind
        self._kind, self._left = _HEADER.unpack(self._header)
        self._header.clear()
        if is_first and self._kind not in self.first:
            return "no_association"
        if is_first:
            self.settimeout(min(limits.idle_seconds, limits.pdu_seconds))
        longest = limits.pdu if self._kind == P_DATA_TF else limits.request_pdu
        return "pdu_too_long" if self._left > longest else ""


class GuardedServer(AssociationServer):
    """Accepts connections in one thread; callers too many are closed before anything is made for them."""

    request_queue_size = 128

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        guard: Guard,
        handlers: list[Any],
        *,
        on_full: Callable[[str], None],
        reuse_port: bool = False,
    ) -> None:
        """Listen on `address`; `on_full` is told the address of a caller that found no room."""
        self._guard = guard
        self._on_full = on_full
        self._reuse_port = reuse_port
        super().__init__(ae, address, ae.ae_title, ae.supported_contexts, evt_handlers=handlers)

    def server_bind(self) -> None:
        """Bind; with `reuse_port` several processes share the port."""
        if self._reuse_port and self.socket is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """The next connection, guarded."""
        accepted, address = super().get_request()
        return GuardedSocket(accepted, address[0], self._guard), address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for the caller."""
        if self._guard.enter(request):
            return True
        self._on_full(client_address[0])
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that failed while it was set up is closed by the caller of this."""
        kind = sys.exc_info()[0]
        log.error("dimse_connection_failed", error=kind.__name__ if kind else "")

    def shutdown(self) -> None:
        """Stop listening. Open associations go on; the door ends them."""
        super(AssociationServer, self).shutdown()
        self.server_close()
