"""pynetdicom's two threads of an association, woken instead of polling, with our own way for data (PS3.8 9.2).

The state machine, negotiation, release, abort and every service but C-STORE stay pynetdicom's. Its provider thread
looks every millisecond whether something came, reads 4 KB at a time and keeps a whole message in memory; its other
thread looks as often. Here both sleep until there is something to do, and P-DATA goes to an `Assembly`.

What is used of pynetdicom beyond its documented interface is listed in `tests/unit/gateway/test_pynetdicom.py`, which
fails when another version lacks it; then the setting `dimse_stock` keeps a door open while this is mended.
"""

from __future__ import annotations

import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AddressInformation, AssociationSocket

from gateway.dimse.assembly import COMMAND, Assembly, Noise, StoreRequest, Storing, store_answer
from gateway.dimse.faults import describe
from gateway.dimse.guard import GOING_AWAY, P_DATA_TF, GuardedSocket, Limits
from gateway.dimse.statuses import OUT_OF_RESOURCES

log = structlog.get_logger(__name__)

T = TypeVar("T")

READ: Final = 256 << 10  # bytes read at once; a PDU that is longer makes its association's buffer larger
LOOK_SECONDS: Final = 0.25  # between looks at timers, and at what nobody tells us
CLOSED_SECONDS: Final = 0.002  # between looks whether a thread whose connection is closed may end
MESSAGE_COST: Final = 4 << 10  # bytes that a message costs besides what it says, while it waits for its turn

# States and events of PS3.8 tables 9-1 to 9-10.
_IDLE: Final = "Sta1"
_DATA_TRANSFER: Final = "Sta6"
_WAITING_FOR_CLOSE: Final = "Sta13"
_NOT_A_PDU: Final = "Evt19"
_CLOSED: Final = "Evt17"
_ARTIM_OVER: Final = "Evt18"


class DoorSocket(AssociationSocket):
    """pynetdicom's view of a connection, which knows of bytes that the system does not."""

    @property
    def ready(self) -> bool:
        """Whether there is something to read."""
        connection = self.socket
        return super().ready or (isinstance(connection, GuardedSocket) and connection.pending() > 0)


class _WakingQueue(queue.Queue[T]):
    """A queue that tells somebody when something is put into it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._wake()


class DoorAssociation(Association):
    """An association that somebody asked for; otherwise as pynetdicom has it."""

    def __init__(self, ae: AE) -> None:
        super().__init__(ae, "acceptor")

    def run_reactor(self) -> None:
        """The association's thread. Its connection and its provider end with it, also where something failed."""
        try:
            super().run_reactor()
        finally:
            self.dul.kill_dul()
            connection = self.dul.socket.socket if self.dul.socket else None
            if connection is not None:
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()


class WokenAssociation(DoorAssociation):
    """An association whose threads sleep until there is something to do."""

    dul: Reactor

    def __init__(self, ae: AE, services: Services, limits: Limits) -> None:
        super().__init__(ae)
        self.woken = threading.Event()
        self.dul = Reactor(self, services, limits)
        self.dimse.msg_queue = _WakingQueue(self.woken.set)
        self.dul.to_user_queue = _WakingQueue(self.woken.set)
        # The timeouts of pynetdicom's own provider, which this one replaces.
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout

    def _run_reactor(self) -> None:
        """Serve what the peer asks until the association ends (PS3.8 7.2 to 7.4)."""
        while not self._kill:
            self.woken.wait(LOOK_SECONDS)
            self.woken.clear()
            if (taken := self._message()) is not None:
                self._serve_request(*taken)
                self.woken.set()  # to look at what else there is
            if self.is_established and self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released, self.is_established = True, False
                evt.trigger(self, evt.EVT_RELEASED, {})
                self.kill()
            elif self.acse.is_aborted():
                self.dul.receive_pdu(wait=False)
                self.is_aborted, self.is_established = True, False
                evt.trigger(self, evt.EVT_ABORTED, {})
                self.kill()
            elif not self.dul.is_alive():
                self.kill()
            elif self.dul.idle_timer_expired():
                self.abort()
                self.kill()

    def _message(self) -> tuple[Any, int] | None:
        while True:
            try:
                context_id, message = self.dimse.msg_queue.get_nowait()
            except queue.Empty:
                return None
            if context_id is not None:  # else pynetdicom's sign that the connection is gone
                return message, context_id


