"""Retrieve: C-MOVE to a known device, and C-GET on the same association (DICOM PS3.4 C.4.2, C.4.3).

pynetdicom's own service would load and encode every object; this one answers in its place. Nothing leaves before the
retrieve is on record, and every object leaves under the identity that the asking device is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import structlog
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.dsutils import encode
from pynetdicom.presentation import PresentationContext

from gateway.children import children
from gateway.dimse.contexts import PATIENT_ROOT
from gateway.dimse.faults import describe
from gateway.dimse.find import asked_for, refusal
from gateway.dimse.guard import Limits
from gateway.dimse.outgoing import Outgoing, Unreachable
from gateway.dimse.statuses import (
    CANCELLED,
    CANNOT_COUNT,
    CANNOT_RETRIEVE,
    FAILED,
    NOT_NOW,
    PENDING,
    SOME_FAILED,
    SUCCESS,
    UNKNOWN_DESTINATION,
    Status,
)
from gateway.dimse.sub_operations import Command, Gone, Piece, StoreUser, is_gone
from gateway.leaving import identity_of
from gateway.store import ObjectStore, mapped
from interfaces.dicom.coercion import Identity, coerced
from interfaces.dicom.elements import read_dataset
from interfaces.dicom.objects import open_part10
from interfaces.dicom.query_retrieve import read_image_keys
from worklist.actions.devices import find_destination
from worklist.actions.fetching import note_fetch
from worklist.database import Database
from worklist.errors import HurenError
from worklist.facts import Destination, KnownDevice
from worklist.queries.fetching import Fetched, Keys, fetch
from worklist.queries.imaging import HeldInstance
from worklist.rules.routing import within

log = structlog.get_logger(__name__)

MOST_OBJECTS: Final = 0xFFFF  # the counts are two bytes wide (PS3.7 9.1.4)
LONGEST_LIST: Final = 0xFFFE  # bytes of Failed SOP Instance UID List in an explicit VR


class Refusal(Exception):
    """The retrieve ends before anything is sent."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.comment)
        self.status = status


@dataclass
class Counts:
    """Sub-operations (PS3.4 C.4.2.1.6 to 9), and the objects that failed."""

    remaining: int
    completed: int = 0
    warned: int = 0
    failed: list[str] = field(default_factory=list)

    def note(self, sop_instance: str, status: int | None) -> None:
        """One more is done, with the status of its C-STORE; None: it was not even tried."""
        self.remaining -= 1
        if status == SUCCESS.code:
            self.completed += 1
        elif status is not None and status >> 12 == 0xB:
            self.warned += 1
        else:
            self.failed.append(sop_instance)

    def final(self) -> Status:
        """The status when all are done."""
        if not self.failed:
            return SUCCESS
        return SOME_FAILED if self.completed or self.warned else CANNOT_RETRIEVE


