"""What associated devices ask: the way from pynetdicom's events to our own modules.

Handlers here only unpack and hand on, count what is in work, and keep a device to what it may do.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_CANCEL, C_FIND, C_GET, C_MOVE, C_STORE, N_EVENT_REPORT
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext

from gateway.dimse.assembly import Noise, StoreRequest, Storing
from gateway.dimse.commitment import Action, Commitments
from gateway.dimse.contexts import FIND, MODALITY_WORKLIST, PATIENT_ROOT
from gateway.dimse.faults import describe
from gateway.dimse.find import ImageFinder
from gateway.dimse.guard import Guard, GuardedSocket
from gateway.dimse.library import abort_on_noise
from gateway.dimse.modality_worklist import ModalityWorklist
from gateway.dimse.outgoing import Outgoing
from gateway.dimse.procedure_step import ProcedureSteps
from gateway.dimse.retrieve import Retrievals
from gateway.dimse.statuses import (
    FAILED,
    N_FAILED,
    N_OUT_OF_RESOURCES,
    NOT_AUTHORISED,
    OUT_OF_RESOURCES,
    SUCCESS,
    Status,
)
from gateway.dimse.storage import Sent, Storage
from gateway.store import ObjectStore
from interfaces.dicom.uids import new_uid
from worklist.database import Database
from worklist.errors import TryLater
from worklist.facts import KnownDevice

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS = 20.0  # after which a device that was disabled, or lost its certificate, is cut off


@dataclass
class _Seat:
    """Whose an association is, and when that was looked up."""

    device: KnownDevice
    look_again: Callable[[], KnownDevice | None]
    looked: float = field(default_factory=time.monotonic)


class DeviceServices:
    """Serves all associations of a door. Safe to use from many threads."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        clock: Callable[[], datetime],
        *,
        ae_title: str,
        guard: Guard,
        outgoing: Outgoing,
    ) -> None:
        self._guard = guard
        self._storage = Storage(database, store, clock)
        self._worklist = ModalityWorklist(database, clock)
        self._steps = ProcedureSteps(database, clock)
        self._commitments = Commitments(database, store, clock)
        self._finder = ImageFinder(database, clock, ae_title)
        self._retrievals = Retrievals(database, store, clock, outgoing, guard.limits)
        self._fetching: WeakSet[Association] = WeakSet()  # C-GET: these also answer our C-STOREs
        self._asked: WeakKeyDictionary[Association, str] = WeakKeyDictionary()  # to be told after the answer
        self._telling: WeakSet[Association] = WeakSet()  # N-EVENT-REPORT: these also answer ours
        self._seats: WeakKeyDictionary[Association, _Seat] = WeakKeyDictionary()
        self._work = threading.Condition()
        self._in_work = 0
        self._stopping = False

    @property
    def is_stopping(self) -> bool:
        """Whether nothing new is begun any more."""
        return self._stopping

    def stop(self, seconds: float) -> None:
        """Begin nothing new, and wait for so long until the messages in work are answered."""
        with self._work:
            self._stopping = True
            self._work.wait_for(lambda: self._in_work == 0, seconds)

    def cut_all(self) -> None:
        """End what still goes out to other devices."""
        self._retrievals.cut_all()

    def handlers(self) -> list[tuple[Any, Callable[[Event], Any]]]:
        """What each association is bound to."""
        return [
            (evt.EVT_DIMSE_RECV, self._on_message),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_N_CREATE, self._on_create),
            (evt.EVT_N_SET, self._on_set),
            (evt.EVT_N_ACTION, self._on_action),
        ]

    def adopt(
        self, association: Association, device: KnownDevice, look_again: Callable[[], KnownDevice | None]
    ) -> None:
        """From now on serve an association, which is this device's for as long as `look_again` finds it."""
        self._seats[association] = _Seat(device, look_again)
        abort_on_noise(association)
        self._route_retrieves(association, device)

    def _device(self, association: Association) -> KnownDevice:
        return self._seats[association].device

    def _is_gone(self, association: Association) -> bool:
        """Whether the device was disabled, or lost its name or certificate, since its association was made."""
        seat = self._seats[association]
        if time.monotonic() - seat.looked < LOOK_AGAIN_SECONDS:
            return False
        seat.looked = time.monotonic()
        try:
            gone = seat.look_again() is None
        except TryLater:
            return False  # the database is away: what is to be stored is refused for that
        if gone:
            log.warning("device_no_longer_known", device=seat.device.id)
        return gone

    @contextlib.contextmanager
    def working(self, association: Association) -> Iterator[bool]:
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

    def _on_message(self, event: Event) -> None:
        """Abort on a message that lacks what it must have (PS3.7 9.1, 10.1), which pynetdicom would leave unanswered,
        and on an event report, since we ask nobody for any."""
        message = event.message.message_to_primitive()
        if isinstance(message, C_CANCEL):
            return
        if message.is_valid_request and not isinstance(message, N_EVENT_REPORT):
            return
        if isinstance(message, C_STORE) and message.is_valid_response and event.assoc in self._fetching:
            return
        if isinstance(message, N_EVENT_REPORT) and message.is_valid_response and event.assoc in self._telling:
            return
        log.warning("message_refused", message=type(message).__name__)
        # Said outright: which way `abort` goes by itself changes under two threads, and this one would wait for itself.
        event.assoc.abort(block=False)

    def _on_echo(self, event: Event) -> int:
        with self.working(event.assoc):
            return SUCCESS.code

    def begin_store(self, association: Association, request: StoreRequest) -> Storing:
        """An object comes. Raises Noise where its context was not accepted, or the device is on record no more."""
        if self._is_gone(association):
            raise Noise("device_no_longer_known")
        context = association._accepted_cx.get(request.context_id)
        if context is None:
            raise Noise("context_not_accepted")
        return self._storage.begin(
            self._device(association), self._sent(association, context, request.sop_class, request.sop_instance)
        )

    def _on_store(self, event: Event) -> Dataset:
        """C-STORE where pynetdicom receives the objects."""
        request: Any = event.request
        context = event.assoc._accepted_cx[event.context.context_id or 0]
        uids = (str(request.AffectedSOPClassUID or ""), str(request.AffectedSOPInstanceUID or ""))

        def store() -> Status:
            return self._storage.take(
                self._device(event.assoc), self._sent(event.assoc, context, *uids), _bytes(request.DataSet)
            )

        return self._answered(event, store, "store", busy=OUT_OF_RESOURCES, failed=FAILED).dataset()

    def _sent(self, association: Association, context: PresentationContext, sop_class: str, instance: str) -> Sent:
        return Sent(
            abstract_syntax=str(context.abstract_syntax),
            transfer_syntax=str(context.transfer_syntax[0]),
            sop_class=sop_class,
            sop_instance=instance,
            calling_ae=association.requestor.ae_title,
        )

    def _on_find(self, event: Event) -> Iterator[tuple[Dataset, Dataset | None]]:
        request: Any = event.request
        model = str(event.context.abstract_syntax)
        with self.working(event.assoc) as is_open:
            if not is_open or model not in FIND:
                yield OUT_OF_RESOURCES.dataset(), None
                return
            try:
                for status, answer in self._finder.answers(
                    self._device(event.assoc),
                    _bytes(request.Identifier),
                    str(event.context.transfer_syntax),
                    lambda: event.is_cancelled,
                    patient_root=model in PATIENT_ROOT,
                ):
                    yield status.dataset(), answer
            except Exception as error:  # noqa: BLE001 - one query must not end the door
                log.warning("query_failed", error=describe(error))
                yield FAILED.dataset(), None

    def _route_retrieves(self, association: Association, device: KnownDevice) -> None:
        """Serve C-MOVE, C-GET and worklist queries ourselves (`retrieve` and `prepared` say why), and leave everything
        else to pynetdicom.

        After an N-ACTION was answered, its report may follow.
        """
        serve = association._serve_request

        def route(message: Any, context_id: int) -> None:
            if self._is_gone(association):
                association.abort(block=True)
                return
            context = association._accepted_cx.get(context_id)
            if context is not None and _is_worklist_query(message, context):
                association.dimse.cancel_req = {}
                with self.working(association):
                    self._worklist.serve(association, context, message, device, lambda: self._stopping)
                association.dimse.cancel_req = {}
                return
            if context is None or not isinstance(message, C_MOVE | C_GET) or not message.is_valid_request:
                serve(message, context_id)
                if context is not None and (asked := self._asked.pop(association, "")):
                    self._tell(association, context, asked)
                return
            association.dimse.cancel_req = {}
            with self.working(association):
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
                self._device(event.assoc), uid, _bytes(request.AttributeList), str(event.context.transfer_syntax)
            )

        status = self._answered(event, create, "mpps", busy=N_OUT_OF_RESOURCES, failed=N_FAILED)
        return status.dataset(), assigned

    def _on_set(self, event: Event) -> tuple[Dataset, None]:
        request: Any = event.request

        def change() -> Status:
            return self._steps.set(
                self._device(event.assoc),
                str(request.RequestedSOPInstanceUID or ""),
                _bytes(request.ModificationList),
                str(event.context.transfer_syntax),
            )

        return self._answered(event, change, "mpps", busy=N_OUT_OF_RESOURCES, failed=N_FAILED).dataset(), None

    def _on_action(self, event: Event) -> tuple[Dataset, None]:
        request: Any = event.request

        def ask() -> Status:
            status, asked = self._commitments.ask(
                self._device(event.assoc),
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

        return self._answered(event, ask, "commitment", busy=N_OUT_OF_RESOURCES, failed=N_FAILED).dataset(), None

    def _tell(self, association: Association, context: PresentationContext, asked: str) -> None:
        """Report a storage commitment on the association on which it was asked for, where that is the only way."""
        others = []
        self._telling.add(association)
        with self.working(association) as is_open:
            try:
                if is_open:
                    others = self._commitments.report_there(association, context, asked)
            except Exception as error:  # noqa: BLE001 - one report must not end the association: the job comes after it
                log.warning("commitment_not_reported", commitment=asked, error=describe(error))
        self._telling.discard(association)
        for context_id, message in others:
            association._serve_request(message, context_id)

    def _answered(
        self, event: Event, work: Callable[[], Status], operation: str, *, busy: Status, failed: Status
    ) -> Status:
        """Run `work`; `busy` when the door is closing, `failed` for what nobody thought of.

        pynetdicom serves a message by the class that it names, which need not be that of its context: so it is
        asked here once more whether the device may do it.
        """
        if operation not in self._device(event.assoc).operations:
            return NOT_AUTHORISED
        with self.working(event.assoc) as is_open:
            if not is_open:
                return busy
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - one message must not end the door
                log.warning("message_failed", message=event.event.name, error=describe(error))
                return failed


def _bytes(data: BytesIO | None) -> bytes:
    return data.getvalue() if data is not None else b""


def _is_worklist_query(message: Any, context: PresentationContext) -> bool:
    return isinstance(message, C_FIND) and message.is_valid_request and context.abstract_syntax == MODALITY_WORKLIST
