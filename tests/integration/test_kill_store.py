"""SIGKILL in the middle of C-STORE: what was acknowledged is there, what was not may be sent again."""

from __future__ import annotations

import random
from pathlib import Path

from tests.integration.killing import kill_under, orphan_faults, serving, storage_faults
from tests.integration.killing_objects import DEVICE, Modality
from tests.peers.dcmtk import Scu
from worklist.tables import Instance

ROUNDS = 4
OBJECTS = 120  # offered in each round; the kill comes after some tens of them


def test_no_acknowledged_object_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    """Three associations at once, killed at moments drawn by chance."""
    with serving(tmp_path) as server:
        modality = Modality(server, random.Random(20261122))
        for _round in range(ROUNDS):
            kill_under(server, modality.load(OBJECTS), modality.count, modality.chance)
            assert storage_faults(server) == []
            assert modality.faults() == []
        assert len(modality.acknowledged) >= ROUNDS
        modality.send_everything_again()
        assert modality.faults() == []
        assert storage_faults(server) == []
        assert orphan_faults(server) == []
        assert len(server.world.rows(Instance)) == len(modality.made)
        assert Scu(server.dimse_port, DEVICE).echo().code == 0
