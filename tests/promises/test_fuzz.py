"""Row 15: what strangers send, bent in every way: whatever it is, it is read or refused with a known error, and the
honest peer beside it is served.

Inputs are counted and drawn from a seed, not from the clock: the same ones at every landing.
"""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.dimse.assembly import Assembly, Noise, StoreRequest
from gateway.dimse.guard import Limits
from gateway.dimse.statuses import SUCCESS, Status
from gateway.mllp.framer import Framer, wrap
from gateway.mllp.intake import Intake
from gateway.multipart import MultipartReader
from interfaces.ecg import files
from interfaces.ecg.recording import Recording
from tests import ecg_xml, ecgs
from tests.integration.dimse_county import County, county, ct_slice
from tests.integration.killing_orders import order_of
from tests.peers.dcmtk import Scu
from tests.peers.ports import LOOPBACK
from tests.promises.scale import SCALE, many, note
from tests.world import build
from worklist.database import Database, sqlite_url
from worklist.errors import HurenError
from worklist.tables import Message

SAMPLES = Path(__file__).parents[1] / "translation" / "hl7v2" / "samples"
EXTREMES = (
    b"\x00",
    b"\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00",
    b"\r",
    b"|" * 40,
)

pytestmark = pytest.mark.timeout(200 + 400 * SCALE)


def bent(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """One of the seeds after one to six accidents."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        at, until = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        kind = chance.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at:until]
        elif kind == 3:
            data[at:at] = data[at:until] * chance.randint(1, 3)
        elif kind == 4:
            data[at:at] = chance.randbytes(chance.randint(1, 40))
        elif kind == 5:
            extreme = chance.choice(EXTREMES)
            data[at : at + len(extreme)] = extreme
        elif kind == 6:
            other = chance.choice(seeds)
            data[at:] = other[chance.randrange(len(other) + 1) :]
        else:
            data[at:until] = bytes(chance.sample(data[at:until], until - at))
        del data[200_000:]
    return bytes(data)


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """The same bytes as a line deals them out."""
    at = 0
    while at < len(data):
        size = chance.choice((1, 2, 7, 100, 5000, len(data)))
        yield data[at : at + size]
        at += size


def fuzzed(
    what: str, number: int, read: Callable[[bytes, random.Random], object], seeds: Sequence[bytes]
) -> Counter[str]:
    """Try as many; how each kind ended. Anything but a known error is the test's failure, with its number."""
    ended: Counter[str] = Counter()
    for turn in range(many(number)):
        chance = random.Random(f"{what} {turn}")
        data = bent(seeds, chance)
        try:
            read(data, chance)
        except (HurenError, Noise) as error:
            ended[getattr(error, "code", getattr(error, "reason", ""))] += 1
        except Exception as error:
            raise AssertionError(f"{what} {turn}: {data[:200]!r}") from error
        else:
            ended["read"] += 1
    note(15, what=what, inputs=ended.total(), read=ended["read"], kinds=len(ended))
    return ended


def test_frames() -> None:
    longest = 4000

    def read(data: bytes, chance: random.Random) -> None:
        framer, got = Framer(longest, 100), 0
        for piece in pieces(data, chance):
            got += sum(len(message) for message in framer.feed(piece))
            assert len(framer) <= longest + 100
        if framer.is_held:
            framer.release()
        assert got <= len(data)
        if framer.fault is not None:
            raise framer.fault

    seeds = [b"".join(wrap(order_of(n, f"{n:05}").message) for n in range(count)) for count in (1, 3, 9)]
    ended = fuzzed("MLLP frames", 20_000, read, seeds)
    assert {"read", "bytes_between_frames"} <= set(ended)


def test_messages(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "huren.sqlite3"))
    world = build(database, datetime(2026, 3, 2, 1, 30, tzinfo=UTC))
    intake = Intake(world.database, lambda: world.now)

    def read(data: bytes, _chance: random.Random) -> str:
        answers = intake.answer(data, LOOPBACK)
        assert all(b"MSA|" in answer for answer in answers)
        return ""

    seeds = [path.read_bytes() for path in sorted(SAMPLES.glob("*.hl7"))]
    seeds += [order_of(n, f"{n:05}").message for n in range(4)]
    with capture_logs() as logs:
        fuzzed("HL7 messages", 3_000, read, seeds)
    assert [line for line in logs if line["event"] == "mllp_message_failed"] == []
    outcomes = Counter(row.outcome for row in world.rows(Message, Message.direction == "in"))
    assert {"processed", "refused"} <= set(outcomes)
    database.close()


