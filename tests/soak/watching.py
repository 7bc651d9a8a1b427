"""What an admin would see during the day: ages of what waits from `/metrics`, and what each process holds."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.topology import Topology
from tests.peers.archive import ArchivePeer
from tests.promises.scale import memory_of
from tests.soak.playing import Day

EVERY: Final = 2.0  # seconds
AGES: Final = {
    "huren_job_oldest_seconds": "job",
    "huren_delivery_oldest_seconds": "report or news not acknowledged",
    "huren_study_incomplete_oldest_seconds": "study without all images",
    "huren_case_oldest_seconds": "open case",
    "huren_audit_unsealed_oldest_seconds": "audit row not chained",
}
ORTHANC: Final = "Orthanc"  # fills caches of its own
COUNTS: Final = {"huren_cases": "open cases", "huren_jobs_due": "jobs due"}

Held = tuple[int, int, int]
"""MiB, threads and descriptors of a process."""


class Watcher:
    """Asks for metrics all day long and keeps the worst of each hour."""

    def __init__(self, county: Topology, day: Day) -> None:
        self._county, self._day = county, day
        self.oldest: dict[str, dict[int, float]] = defaultdict(dict)  # by what, by hour: seconds
        self.most: dict[str, dict[int, float]] = defaultdict(dict)
        self.faults: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._api = county.api("admin")
        self._thread.start()

    def stop(self) -> None:
        """No more looking."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            try:
                answer = self._api.get("/metrics")
                answer.raise_for_status()
            except httpx.HTTPError as error:
                self.faults.append(f"/metrics: {type(error).__name__}: {error}")
                continue
            self._keep(answer.text)

    def _keep(self, text: str) -> None:
        hour, totals = self._day.hour, dict.fromkeys(COUNTS.values(), 0.0)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in AGES:
                    name = AGES[sample.name]
                    if queue := sample.labels.get("queue", ""):
                        name = f"{name} of {queue}"
                    kept = self.oldest[name]
                    kept[hour] = max(kept.get(hour, 0.0), sample.value)
                elif sample.name in COUNTS:
                    totals[COUNTS[sample.name]] += sample.value
        for name, value in totals.items():
            self.most[name][hour] = max(self.most[name].get(hour, 0.0), value)


def holdings(county: Topology, peer: ArchivePeer) -> dict[str, Held]:
    """What every process holds, by its name."""
    found: dict[str, Held] = {}
    numbers: dict[str, int] = defaultdict(int)
    for part, process in county.processes:
        numbers[part] += 1
        found[f"{part} {numbers[part]}"] = _held(process.pid)
    assert peer.process is not None
    found[ORTHANC] = _held(peer.process.pid)
    return found


def _held(pid: int) -> Held:
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    return memory_of(pid), threads, len(list(Path(f"/proc/{pid}/fd").iterdir()))
