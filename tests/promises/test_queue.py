"""Row 8: Redis and RabbitMQ wiped and killed under load: work goes on within 30 seconds, and nothing is done twice.

The promise counts the faults of Redis; RabbitMQ, which takes longer to come back, is wiped and killed once each.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.killing import utc_now
from tests.integration.topology import Topology, topology, until
from tests.peers.his import late
from tests.peers.postgres import Postgres
from tests.promises.scale import SCALE, many, note
from worklist.tables import Delivery, OutboxRow

EACH = 4  # reports before a fault; where the queue is away for a while, as many meanwhile
THREADS = 4  # of both workers together
RESUMES_WITHIN = 30.0  # seconds, the promise

pytestmark = pytest.mark.timeout(300 + 300 * SCALE)


def sign(county: Topology, number: int) -> None:
    """Issue reports as the people's floor does; each leaves jobs, one of them a delivery to the township's HIS."""
    for _ in range(number):
        county.world.now = utc_now()
        county.world.signed(county.world.ready(images=1))


def arrived(county: Topology) -> Counter[str]:
    """How often the HIS got each message, by control id."""
    return Counter(raw.split(b"|")[9].decode() for raw in list(county.his.raw))


@pytest.mark.parametrize(("kind", "faults"), [("redis", 5), ("rabbitmq", 2)])
def test_a_queue_that_is_wiped_and_killed_delays_and_does_nothing_else(
    kind: str, faults: int, tmp_path: Path, postgres_server: Postgres
) -> None:
    with topology(tmp_path / "county", postgres_server, kind) as county:
        county.world.store = county.store
        county.start("worker", "worker", "scheduler", "scheduler")
        sign(county, 1)
        county.his.wait_for(1, 90)
        resumed, whole = [], []
        for turn in range(many(faults)):
            county.his.will(*[late(3)] * THREADS)  # every thread is held, so that the queue holds the rest
            sign(county, EACH + THREADS)
            if turn % 2:
                county.broker.kill()
                sign(county, EACH)
                county.broker.start()
            else:
                county.broker.wipe()
            back = time.monotonic()
            known = {row.control_id for row in county.world.rows(Delivery)}
            sign(county, 1)
            (new,) = {row.control_id for row in county.world.rows(Delivery)} - known
            until(lambda new=new: new in arrived(county), "work", RESUMES_WITHIN)  # type: ignore[misc]
            resumed.append(time.monotonic() - back)
            county.his.wait_for(len(known) + 1, 240)
            whole.append(time.monotonic() - back)
        until(lambda: {row.state for row in county.world.rows(Delivery)} == {"acknowledged"}, "the deliveries' states")
        owed = {row.control_id for row in county.world.rows(Delivery)}
        assert arrived(county) == Counter(owed), "lost, or sent twice"

        def jobs() -> Counter[tuple[str, int]]:
            rows = county.world.rows(OutboxRow, OutboxRow.kind == "send_delivery")
            return Counter((row.stage, row.attempts) for row in rows)

        until(lambda: set(jobs()) == {("done", 1)}, "the end of every job, at its first try")
        assert jobs().total() == len(owed)
        note(
            8,
            broker=kind,
            faults=many(faults),
            reports=len(owed),
            resumed_s=f"{statistics.median(resumed):.1f}, {max(resumed):.1f}",
            all_done_s=f"{statistics.median(whole):.1f}, {max(whole):.1f}",
        )
