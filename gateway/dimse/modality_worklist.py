"""Modality Worklist C-FIND (DICOM PS3.4 annex K): the scheduled steps of the asking device's institutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import structlog
from pydicom.dataset import Dataset

from gateway.dimse.statuses import BAD_IDENTIFIER, CANCELLED, NOT_UNDERSTOOD, OUT_OF_RESOURCES, PENDING, Status
from interfaces.dicom.elements import read_dataset
from interfaces.dicom.worklist import read_worklist_query, write_worklist_item
from worklist.database import Database
from worklist.errors import BadInput, HurenError, Refused
from worklist.facts import KnownDevice
from worklist.queries.devices import worklist_items

log = structlog.get_logger(__name__)


class ModalityWorklist:
    """Answers worklist queries. Safe to use from many threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def answers(
        self, device: KnownDevice, identifier: bytes, transfer_syntax: str, is_cancelled: Callable[[], bool]
    ) -> Iterator[tuple[Status, Dataset | None]]:
        """One pending answer for each match, then nothing; or one failure, or a cancel, and nothing more."""
        try:
            requested = read_dataset(identifier, transfer_syntax)
            query = read_worklist_query(requested, assumed_character_set=device.character_set_in)
        except BadInput as error:
            log.warning("worklist_query_refused", device=device.id, error=error.code)
            yield (BAD_IDENTIFIER if error.code in ("bad_date", "bad_time") else NOT_UNDERSTOOD), None
            return
        now = self._clock()
        try:
            items = self._database.read(lambda session: worklist_items(session, device, query, now))
        except HurenError as error:
            log.warning("worklist_query_failed", device=device.id, error=error.code)
            yield (NOT_UNDERSTOOD if isinstance(error, Refused) else OUT_OF_RESOURCES), None
            return
        for item in items:
            if is_cancelled():
                yield CANCELLED, None
                return
            try:
                answer = write_worklist_item(item, requested, character_set=device.character_set_out)
            except BadInput as error:
                # Better no line than a wrong name or number on a patient's images; the order is still in our pages.
                log.warning("worklist_item_not_writable", device=device.id, order=item.order_id, error=error.code)
                continue
            yield PENDING, answer
        log.info("worklist_answered", device=device.id, items=len(items))
