"""Promise 22: backup, loss of the machine, restore, reconciliation, on the embedded default and on PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.killing import Server
from tests.integration.restoring import County, back_up, round_trip
from tests.peers.postgres import Postgres

pytestmark = pytest.mark.timeout(600)


@contextlib.contextmanager
def lost_and_found(folder: Path, urls: tuple[str, str, str]) -> Iterator[County]:
    server = Server(folder, database_url=urls[0])
    try:
        county = County(server, random.Random(20261123))
        server.start()
        yield county
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_acknowledged_before_the_backup_is_lost(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    with contextlib.ExitStack() as closing:
        urls = ("", "", "")
        if kind == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres_server")
            urls = tuple(closing.enter_context(postgres.database()) for _ in range(3))  # type: ignore[assignment]
        county = closing.enter_context(lost_and_found(tmp_path, urls))
        repository = tmp_path / "backup"
        print(round_trip(county, repository, urls[1], urls[2]))
        # A second snapshot copies what is new alone; pruned and read back it is whole.
        said = back_up(county.server, repository, "--prune", "1")
        assert "1 older snapshots" in said
        assert county.server.run("backup", str(repository), "--verify").returncode == 0
        last = json.loads((county.server.data / "backup.json").read_text())
        assert last["objects"] == len(list(repository.glob("objects/??/??/*")))
