"""Row 5: a HIS sends each order one to five times over bad lines, in any order: there is exactly one of each."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.mllp.door import MllpDoor
from gateway.mllp.framer import wrap
from gateway.mllp.intake import Intake
from tests.integration.killing_orders import Placed, order_of
from tests.peers.faults import FINE, BadLine, Fault, Way
from tests.peers.mllp_client import MllpClient, NoAnswer
from tests.peers.ports import LOOPBACK
from tests.promises.scale import many, note
from tests.world import World, build
from worklist.database import Database, sqlite_url
from worklist.tables import Message, Order

LINES = 8
PER_CONNECTION = 12  # messages, where nothing ends it earlier


def plan(chance: random.Random) -> Fault:
    """What befalls the next connection."""
    return chance.choice(
        (
            FINE,
            FINE,
            Fault("one byte at a time", up=Way(piece=1)),
            Fault("slow", up=Way(latency=0.005), down=Way(latency=0.005)),
            Fault("answer cut", down=Way(cut_at=chance.randrange(1, 600))),
            Fault("answer lost", down=Way(cut_at=0)),
            Fault("message cut", up=Way(cut_at=chance.randrange(1, 1500), reset=True)),
            Fault("answer reset", down=Way(cut_at=chance.randrange(1, 600), reset=True)),
            Fault("answer stalls", down=Way(stall_at=chance.randrange(0, 900))),
        )
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(sqlite_url(tmp_path / "huren.db"), pool_size=20)
    yield build(database, _now())
    database.close()


def test_exactly_one_of_each_order(world: World) -> None:
    chance, orders = random.Random(5), [_order(number) for number in range(many(1000))]
    copies = [order for order in orders for _ in range(chance.randrange(1, 6))]
    chance.shuffle(copies)
    came: Counter[str] = Counter()
    answers: dict[str, set[bytes]] = {order.placer: set() for order in orders}
    lock, began = threading.Lock(), time.monotonic()
    door = MllpDoor(Intake(world.database, _now), LOOPBACK, 0)
    door.start()

    def planned(_number: int) -> Fault:
        fault = plan(chance)
        came[fault.name] += 1
        return fault

    def send(work: list[Placed], port: int) -> None:
        at = 0
        while at < len(work):
            try:
                with MllpClient(port, seconds=0.5) as client:
                    for order in work[at : at + PER_CONNECTION]:
                        at += 1  # one that is not answered is one of the copies that are never asked about again
                        answer: bytes = client.send(wrap(order.message))
                        with lock:
                            answers[order.placer].add(answer)
            except (NoAnswer, OSError):
                with lock:
                    came["unanswered"] += 1

    try:
        with BadLine(door.port, planned) as line:
            threads = [threading.Thread(target=send, args=(copies[n::LINES], line.port)) for n in range(LINES)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        lost = [order for order in orders if not answers[order.placer]]
        send(lost, door.port)  # a HIS asks until it is answered
    finally:
        door.stop()
    held = [order.placer_number for order in world.rows(Order)]
    assert Counter(held) == Counter(order.placer for order in orders)
    for order in orders:
        (answer,) = answers[order.placer]  # every copy got the same bytes
        assert f"MSA|AA|{order.control_id}".encode() in answer
    messages = Counter(row.control_id for row in world.rows(Message) if row.direction == "in" and row.control_id)
    assert {messages[order.control_id] for order in orders} == {1}
    assert came["unanswered"] > len(orders) // 20  # the lines were bad
    note(5, orders=len(orders), copies=len(copies), lines=dict(came), s=round(time.monotonic() - began))


def _order(number: int) -> Placed:
    return order_of(number, f"{number % 400:05}")


def _now() -> datetime:
    return datetime.now(UTC)
