"""Measure Huren beside its peers: `python -m tests.bench`. The figures go into `docs/performance.md`.

`--quick` tries everything with small counts and leaves the document alone; so does `--only`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.bench import ecg, growth, offers, orders, pages, reading, receive, report, search, viewer, worklist
from tests.bench.measuring import Figure, Say

Part = Callable[[Path, int, bool, Say], tuple[list[Figure], list[str]]]
PARTS: dict[str, Part] = {
    "receive": receive.run,
    "worklist": worklist.run,
    "orders": orders.run,
    "pages": pages.run,
    "ecg": ecg.run,
    "reading": reading.run,
    "viewer": viewer.run,
    "search": search.run,
    "growth": growth.run,
    "offers": offers.run,
}
REPETITIONS = 5


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts and two repetitions, for trying")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--studies", type=int, default=growth.COUNTS[1], help="the larger county of the growth part")
    parser.add_argument("--postgres", action="store_true", help="growth and offers on PostgreSQL")
    asked = parser.parse_args()
    grown = partial(growth.run, counts=(growth.COUNTS[0], asked.studies), on_postgres=asked.postgres)
    parts: dict[str, Part] = {**PARTS, "growth": grown, "offers": partial(offers.run, on_postgres=asked.postgres)}
    # Servers have process groups of their own and would outlive us: let the blocks that started them end them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    figures: list[Figure] = []
    notes: list[str] = []
    # One folder for all: nothing is deleted before the last measurement, since that slows ext4 for a while.
    with tempfile.TemporaryDirectory(prefix="huren-bench-") as folder:
        for name in [asked.only] if asked.only else PARTS:
            root = Path(folder) / name
            root.mkdir()
            _say(name)
            more, said = parts[name](root, 2 if asked.quick else REPETITIONS, asked.quick, _say)
            figures += more
            notes += said
        load = os.getloadavg()[2]
        notes.append(
            f"Load of the machine over its last 15 minutes: {load:.1f}; above 3 or so others were at work too."
        )
        text = report.markdown(figures, notes, time.monotonic() - began)
    print(text)
    if not (asked.quick or asked.only):
        report.write(text)


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


if __name__ == "__main__":
    main()
