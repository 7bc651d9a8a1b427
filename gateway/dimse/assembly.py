"""Messages put together from P-DATA (DICOM PS3.8 9.3.5, annex E): objects are handed over while they arrive.

A C-STORE is served from here, so that an object of any size costs the memory of a few PDUs; every other message goes
on to pynetdicom, fragment for fragment.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.dimse.guard import Limits
from gateway.dimse.statuses import Status

COMMAND, LAST = 1, 2  # bits of the message control header (PS3.8 E.2)
C_STORE_RQ, C_STORE_RSP, N_EVENT_REPORT_RQ = 0x0001, 0x8001, 0x0100  # command field (PS3.7 E.1)
NO_DATA_SET: Final = 0x0101
LONGEST_COMMAND: Final = 64 << 10  # bytes; pynetdicom would take any number

_PDV: Final = struct.Struct(">LBB")
_ELEMENT: Final = struct.Struct("<HHL")


class Noise(Exception):
    """What came is no message. `reason` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """The command of a C-STORE (PS3.7 9.3.1.1)."""

    context_id: int
    message_id: int
    sop_class: str
    sop_instance: str


class Storing(Protocol):
    """An object on its way in."""

    def write(self, fragment: memoryview) -> None:
        """The next part of its data set; not kept beyond the call. Raises nothing."""

    def finish(self) -> Status:
        """The data set is whole; what the device is answered. Raises nothing."""

    def discard(self) -> None:
        """The rest will not come. May be called again."""


class Assembly:
    """The messages of one association, one after the other."""

    def __init__(
        self,
        limits: Limits,
        begin: Callable[[StoreRequest], Storing],
        end: Callable[[StoreRequest, Storing], None],
        forward: Callable[[int, bytes], None],
    ) -> None:
        """`begin` and `end` serve a C-STORE; `forward` takes (context, message control header and fragment)."""
        self._limits, self._begin, self._end, self._forward = limits, begin, end, forward
        self._command = bytearray()
        self._context = 0  # of the message in hand, 0 between two
        self._until = 0.0
        self._object: tuple[StoreRequest, Storing] | None = None
        self._forwarding = False  # the data set of a message that is not ours
        self._forwarded = 0

    def take(self, pdu: memoryview) -> bool:
        """A whole P-DATA-TF PDU; nothing of it is kept. Returns whether it brought a message further.

        Raises
        ------
        Noise
            It is none, or its message goes too far.
        """
        at, is_news = 6, False
        while at < len(pdu):
            if at + _PDV.size > len(pdu):
                raise Noise("pdv_cut_off")
            length, context, control = _PDV.unpack_from(pdu, at)
            end = at + 4 + length
            if length < 2 or end > len(pdu):
                raise Noise("pdv_length_wrong")
            self._fragment(context, control, pdu[at + 6 : end])
            is_news = is_news or length > 2 or bool(control & LAST)
            at = end
        return is_news

    def discard(self) -> None:
        """Nothing more will come."""
        if self._object is not None:
            self._object[1].discard()
        self._object = None

    def _fragment(self, context: int, control: int, fragment: memoryview) -> None:
        if not self._context:
            self._context, self._until = context, time.monotonic() + self._limits.message_seconds
        if context != self._context:
            raise Noise("context_changed")
        if time.monotonic() > self._until:
            raise Noise("message_too_slow")
        is_data = self._object is not None or self._forwarding
        if bool(control & COMMAND) is is_data:
            raise Noise("fragments_out_of_order")
        if self._object is not None:
            self._object[1].write(fragment)
            if control & LAST:
                whole, self._object, self._context = self._object, None, 0
                self._end(*whole)
        elif self._forwarding:
            self._forwarded += len(fragment)
            if self._forwarded > self._limits.in_memory:
                raise Noise("message_too_long")
            self._forward(context, bytes((control,)) + fragment)
            if control & LAST:
                self._forwarding, self._context = False, 0
        else:
            self._command += fragment
            if len(self._command) > LONGEST_COMMAND:
                raise Noise("command_too_long")
            if control & LAST:
                self._whole_command()

    def _whole_command(self) -> None:
        command, self._command = bytes(self._command), bytearray()
        elements = _elements(command)
        has_data = _number(elements, 0x0800) != NO_DATA_SET
        field = _number(elements, 0x0100)
        if field == N_EVENT_REPORT_RQ:
            # We are nobody's SCU for such reports, and pynetdicom would start a thread for each.
            raise Noise("event_report_unasked")
        if field == C_STORE_RQ and has_data:
            request = StoreRequest(
                self._context, _number(elements, 0x0110), _uid(elements, 0x0002), _uid(elements, 0x1000)
            )
            self._object = request, self._begin(request)
            return
        context = self._context
        self._forwarding, self._forwarded = has_data, 0
        if not has_data:
            self._context = 0
        self._forward(context, bytes((COMMAND | LAST,)) + command)


def store_answer(request: StoreRequest, status: Status, longest: int) -> bytes:
    """A C-STORE-RSP (PS3.7 9.3.1.2) as the PDUs that carry it. `longest` is what the peer takes, 0 for any."""
    elements = [
        _element(0x0002, _padded(request.sop_class, b"\0")),
        _element(0x0100, struct.pack("<H", C_STORE_RSP)),
        _element(0x0120, struct.pack("<H", request.message_id)),
        _element(0x0800, struct.pack("<H", NO_DATA_SET)),
        _element(0x0900, struct.pack("<H", status.code)),
    ]
    if status.comment:
        elements.append(_element(0x0902, _padded(status.comment[:64], b" ")))
    elements.append(_element(0x1000, _padded(request.sop_instance, b"\0")))
    command = b"".join(elements)
    command = _element(0x0000, struct.pack("<L", len(command))) + command
    room = max(longest - 6, 2) if longest else len(command)
    pdus = []
    for at in range(0, len(command), room):
        piece = command[at : at + room]
        control = COMMAND | (LAST if at + room >= len(command) else 0)
        pdus.append(struct.pack(">BBLLBB", 4, 0, len(piece) + 6, len(piece) + 2, request.context_id, control) + piece)
    return b"".join(pdus)


def _elements(command: bytes) -> dict[int, bytes]:
    """The elements of a command set (PS3.7 6.3.1: implicit little endian, group 0000)."""
    found, at = {}, 0
    while at < len(command):
        if at + _ELEMENT.size > len(command):
            raise Noise("command_cut_off")
        group, element, length = _ELEMENT.unpack_from(command, at)
        at += _ELEMENT.size
        if group or at + length > len(command):
            raise Noise("command_not_understood")
        found[element] = command[at : at + length]
        at += length
    return found


def _number(elements: dict[int, bytes], element: int) -> int:
    raw = elements.get(element, b"")
    if len(raw) != 2:
        raise Noise("command_incomplete")
    return int.from_bytes(raw, "little")


def _uid(elements: dict[int, bytes], element: int) -> str:
    """A UID as it is said: whether it is one, and the right one, is seen with the object."""
    raw = elements.get(element, b"").rstrip(b"\0 ")
    if not raw or len(raw) > 64 or not raw.isascii():
        raise Noise("command_incomplete")
    return raw.decode("ascii")


def _element(element: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, element, len(value)) + value


def _padded(text: str, pad: bytes) -> bytes:
    value = text.encode("ascii")
    return value + pad * (len(value) % 2)
