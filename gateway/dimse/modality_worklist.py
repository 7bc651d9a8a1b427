"""Modality Worklist C-FIND (DICOM PS3.4 annex K): the scheduled steps of the asking device's institutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.presentation import PresentationContext

from gateway.dimse.faults import describe
from gateway.dimse.prepared import PreparedSender, find_answer
from gateway.dimse.statuses import (
    BAD_IDENTIFIER,
    CANCELLED,
    FAILED,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    PENDING,
    SUCCESS,
    TOO_MANY_MATCHES,
    Status,
)
from interfaces.dicom.elements import read_dataset
from interfaces.dicom.worklist import AskedKeys, Trouble, asked_keys, read_worklist_query, write_worklist_item
from worklist.actions.worklist_troubles import Told, note_troubles
from worklist.database import Database
from worklist.errors import BadInput, HurenError, Refused
from worklist.facts import KnownDevice, WorklistItem, WorklistQuery
from worklist.queries.devices import worklist_items

log = structlog.get_logger(__name__)

AT_ONCE: Final = 50  # answers in one write; between two writes a cancel is looked for
STALL_SECONDS: Final = 60.0  # for a peer that does not read
QUERIES_KEPT: Final = 512  # devices ask the same over and over
ITEMS_KEPT: Final = 20_000  # of about 1 kB
TROUBLES_AT_ONCE: Final = 50  # put on record after one answer; the next answer goes on
TROUBLES_KEPT: Final = 10_000


class ModalityWorklist:
    """Answers worklist queries. Safe to use from many threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._noted: dict[tuple[str, str, str], None] = {}  # troubles that are on record already

    def serve(
        self,
        association: Association,
        context: PresentationContext,
        request: C_FIND,
        device: KnownDevice,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Answer one C-FIND-RQ to its last response."""
        message_id = int(request.MessageID or 0)
        sop_class = str(request.AffectedSOPClassUID)
        sender = PreparedSender(association, int(context.context_id or 0))
        pending = find_answer(sop_class, message_id, PENDING, has_data=True)

        def is_cancelled() -> bool:
            return association.dimse.cancel_req.pop(message_id, None) is not None

        identifier = request.Identifier.getvalue() if request.Identifier is not None else b""
        final = OUT_OF_RESOURCES if is_stopping() else SUCCESS
        out: list[bytes] = []
        try:
            if final is SUCCESS:
                for status, answer in self.answers(device, identifier, str(context.transfer_syntax[0]), is_cancelled):
                    if status is not PENDING:
                        final = status
                        break
                    out.append(sender.pdus(pending, answer))
                    if len(out) >= AT_ONCE:
                        sender.send(b"".join(out))
                        out.clear()
                        if not sender.wait(STALL_SECONDS):
                            association.abort(block=True)
                            return
        except Exception as error:  # noqa: BLE001 - one query must not end the door
            log.warning("query_failed", error=describe(error))
            final = FAILED
        out.append(sender.pdus(find_answer(sop_class, message_id, final, has_data=False)))
        sender.send(b"".join(out))

    def answers(
        self, device: KnownDevice, identifier: bytes, transfer_syntax: str, is_cancelled: Callable[[], bool]
    ) -> Iterator[tuple[Status, bytes]]:
        """One pending answer for each match, encoded in `transfer_syntax`, then nothing; or, perhaps after some, one
        failure or a cancel, and nothing more."""
        try:
            query, asked = _read(identifier, transfer_syntax, device.character_set_in, device.worklist_extras)
        except BadInput as error:
            log.warning("worklist_query_refused", device=device.id, error=error.code)
            yield (BAD_IDENTIFIER if error.code in ("bad_date", "bad_time") else NOT_UNDERSTOOD), b""
            return
        now = self._clock()
        try:
            items, more = self._database.read(lambda session: worklist_items(session, device, query, now))
        except HurenError as error:
            log.warning("worklist_query_failed", device=device.id, error=error.code)
            yield (NOT_UNDERSTOOD if isinstance(error, Refused) else OUT_OF_RESOURCES), b""
            return
        troubles: list[Told] = []
        for item in items:
            if is_cancelled():
                yield CANCELLED, b""
                return
            try:
                answer, trouble = _write(item, asked, device.character_set_out, transfer_syntax)
            except BadInput as error:
                # Better no line than a wrong number on a patient's images; the order is still in our pages.
                log.warning("worklist_item_not_writable", device=device.id, order=item.order_id, error=error.code)
                troubles.append(Told("worklist_item_left_out", item.order_id))
                continue
            if trouble:
                troubles.append(Told(trouble, item.order_id))
            yield PENDING, answer
        log.info("worklist_answered", device=device.id, items=len(items), more=more)
        if more:
            troubles.append(Told("worklist_too_long"))
        self._note(device, troubles, now)
        if more:
            yield TOO_MANY_MATCHES, b""

    def _note(self, device: KnownDevice, troubles: list[Told], now: datetime) -> None:
        """Put on record what the device could not be told as it is: once for each order, for the admin to see."""
        fresh = [t for t in troubles if (device.id, t.reason, t.order_id) not in self._noted][:TROUBLES_AT_ONCE]
        if not fresh:
            return
        try:
            self._database.write(lambda session: note_troubles(session, device, fresh, now))
        except HurenError as error:  # the next query tries again
            log.warning("worklist_troubles_not_noted", device=device.id, error=error.code)
            return
        if len(self._noted) > TROUBLES_KEPT:
            self._noted.clear()
        self._noted.update(((device.id, t.reason, t.order_id), None) for t in fresh)


@lru_cache(maxsize=QUERIES_KEPT)
def _read(
    identifier: bytes, transfer_syntax: str, assumed_character_set: str, extras: tuple[str, ...]
) -> tuple[WorklistQuery, AskedKeys]:
    requested = read_dataset(identifier, transfer_syntax)
    query = read_worklist_query(requested, assumed_character_set=assumed_character_set)
    return query, asked_keys(requested, extras)


@lru_cache(maxsize=ITEMS_KEPT)
def _write(item: WorklistItem, asked: AskedKeys, character_set: str, transfer_syntax: str) -> tuple[bytes, Trouble]:
    """An item of equal content is encoded once for each way of asking."""
    return write_worklist_item(item, asked, character_set=character_set, transfer_syntax=transfer_syntax)
