"""Where pynetdicom must be helped from outside: it waits for ever, dies of noise, and prints identifiers."""

from __future__ import annotations

import logging
from typing import Any

import pydicom.config
import structlog
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import P_DATA

from gateway.dimse.faults import describe

log = structlog.get_logger(__name__)


def end_waiting(event: Event) -> None:
    """End the thread that still waits for the request of a connection which is gone: it takes None for no request."""
    if event.assoc.requestor.primitive is None:
        waited_on: Any = event.assoc.dul.to_user_queue  # its reader takes None, its types do not always say so
        waited_on.put(None)


def abort_on_noise(association: Association) -> None:
    """Abort on a command set that makes no message (PS3.7 6.3): pynetdicom's reactor thread would die of it."""
    receive = association.dimse.receive_primitive

    def careful(primitive: P_DATA) -> None:
        try:
            receive(primitive)
        except Exception as error:  # noqa: BLE001 - whatever the bytes did, it is the caller's message that is wrong
            log.warning("message_not_decoded", error=describe(error))
            association.dul.event_queue.put("Evt19")  # "unrecognised or invalid PDU" (PS3.8 table 9-10)

    association.dimse.receive_primitive = careful  # type: ignore[method-assign]


def has_answered(association: Association) -> bool:
    """Whether all that was to be sent on an association has left."""
    return association.dul.to_provider_queue.empty() or not association.dul.is_alive()


def quieten() -> None:
    """Keep the libraries' own logs and warnings away: they print identifiers, and values that they dislike."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    for library in ("pynetdicom", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
