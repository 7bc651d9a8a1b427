"""C-STORE as a user (DICOM PS3.4 B.2.1): one object after the other over an association that is there.

pynetdicom encodes a whole object in memory, twice. Here its data set goes out in fragments as it is read, and waits
where the peer does not keep up, so that an object of any size costs a few PDUs.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from typing import Final

from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from interfaces.dicom.uids import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

LONGEST_FRAGMENT: Final = 256 << 10  # bytes of one PDU that we send, also where the peer takes any length
WAITING: Final = 2 << 20  # bytes that wait for the peer to read
PAUSE_SECONDS: Final = 0.0005
LOOK_SECONDS: Final = 0.5  # between looks whether the peer is still there
MEDIUM: Final = 0  # priority (PS3.7 9.1.1.1.7)

Piece = bytes | memoryview


class Gone(Exception):
    """The association ended, or its peer stopped reading or answering."""


@dataclass(frozen=True, slots=True)
class Form:
    """An accepted presentation context in which an object can be sent."""

    context_id: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Command:
    """What the command of a C-STORE says. The originator is who asked for a C-MOVE."""

    sop_class: str
    sop_instance: str
    originator: str = ""
    originator_message: int = 0


class StoreUser:
    """Sends objects over an association, one at a time, from one thread."""

    def __init__(self, association: Association, *, stall_seconds: float, preferred: Sequence[str] = ()) -> None:
        """Of an association that the peer asked for, only contexts in which it took the SCP role are used (C-GET).

        Where the peer takes several transfer syntaxes, those `preferred` win in their order.
        """
        self._preferred = preferred
        self._association = association
        self._stall_seconds = stall_seconds
        self._is_lost = False
        self._messages = count(1)
        self._forms: dict[tuple[str, str], Form] = {}
        for context in association.accepted_contexts:
            if context.as_scu and context.context_id is not None:
                key = (str(context.abstract_syntax), str(context.transfer_syntax[0]))
                self._forms.setdefault(key, Form(context.context_id, key[1]))
        most = min(association.dimse.maximum_pdu_size or LONGEST_FRAGMENT, LONGEST_FRAGMENT)
        self._pdu = max(most, 64)
        self._most_waiting = max(2, WAITING // self._pdu)

    def form(self, sop_class: str, transfer_syntax: str) -> Form | None:
        """As it is stored, else in plain little endian, where the peer takes it; what it prefers, before."""
        possible = (transfer_syntax, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
        for syntax in (*(syntax for syntax in self._preferred if syntax in possible), *possible):
            found = self._forms.get((sop_class, syntax))
            if found is not None:
                return found
        return None

    @property
    def is_gone(self) -> bool:
        """Whether nothing more can be sent: the peer has left, does not read or answer, or got half an object."""
        return self._is_lost or is_gone(self._association)

    def store(self, form: Form, command: Command, data_set: Iterable[Piece]) -> int:
        """Send one object; `data_set` is encoded in the transfer syntax of `form`. Returns the status of the answer.

        Raises
        ------
        Gone
            The association is no more, or must not be used any more: half an object may have gone out.
        """
        try:
            return self._store(form, command, data_set)
        except Exception as error:
            self._is_lost = True
            raise error if isinstance(error, Gone) else Gone from error

    def _store(self, form: Form, command: Command, data_set: Iterable[Piece]) -> int:
        request = C_STORE()
        request.MessageID = next(self._messages) & 0xFFFF
        request.AffectedSOPClassUID = command.sop_class
        request.AffectedSOPInstanceUID = command.sop_instance
        request.Priority = MEDIUM
        if command.originator:
            request.MoveOriginatorApplicationEntityTitle = command.originator
            request.MoveOriginatorMessageID = command.originator_message
        request.DataSet = BytesIO(b"\0")  # says in the command that one follows
        message = C_STORE_RQ()
        message.primitive_to_message(request)
        message.data_set = None
        for fragment in message.encode_msg(form.context_id, self._pdu):
            self._put(fragment)
        for is_last, part in _fragments(data_set, self._pdu - 6):
            self._put(_fragment(form.context_id, (b"\x02" if is_last else b"\x00") + part))
        return self._answer(request.MessageID)

    def _put(self, fragment: P_DATA) -> None:
        waiting = self._association.dul.to_provider_queue
        size, since = waiting.qsize(), time.monotonic()
        while size >= self._most_waiting:
            if is_gone(self._association) or time.monotonic() - since > self._stall_seconds:
                raise Gone
            time.sleep(PAUSE_SECONDS)
            now = waiting.qsize()
            if now < size:
                since = time.monotonic()
            size = now
        if is_gone(self._association):
            raise Gone
        self._association.dul.send_pdu(fragment)

    def _answer(self, message_id: int) -> int:
        until = time.monotonic() + self._stall_seconds
        while time.monotonic() < until and not is_gone(self._association):
            try:
                _context, answer = self._association.dimse.msg_queue.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if not isinstance(answer, C_STORE) or not answer.is_valid_response:
                break
            if answer.MessageIDBeingRespondedTo == message_id:
                return int(answer.Status or 0)
            break  # nobody may send anything else meanwhile (PS3.7 D.3.3.3: one operation at a time)
        raise Gone


def is_gone(association: Association) -> bool:
    """Whether the peer of an association has left, also before the association's own thread has seen it."""
    if not association.is_established or association._sent_abort:
        return True
    return not association.dul.is_alive() or association.acse.is_aborted()


def _fragments(pieces: Iterable[Piece], size: int) -> Iterator[tuple[bool, bytes]]:
    """`pieces` joined and cut into `size` bytes; True with the last."""
    ready = bytearray()
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            step = size + 1 - len(ready)  # one byte more shows that another fragment follows
            ready += rest[:step]
            rest = rest[step:]
            if len(ready) > size:
                yield False, bytes(ready[:size])
                del ready[:size]
    yield True, bytes(ready)


def _fragment(context_id: int, data: bytes) -> P_DATA:
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((context_id, data))
    return primitive
