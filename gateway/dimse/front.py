"""The front of a DIMSE port: here a connection waits, without a thread, until its A-ASSOCIATE-RQ is whole.

One thread accepts, shakes hands over TLS and reads the first PDU of every caller; nothing in it waits for anybody. A
caller that says nothing is put out by the next one, the oldest of its address first, so that a crowd of silent
callers costs a little memory and keeps nobody out (DICOM PS3.8 9.1.4 leaves it open what becomes of such a caller).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import structlog

from gateway.dimse.faults import describe
from gateway.dimse.guard import INVALID_PARAMETER, Guard, GuardedSocket, GuardedTlsSocket
from gateway.tls import fingerprint, refusal_reason

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.1  # between looks at the clock
AT_ONCE: Final = 64  # connections taken before those that wait are looked at again
READ: Final = 64 << 10
BACKLOG: Final = 256

# A-ASSOCIATE-RJ: result, source, reason (PS3.8 table 9-21).
CALLING_UNKNOWN: Final = (1, 1, 3)
CALLED_UNKNOWN: Final = (1, 1, 7)
CONGESTED: Final = (2, 3, 1)
LIMIT_EXCEEDED: Final = (2, 3, 2)

_REQUEST: Final = struct.Struct(">BxLHxx16s16s32x")  # the fixed part of an A-ASSOCIATE-RQ (PS3.8 9.3.2)


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for an association, as the caller says. Titles are ASCII, ``""`` where they are none (PS3.5 6.2)."""

    calling: str
    called: str


@dataclass(eq=False)
class _Waiting:
    connection: GuardedSocket
    until: float
    is_shaking: bool
    data: bytearray = field(default_factory=bytearray)


