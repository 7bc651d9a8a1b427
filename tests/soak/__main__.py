"""Run the soak: `python -m tests.soak --rounds 20 --minutes 30`, or a county's day: `python -m tests.soak county`. Exit
status 1 when anything was lost.

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

from tests.soak import county, phases
from tests.soak.phases import Figures

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- soak: written by `make soak` -->", "<!-- soak: end -->"
COUNTY_BEGIN, COUNTY_END = "<!-- county: written by `make soak` -->", "<!-- county: end -->"


def main() -> int:
    """Run what was asked for; the exit status."""
    return _county(sys.argv[2:]) if sys.argv[1:2] == ["county"] else _kills()


def _county(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make soak ARGS=county", description=county.__doc__)
    county.arguments(parser)
    parser.add_argument("--seed", type=int, default=1, help="of what chance decides (default 1)")
    parser.add_argument("--dry", action="store_true", help="print the figures and leave the document alone")
    asked, began = parser.parse_args(words), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="huren-soak-") as folder:
        outcome = county.replay(Path(folder), asked, random.Random(asked.seed), _say)
    said = f"county --exams {asked.exams} --pace {asked.pace:g} --hours {asked.hours:g} --seed {asked.seed}"
    text = f"{_heading(said, time.monotonic() - began)}{outcome.text}\n"
    print(text)
    if not asked.dry:
        _write(text, COUNTY_BEGIN, COUNTY_END)
    return 1 if outcome.faults else 0


def _kills() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills of each kind of work (default 20)")
    parser.add_argument("--points", type=int, default=4, help="kills at each kind of system call (default 4)")
    parser.add_argument("--backups", type=int, default=10, help="backups and restores, on SQLite (default 10)")
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
        done.append(phases.backups(root / "backups", asked.backups, chance, _say))
        done.append(phases.mixed(root / "mixed", asked.minutes, chance, _say))
    words = f"--rounds {asked.rounds} --points {asked.points} --backups {asked.backups} --minutes {asked.minutes:g}"
    words += f" --seed {asked.seed}"
    text = _markdown(done, words, time.monotonic() - began)
    print(text)
    if not asked.dry:
        _write(text, BEGIN, END)
    return 1 if any(figures.faults for figures in done) else 0


def _write(text: str, begin: str, end: str) -> None:
    whole = DOCUMENT.read_text("utf-8")
    before, _, rest = whole.partition(begin)
    _, _, after = rest.partition(end)
    DOCUMENT.write_text(f"{before}{begin}\n{text}{end}{after}", "utf-8")


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


def _heading(words: str, seconds: float) -> str:
    load, now = os.getloadavg()[2], datetime.now(UTC)
    return f"""
{now:%Y-%m-%d}, {_machine()}, in {seconds / 60:.0f} minutes (load {load:.1f} over the last 15):

    make soak ARGS="{words}"

"""


def _markdown(done: list[Figures], words: str, seconds: float) -> str:
    lines = _heading(words, seconds).splitlines()
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
