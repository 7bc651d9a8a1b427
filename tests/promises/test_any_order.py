"""Row 16: from order to report in any order of steps, by anybody, at any time, also steps that make no sense: what is
refused changes nothing that counts, and what must always hold holds in the end."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from tests.integration.conftest import NOW
from tests.promises.scale import many, note
from tests.world import Placed, World, build
from worklist.actions import corrections, handing, linking, readings
from worklist.database import Database, sqlite_url
from worklist.errors import Refused
from worklist.facts import ReportText
from worklist.moves import PLACES
from worklist.tables import (
    Delivery,
    Order,
    OutboxRow,
    Reading,
    ReadingOrder,
    ReportVersion,
    Study,
    StudyOrder,
    Transition,
)

LOGINS = ("senior1", "senior2", "reader1", "senior1", "senior2", "reader2", "citysenior")
PROCEDURES = ("CT-HEAD", "DR-CHEST", "US-ABDOMEN")
STEPS = 50
ACTIONS = (
    readings.send_back,
    readings.take_over,
    handing.return_to_sender,
    handing.close,
    corrections.give_up_correction,
)


class County:
    """One county, on a database that is copied from one that was made before."""

    def __init__(self, made: Path, world: World, file: Path) -> None:
        """A new one in `file`, like `world`, which was built in the file `made`."""
        shutil.copy(made, file)
        self.database = Database(sqlite_url(file))
        self.world = replace(world, database=self.database, _numbers=count(1))
        self.placed: list[Placed] = []
        self.issued: dict[str, tuple[str, ...]] = {}  # by version: what must never change
        self.signed: Counter[str] = Counter()  # by reading: confirmed signatures and withdrawals
        self.tried: Counter[str] = Counter()

    def play(self, chance: random.Random, steps: int) -> None:
        """So many steps, as chance has it."""

        def ten() -> int:
            return chance.randrange(10)

        def who() -> str:
            return chance.choice(LOGINS)

        works: tuple[Callable[[], None], ...] = (
            lambda: self.order(chance.choice(("TS01", "TS02")), ten(), chance.choice(PROCEDURES)),
            lambda: self.order_again(ten(), chance.choice(("CA", "XO", "NW"))),
            lambda: self.scan(ten(), chance.randint(1, 2), chance.random() < 0.2, chance.random() < 0.7),
            lambda: self.wait(chance.choice((1, 40, 600))),
            lambda: self.write(ten(), who(), ten()),
            lambda: self.submit(ten(), who()),
            lambda: self.sign(ten(), who(), chance.random() < 0.3),
            lambda: self.read(ten()),
            lambda: self.read(ten()),
            lambda: self.correct(ten(), who(), ten(), chance.random() < 0.5),
            lambda: self.mend(ten(), chance.random() < 0.5),
            lambda: self.withdraw(ten(), who()),
            lambda: self.act(ten(), who(), chance.choice(ACTIONS)),
            lambda: self.relink(ten(), ten(), who()),
        )
        for n, town in enumerate(("TS01", "TS02", "TS01")):
            self.order(town, n % 2, "CT-HEAD")
        for _ in range(steps):
            chance.choice(works)()

    # --- steps ---

    def order(self, town: str, patient: int, procedure: str) -> None:
        """A township orders; both of them use the same patient numbers."""
        self.placed.append(self.world.order(procedure, town=town, patient=self.world.patient(f"P{patient}")))

    def order_again(self, which: int, control: str) -> None:
        """Cancel, change, or order the same number once more."""
        placed = self._one(which)
        patient = self.world.patient(placed.patient_id)
        said: dict[str, Any] = {"procedure_code": "CT-CHEST"} if control != "CA" else {}
        self._try(lambda: self.world.request(placed.placer_number, control, town=placed.town, patient=patient, **said))

    def scan(self, which: int, images: int, is_other: bool, is_complete: bool) -> None:
        """Images for an order; sometimes they say that they are somebody else's."""
        placed = self._one(which)
        says: dict[str, Any] = {"patient_id": "P99"} if is_other else {}
        device = {"TS01": "TS01CT", "TS02": "TS02DR"}[placed.town]
        sent = [self.world.facts(placed, **says) for _ in range(images)]
        taken = [self.world.receive(facts, device=device) for facts in sent]
        self.tried.update(receipt.outcome for receipt in taken)
        if is_complete and taken[0].outcome == "stored":
            self.world.check_arrival(taken[0].study_id, self.world.now + timedelta(hours=3))

    def wait(self, minutes: int) -> None:
        """Time passes; leases run out."""
        self.world.now += timedelta(minutes=minutes)

    def write(self, which: int, login: str, words: int) -> None:
        """Claim and write."""
        self._read(which, lambda id: self.world.write(login, id, ReportText("所见", f"第{words}次")))

    def submit(self, which: int, login: str) -> None:
        """Hand it to a reviewer."""
        self._read(which, lambda id: self.world.submit(login, id))

    def sign(self, which: int, login: str, is_preliminary: bool) -> None:
        """Claim it and sign."""

        def step(id: str) -> None:
            self.world.claim(login, id)
            self._issued(id, self.world.sign(login, id, preliminary=is_preliminary))

        self._read(which, step)

    def read(self, which: int) -> None:
        """As it should be: scanned, written, reviewed, signed."""
        placed = self._one(which)
        self.world.receive(self.world.facts(placed), device={"TS01": "TS01CT", "TS02": "TS02DR"}[placed.town])
        covering = self.world.rows(ReadingOrder, ReadingOrder.order_id == placed.id)
        if covering:
            id = covering[0].reading_id
            self._try(lambda: self._issued(id, self.world.signed(id)))

    def correct(self, which: int, login: str, words: int, is_addendum: bool) -> None:
        """Begin a correction."""
        text = ReportText("", f"更正{words}") if is_addendum else ReportText("所见", f"更正{words}")
        self._read(which, lambda id: self.world.correct(login, id, text, addendum=is_addendum))

    def mend(self, which: int, is_addendum: bool) -> None:
        """A correction as it should be: begun, handed to a colleague, signed by them."""

        def step(id: str) -> None:
            self.world.correct("senior1", id, ReportText("" if is_addendum else "所见", "更正"), addendum=is_addendum)
            self.world.submit("senior1", id)
            self.world.claim("senior2", id)
            self._issued(id, self.world.sign("senior2", id))

        self._read(which, step)

    def withdraw(self, which: int, login: str) -> None:
        """Withdraw what was signed."""
        self._read(which, lambda id: self._issued(id, self.world.withdraw(login, id)))

    def act(self, which: int, login: str, action: Callable[..., Any]) -> None:
        """Something that needs a reason."""
        by = self.world.actor(login)
        self._read(which, lambda id: self.world.do(action, by, id, why="原因", now=self.world.now))

    def relink(self, which: int, order: int, login: str) -> None:
        """A person says which order a study belongs to, rightly or not."""
        studies = self.world.rows(Study)
        if not studies:
            return
        study, by = studies[which % len(studies)], self.world.actor(login)
        action = linking.move_study if study.link in ("matched", "linked") else linking.link
        ids = [self._one(order).id]
        self._try(lambda: self.world.do(action, by, study.id, ids, "核对", self.world.now))

    def _one(self, which: int) -> Placed:
        return self.placed[which % len(self.placed)]

    def _read(self, which: int, step: Callable[[str], Any]) -> None:
        found = sorted(row.id for row in self.world.rows(Reading))
        if found:
            self._try(lambda: step(found[which % len(found)]))

    def _try(self, step: Callable[[], Any]) -> None:
        """A refusal is an answer; every other error fails the test."""
        try:
            step()
        except Refused as refused:
            self.tried[refused.code] += 1
        else:
            self.tried["done"] += 1

    def _issued(self, reading_id: str, version: ReportVersion) -> None:
        self.signed[reading_id] += 1
        self.tried[f"issued: {version.status}"] += 1
        self.issued[version.id] = _words(self.world.one(ReportVersion, ReportVersion.id == version.id))

    # --- what always holds ---

    def every_move_begins_where_the_last_one_ended(self) -> None:
        """And each thing stands where its last move left it."""
        moves: dict[tuple[str, str], list[Transition]] = {}
        for row in sorted(self.world.rows(Transition), key=lambda row: row.seq):
            moves.setdefault((row.machine, row.thing_id), []).append(row)
        for chain in moves.values():
            assert all(before.target == after.source for before, after in pairwise(chain)), chain
        for machine, place in PLACES.items():
            for thing in self.world.rows(place.table):
                chain = moves.get((machine, thing.id), [])
                assert chain, f"{machine} without a move"
                assert getattr(thing, place.column) == chain[-1].target, chain

    def what_was_issued_stays_as_it_was(self) -> None:
        """Words, signer, document; and there is one version for each signature that was confirmed."""
        issued: Counter[str] = Counter()
        for row in self.world.rows(ReportVersion):
            if row.status:
                assert self.issued[row.id] == _words(row)
                issued[row.reading_id] += 1
        assert issued == self.signed

    def every_issued_version_goes_home_once(self) -> None:
        """One delivery to the township's HIS, one job for it."""
        owed = Counter(row.version_id for row in self.world.rows(Delivery) if row.kind == "report")
        assert set(owed) <= set(self.issued)
        assert max(owed.values(), default=1) == 1
        jobs = Counter(row.thing_id for row in self.world.rows(OutboxRow, OutboxRow.kind == "send_delivery"))
        assert set(jobs) == {row.id for row in self.world.rows(Delivery)}

    def no_two_patients_are_mixed(self) -> None:
        """A study belongs to orders of its own patient and township, a case to one patient."""
        orders = {row.id: row for row in self.world.rows(Order)}
        studies = {row.id: row for row in self.world.rows(Study)}
        for link in self.world.rows(StudyOrder):
            study, order = studies[link.study_id], orders[link.order_id]
            assert (study.institution_id, study.patient_id) == (order.institution_id, order.patient_id)
        for cover in self.world.rows(ReadingOrder):
            reading = self.world.reading(cover.reading_id)
            assert reading.patient_id == orders[cover.order_id].patient_id


def _words(version: ReportVersion) -> tuple[str, ...]:
    """What of an issued version must never change."""
    return version.status, version.findings, version.impression, str(version.signer_id), version.document_sha256


def test_any_order_of_steps(tmp_path: Path) -> None:
    with closing(Database(sqlite_url(tmp_path / "made.db"))) as database:
        world = build(database, NOW)
    tried: Counter[str] = Counter()
    for seed in range(many(20)):
        county = County(tmp_path / "made.db", world, tmp_path / "county.db")
        try:
            print("seed", seed)  # plays again what failed
            county.play(random.Random(seed), STEPS)
            county.every_move_begins_where_the_last_one_ended()
            county.what_was_issued_stays_as_it_was()
            county.every_issued_version_goes_home_once()
            county.no_two_patients_are_mixed()
        finally:
            county.database.close()
        tried.update(county.tried)
    note(16, counties=many(20), steps=many(20) * STEPS, **dict(sorted(tried.items())))
    assert {"issued: final", "issued: corrected", "issued: withdrawal"} <= set(tried)
