"""The parts of a soak. Each plays on a server of its own, checks everything, and returns its figures."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.killing import Server, kill_under, orphan_faults, storage_faults
from tests.integration.killing_objects import Modality
from tests.integration.killing_orders import Orderer
from tests.integration.killing_points import CALLS, CALLS_OF_DATABASE, Trap
from tests.integration.killing_signing import Readers
from tests.integration.restoring import County, round_trip
from worklist.queries.stored import store_keys
from worklist.tables import Instance, Order, ReportVersion

Say = Callable[[str], None]
SMALL = (32, 64, 128)  # pixels; the mixed load is about counts and time, not about disk space


@dataclass
class Figures:
    """What one part measured, and every fault that it found."""

    name: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, what: str, value: object) -> None:
        """One line of the table."""
        self.rows.append((what, str(value)))

    def add_starts(self, server: Server) -> None:
        """How long the server needed after each kill until all its doors answered."""
        again = server.starts[1:]
        if again:
            longest, middle = max(again), statistics.median(again)
            self.add("back after a kill: median, longest", f"{middle:.1f} s, {longest:.1f} s")


def objects(folder: Path, rounds: int, chance: random.Random, say: Say) -> Figures:
    """Kill during C-STORE over three associations."""
    figures = Figures("Objects (C-STORE, 2 pynetdicom associations and 1 storescu at once)")
    server = Server(folder)
    try:
        server.start()
        modality = Modality(server, chance)
        for number in range(1, rounds + 1):
            came = kill_under(server, modality.load(200), modality.count, chance)
            figures.faults += storage_faults(server) + modality.faults()
            say(f"objects: kill {number}, {came} acknowledged in this round, {len(figures.faults)} faults")
        before, held = len(modality.acknowledged), len(server.world.rows(Instance))
        modality.send_everything_again()
        figures.faults += storage_faults(server) + modality.faults() + orphan_faults(server)
        orphans = len(set(server.store.keys()) - server.database.read(store_keys))
        figures.add("kills", rounds)
        figures.add("acknowledged before a kill", before)
        figures.add("held though the acknowledgement was cut off", held - before)
        figures.add("sent in all, each again at the end", len(modality.made))
        figures.add("held at the end", len(server.world.rows(Instance)))
        figures.add("orphans in the store, all named by `huren reconcile`", orphans)
        figures.add_starts(server)
    finally:
        server.close()
    return figures


def orders(folder: Path, rounds: int, chance: random.Random, say: Say) -> Figures:
    """Kill during orders over three MLLP connections."""
    figures = Figures("Orders (ORM^O01 by MLLP, 3 connections at once)")
    server = Server(folder)
    try:
        server.start()
        orderer = Orderer(server, chance)
        for number in range(1, rounds + 1):
            came = kill_under(server, orderer.load(150), orderer.count, chance)
            figures.faults += storage_faults(server) + orderer.faults()
            say(f"orders: kill {number}, {came} acknowledged in this round, {len(figures.faults)} faults")
        before, held = len(orderer.answers), len(server.world.rows(Order))
        orderer.send_what_is_open()
        figures.faults += [f"another answer the second time: {p}" for p in orderer.answers_differ(orderer.placed)]
        figures.faults += orderer.faults()
        figures.add("kills", rounds)
        figures.add("acknowledged before a kill", before)
        figures.add("held though the acknowledgement was cut off", held - before)
        figures.add("messages sent, then each once more for its stored answer", orderer.sent)
        figures.add("orders placed, orders held at the end", f"{len(orderer.placed)}, {len(server.world.rows(Order))}")
        figures.add_starts(server)
    finally:
        server.close()
    return figures


def signing(folder: Path, rounds: int, chance: random.Random, say: Say) -> Figures:
    """Kill while readers claim, write, submit and sign through the HTTP API."""
    figures = Figures("Reports (claim, 2 drafts, submit, claim, sign by HTTP; 3 programs at once)")
    server = Server(folder)
    try:
        readers = Readers(server, chance)
        readers.make(12 * rounds)
        server.start()
        for number in range(1, rounds + 1):
            open_ones = [case for case in readers.cases[: 12 * number] if case.last != "sign"]
            came = kill_under(server, readers.load(open_ones), readers.count, chance)
            figures.faults += storage_faults(server) + readers.faults()
            say(f"signing: kill {number}, {came} steps acknowledged in this round, {len(figures.faults)} faults")
        readers.play(readers.cases)
        figures.faults += readers.faults() + readers.sign_again() + readers.undelivered(120)
        figures.faults += storage_faults(server) + orphan_faults(server)
        figures.add("kills", rounds)
        figures.add("steps acknowledged", readers.count.value)
        figures.add("cases, versions signed", f"{len(readers.cases)}, {len(server.world.rows(ReportVersion))}")
        figures.add("reports that the HIS got, twice with the same control id", _delivered(readers))
        figures.add_starts(server)
    finally:
        server.close()
    return figures


def _delivered(readers: Readers) -> str:
    return f"{len(readers.server.his.raw) - readers.sent_twice()}, {readers.sent_twice()}"


def points(folder: Path, most: int, chance: random.Random, say: Say) -> Figures:
    """Kill at the first, second, … call of each kind of system call, during objects, orders and reports in turn."""
    figures = Figures("Fail points (SIGKILL by strace at the n-th system call of a thread)")
    server = Server(folder)
    killed = 0
    try:
        readers = Readers(server, chance)
        readers.make(len(CALLS) * most)
        cases = iter(readers.cases)
        server.start()
        modality, orderer = Modality(server, chance), Orderer(server, chance)
        works: dict[str, tuple[tuple[str, ...], Callable[[], None]]] = {
            "an object": (CALLS, lambda: _run(modality.by_pynetdicom(modality.make(3)))),
            "an order": (CALLS_OF_DATABASE, lambda: orderer.until_cut(orderer.make(3))),
            "a report": (CALLS, lambda: readers.play([next(cases)])),
        }
        tried = [(kind, call, n) for kind, (calls, _) in works.items() for call in calls for n in range(1, most + 1)]
        for kind, call, when in tried:
            trap = Trap(server, call, when)
            works[kind][1]()
            if trap.sprung(2):
                killed += 1
                server.start()
            figures.faults += storage_faults(server) + modality.faults() + orderer.faults() + readers.faults()
            say(f"points: {call} {when} in {kind}, {killed} kills, {len(figures.faults)} faults")
        modality.send_everything_again()
        orderer.send_what_is_open()
        readers.play(readers.cases)
        figures.faults += modality.faults() + orderer.faults() + readers.faults() + orphan_faults(server)
        figures.faults += readers.undelivered(120)
        figures.add("calls", ", ".join(CALLS))
        figures.add("points tried, kills", f"{len(tried)}, {killed}")
        figures.add_starts(server)
    finally:
        server.close()
    return figures


def backups(folder: Path, rounds: int, chance: random.Random, say: Say) -> Figures:
    """Back up under load, lose everything, restore, reconcile; each time a county of its own."""
    figures = Figures("Backup, loss of the machine, restore, reconciliation (SQLite)")
    seconds: dict[str, list[float]] = {}
    acknowledged = 0
    for number in range(1, rounds + 1):
        server = Server(folder / str(number))
        try:
            county = County(server, chance)
            server.start()
            for step, took in round_trip(county, folder / str(number) / "backup").items():
                seconds.setdefault(step, []).append(took)
            acknowledged += len(county.modality.acknowledged) + len(county.orderer.answers)
        except AssertionError as error:
            figures.faults.append(f"round {number}: {str(error)[:300]}")
        finally:
            server.close()
        say(f"backups: round {number}, {len(figures.faults)} faults")
    figures.add("rounds", rounds)
    figures.add("objects and orders acknowledged in all", acknowledged)
    for step, taken in seconds.items():
        figures.add(f"{step}: median, longest", f"{statistics.median(taken):.1f} s, {max(taken):.1f} s")
    return figures


def mixed(folder: Path, minutes: float, chance: random.Random, say: Say) -> Figures:
    """Objects, orders and reports at once and for a time; nobody is killed, and the process must not grow."""
    figures = Figures("Mixed load (no kills)")
    server = Server(folder)
    try:
        readers = Readers(server, chance)
        readers.make(max(10, int(minutes * 30)))
        server.start()
        modality, orderer = Modality(server, chance), Orderer(server, chance)
        over = threading.Event()
        failures: list[str] = []
        cases = iter(readers.cases)

        def forever(turn: Callable[[], object], pause: float) -> Callable[[], None]:
            def run() -> None:
                while not over.wait(pause):
                    try:
                        turn()
                    except StopIteration:
                        return
                    except Exception as error:  # noqa: BLE001 - counted as a fault
                        failures.append(f"{type(error).__name__}: {error}")

            return run

        turns = (
            forever(lambda: _run(modality.by_pynetdicom(modality.make(20, SMALL))), 0.5),
            forever(lambda: _run(modality.by_storescu(modality.make(20, SMALL))), 0.5),
            forever(lambda: orderer.until_cut(orderer.make(5)), 0.5),
            forever(lambda: readers.play([next(cases)]), 1.5),
        )
        threads = [threading.Thread(target=turn, daemon=True) for turn in turns]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        warm = min(60.0, minutes * 20)
        over.wait(warm)
        early = _usage(server)
        while (left := minutes * 60 - (time.monotonic() - began)) > 0:
            over.wait(min(left, 60))
            say(f"mixed: {time.monotonic() - began:.0f} s, {modality.count.value} objects, {_usage(server)}")
        late = _usage(server)
        over.set()
        for thread in threads:
            thread.join(120)
        readers.play(readers.cases)
        figures.faults += failures + storage_faults(server) + modality.faults() + orderer.faults() + readers.faults()
        figures.faults += orphan_faults(server) + readers.undelivered(120)
        if left := len(modality.made) - len(modality.acknowledged):
            said = f"associations: {dict(Counter(modality.cut))}, warnings of the server: {_warnings(server)}"
            figures.faults.append(f"{left} objects unanswered; {said}")
        figures.add("minutes", minutes)
        figures.add(
            "objects, orders, reports signed", f"{modality.count.value}, {orderer.count.value}, {len(readers.cases)}"
        )
        figures.add(f"after {warm:.0f} s", early)
        figures.add("at the end", late)
    finally:
        server.close()
    return figures


def _run(piece: Callable[[], None]) -> None:
    piece()


def _warnings(server: Server) -> dict[str, int]:
    """How often the server's log has each kind of warning or error."""
    lines = (json.loads(line) for line in server.output.splitlines() if line.startswith("{"))
    return dict(Counter(line["event"] for line in lines if line.get("level") in ("warning", "error")))


def _usage(server: Server) -> str:
    """Memory, threads and descriptors of the server now (proc(5))."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if ":" in line
    )
    descriptors = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    memory = int(status["VmRSS"].split()[0]) // 1024
    return f"{memory} MiB, {status['Threads'].strip()} threads, {descriptors} descriptors"
