"""C-STORE (DICOM PS3.4 annex B): what became of an object, as a status for the device.

Bytes of a known device that we cannot use are kept as well and set aside for the admin, once each, and the device is
told that it failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.dimse.faults import describe
from gateway.dimse.statuses import (
    FAILED,
    NOT_AUTHORISED,
    NOT_UNDERSTOOD,
    OTHER_CLASS,
    OUT_OF_RESOURCES,
    SUCCESS,
    Status,
)
from gateway.intake import Announced, Arriving, ObjectIntake
from gateway.meters import KEPT, STORED
from gateway.store import ObjectStore
from worklist.database import Database
from worklist.errors import Broken, Forbidden, TryLater
from worklist.facts import KnownDevice

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """What the command and the association of a C-STORE say."""

    abstract_syntax: str  # of the presentation context
    transfer_syntax: str
    sop_class: str  # Affected SOP Class UID
    sop_instance: str  # Affected SOP Instance UID
    calling_ae: str


class Storage:
    """Keeps what modalities send. Safe to use from many threads."""

    def __init__(self, database: Database, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        self._intake = ObjectIntake(database, store, clock)

    def take(self, device: KnownDevice, sent: Sent, data: bytes) -> Status:
        """Keep one object that has come in whole; the status is the answer to the device. Raises nothing that a peer
        can cause."""
        arriving = self.begin(device, sent)
        with memoryview(data) as whole:
            arriving.write(whole)
        return arriving.finish()

    def begin(self, device: KnownDevice, sent: Sent) -> ArrivingObject:
        """Keep one object while it arrives."""
        if "store" not in device.operations:
            return ArrivingObject(device, None, NOT_AUTHORISED)
        announced = Announced(sent.sop_class, sent.sop_instance, sent.abstract_syntax, sent.calling_ae)
        try:
            return ArrivingObject(device, self._intake.begin(device, sent.transfer_syntax, announced), SUCCESS)
        except Exception as error:  # noqa: BLE001 - one message must not end the door
            return ArrivingObject(device, None, _failed(device, error))


class ArrivingObject:
    """One object on its way in. Where it cannot be kept, the rest is read, and the answer says so."""

    def __init__(self, device: KnownDevice, arriving: Arriving | None, status: Status) -> None:
        self._device, self._arriving, self._status = device, arriving, status
        self._began = time.perf_counter()

    def write(self, fragment: memoryview) -> None:
        """The next part of its data set; not kept beyond the call. Raises nothing."""
        if self._arriving is None:
            return
        try:
            self._arriving.write(fragment)
        except Exception as error:  # noqa: BLE001 - one message must not end the door
            self._status = _failed(self._device, error)
            self.discard()

    def finish(self) -> Status:
        """The data set is whole; what the device is answered. Raises nothing.

        Whatever was kept in its own right is a success to the device, also where the admin has to look at it.
        """
        whole = time.perf_counter()
        status = self._finish()
        answered, code = time.perf_counter(), f"{status.code:04X}"
        STORED.labels(code).observe(answered - self._began)
        KEPT.labels(code).observe(answered - whole)
        return status

    def _finish(self) -> Status:
        if self._arriving is None:
            return self._status
        try:
            taken = self._arriving.finish()
        except Exception as error:  # noqa: BLE001 - one message must not end the door
            return _failed(self._device, error)
        if taken.outcome != "set aside":
            return SUCCESS
        if taken.code == "other_than_announced":
            return OTHER_CLASS
        return NOT_AUTHORISED if isinstance(taken.error, Forbidden) else NOT_UNDERSTOOD

    def discard(self) -> None:
        """The rest will not come. May be called again."""
        if self._arriving is not None:
            self._arriving.discard()
            self._arriving = None


def _failed(device: KnownDevice, error: Exception) -> Status:
    log.warning("object_not_taken", device=device.id, error=describe(error))
    return OUT_OF_RESOURCES if isinstance(error, TryLater | Broken) else FAILED
