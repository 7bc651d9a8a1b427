"""`huren check --part`: what the health check of a container asks, of real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from huren.running import FOLDER, PARTS, STALE, processes
from tests.integration.killing import HUREN_PROGRAM
from tests.integration.topology import Topology, topology
from tests.peers.postgres import Postgres
from tests.peers.process import Process

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Topology]:
    with topology(tmp_path_factory.mktemp("county"), postgres_server) as made:
        made.start(*PARTS)
        yield made


def check(county: Topology, part: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HUREN_PROGRAM, "check", "--part", part],
        env={**os.environ, **county.environment},
        capture_output=True,
        text=True,
        check=False,
    )


def process_of(county: Topology, part: str) -> Process:
    return next(process for name, process in county.processes if name == part)


def test_every_part_that_runs_is_well_and_its_door_writes_nothing_about_it(county: Topology) -> None:
    for part in PARTS:
        process_of(county, part).wait_until(
            lambda part=part: any(seen.part == part for seen in processes(county.data)),  # type: ignore[misc]
            60,
        )
    before = [process_of(county, part).output for part in ("web", "dicom", "mllp")]
    for part in PARTS:
        ran = check(county, part)
        assert (ran.returncode, ran.stderr) == (0, ""), (part, ran.stdout)
    assert [process_of(county, part).output for part in ("web", "dicom", "mllp")] == before


@pytest.mark.parametrize("part", ["dicom", "mllp"])
def test_a_door_that_hangs_is_not_well(county: Topology, part: str) -> None:
    process = process_of(county, part)
    os.kill(process.pid, signal.SIGSTOP)  # the system still accepts for it, and its sign is fresh
    try:
        ran = check(county, part)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert ran.returncode == 1
    assert "does not answer" in ran.stdout
    assert check(county, part).returncode == 0


def test_a_worker_that_gives_no_sign_is_not_well(county: Topology) -> None:
    process = process_of(county, "worker")
    file = county.data / FOLDER / f"worker-{socket.gethostname()}-{process.pid}"
    os.kill(process.pid, signal.SIGSTOP)  # or it gives its next sign while it is asked
    try:
        long_ago = file.stat().st_mtime - STALE - 40
        os.utime(file, (long_ago, long_ago))
        ran = check(county, "worker")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert ran.returncode == 1
    assert "last sign" in ran.stdout


def test_a_part_that_was_killed_or_never_ran_is_not_there(county: Topology) -> None:
    assert "no process of serve" in check(county, "serve").stdout
    process_of(county, "scheduler").kill()
    county.killed.append(process_of(county, "scheduler"))
    ran = check(county, "scheduler")
    assert ran.returncode == 1
    assert "no process of scheduler" in ran.stdout


def test_an_unknown_part_is_a_mistake(tmp_path: Path) -> None:
    ran = subprocess.run([*HUREN_PROGRAM, "check", "--part", "printer"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
