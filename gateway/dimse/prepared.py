"""Messages that were encoded beforehand, many in one write (DICOM PS3.7 annex E, PS3.8 9.3.5).

pynetdicom builds a data set, a command set, primitives and PDUs for each answer of a C-FIND and writes each by itself:
20 rows take it 17 ms. Here bytes are put together and handed to its reactor thread as one, which keeps the order of
everything that goes out, and only one thread at a TLS socket.
"""

from __future__ import annotations

import time
from collections import deque
from struct import Struct
from typing import Final

from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from gateway.dimse.statuses import Status
from gateway.dimse.sub_operations import is_gone

LONGEST_FRAGMENT: Final = 256 << 10  # bytes of one PDU, also where the peer takes any length
PAUSE_SECONDS: Final = 0.0005

_PDU: Final = Struct(">BxLLBB").pack  # kind, length, length of its one PDV, context, control header
_ELEMENT: Final = Struct("<HHL").pack  # command sets are in Implicit VR Little Endian (PS3.7 6.3.1)
_SHORT: Final = Struct("<H").pack
_COMMAND, _LAST = 1, 2
_C_FIND_RSP, _DATA_SET, _NO_DATA_SET = 0x8020, 0x0001, 0x0101


def find_answer(sop_class: str, message_id: int, status: Status, *, has_data: bool) -> bytes:
    """The command set of a C-FIND-RSP (PS3.7 9.3.2.2)."""
    elements = [
        (0x0002, _padded(sop_class.encode("ascii"), b"\0")),
        (0x0100, _SHORT(_C_FIND_RSP)),
        (0x0120, _SHORT(message_id)),
        (0x0800, _SHORT(_DATA_SET if has_data else _NO_DATA_SET)),
        (0x0900, _SHORT(status.code)),
    ]
    if status.comment:
        elements.append((0x0902, _padded(status.comment[:64].encode("ascii"), b" ")))
    rest = b"".join(_ELEMENT(0, tag, len(value)) + value for tag, value in elements)
    return _ELEMENT(0, 0, 4) + Struct("<L").pack(len(rest)) + rest


class PreparedSender:
    """Sends such messages over one presentation context; used by the association's own thread alone."""

    def __init__(self, association: Association, context_id: int) -> None:
        self._association = association
        self._context_id = context_id
        most = association.dimse.maximum_pdu_size or LONGEST_FRAGMENT
        self._room = max(64, min(most, LONGEST_FRAGMENT)) - 6
        self._ready: deque[bytes] = _ready(association)

    def pdus(self, command: bytes, data: bytes = b"") -> bytes:
        """The PDUs of one message, one fragment in each; without `data` it has no data set."""
        out = self._fragments(command, _COMMAND)
        return out + self._fragments(data, 0) if data else out

    def send(self, pdus: bytes) -> None:
        """Write what `pdus` gave, after all that was sent before. Nothing happens where the peer has left."""
        if pdus and not is_gone(self._association):
            self._ready.append(pdus)
            self._association.dul.send_pdu(_Prepared())

    def wait(self, seconds: float) -> bool:
        """Wait until all has been written; False where the peer has left, or does not read for so long."""
        until = time.monotonic() + seconds
        while self._ready:
            if is_gone(self._association) or time.monotonic() > until:
                return False
            time.sleep(PAUSE_SECONDS)
        return True

    def _fragments(self, data: bytes, kind: int) -> bytes:
        room = self._room
        out = []
        for at in range(0, len(data), room):
            piece = data[at : at + room]
            control = kind | (_LAST if at + room >= len(data) else 0)
            out.append(_PDU(4, len(piece) + 6, len(piece) + 2, self._context_id, control) + piece)
        return b"".join(out)


class _Prepared(P_DATA):
    """Says to the reactor that the oldest prepared bytes are to be written."""


def _ready(association: Association) -> deque[bytes]:
    """What waits to be written by the reactor of an association; the first call puts itself before its `_send`."""
    dul = association.dul
    known: deque[bytes] | None = getattr(dul, "prepared", None)
    if known is not None:
        return known
    ready: deque[bytes] = deque()
    send = dul._send

    def write(pdu: object) -> None:
        # A P-DATA without a value comes of `_Prepared` alone: real ones have at least one (PS3.8 9.3.5).
        if isinstance(pdu, P_DATA_TF) and not pdu.presentation_data_value_items and dul.socket is not None:
            dul.socket.send(ready[0])
            ready.popleft()  # only now: who waits for it to be empty waits until all is written
        else:
            send(pdu)  # type: ignore[arg-type]

    dul._send = write  # type: ignore[method-assign]
    dul.prepared = ready  # type: ignore[attr-defined]
    return ready


def _padded(value: bytes, pad: bytes) -> bytes:
    return value + pad * (len(value) % 2)
