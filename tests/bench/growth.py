"""What a look or an object costs when much is on record already: two servers that differ only in how much they hold.

The studies are rows, as those of the searches are; a message came with each. `--studies` puts another count in the
place of the larger one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from pydicom.uid import CTImageStorage
from sqlalchemy import insert, text

from gateway.http import COOKIE
from tests.bench import county
from tests.bench.measuring import HUREN, Figure, Say, alternate, percentile
from tests.bench.pages import sign_in
from tests.bench.receive import DEVICE, PATIENT, message
from tests.bench.scu import Scu
from tests.bench.search import TOGETHER, Examination, searches, seed
from tests.integration.killing import Server
from tests.peers.ports import LOOPBACK
from tests.peers.postgres import running
from worklist.tables import Message

COUNTS: Final = (10_000, 100_000)
OPEN: Final = 200  # cases that wait, in each of the two
SIDE: Final = 64  # pixels: 8 kB, so that the rows decide and not the bytes
PEOPLE: Final = ("reader1", "doc1", "admin")
LIST: Final = "application/dicom+json"


@dataclass
class Held:
    """A server that holds `count` studies, and what is asked of it."""

    count: int
    server: Server
    cookies: dict[str, str]
    token: str
    chance: random.Random = field(default_factory=lambda: random.Random(4))
    placed: int = 0

    def looks(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Addresses by what they are, with their headers."""
        middle = Examination(self.count // 40 * 20 + 1, self.count)
        one_day = searches(self.count)["one day and modality"]

        def signed_in(login: str) -> dict[str, str]:
            return {"Cookie": f"{COOKIE}={self.cookies[login]}"}

        program = {"Authorization": f"Bearer {self.token}", "Accept": LIST}
        days = "&".join(f"{name}={value}" for name, value in one_day.items())
        return {
            "worklist page": ("/reading", signed_in("reader1")),
            "worklist page, all cases": ("/reading?status=all", signed_in("reader1")),
            "orders page": ("/orders", signed_in("doc1")),
            "orders page, completed": ("/orders?state=completed", signed_in("doc1")),
            "patients by number": (f"/patients?q={middle.patient}", signed_in("doc1")),
            "patients by name": ("/patients?q=%E7%8E%8B%E4%BC%9F%E4%BC%9F", signed_in("doc1")),
            "message log": ("/admin/messages", signed_in("admin")),
            "QIDO-RS, one day and modality": (f"/dicom-web/studies?{days}&limit=50", program),
            "QIDO-RS, first page of 50": ("/dicom-web/studies?limit=50", program),
        }

    def look(self, what: str, times: int) -> float:
        """Milliseconds, the median of some."""
        path, headers = self.looks()[what]
        connection, taken = HTTPConnection(LOOPBACK, self.server.web_port, timeout=120), []
        for _ in range(times):
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            taken.append(1000 * (time.perf_counter() - began))
            assert answer.status == 200, (what, answer.status, body[:200])
        connection.close()
        return percentile(taken, 0.5)

    def store(self, times: int) -> tuple[float, float]:
        """Milliseconds of the first object of a study and of a further one, the medians of some studies."""
        first, further = [], []
        scu = Scu(self.server.dimse_port, CTImageStorage, calling=DEVICE, called="HUREN")
        for _ in range(times):
            self.placed += 1
            study = f"1.2.826.0.1.3680043.8.498.7.{self.count}.{self.placed}"
            sent = [message(scu, study, number, SIDE, self.chance) for number in range(1, 5)]
            taken = []
            for each in sent:
                began = time.perf_counter()
                scu.ask(each)
                taken.append(1000 * (time.perf_counter() - began))
            first.append(taken[0])
            further += taken[1:]
        scu.release()
        return percentile(first, 0.5), percentile(further, 0.5)


def run(
    folder: Path,
    repetitions: int,
    quick: bool,
    say: Say,
    counts: tuple[int, int] = COUNTS,
    *,
    on_postgres: bool = False,
) -> tuple[list[Figure], list[str]]:
    """Measure, on SQLite or `on_postgres`; returns the figures and what there is to say about them."""
    few, many = (200, 2000) if quick else counts
    times = 3 if quick else 10
    figures: dict[tuple[str, int], Figure] = {}
    with ExitStack() as closing:
        peer = closing.enter_context(running()) if on_postgres else None
        sides = []
        for count in (few, many):
            url = closing.enter_context(peer.database()) if peer is not None else ""
            sides.append(_held(folder / str(count), count, times * (repetitions + 1), closing, url))
        say(f"{few:,} and {many:,} studies are on record")

        def add(what: str, side: Held, repetition: int, value: float) -> None:
            figure = figures.setdefault((what, side.count), Figure(f"{what}, {side.count:,} studies", "ms"))
            if repetition:
                figure.add(HUREN, value)

        def turn(side: Held, repetition: int) -> None:
            for what in side.looks():
                add(what, side, repetition, side.look(what, times))
            first, further = side.store(times)
            add("C-STORE, first object of a study", side, repetition, first)
            add("C-STORE, a further object", side, repetition, further)

        turns: dict[str, Callable[[int], Any]] = {str(side.count): partial(turn, side) for side in sides}
        alternate(turns, repetitions)
    whats = list(dict.fromkeys(what for what, _count in figures))
    notes = [f"From {few:,} to {many:,} studies, {many // few} times as many, the cost grew by:"]
    for what in whats:
        grew = figures[what, many].middle(HUREN) / figures[what, few].middle(HUREN)
        notes.append(f"{what}: {grew:.2g}×.")
    for note in notes:
        say(note)
    return [figures[what, count] for what in whats for count in (few, many)], notes


def _held(folder: Path, count: int, stores: int, closing: ExitStack, database_url: str) -> Held:
    server = Server(folder, database_url=database_url)
    closing.callback(server.close)
    seed(server.world, count)
    _tell(server, count)
    county.open_cases(server.world, min(OPEN, count // 10))
    cases = [
        county.Case(
            10_000_000 + n,
            f"G{n}",
            study_instance_uid=f"1.2.826.0.1.3680043.8.498.7.{count}.{n}",
            patient_value=PATIENT,
        )
        for n in range(1, stores + 1)
    ]
    county.place(server.world, cases)
    users = server.world.users
    cookies = {login: server.database.write(lambda s, u=users[login]: sign_in(s, u)) for login in PEOPLE}  # type: ignore[misc]
    token = server.token("reader1")
    if database_url:  # as a server that has been running for a while
        with server.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    server.start()
    return Held(count, server, cookies, token)


def _tell(server: Server, count: int) -> None:
    """A message of the township's HIS for each study."""
    for first in range(0, count, TOGETHER):
        rows = [
            {
                "id": f"g{n}",
                "direction": "in",
                "kind": "ORM^O01",
                "control_id": f"G{n}",
                "raw": b"MSH|",
                "outcome": "processed",
                "at": server.world.now,
            }
            for n in range(first, min(count, first + TOGETHER))
        ]
        server.database.write(lambda s, rows=rows: s.execute(insert(Message), rows))  # type: ignore[misc]
