"""Row 2: PostgreSQL is killed with all its workers while orders, objects and reports go on: nothing that was
acknowledged is lost, nothing is there twice, and every part goes on by itself."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.killing_objects import Made, Modality
from tests.integration.killing_orders import Orderer
from tests.integration.killing_signing import Case, Readers
from tests.integration.topology import Topology, topology, until
from tests.peers.postgres import Postgres, running
from tests.promises.scale import SCALE, many, note
from worklist.tables import Instance

KILLS = 5
CASES = 6  # reports for each kill
SIDES = (32, 64)  # pixels

pytestmark = pytest.mark.timeout(300 + 120 * KILLS * SCALE)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """One that may be killed."""
    with running() as found:
        yield found


class County:
    """A HIS, a modality and readers who work on until they are cut, and go on with what is open."""

    def __init__(self, topology: Topology, chance: random.Random) -> None:
        self.orderer = Orderer(topology, chance, 7000)
        self.modality = Modality(topology, chance)
        self.readers = Readers(topology, chance)

    def counts(self) -> list[int]:
        """What was acknowledged: orders, objects, steps of reports."""
        return [self.orderer.count.value, self.modality.count.value, self.readers.count.value]

    def make(self, number: int) -> None:
        """New orders, and as many new objects; reports are there from the beginning."""
        self.orderer.make(number)
        self.modality.make(number, SIDES)

    def unsigned(self) -> list[Case]:
        """Reports that are not through."""
        return [case for case in self.readers.cases if case.last != "sign"]

    def unsent(self) -> list[Made]:
        """Objects that are not acknowledged."""
        return [made for made in self.modality.made if made.uid not in self.modality.acknowledged]

    def open(self) -> list[int]:
        """How many orders, objects and reports are not through."""
        return [len(self.orderer.placed) - len(self.orderer.answers), len(self.unsent()), len(self.unsigned())]

    def work(self, pool: ThreadPoolExecutor, cases: list[Case]) -> list[Future[None]]:
        """All that is open of orders and objects, and these reports."""
        pieces = [self.orderer.send_what_is_open, *self.readers.load(cases, 2)]
        if unsent := self.unsent():  # DCMTK's sender takes "try later" for what it is; pynetdicom's waits for more
            pieces.append(self.modality.by_storescu(unsent))
        return [pool.submit(piece) for piece in pieces]


def test_a_killed_database_loses_nothing(tmp_path: Path, server: Postgres) -> None:
    chance = random.Random(2)
    with topology(tmp_path / "county", server) as made, ThreadPoolExecutor(8) as pool:
        county = County(made, chance)
        county.readers.make(CASES * many(KILLS))
        made.start("web", "web", "dicom", "mllp", "worker", "scheduler")
        before, resumed = [], []
        for _ in range(many(KILLS)):
            done = sum(county.counts())
            county.make(60)
            playing = county.work(pool, county.unsigned())
            wanted = done + chance.randrange(5, 60)
            until(lambda wanted=wanted: sum(county.counts()) >= wanted, "work between two kills")  # type: ignore[misc]
            time.sleep(chance.random() * 0.03)
            server.kill()
            for work in playing:
                work.result(90)
            before.append(sum(county.counts()) - done)
            server.start()
            resumed.append(all_doors_back(county, pool))
        deadline = time.monotonic() + 120
        while any(county.open()):
            assert time.monotonic() < deadline, county.open()
            for work in county.work(pool, county.unsigned()):
                work.result(90)
        assert county.orderer.faults() + county.readers.faults() + county.readers.undelivered(90) == []
        held = Counter((row.sop_instance_uid, row.dataset_sha256) for row in made.world.rows(Instance))
        assert [held[one.uid, one.digest] for one in county.modality.made] == [1] * len(county.modality.made)
        assert [part for part, process in made.processes if not process.is_running] == []
        note(
            2,
            kills=many(KILLS),
            acknowledged_between=sum(before),
            orders=len(county.orderer.placed),
            objects=len(county.modality.made),
            reports=len(county.readers.cases),
            all_doors_back_s=f"{statistics.median(resumed):.1f}, {max(resumed):.1f}",
        )


def all_doors_back(county: County, pool: ThreadPoolExecutor) -> float:
    """Seconds until an order, an object and a step of a report went through."""
    began, then = time.monotonic(), county.counts()
    while not all(now > before for now, before in zip(county.counts(), then, strict=True)):
        assert time.monotonic() < began + 60, (county.counts(), then)
        county.make(1)
        for work in county.work(pool, county.unsigned()[:1]):
            work.result(90)
    return time.monotonic() - began
