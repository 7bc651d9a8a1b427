"""`make soak ARGS="county"`: ten working hours of a county through the production topology, some times faster.

PostgreSQL, Redis, Orthanc and any number of each part run as plain processes on this machine, and so do the county's
devices, HIS and readers, who are threads of this program.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.integration.topology import Topology, topology
from tests.peers import postgres
from tests.peers.archive import PASSWORD, USER, ArchivePeer, archive_peer
from tests.soak import counting
from tests.soak.day import HOUR, HOURS, KINDS, Exam, plan
from tests.soak.places import Hospital, furnish
from tests.soak.playing import Day
from tests.soak.watching import ORTHANC, Held, Watcher, holdings

PARTS: Final = ("web",) * 2 + ("dicom",) * 2 + ("mllp",) * 2 + ("worker",) * 3 + ("scheduler",) * 2
QUIET: Final = 60.0  # seconds without an image after which a study is complete; played faster, too
WARM: Final = 1.0  # hours of the day after which memory is looked at first
EVERY: Final = 30.0  # seconds between two words about how it goes
PATIENCE: Final = 300.0  # seconds after the last image for everything else to be done
STEADY: Final = 1.25  # as much of its first memory a process may have at the end


@dataclass
class Outcome:
    """Tables for the document, and every fault."""

    tables: list[tuple[list[str], list[list[str]]]] = field(default_factory=list)  # heads and rows
    faults: list[str] = field(default_factory=list)

    def table(self, *heads: str) -> list[list[str]]:
        """A new table; its rows are added to the list that is returned."""
        rows: list[list[str]] = []
        self.tables.append((list(heads), rows))
        return rows

    @property
    def text(self) -> str:
        """All of it in Markdown."""
        lines = []
        for heads, rows in self.tables:
            lines += [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
            lines += [f"| {' | '.join(row)} |" for row in rows]
            lines.append("")
        lines += [f"- fault: {fault}" for fault in self.faults[:30]]
        return "\n".join(lines)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.add_argument("--exams", type=int, default=2000, help="examinations of the day (default 2000)")
    parser.add_argument("--pace", type=float, default=10, help="how many times faster than life (default 10)")
    parser.add_argument("--hours", type=float, default=10, help="how many hours of the day, from 8:00 (default 10)")


def replay(folder: Path, asked: argparse.Namespace, chance: random.Random, say: Callable[[str], None]) -> Outcome:
    """Play the day and count."""
    exams = [exam for exam in plan(asked.exams, chance) if exam.at < asked.hours * HOUR]
    _require_room(folder, exams)
    with postgres.running() as server, archive_peer(folder / "archive") as peer:
        settings = {
            "HUREN_ARCHIVE_URL": peer.url,
            "HUREN_ARCHIVE_USER": USER,
            "HUREN_ARCHIVE_PASSWORD": PASSWORD,
            "HUREN_WORKERS": "4",
        }
        with topology(folder / "county", server, settings=settings) as county:
            hospitals, readers, seniors = furnish(county, max(2, round(QUIET / asked.pace)))
            county.start(*PARTS)
            say(f"{len(PARTS)} processes serve; {len(exams)} examinations follow")
            day = Day(county, exams, asked.pace, chance)
            day.start(readers, seniors)
            watcher = Watcher(county, day)
            warm = _play(county, peer, day, asked, say)
            drained = _drain(county, day, say)
            held = holdings(county, peer)
            watcher.stop()
            day.stop()
            say(f"all is done {drained:.0f} s after the day's end; counting")
            outcome = Outcome()
            outcome.faults += day.said.troubles + watcher.faults
            outcome.faults += counting.faults(county, day.said, hospitals, peer)
            outcome.faults += [
                f"{name} grew from {warm[name][0]} to {now[0]} MiB"
                for name, now in held.items()
                if name != ORTHANC and now[0] > warm[name][0] * STEADY
            ]
            if "Traceback" in county.printed():
                outcome.faults.append("a process printed a traceback")
            if not day.is_signed:
                outcome.faults.append(f"of {len(exams)} examinations {len(day.said.signed)} were signed")
            _mix(outcome, exams, asked)
            _counts(outcome, day, drained, counting.sent_twice(hospitals.values()), peer.count)
            _latencies(outcome, day, _ways_home(day, county, hospitals))
            _ages(outcome, watcher, round(asked.hours))
            _memory(outcome, warm, held)
            for hospital in hospitals.values():
                hospital.go_away()
            return outcome


def _play(
    county: Topology, peer: ArchivePeer, day: Day, asked: argparse.Namespace, say: Callable[[str], None]
) -> dict[str, Held]:
    """Until the day's end; what each process held when it had run for a while."""
    warm: dict[str, Held] = {}
    said, told = day.said, time.monotonic()
    hour = HOUR / asked.pace
    while (now := time.monotonic()) < day.began + asked.hours * hour:
        time.sleep(0.5)
        if not warm and now > day.began + min(WARM, asked.hours / 4) * hour:
            warm = holdings(county, peer)
        if now > told + EVERY:
            told = now
            done = f"{len(said.accessions)} ordered, {len(said.studies)} scanned, {len(said.signed)} signed"
            say(f"{8 + day.hour}:00, {done}, {len(said.troubles)} troubles")
    return warm


