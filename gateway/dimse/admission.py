"""Who may associate: a device by its network address and calling AE title, over TLS by its certificate and title."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from gateway.dimse.faults import describe
from gateway.dimse.front import CALLED_UNKNOWN, CALLING_UNKNOWN, CONGESTED
from gateway.dimse.refusals import Refusals
from worklist.actions.devices import (
    certificate_refusal,
    find_device,
    find_device_by_certificate,
    read_device,
    trusted_certificates,
)
from worklist.database import Database
from worklist.errors import TryLater
from worklist.facts import Caller, KnownDevice

log = structlog.get_logger(__name__)


class NotAdmitted(Exception):
    """The caller is sent away; `answer` is result, source and reason of the A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    def __init__(self, answer: tuple[int, int, int]) -> None:
        super().__init__(answer)
        self.answer = answer


class Admission:
    """Knows the devices. Safe to use from many threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime], ae_title: str, refusals: Refusals) -> None:
        self._database = database
        self._clock = clock
        self._ae_title = ae_title.strip()
        self._refusals = refusals

    def device(self, caller: Caller, certificate: str) -> KnownDevice:
        """The device that calls; `certificate` is the fingerprint of the one it showed, ``""`` without TLS.

        Raises
        ------
        NotAdmitted
            It is none, calls another than us, or cannot be looked up now. It is on record why, but for the last.
        """
        if caller.called != self._ae_title:
            raise self._refused(caller, "called_ae_unknown", CALLED_UNKNOWN)
        now = self._clock()
        try:
            if certificate:
                device = self._database.write(lambda s: find_device_by_certificate(s, certificate, caller, now))
            else:
                device = self._database.write(lambda s: find_device(s, caller, now))
            if device is not None:
                return device
            reason = ""
            if certificate:
                reason = self._database.read(lambda s: certificate_refusal(s, certificate, now))
        except TryLater as error:
            log.warning("association_refused_for_now", address=caller.address, error=error.code)
            raise NotAdmitted(CONGESTED) from error
        except Exception as error:  # nobody comes in because a look failed
            log.warning("association_request_failed", error=describe(error))
            raise NotAdmitted(CONGESTED) from error
        raise self._refused(caller, reason or "calling_ae_unknown", CALLING_UNKNOWN)

    def again(self, caller: Caller, certificate: str) -> KnownDevice | None:
        """The device of an association as it is on record now; None where it may not come in any more.

        Raises
        ------
        TryLater
        """
        return self._database.read(lambda s: read_device(s, caller, self._clock(), certificate))

    def trusted(self) -> str:
        """The certificates with which callers may shake hands, PEM."""
        return self._database.read(trusted_certificates)

    def _refused(self, caller: Caller, reason: str, answer: tuple[int, int, int]) -> NotAdmitted:
        self._refusals.note(caller, reason)
        return NotAdmitted(answer)
