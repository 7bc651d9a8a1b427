"""C-STORE (DICOM PS3.4 annex B): what became of an object, as a status for the device.

Bytes of a known device that we cannot use are kept as well and set aside for the admin, once each, and the device is
told that it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.dimse.statuses import (
    NOT_AUTHORISED,
    NOT_UNDERSTOOD,
    OTHER_CLASS,
    OUT_OF_RESOURCES,
    SUCCESS,
    Status,
)
from gateway.intake import Announced, ObjectIntake
from gateway.store import ObjectStore
from worklist.database import Database
from worklist.errors import Broken, Forbidden, TryLater
from worklist.facts import KnownDevice

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """One C-STORE request: what its command says, and the data set as it came."""

    abstract_syntax: str  # of the presentation context
    transfer_syntax: str
    sop_class: str  # Affected SOP Class UID
    sop_instance: str  # Affected SOP Instance UID
    calling_ae: str
    data: bytes


class Storage:
    """Keeps what modalities send. Safe to use from many threads."""

    def __init__(self, database: Database, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        self._intake = ObjectIntake(database, store, clock)

    def take(self, device: KnownDevice, sent: Sent) -> Status:
        """Keep one object; the status is the answer to the device. Raises nothing that a peer can cause.

        Whatever was kept in its own right is a success to the device, also where the admin has to look at it.
        """
        announced = Announced(sent.sop_class, sent.sop_instance, sent.abstract_syntax, sent.calling_ae)
        try:
            taken = self._intake.take(device, sent.data, sent.transfer_syntax, announced=announced)
        except (TryLater, Broken) as error:
            log.warning("object_not_taken", device=device.id, error=error.code)
            return OUT_OF_RESOURCES
        if taken.outcome != "set aside":
            return SUCCESS
        if taken.code == "other_than_announced":
            return OTHER_CLASS
        return NOT_AUTHORISED if isinstance(taken.error, Forbidden) else NOT_UNDERSTOOD
