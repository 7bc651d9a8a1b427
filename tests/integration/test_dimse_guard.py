"""Promises of the DIMSE door in a process of its own: what callers cost in memory, and what they cost the others."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage

from tests.bench.scu import Scu, store_command
from tests.integration.dimse_county import ct_slice
from tests.integration.test_dimse_door import association_request, read_to_end
from tests.peers import dcmtk
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import Process

MEMORY = 100 << 20  # bytes that nobody may cost us
PROMISED = 2.0  # seconds for an honest C-STORE
LOADED = 15.0  # on a machine where other tests run at the same time

DOOR = """
import sys, threading
from pathlib import Path
from gateway.dimse.guard import Limits
from tests.integration.dimse_county import county
from gateway.dimse import door

port = int(sys.argv[2])
made = door.Door.__init__
door.Door.__init__ = lambda self, *a, **k: made(self, *a, **(k | {"port": port}))
with county(Path(sys.argv[1]), limits=Limits(message=600 << 20)) as town:
    print("open", flush=True)
    threading.Event().wait()
"""


class OwnDoor:
    """A door in a process of its own."""

    def __init__(self, process: Process, port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder

    def memory(self, what: str = "RssAnon") -> int:
        """Bytes that the process holds; mapped files are the kernel's to drop."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024
        raise AssertionError(what)

    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def honest_store(self, number: int) -> float:
        """Seconds that DCMTK needs for one association with one C-STORE."""
        file = ct_slice(self.folder, number)
        began = time.monotonic()
        ran = dcmtk.Scu(port=self.port, calling="CT1").store(file)
        assert ran.code == 0, ran.output
        return time.monotonic() - began


@pytest.fixture
def door(tmp_path: Path) -> Iterator[OwnDoor]:
    port, folder = free_port(), tmp_path / "town"
    folder.mkdir()
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", DOOR, str(folder), str(port)]
    with Process(command, log=tmp_path / "log", cwd=root) as process:
        process.wait_until(lambda: answers(port), 60)
        opened = OwnDoor(process, port, tmp_path)
        opened.honest_store(1)  # what it loads at first use is no caller's cost
        yield opened


class Watch:
    """The most memory that a door held meanwhile."""

    def __init__(self, door: OwnDoor) -> None:
        self._door, self.most = door, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, self._door.memory())


def test_silent_callers_a_giant_header_and_a_giant_object_cost_nobody_anything(door: OwnDoor) -> None:
    """Row 12 of the promises for DICOM: 200 silent connections, a PDU of 4 GiB and an object of 500 MB at once."""
    before, threads = door.memory(), door.threads()
    delays: list[float] = []
    with Watch(door) as watch:
        silent = [socket.create_connection((LOOPBACK, door.port)) for _ in range(200)]
        for sent in (struct.pack(">BxL", 1, 0xFFFFFFFF), association_request("CT1", "HUREN")):
            with socket.create_connection((LOOPBACK, door.port), timeout=10) as caller:
                caller.sendall(sent + struct.pack(">BxL", 4, 0xFFFFFFFF) + bytes(100_000))
                assert len(read_to_end(caller)) < 1000
        assert door.threads() <= threads + 3
        giant = threading.Thread(target=send_giant, args=(door.port, 500 << 20))
        giant.start()
        number = 2
        while giant.is_alive():
            delays.append(door.honest_store(number))
            number += 1
        giant.join()
    for connection in silent:
        connection.close()
    cost, worst, middle = watch.most - before, max(delays), sorted(delays)[len(delays) // 2]
    print(f"memory +{cost >> 20} MiB; honest C-STORE: {middle:.2f} s, at worst {worst:.2f} s of {len(delays)}")
    assert cost < MEMORY
    assert worst < LOADED
    assert middle < PROMISED


def send_giant(port: int, size: int) -> None:
    """A CT object of `size` bytes, which is no image: it is taken whole, and set aside or refused."""
    scu = Scu(port, CTImageStorage, calling="CT1", called="HUREN")
    head = scu.message(store_command(CTImageStorage, "1.2.3.9"), b"\0" * 1024)
    piece = bytes(120_000)
    whole = struct.pack(">BxLLBB", 4, len(piece) + 6, len(piece) + 2, 1, 0) + piece
    connection = scu._socket
    # The command, then data that does not end before it is large.
    command_end = 6 + int.from_bytes(head[2:6], "big")
    connection.sendall(head[:command_end])
    for _ in range(size // len(piece)):
        connection.sendall(whole)
    connection.sendall(struct.pack(">BxLLBB", 4, 8, 4, 1, 2) + b"\0\0")
    assert scu._status() in (0xC000, 0xA900)
    scu.release()


def test_many_half_messages_of_one_device_cost_little(door: OwnDoor) -> None:
    """Each association holds back the end of a PDU of 1 MiB."""
    before = door.memory()
    held = []
    with Watch(door) as watch:
        for _ in range(30):
            caller = socket.create_connection((LOOPBACK, door.port), timeout=10)
            caller.sendall(association_request("CT1", "HUREN"))
            assert caller.recv(1) == b"\x02"
            caller.sendall(struct.pack(">BxL", 4, 1 << 20) + bytes((1 << 20) - 10))
            held.append(caller)
        assert door.honest_store(2) < LOADED
    for caller in held:
        caller.close()
    assert watch.most - before < MEMORY


def test_identifiers_are_not_in_the_log(door: OwnDoor) -> None:
    file = ct_slice(door.folder, 5, patient_id="SECRET-1", PatientName="Verborgen^Name")
    assert dcmtk.Scu(port=door.port, calling="CT1").store(file).code == 0
    assert "object_received" in door.process.output
    for word in ("SECRET-1", "Verborgen", "1.2.3.4.5"):
        assert word not in door.process.output
