"""WADO-RS: the metadata of a CT, its first frame and all of its frames, beside Orthanc's DICOMweb."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from pydicom.uid import CTImageStorage

from tests.bench import county, peers
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate, percentile
from tests.bench.receive import DEVICE, PATIENT, message
from tests.bench.scu import Scu
from tests.integration.killing import Server
from tests.peers.ports import LOOPBACK
from worklist.tables import Series, Study

ORTHANC: Final = "Orthanc"
SIDE: Final = 512  # pixels of 2 bytes: 525 kB
READER: Final = "reader1"
CONNECTIONS: Final = 6  # as many as a browser opens
FRAME: Final = 2 * SIDE * SIDE
FRAMES_ACCEPTED: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'  # as OHIF asks
JSON_ACCEPTED: Final = "application/dicom+json"


@dataclass(frozen=True)
class Ct:
    """A CT series; the study's UID ends in its number of slices."""

    slices: int

    @property
    def study(self) -> str:
        return f"1.2.826.0.1.3680043.8.498.8.{self.slices}"

    @property
    def series(self) -> str:
        return f"{self.study}.1"

    @property
    def path(self) -> str:
        return f"/dicom-web/studies/{self.study}/series/{self.series}"

    def frame(self, number: int) -> str:
        return f"{self.path}/instances/{self.series}.{number}/frames/1"


@dataclass
class Side:
    """One server: its web port, and what its requests must carry."""

    name: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, connection: HTTPConnection, path: str, accept: str, room: bytearray) -> int:
        """Bytes of one answer, read into `room`."""
        connection.request("GET", path, headers={**self.headers, "Accept": accept})
        answer = connection.getresponse()
        assert answer.status == 200, (self.name, path, answer.status, answer.read()[:300])
        view, size = memoryview(room), 0
        while got := answer.readinto(view[size:]):
            size += got
        return size

    def one(self, paths: Sequence[str], accept: str, at_least: int) -> float:
        """Milliseconds of a request, the median over `paths`, on one connection that is open already."""
        connection, room, times = HTTPConnection(LOOPBACK, self.port, timeout=60), bytearray(64 << 20), []
        connection.connect()
        for path in paths:
            began = time.perf_counter()
            size = self.get(connection, path, accept, room)
            times.append(1000 * (time.perf_counter() - began))
            assert size >= at_least, (self.name, path, size)
        connection.close()
        return percentile(times, 0.5)

    def all(self, ct: Ct) -> float:
        """Seconds until every frame of a CT is here, over as many connections as a browser opens."""
        failures: list[BaseException] = []
        numbers = iter(range(1, ct.slices + 1))
        turn = threading.Lock()

        def take() -> None:
            connection, room = HTTPConnection(LOOPBACK, self.port, timeout=60), bytearray(FRAME + 8192)
            try:
                while True:
                    with turn:
                        number = next(numbers, 0)
                    if not number:
                        return
                    assert self.get(connection, ct.frame(number), FRAMES_ACCEPTED, room) >= FRAME
            except BaseException as error:  # noqa: BLE001 - raised again below
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=take) for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        if failures:
            raise failures[0]
        return seconds


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    ct, large = (Ct(20), Ct(60)) if quick else (Ct(200), Ct(1000))
    chance, notes = random.Random(2), []
    size = ct.slices * FRAME / 1e6
    name = f"WADO-RS, CT of {ct.slices} slices"
    metadata = Figure(f"{name}, series metadata", "ms", (Goal(ORTHANC, 3, 5),))
    first = Figure(f"{name}, one frame", "ms", (Goal(ORTHANC, 10, 20),))
    rate = Figure(f"{name}, all frames, {CONNECTIONS} connections", "MB/s", (Goal(ORTHANC, 10, 20),))
    large_first = Figure(
        f"WADO-RS, CT of {large.slices:,} slices, metadata and first frame", "ms", (Goal("", 200, 200),)
    )
    large_all = Figure(f"WADO-RS, CT of {large.slices:,} slices, all frames", "ms", (Goal("", 5000, 5000),))
    with ExitStack() as closing:
        server = Server(folder / "huren")
        closing.callback(server.close)
        for each in (ct, large):
            uids = tuple(f"{each.series}.{n}" for n in range(1, each.slices + 1))
            case = county.Case(each.slices, f"R{each.slices}", study_instance_uid=each.study, patient_value=PATIENT)
            county.place(server.world, [case])
            county.announce(server.world, case, uids)
        token = server.token(READER)
        server.start()
        for each in (ct, large):
            send(server.dimse_port, "HUREN", each, chance)
        wait_until_prepared(server, 2)
        sides = [Side(HUREN, server.web_port, {"Authorization": f"Bearer {token}"})]
        if why := peers.missing("Orthanc") or peers.missing_dicomweb():
            notes.append(why)
        else:
            peer = closing.enter_context(peers.orthanc(folder / "Orthanc", dicomweb=True))
            send(peer.port, "ORTHANC", ct, chance)
            sides.append(Side(ORTHANC, peer.http_port))

        def turn(side: Side, repetition: int) -> None:
            took = side.one([f"{ct.path}/metadata"] * 5, JSON_ACCEPTED, ct.slices * 500)
            one = side.one([ct.frame(n) for n in range(1, ct.slices + 1, 10)], FRAMES_ACCEPTED, FRAME)
            every = size / side.all(ct)
            if repetition:
                metadata.add(side.name, took)
                first.add(side.name, one)
                rate.add(side.name, every)

        def large_turn(repetition: int) -> None:
            began = sides[0].one([f"{large.path}/metadata"], JSON_ACCEPTED, large.slices * 500)
            began += sides[0].one([large.frame(large.slices // 2)], FRAMES_ACCEPTED, FRAME)
            every = 1000 * sides[0].all(large)
            if repetition:
                large_first.add(HUREN, began)
                large_all.add(HUREN, every)

        turns: dict[str, Callable[[int], None]] = {side.name: partial(turn, side) for side in sides}
        alternate(turns, repetitions)
        alternate({HUREN: large_turn}, repetitions)
    figures = [metadata, first, rate, large_first, large_all]
    for figure in figures:
        say(f"{figure.what}: " + ", ".join(f"{s} {figure.middle(s):.3g} {figure.unit}" for s in figure.values))
    return figures, notes


def send(port: int, called: str, ct: Ct, chance: random.Random) -> None:
    """All slices over one association."""
    scu = Scu(port, CTImageStorage, calling=DEVICE, called=called)
    for number in range(1, ct.slices + 1):
        scu.ask(message(scu, ct.study, number, SIDE, chance))
    scu.release()


def wait_until_prepared(server: Server, studies: int) -> None:
    """Until all studies are complete and the metadata of their series, one of each, is made."""
    deadline = time.monotonic() + 60
    while True:
        arrivals = [study.arrival for study in server.world.rows(Study)]
        prepared = [series.prepared_instances == series.instances for series in server.world.rows(Series)]
        if arrivals == ["complete"] * studies and prepared == [True] * studies:
            return
        assert time.monotonic() < deadline, (arrivals, prepared)
        time.sleep(0.2)
