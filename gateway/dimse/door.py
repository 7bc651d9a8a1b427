"""The DIMSE door: who may associate, for what, and the way from pynetdicom's events to our own modules.

pynetdicom speaks the protocol, two threads for each association; `guard` stands in front of it. A caller is a known
device by its address and calling AE title (DICOM PS3.8 9.3.4 has the reasons of a refusal); what it may do is
settled when the association is made. Handlers here only unpack and hand on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from io import BytesIO
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_CANCEL, C_GET, C_MOVE, C_STORE, N_EVENT_REPORT
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext

from gateway.dimse.commitment import Action, Commitments
from gateway.dimse.contexts import (
    COMMITMENT,
    FIND,
    MODALITY_WORKLIST,
    PATIENT_ROOT,
    PROCEDURE_STEP,
    VERIFICATION,
    Contexts,
)
from gateway.dimse.faults import describe
from gateway.dimse.find import ImageFinder
from gateway.dimse.guard import Guard, GuardedServer, GuardedSocket, Limits
from gateway.dimse.library import abort_on_noise, end_waiting, has_answered, quieten
from gateway.dimse.modality_worklist import ModalityWorklist
from gateway.dimse.procedure_step import ProcedureSteps
from gateway.dimse.refusals import Refusals
from gateway.dimse.retrieve import Retrievals
from gateway.dimse.statuses import FAILED, N_FAILED, N_OUT_OF_RESOURCES, OUT_OF_RESOURCES, SUCCESS, Status
from gateway.dimse.storage import Sent, Storage
from gateway.store import ObjectStore
from interfaces.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, new_uid
from worklist.actions.devices import find_device
from worklist.database import Database
from worklist.errors import TryLater
from worklist.facts import Caller, KnownDevice

log = structlog.get_logger(__name__)

# A-ASSOCIATE-RJ: result, source, reason (PS3.8 table 9-21).
CALLING_UNKNOWN: Final = (1, 1, 3)
CALLED_UNKNOWN: Final = (1, 1, 7)
CONGESTED: Final = (2, 3, 1)
LIMIT_EXCEEDED: Final = (2, 3, 2)

SETTLE_SECONDS: Final = 0.05  # between our handler's end and its answer in pynetdicom's queue


class Door:
    """A DIMSE server. Call `start` and `stop` from any thread, once each."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        clock: Callable[[], datetime],
        *,
        ae_title: str = "HUREN",
        host: str = "0.0.0.0",  # noqa: S104 - modalities are other machines
        port: int = 11112,
        limits: Limits | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Nothing listens yet. Port 0 takes any free one; with `reuse_port` several processes share a port."""
        self._database = database
        self._clock = clock
        self._address = (host, port)
        self._reuse_port = reuse_port
        self._limits = limits or Limits()
        self._guard = Guard(self._limits)
        self._refusals = Refusals(database, clock)
        self._contexts = Contexts()
        self._storage = Storage(database, store, clock)
        self._worklist = ModalityWorklist(database, clock)
        self._steps = ProcedureSteps(database, clock)
        self._commitments = Commitments(database, store, clock)
        self._finder = ImageFinder(database, clock, ae_title)
        self._retrievals = Retrievals(database, store, clock, ae_title, self._limits)
        self._fetching: WeakSet[Association] = WeakSet()  # C-GET: these also answer our C-STOREs
        self._asked: WeakKeyDictionary[Association, str] = WeakKeyDictionary()  # to be told after the answer
        self._telling: WeakSet[Association] = WeakSet()  # N-EVENT-REPORT: these also answer ours
        self._devices: WeakKeyDictionary[Association, KnownDevice] = WeakKeyDictionary()
        self._work = threading.Condition()
        self._in_work = 0
        self._stopping = False
        self._server: GuardedServer | None = None
        self._thread: threading.Thread | None = None
        self._ae = self._application_entity(ae_title)

    @property
    def port(self) -> int:
        """Where it listens. Raises RuntimeError before `start`."""
        if self._server is None:
            raise RuntimeError("the door is not open")
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen. Raises OSError where the address is taken."""
        quieten()
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_CONN_CLOSE, end_waiting),
            (evt.EVT_DIMSE_RECV, self._on_message),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_N_CREATE, self._on_create),
            (evt.EVT_N_SET, self._on_set),
            (evt.EVT_N_ACTION, self._on_action),
        ]
        self._server = GuardedServer(
            self._ae, self._address, self._guard, handlers, on_full=self._on_full, reuse_port=self._reuse_port
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="dimse-door", daemon=True)
        self._thread.start()
        log.info("dimse_door_open", port=self.port, ae_title=self._ae.ae_title)

    def stop(self) -> None:
        """Close the door: messages in work are finished and answered, then every association ends."""
        if self._server is None or self._thread is None:
            return
        with self._work:
            self._stopping = True
        self._server.shutdown()
        self._thread.join()
        deadline = time.monotonic() + self._limits.stop_seconds
        with self._work:
            self._work.wait_for(lambda: self._in_work == 0, self._limits.stop_seconds)
        time.sleep(SETTLE_SECONDS)
        associations = [a for a in self._ae.active_associations if a.is_acceptor]
        for association in associations:
            while not has_answered(association) and time.monotonic() < deadline:
                time.sleep(0.005)
        self._retrievals.cut_all()
        self._guard.cut_all()
        for association in associations:
            association.join(max(1.0, deadline - time.monotonic()))
        log.info("dimse_door_closed")

    def _application_entity(self, ae_title: str) -> AE:
        ae = AE(ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = self._limits.pdu
        ae.maximum_associations = self._limits.connections  # `_refusal` answers earlier
        ae.acse_timeout = self._limits.request_seconds
        ae.network_timeout = self._limits.idle_seconds
        ae.dimse_timeout = self._limits.idle_seconds
        for uid in (VERIFICATION, MODALITY_WORKLIST, PROCEDURE_STEP, COMMITMENT):
            ae.add_supported_context(uid)  # `_on_request` puts in their place what fits the caller
        return ae

    # ------------------------------------------------------------ who comes in

    def _on_full(self, address: str) -> None:
        self._refusals.note(Caller("dimse", address), "too_many_connections")

    def _on_request(self, event: Event) -> None:
        association = event.assoc
        try:
            refusal = self._refusal(association)
        except Exception as error:  # noqa: BLE001 - pynetdicom would let in whoever made this fail
            log.warning("association_request_failed", error=describe(error))
            refusal = CONGESTED
        if refusal is not None:
            association.acse.send_reject(*refusal)
            association.kill()

    def _refusal(self, association: Association) -> tuple[int, int, int] | None:
        request: Any = association.requestor.primitive
        caller = Caller(
            "dimse",
            association.requestor.address,
            str(request.calling_ae_title).strip(),
            str(request.called_ae_title).strip(),
        )
        if self._stopping:
            return CONGESTED
        if self._guard.connections > self._limits.associations:
            self._refusals.note(caller, "too_many_associations")
            return LIMIT_EXCEEDED
        if caller.called != self._ae.ae_title.strip():
            self._refusals.note(caller, "called_ae_unknown")
            return CALLED_UNKNOWN
        try:
            device = self._database.write(lambda session: find_device(session, caller, self._clock()))
        except TryLater as error:
            log.warning("association_refused_for_now", address=caller.address, error=error.code)
            return CONGESTED
        if device is None:
            self._refusals.note(caller, "calling_ae_unknown")
            return CALLING_UNKNOWN
        self._devices[association] = device
        abort_on_noise(association)
        self._route_retrieves(association, device)
        association.acceptor.supported_contexts = self._contexts.supported(
            request.presentation_context_definition_list, may_retrieve=device.may_retrieve
        )
        log.info("association_made", device=device.id, address=caller.address)
        return None

    # ------------------------------------------------------------ what they ask

    def _on_message(self, event: Event) -> None:
        """Abort on a message that lacks what it must have (PS3.7 9.1, 10.1): pynetdicom would leave it unanswered."""
        message = event.message.message_to_primitive()
        if isinstance(message, C_CANCEL) or message.is_valid_request:
            return
        if isinstance(message, C_STORE) and message.is_valid_response and event.assoc in self._fetching:
            return
        if isinstance(message, N_EVENT_REPORT) and message.is_valid_response and event.assoc in self._telling:
            return
        log.warning("message_refused", message=type(message).__name__)
        event.assoc.abort()

    def _on_echo(self, event: Event) -> int:
        with self._working(event.assoc):
            return SUCCESS.code

    def _on_store(self, event: Event) -> Dataset:
        def store() -> Status:
            request: Any = event.request
            return self._storage.take(
                self._devices[event.assoc],
                Sent(
                    abstract_syntax=str(event.context.abstract_syntax),
                    transfer_syntax=str(event.context.transfer_syntax),
                    sop_class=str(request.AffectedSOPClassUID or ""),
                    sop_instance=str(request.AffectedSOPInstanceUID or ""),
                    calling_ae=event.assoc.requestor.ae_title,
                    data=_bytes(request.DataSet),
                ),
            )

        return self._answered(event, store, busy=OUT_OF_RESOURCES, failed=FAILED).dataset()

    def _on_find(self, event: Event) -> Iterator[tuple[Dataset, Dataset | None]]:
        request: Any = event.request
        model = str(event.context.abstract_syntax)
        with self._working(event.assoc) as is_open:
            if not is_open or model not in (MODALITY_WORKLIST, *FIND):
                yield OUT_OF_RESOURCES.dataset(), None
                return
            asked = (
                self._devices[event.assoc],
                _bytes(request.Identifier),
                str(event.context.transfer_syntax),
                lambda: event.is_cancelled,
            )
            try:
                if model == MODALITY_WORKLIST:
                    answers = self._worklist.answers(*asked)
                else:
                    answers = self._finder.answers(*asked, patient_root=model in PATIENT_ROOT)
                for status, answer in answers:
                    yield status.dataset(), answer
            except Exception as error:  # noqa: BLE001 - one query must not end the door
                log.warning("query_failed", error=describe(error))
                yield FAILED.dataset(), None

    def _route_retrieves(self, association: Association, device: KnownDevice) -> None:
        """Serve C-MOVE and C-GET ourselves (`retrieve` says why), and leave everything else to pynetdicom.

        After an N-ACTION was answered, its report may follow.
        """
        serve = association._serve_request

        def route(message: Any, context_id: int) -> None:
            context = association._accepted_cx.get(context_id)
            if context is None or not isinstance(message, C_MOVE | C_GET) or not message.is_valid_request:
                serve(message, context_id)
                if context is not None and (asked := self._asked.pop(association, "")):
                    self._tell(association, context, asked)
                return
            association.dimse.cancel_req = {}
            with self._working(association):
                if isinstance(message, C_GET):
                    self._fetching.add(association)
                self._retrievals.serve(association, context, message, device, lambda: self._stopping)
                self._fetching.discard(association)
            association.dimse.cancel_req = {}

        association._serve_request = route  # type: ignore[method-assign, assignment]

    def _on_create(self, event: Event) -> tuple[Dataset, Dataset | None]:
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID or "")
        assigned = Dataset()
        if not uid:
            uid = assigned.AffectedSOPInstanceUID = new_uid()  # PS3.7 10.1.5.1.4: else we assign it

        def create() -> Status:
            return self._steps.create(
                self._devices[event.assoc], uid, _bytes(request.AttributeList), str(event.context.transfer_syntax)
            )

        status = self._answered(event, create, busy=N_OUT_OF_RESOURCES, failed=N_FAILED)
        return status.dataset(), assigned

    def _on_set(self, event: Event) -> tuple[Dataset, None]:
        request: Any = event.request

        def change() -> Status:
            return self._steps.set(
                self._devices[event.assoc],
                str(request.RequestedSOPInstanceUID or ""),
                _bytes(request.ModificationList),
                str(event.context.transfer_syntax),
            )

        return self._answered(event, change, busy=N_OUT_OF_RESOURCES, failed=N_FAILED).dataset(), None

    def _on_action(self, event: Event) -> tuple[Dataset, None]:
        request: Any = event.request

        def ask() -> Status:
            status, asked = self._commitments.ask(
                self._devices[event.assoc],
                event.assoc.requestor.address,
                Action(
                    sop_class=str(request.RequestedSOPClassUID or ""),
                    sop_instance=str(request.RequestedSOPInstanceUID or ""),
                    action_type=int(request.ActionTypeID or 0),
                    information=_bytes(request.ActionInformation),
                    transfer_syntax=str(event.context.transfer_syntax),
                ),
            )
            if asked:
                self._asked[event.assoc] = asked
            return status

        return self._answered(event, ask, busy=N_OUT_OF_RESOURCES, failed=N_FAILED).dataset(), None

    def _tell(self, association: Association, context: PresentationContext, asked: str) -> None:
        """Report a storage commitment on the association on which it was asked for, where that is the only way."""
        others = []
        self._telling.add(association)
        with self._working(association) as is_open:
            try:
                if is_open:
                    others = self._commitments.report_there(association, context, asked)
            except Exception as error:  # noqa: BLE001 - one report must not end the association: the job comes after it
                log.warning("commitment_not_reported", commitment=asked, error=describe(error))
        self._telling.discard(association)
        for context_id, message in others:
            association._serve_request(message, context_id)

    def _answered(self, event: Event, work: Callable[[], Status], *, busy: Status, failed: Status) -> Status:
        """Run `work`; `busy` when the door is closing, `failed` for what nobody thought of."""
        with self._working(event.assoc) as is_open:
            if not is_open:
                return busy
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - one message must not end the door
                log.warning("message_failed", message=event.event.name, error=describe(error))
                return failed

    @contextlib.contextmanager
    def _working(self, association: Association) -> Iterator[bool]:
        """Count a message in work, so that `stop` waits for it; False when the door is closing."""
        with self._work:
            is_open = not self._stopping
            self._in_work += 1
        try:
            yield is_open
        finally:
            with self._work:
                self._in_work -= 1
                self._work.notify_all()
            connection = association.dul.socket.socket if association.dul.socket else None
            # What has come in by now and is not yet handed to us is bounded by the same limit once more.
            if isinstance(connection, GuardedSocket) and association.dimse.msg_queue.empty():
                self._guard.answered(connection)


def _bytes(data: BytesIO | None) -> bytes:
    return data.getvalue() if data is not None else b""