class Retrievals:
    """Serves C-MOVE and C-GET. Safe to use from many threads, each of which serves one association."""

    def __init__(
        self, database: Database, store: ObjectStore, clock: Callable[[], datetime], outgoing: Outgoing, limits: Limits
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._limits = limits
        self._outgoing = outgoing

    def cut_all(self) -> None:
        """End the associations to destinations."""
        self._outgoing.cut_all()

    def serve(
        self,
        association: Association,
        context: PresentationContext,
        request: C_MOVE | C_GET,
        device: KnownDevice,
        is_closing: Callable[[], bool],
    ) -> None:
        """Do one retrieve and answer it. Raises nothing that a peer can cause."""
        reply = _Reply(association, context, request, device)
        try:
            self._serve(reply, device, is_closing)
        except Refusal as refused:
            log.warning("retrieve_refused", device=device.id, status=f"{refused.status.code:04X}")
            reply.send(refused.status)
        except HurenError as error:
            log.warning("retrieve_refused", device=device.id, error=error.code)
            reply.send(refusal(error))
        except Exception as error:  # noqa: BLE001 - one retrieve must not end the door
            log.warning("retrieve_failed", device=device.id, error=describe(error))
            reply.send(FAILED)

    def _serve(self, reply: _Reply, device: KnownDevice, is_closing: Callable[[], bool]) -> None:
        context, now = reply.context, self._clock()
        keys = read_image_keys(
            read_dataset(reply.identifier, str(context.transfer_syntax[0])),
            patient_root=str(context.abstract_syntax) in PATIENT_ROOT,
            retrieving=True,
            assumed_character_set=device.character_set_in,
        )
        asked = asked_for(keys, patient_root=str(context.abstract_syntax) in PATIENT_ROOT)
        destination = self._destination(device, reply.destination) if reply.service == "C-MOVE" else None
        if any(_only_sends(each, now) for each in (device, *([destination.device] if destination else []))):
            raise Refusal(NOT_NOW)
        if destination is not None:
            # What reaches another device is what both may see.
            both = tuple(i for i in device.institutions if i in destination.device.institutions)
            device = replace(device, institutions=both)
        studies = self._find(device, asked, now)
        counts = Counts(sum(len(study.instances) for study in studies))
        if counts.remaining > MOST_OBJECTS:
            raise Refusal(CANNOT_COUNT)
        if not counts.remaining:
            reply.send(SUCCESS, counts)
            return
        to = destination.device.id if destination is not None else device.id
        self._database.write(lambda session: note_fetch(session, device, reply.service, to, studies, now))
        status = CANNOT_RETRIEVE
        try:
            with suppress(Gone), self._user(reply, destination, studies) as user:
                status = self._send_all(reply, user, studies, counts, device, is_closing)
        except Unreachable as error:
            log.warning("destination_unreachable", device=to, reason=error.reason)
            for held in (held for study in studies for held in study.instances):
                counts.note(held.sop_instance_uid, None)
        log.info(
            "retrieve_answered",
            device=device.id,
            to=to,
            completed=counts.completed,
            failed=len(counts.failed),
            status=f"{status.code:04X}",
        )
        reply.send(status, counts)

    def _destination(self, device: KnownDevice, ae_title: str) -> Destination:
        found = self._database.read(lambda session: find_destination(session, device, ae_title))
        if found is None:
            raise Refusal(UNKNOWN_DESTINATION)
        return found

    def _find(self, device: KnownDevice, keys: Keys, now: datetime) -> list[Fetched]:
        return self._database.read(lambda session: fetch(session, device, keys, now))

    @contextmanager
    def _user(self, reply: _Reply, destination: Destination | None, studies: list[Fetched]) -> Iterator[StoreUser]:
        """Who stores the objects: on the asker's own association, or on one to the destination.

        Raises
        ------
        Unreachable
            as `Outgoing.association`.
        Gone
            At the end, where the association was lost: it is not released but cut.
        """
        stall = self._limits.idle_seconds
        if destination is None:
            user = StoreUser(reply.association, stall_seconds=stall, preferred=reply.device.transfer_syntaxes)
            yield user
            if user.is_gone and not reply.is_gone:
                reply.association.abort(block=False)
            return
        wanted = {(h.sop_class_uid, h.transfer_syntax_uid) for study in studies for h in study.instances}
        with self._outgoing.association(destination, sorted(wanted)) as association:
            user = StoreUser(association, stall_seconds=stall, preferred=destination.device.transfer_syntaxes)
            yield user
            if user.is_gone:
                raise Gone

    def _send_all(
        self,
        reply: _Reply,
        user: StoreUser,
        studies: list[Fetched],
        counts: Counts,
        device: KnownDevice,
        is_closing: Callable[[], bool],
    ) -> Status:
        for study in studies:
            identity = identity_of(study)
            for held in study.instances:
                if reply.is_cancelled():
                    return CANCELLED
                status = None
                if not (user.is_gone or reply.is_gone or is_closing()):
                    status = self._send(reply, user, held, identity, device)
                counts.note(held.sop_instance_uid, status)
                if counts.remaining and not reply.is_gone:
                    reply.send(PENDING, counts)
        return counts.final()

    def _send(
        self, reply: _Reply, user: StoreUser, held: HeldInstance, identity: Identity, device: KnownDevice
    ) -> int | None:
        """Send one object; the status of its C-STORE, None where it did not get so far."""
        form = user.form(held.sop_class_uid, held.transfer_syntax_uid)
        if form is None:
            log.warning("object_not_sent", device=device.id, instance=held.id, error="no_presentation_context")
            return None
        command = Command(held.sop_class_uid, held.sop_instance_uid, reply.originator, reply.message_id)
        try:
            data_set = self._data_set(held, identity, form.transfer_syntax)
            status = user.store(form, command, data_set)
        except Gone:
            log.warning("object_not_sent", device=device.id, instance=held.id, error="association_lost")
            return None
        except HurenError as error:
            log.warning("object_not_sent", device=device.id, instance=held.id, error=error.code)
            return None
        if status != SUCCESS.code:
            log.warning("object_not_taken_there", device=device.id, instance=held.id, status=f"{status:04X}")
        return status

    def _data_set(self, held: HeldInstance, identity: Identity, transfer_syntax: str) -> list[Piece]:
        """The data set as it leaves, in pieces; of what is sent as stored they are parts of the mapped file.

        Raises
        ------
        BadInput
            It cannot carry the identity, or cannot be decoded.
        Broken
            ``object_missing``.
        """
        file = mapped(self._store, held.store_key)
        pieces: list[Piece] = [p if isinstance(p, bytes) else file[p[0] : sum(p)] for p in coerced(file, identity)]
        if transfer_syntax == held.transfer_syntax_uid:
            return _without_head(pieces, len(file) - len(open_part10(file)[1]))
        made = children().plain_object(pieces, transfer_syntax)
        return _without_head(list(made), len(made[0]) - len(open_part10(made[0])[1]))


class _Reply:
    """One C-MOVE or C-GET request, and its answers."""

    def __init__(
        self,
        association: Association,
        context: PresentationContext,
        request: C_MOVE | C_GET,
        device: KnownDevice,
    ) -> None:
        self.association = association
        self.device = device
        self.context = context
        self.service: Literal["C-MOVE", "C-GET"] = "C-MOVE" if isinstance(request, C_MOVE) else "C-GET"
        self.message_id = int(request.MessageID or 0)
        self.originator = str(association.requestor.ae_title).strip() if self.service == "C-MOVE" else ""
        self.destination = str(getattr(request, "MoveDestination", "") or "").strip()
        self.identifier = request.Identifier.getvalue() if request.Identifier is not None else b""
        self._request = request

    @property
    def is_gone(self) -> bool:
        """Whether the asker has left."""
        return is_gone(self.association)

    def is_cancelled(self) -> bool:
        """Whether the asker has sent a C-CANCEL for this request."""
        return self.message_id in self.association.dimse.cancel_req

    def send(self, status: Status, counts: Counts | None = None) -> None:
        """Answer, with the counts that PS3.7 9.1.3.1, 9.1.4.1 demand for this status."""
        if self.is_gone:
            return
        answer: Any = type(self._request)()
        answer.MessageIDBeingRespondedTo = self.message_id
        answer.AffectedSOPClassUID = self._request.AffectedSOPClassUID
        answer.Status = status.code
        if status.comment:
            answer.ErrorComment = status.comment[:64]
        if counts is not None:
            if status in (PENDING, CANCELLED):
                answer.NumberOfRemainingSuboperations = counts.remaining
            answer.NumberOfCompletedSuboperations = counts.completed
            answer.NumberOfFailedSuboperations = len(counts.failed)
            answer.NumberOfWarningSuboperations = counts.warned
            if status is not PENDING and counts.failed:
                answer.Identifier = BytesIO(self._failed_list(counts.failed))
        self.association.dimse.send_msg(answer, self.context.context_id or 0)

    def _failed_list(self, failed: list[str]) -> bytes:
        """Failed SOP Instance UID List (0008,0058), as much of it as one element holds."""
        told = []
        room = LONGEST_LIST
        for uid in failed:
            room -= len(uid) + 1
            if room < 0:
                break
            told.append(uid)
        identifier = Dataset()
        identifier.FailedSOPInstanceUIDList = told
        syntax = self.context.transfer_syntax[0]
        return encode(identifier, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated) or b""


def _only_sends(device: KnownDevice, now: datetime) -> bool:
    """Whether the device, at the local time of its institution, may send and not fetch."""
    return within(now.astimezone(ZoneInfo(device.timezone)).time(), device.receive_only_hours)


def _without_head(pieces: list[Piece], head: int) -> list[Piece]:
    """The pieces of a file without its first `head` bytes: preamble and file meta are not sent (PS3.7 6.3.1)."""
    found: list[Piece] = []
    for piece in pieces:
        cut = min(head, len(piece))
        head -= cut
        if cut < len(piece):
            found.append(piece[cut:])
    return found
