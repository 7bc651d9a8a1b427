"""Row 4: a disk that is really full, twice over: the images' disk down to its reserve, and the disk of everything
down to its last byte. Never success then, and afterwards all goes on by itself."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.killing import Server, orphan_faults, storage_faults
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import Orderer
from tests.integration.killing_signing import SIGNER, WRITER, Readers
from tests.peers.small_disk import SmallDisk, small_disk
from tests.promises.scale import SCALE, many, note

TIMES = 3
MORE = max(0, many(TIMES) - TIMES)  # turns, each of which leaves something on the disk
IMAGES = 8 + 2 * MORE  # MiB, 8 as the promise says
RESERVE = 3  # MiB: room for reports
EVERYTHING = 48 + 8 * MORE  # MiB with the database and its log
MANY = 500  # orders, more than the log of SQLite holds

pytestmark = [
    pytest.mark.timeout(300 + 100 * SCALE),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system"),
]


class County:
    """A server on small disks, and those who work with it."""

    def __init__(self, server: Server, disk: SmallDisk, cases: int) -> None:
        chance = random.Random(4)
        self.server, self.disk = server, disk
        self.orderer, self.modality = Orderer(server, chance), Modality(server, chance)
        self.readers = Readers(server, chance)
        self.readers.make(cases)
        server.start()

    def send(self, number: int) -> tuple[int, int]:
        """New objects of 512 KiB; how many were acknowledged, and refused."""
        before = len(self.modality.acknowledged), len(self.modality.refused)
        self.modality.by_pynetdicom(self.modality.make(number, (512,)))()
        return len(self.modality.acknowledged) - before[0], len(self.modality.refused) - before[1]

    def order(self, number: int) -> int:
        """New orders; how many were acknowledged."""
        before = len(self.orderer.answers)
        self.orderer.make(number)
        self.orderer.send_what_is_open()
        return len(self.orderer.answers) - before

    def read(self, turn: int) -> int:
        """Read this turn's two reports as far as that goes; how many are signed."""
        cases = self.readers.cases[2 * turn : 2 * turn + 2]
        self.readers.play(cases)
        return sum(case.last == "sign" for case in cases)

    def faults(self) -> list[str]:
        """What was acknowledged and is not there, and what is there and should not be."""
        self.modality.refused.clear()  # looked at by each test
        found = [*self.modality.faults(), *self.orderer.faults(), *self.readers.faults()]
        return [*found, *storage_faults(self.server), *orphan_faults(self.server)]


@contextmanager
def county(folder: Path, disk: SmallDisk, *, reserve: int = 0) -> Iterator[County]:
    """A running server whose folder lies on this disk, or a part of it; `reserve` in MiB."""
    server = Server(folder, reserve=reserve)
    try:
        for login in (WRITER, SIGNER):
            server.token(login)
        yield County(server, disk, 2 * many(TIMES))
    finally:
        server.close()


def test_images_are_refused_at_the_reserve_and_reports_are_signed_from_it(tmp_path: Path) -> None:
    folder = tmp_path / "county"
    with small_disk(folder / "data" / "objects", IMAGES) as disk, county(folder, disk, reserve=RESERVE) as at_work:
        for turn in range(many(TIMES)):
            disk.fill((RESERVE << 20) - 1)
            assert at_work.send(3) == (0, 3), turn
            assert set(at_work.modality.refused) == {"A700"}
            assert at_work.order(3) == 3, "orders lie elsewhere"
            assert at_work.read(turn) == 2, "reports go into the reserve"
            disk.empty()
            assert at_work.send(2) == (2, 0), "it recovers by itself"
        assert at_work.faults() == []
        note(4, disk_mib=IMAGES, times=many(TIMES), refused=3 * many(TIMES), signed_from_the_reserve=2 * many(TIMES))


def test_nothing_is_acknowledged_on_a_disk_without_a_byte(tmp_path: Path) -> None:
    folder = tmp_path / "county"
    with small_disk(folder / "data", EVERYTHING) as disk, county(folder, disk) as at_work:
        for turn in range(many(TIMES)):
            assert at_work.send(1) == (1, 0)
            assert at_work.order(1) == 1
            disk.fill()
            assert (at_work.send(2)[0], at_work.read(turn)) == (0, 0), turn
            assert at_work.order(MANY) < MANY, "the database's log has room for some"
            disk.empty()
            at_work.orderer.send_what_is_open()
            assert len(at_work.orderer.answers) == len(at_work.orderer.placed), "the same bytes, sent again"
            assert at_work.send(1) == (1, 0)
            assert at_work.read(turn) == 2
        assert at_work.faults() == []
        note(4, disk_mib=EVERYTHING, times=many(TIMES), orders=len(at_work.orderer.placed))
