"""Modality Performed Procedure Step, N-CREATE and N-SET (DICOM PS3.4 F.7): what devices say they are doing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from gateway.dimse.statuses import (
    DUPLICATE_INSTANCE,
    INVALID_INSTANCE,
    INVALID_VALUE,
    MISSING_ATTRIBUTE,
    N_FAILED,
    N_OUT_OF_RESOURCES,
    NO_SUCH_INSTANCE,
    NOT_AUTHORISED,
    STEP_IS_FINAL,
    SUCCESS,
    Status,
)
from interfaces.dicom.elements import read_dataset
from interfaces.dicom.mpps import read_create, read_set
from interfaces.dicom.uids import is_valid_uid
from worklist.actions.steps import create_step, set_step
from worklist.database import Database
from worklist.errors import BadInput, Forbidden, HurenError, NotFound, TryLater
from worklist.facts import KnownDevice

log = structlog.get_logger(__name__)

STATUS_TAG = 0x00400252  # Performed Procedure Step Status, type 1 (PS3.4 table F.7.2-1)

_BY_CODE = {
    "step_exists": DUPLICATE_INSTANCE,
    "step_is_final": STEP_IS_FINAL,
    "invalid_uid": INVALID_VALUE,
    "bad_step_status": INVALID_VALUE,
    "missing_step_status": MISSING_ATTRIBUTE,
    "step_must_begin_in_progress": INVALID_VALUE,
}


class ProcedureSteps:
    """Takes procedure steps. Safe to use from many threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def create(self, device: KnownDevice, uid: str, attributes: bytes, transfer_syntax: str) -> Status:
        """N-CREATE of the step `uid`; the status is the answer, success once the step is committed."""
        return self._answer(device, uid, lambda: self._create(device, uid, attributes, transfer_syntax))

    def set(self, device: KnownDevice, uid: str, modifications: bytes, transfer_syntax: str) -> Status:
        """N-SET of the step `uid`; the status is the answer, success once the change is committed."""
        return self._answer(device, uid, lambda: self._set(device, uid, modifications, transfer_syntax))

    def _create(self, device: KnownDevice, uid: str, attributes: bytes, transfer_syntax: str) -> None:
        dataset = read_dataset(attributes, transfer_syntax)
        if STATUS_TAG not in dataset:
            raise BadInput("missing_step_status")
        facts = read_create(dataset, uid, assumed_character_set=device.character_set_in)
        now = self._clock()
        self._database.write(lambda session: create_step(session, device, facts, now))

    def _set(self, device: KnownDevice, uid: str, modifications: bytes, transfer_syntax: str) -> None:
        facts = read_set(
            read_dataset(modifications, transfer_syntax), uid, assumed_character_set=device.character_set_in
        )
        now = self._clock()
        self._database.write(lambda session: set_step(session, device, facts, now))

    def _answer(self, device: KnownDevice, uid: str, work: Callable[[], None]) -> Status:
        if not is_valid_uid(uid):
            return INVALID_INSTANCE
        try:
            work()
        except HurenError as error:
            status = _status(error)
            log.warning("procedure_step_refused", device=device.id, error=error.code, status=f"{status.code:04X}")
            return status
        return SUCCESS


def _status(error: HurenError) -> Status:
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, NotFound):
        return NO_SUCH_INSTANCE
    if isinstance(error, Forbidden):
        return NOT_AUTHORISED
    if isinstance(error, TryLater):
        return N_OUT_OF_RESOURCES
    return N_FAILED