class Front:
    """Listens on one address. `start` and `stop` once each."""

    def __init__(
        self,
        address: tuple[str, int],
        guard: Guard,
        *,
        admit: Callable[[GuardedSocket, Asking], None],
        refused: Callable[[str, str], None],
        context: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        """`admit` is handed each connection that asks for an association, with what was read put back, in the thread
        of the front; `refused` is told address and reason of those sent away before. Neither may wait.

        Port 0 takes any free one; with `reuse_port` several processes share a port. With `context`, over TLS.

        Raises
        ------
        OSError
            The address is taken.
        """
        self._guard, self._admit, self._refused, self._context = guard, admit, refused, context
        if context is not None:
            context.sslsocket_class = GuardedTlsSocket
        self._waiting: dict[GuardedSocket, _Waiting] = {}  # the oldest first
        self._is_stopping = False
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            self._listener = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=reuse_port)
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), f"{address[0]}:{address[1]}") from error
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        """Where it listens."""
        self._thread = threading.Thread(target=self._run, name="dimse-front", daemon=True)

    @property
    def waiting(self) -> int:
        """How many connections have not yet asked for an association."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and cut whoever waits."""
        self._is_stopping = True
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._is_stopping:
                for key, _events in selector.select(LOOK_SECONDS):
                    try:
                        if key.fileobj is self._listener:
                            self._accept(selector)
                        elif isinstance(key.fileobj, GuardedSocket) and key.fileobj in self._waiting:
                            self._look(selector, self._waiting[key.fileobj])
                    except Exception as error:  # noqa: BLE001 - one caller must not close the door to all
                        log.warning("dimse_front_failed", error=describe(error))
                now = time.monotonic()
                for late in [w for w in self._waiting.values() if w.until < now]:
                    log.warning("dimse_connection_cut", address=late.connection.address, problem="too_slow")
                    self._put_out(selector, late)
            for waiting in list(self._waiting.values()):
                self._put_out(selector, waiting)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # out of descriptors, most likely
                log.warning("dimse_not_accepted", error=describe(error))
                if self._waiting:
                    self._put_out(selector, next(iter(self._waiting.values())))
                else:
                    time.sleep(LOOK_SECONDS)
                return
            accepted.setblocking(False)
            self._make_room(selector, address[0])
            try:
                connection = self._guarded(accepted, address[0])
            except OSError:  # it left meanwhile
                accepted.close()
                continue
            until = time.monotonic() + self._guard.limits.request_seconds
            waiting = self._waiting[connection] = _Waiting(connection, until, self._context is not None)
            selector.register(connection, selectors.EVENT_READ)
            self._look(selector, waiting)

    def _guarded(self, accepted: socket.socket, address: str) -> GuardedSocket:
        connection: GuardedSocket
        if self._context is None:
            connection = GuardedSocket.around(accepted, address, self._guard)
        else:
            wrapped = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            connection = cast("GuardedTlsSocket", wrapped)  # the context's class
            connection.watch(address, self._guard)
        connection.setblocking(False)
        return connection

    def _make_room(self, selector: selectors.BaseSelector, address: str) -> None:
        """Put out the oldest of those that wait where one more would be too many, of an address or of all."""
        limits = self._guard.limits
        own = [waiting for waiting in self._waiting.values() if waiting.connection.address == address]
        crowd = own if len(own) >= limits.waiting_per_address else list(self._waiting.values())
        if len(own) >= limits.waiting_per_address or len(crowd) >= limits.waiting:
            self._refused(crowd[0].connection.address, "too_many_connections")
            self._put_out(selector, crowd[0])

    def _look(self, selector: selectors.BaseSelector, waiting: _Waiting) -> None:
        """Go on with a connection as far as what has come in allows."""
        connection = waiting.connection
        try:
            if waiting.is_shaking and isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
                connection.certificate = fingerprint(connection.getpeercert(binary_form=True) or b"")
                waiting.is_shaking = False
                selector.modify(connection, selectors.EVENT_READ)
            while data := connection.recv(READ):
                waiting.data += data
                if len(waiting.data) >= 6 and len(waiting.data) >= 6 + int.from_bytes(waiting.data[2:6], "big"):
                    self._hand_on(selector, waiting)
                    return
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:
            selector.modify(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
            pass  # it left, or was cut
        except OSError as error:
            if waiting.is_shaking:
                self._refused(connection.address, refusal_reason(error))
        self._put_out(selector, waiting)

    def _hand_on(self, selector: selectors.BaseSelector, waiting: _Waiting) -> None:
        connection = waiting.connection
        selector.unregister(connection)
        del self._waiting[connection]
        try:
            asking = _names(waiting.data)
            if asking is None:
                connection.cut(INVALID_PARAMETER)
                connection.close()
                return
            connection.unread(bytes(waiting.data))
            limits = self._guard.limits
            connection.settimeout(min(limits.idle_seconds, limits.pdu_seconds))
            self._admit(connection, asking)
        except BaseException:
            connection.close()
            raise

    def _put_out(self, selector: selectors.BaseSelector, waiting: _Waiting) -> None:
        self._waiting.pop(waiting.connection, None)
        with contextlib.suppress(KeyError, ValueError):
            selector.unregister(waiting.connection)
        with contextlib.suppress(OSError):
            waiting.connection.close()


def reject(connection: GuardedSocket, reason: tuple[int, int, int]) -> None:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4), and close. The connection has just begun, so that this does not wait."""
    with contextlib.suppress(OSError):
        connection.sendall(bytes((3, 0, 0, 0, 0, 4, 0, *reason)))
    with contextlib.suppress(OSError):
        connection.close()


def _names(request: bytearray) -> Asking | None:
    """The titles in an A-ASSOCIATE-RQ, None where it is none."""
    if len(request) < _REQUEST.size:
        return None
    _kind, _length, _version, called, calling = _REQUEST.unpack_from(request)
    return Asking(_title(calling), _title(called))


def _title(raw: bytes) -> str:
    """An AE title, without the spaces that do not count."""
    title = raw.strip(b" \0").decode("latin-1")
    return title if title.isascii() and title.isprintable() and "\\" not in title else ""
