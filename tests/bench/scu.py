"""A DIMSE client that costs next to nothing: bytes made beforehand go through a socket, of answers it reads the status.

With two cores for both sides, a client that builds objects would be measured instead of the server. Messages are
those of DICOM PS3.7 annex E (command sets, implicit little endian) in the PDUs of PS3.8 9.3.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Final

from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from interfaces.dicom.uids import IMPLEMENTATION_CLASS_UID
from tests.peers.ports import LOOPBACK

CONTEXT: Final = 1  # the one presentation context that is proposed
LONGEST_PDU: Final = 128 << 10  # what DCMTK's own clients send at most
COMMAND, LAST = 1, 2  # bits of a PDV's message control header (PS3.8 annex E.2)
PENDING: Final = (0xFF00, 0xFF01)


class Unexpected(Exception):
    """The server answered otherwise than with success."""


def _element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def _uid(value: str) -> bytes:
    return value.encode() + b"\0" * (len(value) % 2)


def _command(field: int, sop_class: str, message_id: int, *more: bytes) -> bytes:
    """A command set: the elements in the order of their tags, `more` after the message id."""
    elements = b"".join(
        (
            _element(0x00000002, _uid(sop_class)),
            _element(0x00000100, struct.pack("<H", field)),
            _element(0x00000110, struct.pack("<H", message_id)),
            _element(0x00000700, struct.pack("<H", 0)),
            _element(0x00000800, struct.pack("<H", 1)),  # a data set follows
            *more,
        )
    )
    return _element(0x00000000, struct.pack("<L", len(elements))) + elements


def store_command(sop_class: str, sop_instance: str) -> bytes:
    """C-STORE-RQ (PS3.7 9.3.1.1)."""
    return _command(0x0001, sop_class, 1, _element(0x00001000, _uid(sop_instance)))


def find_command(sop_class: str) -> bytes:
    """C-FIND-RQ (PS3.7 9.3.2.1)."""
    return _command(0x0020, sop_class, 1)


class Scu:
    """One association, with one presentation context in Explicit VR Little Endian."""

    def __init__(self, port: int, sop_class: str, *, calling: str, called: str) -> None:
        """Associate with a server on the loopback address. Raises Unexpected, OSError."""
        self._socket = socket.create_connection((LOOPBACK, port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = self._socket.makefile("rb", buffering=256 << 10)
        self._socket.sendall(_request(sop_class, calling, called))
        kind, body = self._pdu()
        if kind != 2:
            raise Unexpected(f"the association was not accepted: PDU {kind}, {body[:8].hex()}")
        accepted = A_ASSOCIATE_AC()
        accepted.decode(struct.pack(">BBL", kind, 0, len(body)) + body)
        if accepted.presentation_context[0].result != 0:
            raise Unexpected("the presentation context was not accepted")
        user = accepted.user_information
        theirs = user.maximum_length if user is not None else 0
        self._longest = min(theirs or LONGEST_PDU, LONGEST_PDU)

    def message(self, command: bytes, data: bytes) -> bytes:
        """A whole message as the PDUs that carry it, ready to be sent."""
        room = self._longest - 6
        pieces = [_p_data(command, COMMAND | LAST)]
        for at in range(0, len(data), room):
            pieces.append(_p_data(data[at : at + room], LAST if at + room >= len(data) else 0))
        return b"".join(pieces)

    def ask(self, message: bytes) -> int:
        """Send a message, wait for its final answer; returns how many pending ones came. Raises Unexpected."""
        self._socket.sendall(message)
        pending = 0
        while (status := self._status()) in PENDING:
            pending += 1
        if status:
            raise Unexpected(f"status {status:04X}H")
        return pending

    def release(self) -> None:
        """A-RELEASE (PS3.8 9.3.6), and close."""
        self._socket.sendall(struct.pack(">BBLL", 5, 0, 4, 0))
        self._pdu()
        self._close()

    def _status(self) -> int:
        """The status of the next answer; data sets of answers are read and dropped."""
        command = bytearray()
        while True:
            kind, body = self._pdu()
            if kind != 4:
                raise Unexpected(f"PDU {kind} in place of an answer")
            at = 0
            while at < len(body):
                length, _context, control = struct.unpack_from(">LBB", body, at)
                if control & COMMAND:
                    command += body[at + 6 : at + 4 + length]
                at += 4 + length
                if control == COMMAND | LAST:
                    return self._of(command)

    @staticmethod
    def _of(command: bytearray) -> int:
        at = 0
        while at < len(command):
            group, element, length = struct.unpack_from("<HHL", command, at)
            if (group, element) == (0x0000, 0x0900):
                return int(struct.unpack_from("<H", command, at + 8)[0])
            at += 8 + length
        raise Unexpected("an answer without a status")

    def _pdu(self) -> tuple[int, bytes]:
        header = self._read.read(6)
        if len(header) < 6:
            raise Unexpected("the connection was closed")
        kind, _, length = struct.unpack(">BBL", header)
        return kind, self._read.read(length)

    def _close(self) -> None:
        self._read.close()
        self._socket.close()

    def __enter__(self) -> Scu:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.release()
        else:
            self._close()


def _p_data(piece: bytes, control: int) -> bytes:
    """A P-DATA-TF PDU with one PDV (PS3.8 9.3.5)."""
    return struct.pack(">BBLLBB", 4, 0, len(piece) + 6, len(piece) + 2, CONTEXT, control) + piece


def _request(sop_class: str, calling: str, called: str) -> bytes:
    """An A-ASSOCIATE-RQ."""
    asked = A_ASSOCIATE()
    asked.application_context_name = UID("1.2.840.10008.3.1.1.1")
    asked.calling_ae_title, asked.called_ae_title = calling, called
    context = build_context(sop_class, ExplicitVRLittleEndian)
    context.context_id = CONTEXT
    asked.presentation_context_definition_list = [context]
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = LONGEST_PDU
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    asked.user_information = [length, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(asked)
    return pdu.encode()
