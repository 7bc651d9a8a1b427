"""SIGKILL in the middle of writing and signing: a version is signed with all that belongs to it, or still a draft."""

from __future__ import annotations

import random
from pathlib import Path

from tests.integration.killing import Server, kill_under, orphan_faults, storage_faults
from tests.integration.killing_signing import Readers
from worklist.tables import Delivery, ReportVersion

ROUNDS = 3
CASES = 8  # in each round, six steps each


def test_a_case_is_signed_or_still_a_draft_when_the_server_is_killed(tmp_path: Path) -> None:
    """Three programs of readers at once; every acknowledged step stands, every signed report reaches the HIS."""
    server = Server(tmp_path)
    try:
        readers = Readers(server, random.Random(20261122))
        readers.make(ROUNDS * CASES)
        server.start()
        for round_ in range(ROUNDS):
            cases = [case for case in readers.cases[: (round_ + 1) * CASES] if case.last != "sign"]
            kill_under(server, readers.load(cases), readers.count, readers.chance)
            assert readers.faults() == []
            assert storage_faults(server) == []
        readers.play(readers.cases)
        assert readers.faults() == []
        assert {case.last for case in readers.cases} == {"sign"}
        assert readers.sign_again() == []
        assert len(server.world.rows(ReportVersion)) == len(readers.cases)
        assert readers.undelivered(60) == []
        assert len(server.world.rows(Delivery)) == len(readers.cases)
        assert storage_faults(server) == []
        assert orphan_faults(server) == []
    finally:
        server.close()
