"""SIGKILL in the middle of orders by HL7: each becomes exactly one order, and each answer stands."""

from __future__ import annotations

import random
from pathlib import Path

from tests.integration.killing import kill_under, serving, storage_faults
from tests.integration.killing_orders import Orderer
from worklist.tables import Order

ROUNDS = 3
ORDERS = 80  # offered in each round


def test_every_order_becomes_exactly_one_when_the_server_is_killed(tmp_path: Path) -> None:
    """Three connections at once; what has no answer is sent again with the same bytes until it has one."""
    with serving(tmp_path) as server:
        orderer = Orderer(server, random.Random(20261122))
        for _round in range(ROUNDS):
            kill_under(server, orderer.load(ORDERS), orderer.count, orderer.chance)
            assert orderer.faults() == []
            assert storage_faults(server) == []
        assert len(orderer.answers) >= ROUNDS
        orderer.send_what_is_open()
        assert set(orderer.answers) == {placed.placer for placed in orderer.placed}
        assert orderer.answers_differ(orderer.placed) == []
        assert orderer.faults() == []
        assert len(server.world.rows(Order)) == len(orderer.placed)
