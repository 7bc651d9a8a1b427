"""Run the soak: `python -m tests.soak --rounds 20 --minutes 30`. Exit status 1 when anything was lost.

Its figures go between the marks of `docs/reliability.md`, with the date, the machine and this command; `--dry` only
prints them.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.soak import phases
from tests.soak.phases import Figures

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- soak: written by `make soak` -->", "<!-- soak: end -->"


def main() -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills of each kind of work (default 20)")
    parser.add_argument("--points", type=int, default=4, help="kills at each kind of system call (default 4)")
    parser.add_argument("--minutes", type=float, default=30, help="length of the mixed load (default 30)")
    parser.add_argument("--seed", type=int, default=1, help="of what chance decides (default 1)")
    parser.add_argument("--dry", action="store_true", help="print the figures and leave the document alone")
    asked = parser.parse_args()
    chance, began, done = random.Random(asked.seed), time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="huren-soak-") as folder:
        root = Path(folder)
        done.append(phases.objects(root / "objects", asked.rounds, chance, _say))
        done.append(phases.orders(root / "orders", asked.rounds, chance, _say))
        done.append(phases.signing(root / "signing", asked.rounds, chance, _say))
        done.append(phases.points(root / "points", asked.points, chance, _say))
        done.append(phases.mixed(root / "mixed", asked.minutes, chance, _say))
    words = f"--rounds {asked.rounds} --points {asked.points} --minutes {asked.minutes:g} --seed {asked.seed}"
    command = f'make soak ARGS="{words}"'
    text = _markdown(done, command, time.monotonic() - began)
    print(text)
    if not asked.dry:
        whole = DOCUMENT.read_text("utf-8")
        before, _, rest = whole.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}{END}{after}", "utf-8")
    return 1 if any(figures.faults for figures in done) else 0


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


def _markdown(done: list[Figures], command: str, seconds: float) -> str:
    lines = [
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}, in {seconds / 60:.0f} minutes:",
        "",
        f"    {command}",
        "",
    ]
    for figures in done:
        lines += [f"| {figures.name} | |", "|---|---|"]
        lines += [f"| {what} | {value} |" for what, value in figures.rows]
        lines += [f"| **faults** (lost, doubled, half done, changed) | **{len(figures.faults)}** |", ""]
        lines += [f"- {fault}" for fault in figures.faults[:20]]
    return "\n".join(lines) + "\n"


def _machine() -> str:
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    python, release = platform.python_version(), platform.release().split("-")[0]
    return f"{os.cpu_count()} cores ({cpu}), {memory} GiB, {platform.system()} {release}, Python {python}"


if __name__ == "__main__":
    sys.exit(main())
