"""Storage Commitment Push Model, as SCP (DICOM PS3.4 annex J).

An N-ACTION is answered once it is on record. Then every object is read from the store again and compared with what
was acknowledged, and the device is told: on an association of ours where its record says at which port it listens,
else on its own association, while that lasts.
"""

from __future__ import annotations

import hashlib
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, Final

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import A_RELEASE
from pynetdicom.presentation import PresentationContext

from gateway.dimse.contexts import COMMITMENT
from gateway.dimse.outgoing import Outgoing, Unreachable
from gateway.dimse.statuses import (
    INVALID_ARGUMENT,
    N_FAILED,
    N_OUT_OF_RESOURCES,
    NO_SUCH_ACTION,
    NO_SUCH_CLASS,
    NO_SUCH_INSTANCE,
    NOT_AUTHORISED,
    SUCCESS,
    TRANSACTION_USED,
    Status,
)
from gateway.dimse.sub_operations import LOOK_SECONDS, Gone, is_gone
from gateway.store import ObjectStore, mapped
from interfaces.dicom.commitment import commitment_report, read_commitment_request
from interfaces.dicom.elements import read_dataset
from interfaces.dicom.fields import Fields
from interfaces.dicom.objects import open_part10
from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from worklist.actions import commitments
from worklist.actions.commitments import Asked, HeldCopy
from worklist.database import Database
from worklist.errors import BadInput, Broken, Conflict, Forbidden, HurenError, TryLater
from worklist.facts import KnownDevice

log = structlog.get_logger(__name__)

THE_INSTANCE: Final = "1.2.840.10008.1.20.1.1"  # well-known (J.3.5)
REQUEST_COMMITMENT: Final = 1  # the action type (J.3.2)

# Failure Reason (0008,1197), PS3.3 C.14.1.1.
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_OBJECT: Final = 0x0112
CLASS_DIFFERS: Final = 0x0119

OWN_ASSOCIATION: Final = timedelta(minutes=10)  # for a device without a port: its own association's time
GIVE_UP: Final = timedelta(hours=72)  # as for a delivery
PIECE: Final = 1 << 20  # bytes read at a time
MEDIA_STORAGE_INSTANCE: Final = 0x00020003
ANSWER_SECONDS: Final = 60.0


class NotTaken(Exception):
    """The device answered the report with a failure."""


@dataclass(frozen=True, slots=True)
class Action:
    """What an N-ACTION says (PS3.7 10.1.4)."""

    sop_class: str
    sop_instance: str
    action_type: int
    information: bytes
    transfer_syntax: str