def _drain(county: Topology, day: Day, say: Callable[[str], None]) -> float:
    """Until everything is done, or patience is at its end; the seconds that took."""
    closed = told = time.monotonic()
    patience = PATIENCE + max(exam.until_scanned for exam in day.exams) / day.pace
    while (left := counting.waiting(county)) or not day.is_scanned:
        now = time.monotonic()
        if now > closed + patience:
            break
        if now > told + EVERY:
            told = now
            say(f"after the end: {len(day.said.studies)} scanned, {len(day.said.signed)} signed, waiting: {left}")
        time.sleep(0.5)
    return time.monotonic() - closed


def _require_room(folder: Path, exams: list[Exam]) -> None:
    """Fail before the disk is full: every object lies here and in the archive."""
    owed = sum(_size(exam) for exam in exams) * 2 + (2 << 30)
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < owed:
        raise SystemExit(f"{owed >> 30} GiB are needed in {folder.parent}, {free >> 30} are free (TMPDIR, --exams)")


def _size(exam: Exam) -> int:
    kind = exam.kind
    return kind.images * (kind.rows * kind.columns * kind.samples * kind.bits // 8 or 200_000)


def _mix(outcome: Outcome, exams: list[Exam], asked: argparse.Namespace) -> None:
    rows = outcome.table("The day", "studies", "images each", "size each")
    for kind in KINDS:
        of_kind = [exam for exam in exams if exam.kind is kind]
        size = kind.rows * kind.columns * kind.samples * kind.bits / 8 / (1 << 20)
        rows.append([kind.name, str(len(of_kind)), str(kind.images), f"{size:.1f} MiB" if size else "0.1 MiB"])
    shape = ", ".join(str(share) for share in HOURS)
    rows.append(["of a hundred in each hour from 8:00", shape, "", ""])
    rows.append(["pace, hours played", f"{asked.pace:g} ×, {asked.hours:g}", "", ""])


def _counts(outcome: Outcome, day: Day, drained: float, twice: int, archived: int) -> None:
    said, rows = day.said, outcome.table("What was done", "")
    rows += [
        ["processes", ", ".join(f"{PARTS.count(part)} {part}" for part in dict.fromkeys(PARTS))],
        ["orders acknowledged, objects acknowledged", f"{len(said.accessions)}, {len(said.objects)}"],
        ["bytes received", f"{said.bytes_sent / (1 << 30):.1f} GiB"],
        ["orders and objects sent once more, as networks make HIS and devices do", str(said.sent_again)],
        ["reports signed, all of them at home", str(len(said.signed))],
        ["messages that a HIS got once more (same control id)", str(twice)],
        ["objects in the archive, each read back again at the end", str(archived)],
        ["done with everything after the last hour", f"{drained:.0f} s"],
        ["this program behind its own plan, at worst", f"{day.late:.1f} s"],
        ["**faults** (lost, doubled, changed, stuck, grown, refused)", f"**{len(outcome.faults)}**"],
    ]


def _ways_home(day: Day, county: Topology, hospitals: dict[str, Hospital]) -> dict[str, list[float]]:
    placers = {accession: placer for placer, accession in day.said.accessions.items()}
    first: dict[str, float] = {}
    for hospital in hospitals.values():
        for at, raw in hospital.came:
            if b"ORU^R01" in raw:
                first.setdefault(counting.placer_of(raw), at)
    home = [first[placers[a]] - at for a, at in day.said.signed.items() if placers.get(a) in first]
    return {
        "signature until the HIS has it": home,
        "study complete until archived, its signed report too": counting.archiving_times(county),
    }


def _latencies(outcome: Outcome, day: Day, more: dict[str, list[float]]) -> None:
    rows = outcome.table("How long it took", "number", "median", "95 of 100", "longest")
    for what, taken in {**dict(sorted(day.said.took.items())), **more}.items():
        if taken:
            ordered = sorted(taken)
            late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
            rows.append([what, str(len(taken)), *map(_seconds, (statistics.median(ordered), late, ordered[-1]))])


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _ages(outcome: Outcome, watcher: Watcher, hours: int) -> None:
    last = max((hour for seen in watcher.oldest.values() for hour in seen), default=0)
    columns = list(range(min(hours, last + 1)))
    heads = [f"{8 + hour}:00" for hour in columns]
    rows = outcome.table("Oldest in each hour (real seconds)", *heads, "after")
    for what, seen in sorted(watcher.oldest.items()):
        if any(seen.values()):
            after = max((age for hour, age in seen.items() if hour not in columns), default=0.0)
            rows.append([what, *(f"{seen.get(hour, 0):.0f}" for hour in columns), f"{after:.0f}"])
    for what, seen in sorted(watcher.most.items()):
        after = max((number for hour, number in seen.items() if hour not in columns), default=0.0)
        rows.append([f"{what}, most", *(f"{seen.get(hour, 0):.0f}" for hour in columns), f"{after:.0f}"])


def _memory(outcome: Outcome, warm: dict[str, Held], held: dict[str, Held]) -> None:
    rows = outcome.table("Process", "after the first hour", "at the end")
    for name, now in held.items():
        rows.append([name, *(f"{m} MiB, {t} threads, {d} descriptors" for m, t, d in (warm[name], now))])