class Services(Protocol):
    """What the door does for an association's own thread."""

    def begin_store(self, association: Association, request: StoreRequest) -> Storing:
        """An object comes. Raises Noise to end the association."""

    def working(self, association: Association) -> AbstractContextManager[bool]:
        """Around the end of a message and its answer; False when the door is closing."""


class Reactor(DULServiceProvider):
    """The upper layer's thread: the only one that reads and writes the connection."""

    def __init__(self, association: WokenAssociation, services: Services, limits: Limits) -> None:
        super().__init__(association)
        self._association = association
        self._services = services
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._bell_lock = threading.Lock()
        self.to_provider_queue = _WakingQueue(self._wake)
        # Never resized, since views of it may outlive their use: an error that somebody keeps also keeps what was
        # looked at. What was read and not yet taken lies from `_begin` to `_end`.
        self._received = bytearray(READ)
        self._begin = self._end = 0
        self._limits = limits
        self._progress_at = time.monotonic()  # when the last PDU came that brought a message further
        self._assembly = Assembly(
            limits, lambda request: services.begin_store(association, request), self._answer, self._forward
        )

    def run_reactor(self) -> None:
        """The thread, until the association has ended."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                self._turn()
        except Exception as error:  # noqa: BLE001 - what one peer does ends only its own association
            log.warning("association_failed", error=describe(error))
            self._give_up()
        finally:
            self._assembly.discard()
            with self._bell_lock:
                self._bell.close()
                self._ear.close()
            self._association.woken.set()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self._wake()

    def _wake(self) -> None:
        with self._bell_lock:
            if self._bell.fileno() < 0:
                return
            try:
                self._bell.send(b"\0")
            except BlockingIOError:
                pass  # it has been rung often enough

    def _turn(self) -> None:
        """One event: something that is to be sent, or something that came, or a time that is over."""
        if self.artim_timer.expired:
            self.event_queue.put(_ARTIM_OVER)
        if self.event_queue.empty() and not self._process_recv_primitive():
            self._receive()
        try:
            event = self.event_queue.get_nowait()
        except queue.Empty:
            return
        self.state_machine.do_action(event)

    def _receive(self) -> None:
        connection = self.socket.socket if self.socket else None
        state = self.state_machine.current_state
        if not isinstance(connection, GuardedSocket):
            self._listen(None, CLOSED_SECONDS)
        elif connection.fileno() < 0:
            if state == _IDLE:
                self._listen(None, CLOSED_SECONDS)
            else:
                self.event_queue.put(_CLOSED)
        elif state == _WAITING_FOR_CLOSE:
            self._drain(connection)
        elif self._take_pdu():
            pass
        elif connection.pending() or self._listen(connection, LOOK_SECONDS):
            self._read(connection)

    def _read(self, connection: GuardedSocket) -> None:
        try:
            count = connection.recv_into(memoryview(self._received)[self._end :])
            # DCMTK and what is made of it send a message in several writes, each of which waits for an
            # acknowledgement of the one before (Nagle): so that comes at once. Linux forgets it after a while.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except TimeoutError:
            return  # over TLS, bytes that make no whole record
        except OSError:
            count = 0
        if count:
            self._end += count
            # Bytes count for as long as one PDU may take; behind that, only what they brought.
            if time.monotonic() < self._progress_at + self._limits.pdu_seconds:
                self._idle_timer.restart()
        else:
            self.event_queue.put(_CLOSED)

    def _drain(self, connection: GuardedSocket) -> None:
        """Let go of what still comes after the last word, which else might not reach the peer; then close."""
        if connection.pending() or self._listen(connection, 0):
            try:
                if connection.recv(READ):
                    return
            except OSError:
                pass
        if self.socket is not None:
            self.socket.close()

    def _listen(self, connection: socket.socket | None, seconds: float) -> bool:
        """Sleep until there is something to read, or to send, or so many seconds are over; True for the first."""
        poll = select.poll()
        poll.register(self._ear, select.POLLIN)
        if connection is not None:
            poll.register(connection, select.POLLIN)
        found = {descriptor for descriptor, _events in poll.poll(seconds * 1000)}
        if self._ear.fileno() in found:
            self._ear.recv(4096)
            found.discard(self._ear.fileno())
        return bool(found)

    def _take_pdu(self) -> bool:
        """Do what a PDU asks that has come in whole; False where there is none, and there is room for more of it."""
        size = 6
        if self._end - self._begin >= size:
            size += int.from_bytes(self._received[self._begin + 2 : self._begin + 6], "big")
        if self._end - self._begin < size:
            self._make_room(size)
            return False
        begin, self._begin = self._begin, self._begin + size
        pdu = memoryview(self._received)[begin : self._begin]
        if pdu[0] == P_DATA_TF and self.state_machine.current_state == _DATA_TRANSFER:
            try:
                is_news = self._assembly.take(pdu)
            except Noise as noise:
                log.warning("message_not_understood", problem=noise.reason)
                self.event_queue.put(_NOT_A_PDU)
            else:
                if is_news:
                    self._progress()
        else:
            self._progress()
            try:
                pdu_itself, event = self._decode_pdu(bytearray(pdu))
            except Exception as error:  # noqa: BLE001 - it raises whatever the bytes make it
                log.warning("pdu_not_understood", error=describe(error))
                self.event_queue.put(_NOT_A_PDU)
            else:
                self._recv_pdu.put(pdu_itself)
                self.event_queue.put(event)
        return True

    def _progress(self) -> None:
        self._progress_at = time.monotonic()
        self._idle_timer.restart()

    def _make_room(self, size: int) -> None:
        """See that the PDU in hand, of `size` bytes, fits behind `_begin`. The guard has seen to it that it may."""
        if self._begin == self._end:
            self._begin = self._end = 0
        if self._begin + size <= len(self._received):
            return
        rest = self._received[self._begin : self._end]
        if size > len(self._received):
            self._received = bytearray(size)
        self._received[: len(rest)] = rest
        self._begin, self._end = 0, len(rest)

    def _forward(self, context_id: int, fragment: bytes) -> None:
        connection = self.socket.socket if self.socket else None
        cost = len(fragment) + (MESSAGE_COST if fragment[0] & COMMAND else 0)
        if isinstance(connection, GuardedSocket) and not connection.hold(cost):
            raise Noise("too_much_waiting")
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, fragment))
        self._association.dimse.receive_primitive(primitive)

    def _answer(self, request: StoreRequest, storing: Storing) -> None:
        longest = self._association.dimse.maximum_pdu_size

        with self._services.working(self._association) as is_open:
            if is_open:
                status = storing.finish()
            else:
                storing.discard()
                status = OUT_OF_RESOURCES
            if self.socket is not None:
                self.socket.send(store_answer(request, status, longest))

    def _give_up(self) -> None:
        """Leave without the state machine, which is where something failed."""
        connection = self.socket.socket if self.socket else None
        if isinstance(connection, GuardedSocket):
            connection.cut(GOING_AWAY)
            connection.close()
        self._association.is_aborted, self._association.is_established = True, False
        self._association._kill = True
        self._kill_thread = True


def attach(association: DoorAssociation, connection: GuardedSocket, ae: AE) -> None:
    """Give an association its connection, whose request lies ready to be read, and what it answers about us."""
    peer, own = connection.getpeername(), connection.getsockname()
    association.name = f"dimse-{peer[1]}"
    association.set_socket(DoorSocket(association, client_socket=connection))
    acceptor = association.acceptor
    acceptor.maximum_length = ae.maximum_pdu_size
    acceptor.ae_title = ae.ae_title
    acceptor.address_info = AddressInformation.from_tuple(own)
    acceptor.implementation_class_uid = ae.implementation_class_uid
    acceptor.implementation_version_name = ae.implementation_version_name
    association.requestor.address_info = AddressInformation.from_tuple(peer)