class Commitments:
    """Takes questions and gives reports. Safe to use from many threads."""

    def __init__(self, database: Database, store: ObjectStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def ask(self, device: KnownDevice, address: str, action: Action) -> tuple[Status, str]:
        """N-ACTION; the answer, success once the question is committed, and then the transaction's id."""
        if action.sop_class != COMMITMENT:
            return NO_SUCH_CLASS, ""
        if action.sop_instance != THE_INSTANCE:
            return NO_SUCH_INSTANCE, ""
        if action.action_type != REQUEST_COMMITMENT:
            return NO_SUCH_ACTION, ""
        try:
            request = read_commitment_request(read_dataset(action.information, action.transfer_syntax))
            now = self._clock()
            return SUCCESS, self._database.write(lambda s: commitments.ask(s, device, address, request, now))
        except HurenError as error:
            status = _status(error)
            log.warning("commitment_refused", device=device.id, error=error.code, status=f"{status.code:04X}")
            return status, ""

    def report_there(self, association: Association, context: PresentationContext, commitment_id: str) -> list[Any]:
        """Tell a device that has no port on its own association, from that association's thread, if it still waits.

        What the device sends meanwhile is returned as it lay in the queue, to be served afterwards.
        """
        others: list[Any] = []
        if self._database.read(lambda s: commitments.destination(s, commitment_id)) is not None:
            return others
        asked = self.verified(commitment_id)
        if asked.state == "reported" or is_gone(association) or _is_leaving(association):
            return others
        try:
            _tell(association, context, asked, others)
        except (Gone, NotTaken) as error:
            log.warning("commitment_not_reported", commitment=commitment_id, error=type(error).__name__)
        else:
            self._note(commitment_id)
        return others

    def report(self, commitment_id: str, outgoing: Outgoing) -> datetime | None:
        """The job: verify, and tell the device on an association of ours. When to run again (aware UTC), or None.

        Raises
        ------
        TryLater
            ``device_unreachable``, ``report_not_taken``, or the store or database is away.
        Broken
            ``device_without_port``, and the two above after 72 hours.
        """
        asked = self.verified(commitment_id)
        if asked.state == "reported":
            return None
        now = self._clock()
        to = self._database.read(lambda s: commitments.destination(s, commitment_id))
        if to is None:
            if now < asked.asked_at + OWN_ASSOCIATION:
                return asked.asked_at + OWN_ASSOCIATION
            self._database.write(lambda s: commitments.stick(s, commitment_id, "device_without_port", now))
            raise Broken("device_without_port")
        late = now > (asked.verified_at or asked.asked_at) + GIVE_UP
        wanted = [(COMMITMENT, EXPLICIT_LITTLE_ENDIAN), (COMMITMENT, IMPLICIT_LITTLE_ENDIAN)]
        try:
            with outgoing.association(to, wanted, as_scp=True) as association:
                context = next(iter(association.accepted_contexts), None)
                if context is None:
                    raise Unreachable("no_context")
                _tell(association, context, asked, [])
        except (Unreachable, Gone) as error:
            self._not_told(commitment_id, "device_unreachable" if late else "", now)
            raise TryLater("device_unreachable") from error
        except NotTaken as error:
            self._not_told(commitment_id, "report_not_taken" if late else "", now)
            raise TryLater("report_not_taken") from error
        self._note(commitment_id)
        return None

    def verified(self, commitment_id: str) -> Asked:
        """The transaction after its objects were read again; once is enough."""
        asked = self._database.read(lambda s: commitments.look(s, commitment_id))
        if asked.state != "asked":
            return asked
        copies = self._database.read(lambda s: commitments.held_copies(s, commitment_id))
        names: dict[str, str] = {}
        failures = {}
        for reference in asked.references:
            held = copies.get(reference.sop_instance_uid, [])
            reason = self._problem(reference.sop_class_uid, reference.sop_instance_uid, held, names)
            if reason:
                failures[reference.sop_instance_uid] = reason
        if failures:
            log.warning("commitment_fails", commitment=commitment_id, count=len(failures))
        now = self._clock()
        self._database.write(lambda s: commitments.verify(s, commitment_id, failures, now))
        return self._database.read(lambda s: commitments.look(s, commitment_id))

    def _problem(self, sop_class: str, uid: str, held: list[HeldCopy], names: dict[str, str]) -> int:
        """The Failure Reason of an object, 0 for none; `names` remembers whose the copies set aside are."""
        if not held:
            return NO_SUCH_OBJECT
        for copy in held:
            if copy.sop_class_uid != sop_class:
                return CLASS_DIFFERS
            if self._digest(copy.store_key) != copy.sha256:
                return PROCESSING_FAILURE
            for key in copy.set_aside:
                if key not in names:
                    names[key] = self._instance_in(key)
                if names[key] in (uid, ""):
                    return PROCESSING_FAILURE
        return 0

    def _digest(self, key: str) -> str:
        """SHA-256 of what the store holds, in hexadecimal; empty where it cannot be read."""
        digest = hashlib.sha256()
        try:
            with self._store.open(key) as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
                return digest.hexdigest()
        except (Broken, OSError) as error:
            log.warning("object_not_verified", key=key, error=type(error).__name__)
            return ""

    def _instance_in(self, key: str) -> str:
        """Which instance a copy set aside is of, as the file meta says that we gave it; empty if that is unknown."""
        try:
            file = mapped(self._store, key)
            _syntax, data_set = open_part10(file)
            meta = file[132 : len(file) - len(data_set)]
            return Fields(read_dataset(meta, EXPLICIT_LITTLE_ENDIAN)).plain(MEDIA_STORAGE_INSTANCE)
        except (HurenError, OSError, ValueError) as error:  # then it is taken for one that disagrees
            log.warning("object_not_verified", key=key, error=type(error).__name__)
            return ""

    def _note(self, commitment_id: str) -> None:
        now = self._clock()
        self._database.write(lambda s: commitments.report(s, commitment_id, now))

    def _not_told(self, commitment_id: str, code: str, now: datetime) -> None:
        """Raise Broken with `code` after putting it on record; nothing where there is still time."""
        if code:
            self._database.write(lambda s: commitments.stick(s, commitment_id, code, now))
            raise Broken(code)


def _tell(association: Association, context: PresentationContext, asked: Asked, others: list[Any]) -> None:
    """N-EVENT-REPORT (PS3.7 10.1.1), and its answer. Messages that are none go to `others`.

    Raises
    ------
    Gone
        The association ended before the answer.
    NotTaken
        The answer is a failure.
    """
    event_type, information = commitment_report(asked.transaction_uid, asked.references, asked.failures)
    syntax = context.transfer_syntax[0]
    report = N_EVENT_REPORT()
    report.MessageID = 1
    report.AffectedSOPClassUID = COMMITMENT
    report.AffectedSOPInstanceUID = THE_INSTANCE
    report.EventTypeID = event_type
    data = encode(information, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    report.EventInformation = BytesIO(data or b"")
    association.dimse.send_msg(report, context.context_id or 0)
    until = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < until and not is_gone(association):
        try:
            context_id, answer = association.dimse.msg_queue.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            if _is_leaving(association):
                break
            continue
        if not isinstance(answer, N_EVENT_REPORT) or not answer.is_valid_response:
            others.append((context_id, answer))
            continue
        status = int(answer.Status or 0)
        if status in (0x0000, 0x0107, 0x0116) or status >> 12 == 0xB:
            return
        raise NotTaken
    raise Gone


def _is_leaving(association: Association) -> bool:
    """Whether the peer has asked for the release; the association's own thread is to find the request too."""
    return isinstance(association.dul.peek_next_pdu(), A_RELEASE)


def _status(error: HurenError) -> Status:
    if isinstance(error, BadInput):
        return INVALID_ARGUMENT
    if isinstance(error, Conflict):
        return TRANSACTION_USED
    if isinstance(error, Forbidden):
        return NOT_AUTHORISED
    if isinstance(error, TryLater):
        return N_OUT_OF_RESOURCES
    return N_FAILED
