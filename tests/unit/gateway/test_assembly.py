"""Messages from fragments: every cut gives the same messages, and what is no message is noise."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_STORE_RSP as CStoreRsp
from pynetdicom.pdu import P_DATA_TF

from gateway.dimse.assembly import Assembly, Noise, StoreRequest, Storing, store_answer
from gateway.dimse.guard import Limits
from gateway.dimse.statuses import OUT_OF_RESOURCES, SUCCESS, Status
from tests.bench.scu import find_command, store_command


class Kept:
    """An object in memory."""

    def __init__(self) -> None:
        self.data, self.gone = b"", False

    def write(self, fragment: memoryview) -> None:
        self.data += fragment

    def finish(self) -> Status:
        return SUCCESS

    def discard(self) -> None:
        self.gone = True


class Heard:
    """An assembly, and what came of it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.begun: list[Kept] = []
        self.stored: list[tuple[StoreRequest, bytes]] = []
        self.forwarded: list[tuple[int, bytes]] = []
        self.assembly = Assembly(limits or Limits(), self._begin, self._end, self._forward)

    def take(self, *pdus: bytes) -> list[bool]:
        """Whether each brought a message further."""
        news = []
        for pdu in pdus:
            with memoryview(pdu) as view:
                news.append(self.assembly.take(view))
        return news

    def _begin(self, _request: StoreRequest) -> Storing:
        self.begun.append(Kept())
        return self.begun[-1]

    def _end(self, request: StoreRequest, storing: Storing) -> None:
        assert isinstance(storing, Kept)
        self.stored.append((request, storing.data))

    def _forward(self, context: int, fragment: bytes) -> None:
        self.forwarded.append((context, fragment))


def pdv(data: bytes, control: int, context: int = 1) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def pdu(*values: bytes) -> bytes:
    body = b"".join(values)
    return struct.pack(">BxL", 4, len(body)) + body


def cut(data: bytes, kind: int, places: list[int]) -> list[bytes]:
    """The fragments of `data`, cut at these places; an empty one may be last."""
    ends = [*sorted({place % (len(data) + 1) for place in places}), len(data)]
    found, at = [], 0
    for number, end in enumerate(ends):
        found.append(pdv(data[at:end], kind | (2 if number == len(ends) - 1 else 0)))
        at = end
    return found


COMMAND = store_command(CTImageStorage, "1.2.3.4")
PLACES = st.lists(st.integers(0, 400), max_size=6)


@given(PLACES, PLACES, st.binary(max_size=300), st.integers(1, 4))
def test_objects_come_whole_however_they_are_cut(
    command: list[int], places: list[int], data: bytes, together: int
) -> None:
    heard = Heard()
    values = cut(COMMAND, 1, command) + cut(data, 0, places)
    for _ in range(2):
        heard.take(*(pdu(*values[at : at + together]) for at in range(0, len(values), together)))
    assert heard.stored == [(StoreRequest(1, 1, CTImageStorage, "1.2.3.4"), data)] * 2
    assert heard.forwarded == []


def test_other_messages_are_forwarded_and_an_object_may_follow() -> None:
    heard = Heard()
    query = find_command("1.2.840.10008.5.1.4.31")
    echo = bytearray(query)
    at = echo.index(struct.pack("<HHL", 0, 0x0800, 2)) + 8
    echo[at : at + 2] = b"\x01\x01"  # no data set
    heard.take(pdu(pdv(query, 3, 5), pdv(b"ab", 0, 5)), pdu(pdv(b"cd", 2, 5)), pdu(pdv(bytes(echo), 3, 7)))
    assert heard.forwarded == [(5, b"\x03" + query), (5, b"\x00ab"), (5, b"\x02cd"), (7, b"\x03" + echo)]
    heard.take(pdu(pdv(COMMAND, 3), pdv(b"x", 2)))
    assert [data for _, data in heard.stored] == [b"x"]


