"""The DIMSE door: its ports, who may associate, and for what.

`front` and `guard` stand before pynetdicom, which speaks the protocol in two threads for each association; `reactor`
wakes these and takes the objects; `services` has what devices ask. What a device may do is settled when the
association is made.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from weakref import WeakSet

import structlog
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from gateway.dimse.admission import Admission, NotAdmitted
from gateway.dimse.contexts import (
    COMMITMENT,
    MODALITY_WORKLIST,
    PROCEDURE_STEP,
    VERIFICATION,
    Contexts,
)
from gateway.dimse.faults import describe
from gateway.dimse.front import (
    CALLED_UNKNOWN,
    CALLING_UNKNOWN,
    CONGESTED,
    LIMIT_EXCEEDED,
    Asking,
    Front,
    reject,
)
from gateway.dimse.guard import Guard, GuardedSocket, Limits
from gateway.dimse.library import end_waiting, has_answered, quieten
from gateway.dimse.outgoing import Outgoing
from gateway.dimse.reactor import DoorAssociation, WokenAssociation, attach
from gateway.dimse.refusals import Refusals
from gateway.dimse.services import DeviceServices
from gateway.meters import ASSOCIATED, ASSOCIATIONS
from gateway.store import ObjectStore
from gateway.tls import Identity, server_context
from interfaces.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from worklist.database import Database
from worklist.errors import Broken
from worklist.facts import Caller

log = structlog.get_logger(__name__)

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
        identity: Identity | None = None,
        tls_port: int | None = None,
        stock: bool = False,
    ) -> None:
        """Nothing listens yet. Port 0 takes any free one; with `reuse_port` several processes share a port.

        Parameters
        ----------
        identity
            Our certificate, for `tls_port` and for devices that we call over TLS.
        tls_port
            A second port, over TLS; None: none.
        stock
            Leave the receiving of objects to pynetdicom: slower, and each object is held in memory.
        """
        self._addresses = [(host, port)] if tls_port is None else [(host, port), (host, tls_port)]
        self._identity = identity
        self._stock = stock
        self._reuse_port = reuse_port
        self._limits = limits or Limits()
        self._guard = Guard(self._limits)
        self._refusals = Refusals(database, clock)
        self._admission = Admission(database, clock, ae_title, self._refusals)
        self._contexts = Contexts()
        self._services = DeviceServices(
            database,
            store,
            clock,
            ae_title=ae_title,
            guard=self._guard,
            outgoing=Outgoing(ae_title, self._limits, identity),
        )
        self._associations: WeakSet[Association] = WeakSet()
        self._fronts: list[Front] = []
        self._ae = self._application_entity(ae_title)

    @property
    def port(self) -> int:
        """Where it listens. Raises RuntimeError before `start`."""
        return self._port(0)

    @property
    def tls_port(self) -> int:
        """Where it listens over TLS. Raises RuntimeError before `start`, and where it does not."""
        return self._port(1)

    def _port(self, place: int) -> int:
        if place >= len(self._fronts):
            raise RuntimeError("the door is not open")
        return self._fronts[place].port

    def start(self) -> None:
        """Listen. Raises OSError where an address is taken, Broken (``tls_unusable``)."""
        quieten()
        with contextlib.ExitStack() as made:
            for address, context in zip(self._addresses, self._tls(), strict=True):
                front = Front(
                    address,
                    self._guard,
                    admit=self._admit,
                    refused=lambda caller, reason: self._refusals.note_soon(Caller("dimse", caller), reason),
                    context=context,
                    reuse_port=self._reuse_port,
                )
                made.callback(front.stop)
                self._fronts.append(front)
            made.pop_all()
        for front in self._fronts:
            front.start()
        ASSOCIATIONS.set_function(lambda: self._guard.connections)
        log.info("dimse_door_open", ports=[front.port for front in self._fronts], ae_title=self._ae.ae_title)

    def _tls(self) -> list[ssl.SSLContext | None]:
        """How each of our ports speaks."""
        if len(self._addresses) == 1:
            return [None]
        if self._identity is None:
            raise Broken("tls_unusable")
        return [None, server_context(self._identity, self._admission.trusted)]

    def stop(self) -> None:
        """Close the door: messages in work are finished and answered, then every association ends."""
        deadline = time.monotonic() + self._limits.stop_seconds
        self._services.stop(self._limits.stop_seconds)
        for front in self._fronts:
            front.stop()
        time.sleep(SETTLE_SECONDS)
        associations = [association for association in self._associations if association.is_alive()]
        for association in associations:
            while not has_answered(association) and time.monotonic() < deadline:
                time.sleep(0.005)
        self._services.cut_all()
        self._guard.cut_all()
        for association in associations:
            association.join(max(1.0, deadline - time.monotonic()))
        self._refusals.close()
        log.info("dimse_door_closed")

    def _application_entity(self, ae_title: str) -> AE:
        ae = AE(ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = self._limits.pdu
        ae.maximum_associations = self._limits.associations + 1  # the guard answers earlier
        ae.acse_timeout = self._limits.request_seconds
        ae.network_timeout = self._limits.idle_seconds
        ae.dimse_timeout = self._limits.idle_seconds
        for uid in (VERIFICATION, MODALITY_WORKLIST, PROCEDURE_STEP, COMMITMENT):
            ae.add_supported_context(uid)  # `_on_request` puts in their place what fits the caller
        return ae

    # ------------------------------------------------------------ who comes in

    def _admit(self, connection: GuardedSocket, asking: Asking) -> None:
        """Make an association for a connection that asks for one, in the thread of the front."""
        caller = Caller("dimse", connection.address, asking.calling, asking.called)
        if self._services.is_stopping:
            reject(connection, CONGESTED)
        elif not asking.calling or not asking.called:
            self._refusals.note_soon(caller, "calling_ae_unknown" if asking.called else "called_ae_unknown")
            reject(connection, CALLING_UNKNOWN if asking.called else CALLED_UNKNOWN)
        elif not self._guard.enter(connection):
            self._refusals.note_soon(caller, "too_many_associations")
            reject(connection, LIMIT_EXCEEDED)
        else:
            association = (
                DoorAssociation(self._ae) if self._stock else WokenAssociation(self._ae, self._services, self._limits)
            )
            attach(association, connection, self._ae)
            association.bind(evt.EVT_REQUESTED, self._on_request)
            association.bind(evt.EVT_CONN_CLOSE, end_waiting)
            for event, handler in self._services.handlers():
                association.bind(event, handler)
            self._associations.add(association)
            association.start()

    def _on_request(self, event: Event) -> None:
        association = event.assoc
        request: Any = association.requestor.primitive
        connection = association.dul.socket.socket if association.dul.socket else None
        caller = Caller(
            "dimse",
            association.requestor.address,
            str(request.calling_ae_title).strip(),
            str(request.called_ae_title).strip(),
        )
        try:
            if self._services.is_stopping or not isinstance(connection, GuardedSocket):
                raise NotAdmitted(CONGESTED)
            device = self._admission.device(caller, connection.certificate)
            certificate = connection.certificate
            self._services.adopt(association, device, lambda: self._admission.again(caller, certificate))
            association.acceptor.supported_contexts = self._contexts.supported(
                request.presentation_context_definition_list,
                device.operations,
                device.transfer_syntaxes,
                {str(uid) for uid, role in association.requestor.role_selection.items() if role.scp_role},
            )
        except NotAdmitted as refusal:
            association.acse.send_reject(*refusal.answer)
            association.kill()
        except Exception as error:  # noqa: BLE001 - pynetdicom would let in whoever made this fail
            log.warning("association_request_failed", error=describe(error))
            association.acse.send_reject(*CONGESTED)
            association.kill()
        else:
            ASSOCIATED.inc()
            log.info("association_made", device=device.id, address=caller.address, tls=bool(connection.certificate))