@pytest.mark.parametrize("write", [ecgs.scp, ecgs.aecg, ecg_xml.muse, ecg_xml.sierra])
def test_ecg_files(write: Callable[[Recording], bytes]) -> None:
    seeds = [write(ecgs.recording())]
    ended = fuzzed(f"{files.format_of(seeds[0])} files", 1_000, lambda data, _chance: files.read(data), seeds)
    assert ended["bad_ecg_file"]


def test_multipart() -> None:
    parts = [b"\r\n--cut\r\nContent-Type: application/dicom\r\n\r\n" + bytes(range(256)) * n for n in range(4)]
    seeds = [b"".join(parts[:n]) + b"\r\n--cut--\r\n" for n in (1, 2, 4)]

    def read(data: bytes, chance: random.Random) -> None:
        reader, got = MultipartReader("cut"), 0
        for piece in pieces(data, chance):
            got += sum(len(getattr(event, "data", b"")) for event in reader.feed(piece))
        reader.close()
        assert got <= len(data)

    ended = fuzzed("multipart bodies", 15_000, read, seeds)
    assert {"read", "multipart_malformed"} <= set(ended)


class _Whole:
    """An object that is counted and thrown away."""

    def write(self, fragment: memoryview) -> None:
        pass

    def finish(self) -> Status:
        return SUCCESS

    def discard(self) -> None:
        pass


class Overheard:
    """What a caller said to the door, and a way to say it again, bent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.said: list[bytes] = []

    def listen(self, call: Callable[[int], object]) -> bytes:
        """Let `call` talk to the door through us; all that it said."""
        with socket.create_server((LOOPBACK, 0)) as between:
            heard = bytearray()
            thread = threading.Thread(target=self._pass_on, args=(between, heard))
            thread.start()
            call(int(between.getsockname()[1]))
            thread.join(30)
        assert heard
        return bytes(heard)

    def _pass_on(self, between: socket.socket, heard: bytearray) -> None:
        caller, _address = between.accept()
        with caller, socket.create_connection((LOOPBACK, self.port)) as door:
            back = threading.Thread(target=_copy, args=(door, caller, bytearray()))
            back.start()
            _copy(caller, door, heard)
            back.join(30)

    def say(self, data: bytes) -> None:
        """Say it to the door and wait until it hangs up, or for a moment."""
        with socket.create_connection((LOOPBACK, self.port)) as door:
            door.settimeout(0.3)
            try:
                door.sendall(data)
                door.shutdown(socket.SHUT_WR)
                while door.recv(65536):
                    pass
            except OSError:
                pass  # it hung up, or had nothing more to say


def _copy(source: socket.socket, target: socket.socket, heard: bytearray) -> None:
    try:
        while data := source.recv(65536):
            heard += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def place(tmp_path: Path) -> Iterator[County]:
    with county(tmp_path) as found:
        yield found


def test_associations(place: County, tmp_path: Path) -> None:
    overheard = Overheard(place.door.port)
    image = ct_slice(tmp_path)
    stored = overheard.listen(lambda port: Scu(port, "CT1").store(image))
    seeds = [stored, overheard.listen(lambda port: Scu(port, "CT1").echo())]
    threads = threading.active_count()
    with capture_logs() as logs:
        fuzzed("associations", 400, lambda data, _chance: overheard.say(data), seeds)
    assert [line["event"] for line in logs if line.get("log_level") in ("error", "critical")] == []
    assert Scu(place.door.port, "CT1").echo().code == 0
    assert Scu(place.door.port, "CT1").store(ct_slice(tmp_path, 2)).code == 0
    assert threading.active_count() < threads + 20

    begun: list[StoreRequest] = []

    def begin(request: StoreRequest) -> _Whole:
        begun.append(request)
        return _Whole()

    def read(data: bytes, _chance: random.Random) -> None:
        assembly = Assembly(Limits(), begin, lambda _request, _object: None, lambda _context, _fragment: None)
        assembly.take(memoryview(data))

    # The P-DATA of the stored object: after the association request, whose length its header says (PS3.8 9.3.1).
    data = stored[6 + int.from_bytes(stored[2:6], "big") :]
    pdus = []
    while data:
        length = 6 + int.from_bytes(data[2:6], "big")
        pdus.append(data[:length])
        data = data[length:]
    ended = fuzzed("P-DATA", 20_000, read, [pdu for pdu in pdus if pdu[:1] == b"\x04"])
    assert begun
    assert len(ended) > 3, ended