NOISE = {
    "length beyond the PDU": [struct.pack(">BxL", 4, 8) + struct.pack(">LBB", 99, 1, 3) + b"ab"],
    "a value of no length": [struct.pack(">BxL", 4, 6) + struct.pack(">LBB", 1, 1, 3)],
    "half a value's header": [struct.pack(">BxL", 4, 3) + b"abc"],
    "data before a command": [pdu(pdv(b"abc", 2))],
    "another context": [pdu(pdv(COMMAND[:20], 1), pdv(COMMAND[20:], 3, 3))],
    "a command inside an object": [pdu(pdv(COMMAND, 3), pdv(b"ab", 0), pdv(COMMAND, 3))],
    "an endless command": [pdu(pdv(bytes(60_000), 1)), pdu(pdv(bytes(60_000), 1))],
    "an element cut off": [pdu(pdv(COMMAND[:-3], 3))],
    "another group": [pdu(pdv(b"\x08\x00" + COMMAND[2:], 3))],
    "no instance": [pdu(pdv(COMMAND[: COMMAND.index(struct.pack("<HH", 0, 0x1000))], 3))],
    "no command field": [pdu(pdv(b"", 3))],
    "a report that nobody asked for": [
        pdu(
            pdv(
                find_command("1.2").replace(
                    struct.pack("<HHLH", 0, 0x100, 2, 0x20), struct.pack("<HHLH", 0, 0x100, 2, 0x100)
                ),
                3,
            )
        )
    ],
    "a UID of 100 characters": [pdu(pdv(store_command(CTImageStorage, "1." * 50), 3))],
}


@pytest.mark.parametrize("pdus", NOISE.values(), ids=NOISE)
def test_what_is_no_message_is_noise(pdus: list[bytes]) -> None:
    heard = Heard()
    with pytest.raises(Noise):
        heard.take(*pdus)
    heard.assembly.discard()
    heard.assembly.discard()
    assert all(kept.gone for kept in heard.begun)
    assert heard.stored == []


def test_a_message_that_is_no_object_is_held_to_a_size_and_each_to_a_time() -> None:
    heard = Heard(Limits(in_memory=1000))
    with pytest.raises(Noise, match="message_too_long"):
        heard.take(pdu(pdv(find_command("1.2"), 3)), *([pdu(pdv(bytes(300), 0))] * 4))
    slow = Heard(Limits(message_seconds=-1))
    with pytest.raises(Noise, match="message_too_slow"):
        slow.take(pdu(pdv(COMMAND, 3)))


@pytest.mark.parametrize("status", [SUCCESS, OUT_OF_RESOURCES])
@pytest.mark.parametrize("longest", [0, 16, 128, 16384])
def test_pynetdicom_understands_the_answer(status: Status, longest: int) -> None:
    request = StoreRequest(5, 0xFFFF, CTImageStorage, "1.2.3.4.5")
    sent = store_answer(request, status, longest)
    message, at = CStoreRsp(), 0
    while at < len(sent):
        end = at + 6 + int.from_bytes(sent[at + 2 : at + 6], "big")
        assert not longest or end - at - 6 <= longest
        received = P_DATA_TF()
        received.decode(sent[at:end])
        is_whole = message.decode_msg(received.to_primitive())
        assert is_whole == (end == len(sent))
        at = end
    answer: Any = message.message_to_primitive()
    assert (answer.Status, answer.MessageIDBeingRespondedTo) == (status.code, 0xFFFF)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CTImageStorage, "1.2.3.4.5")
    assert message.context_id == 5


def test_what_brings_nothing_is_no_progress() -> None:
    heard = Heard()
    assert heard.take(pdu(), pdu(pdv(b"", 1)), pdu(pdv(COMMAND, 3), pdv(b"", 0))) == [False, False, True]
    assert heard.take(pdu(), pdu(pdv(b"", 0), pdv(b"", 0)), pdu(pdv(b"a", 0)), pdu(pdv(b"", 2))) == [
        False,
        False,
        True,
        True,
    ]
    assert [data for _, data in heard.stored] == [b"a"]
