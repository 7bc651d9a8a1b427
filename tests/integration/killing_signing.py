"""Readers who write and sign through the HTTP API while the server is killed, and what became of each case."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import httpx

from tests.integration.killing import Count, Doors, utc_now
from worklist import register
from worklist.documents import from_canonical
from worklist.facts import StoredBytes
from worklist.tables import Delivery, OutboxRow, Reading, ReportDocument, ReportVersion

WRITER, SIGNER = "reader1", "senior1"
STEPS: Final = ("claim", "save", "save more", "submit", "review", "sign")
STATES: Final = {"": "unread", "claim": "unread", "save": "drafted", "save more": "drafted", "submit": "in review"}


@dataclass
class Case:
    """One reading: how far it certainly came, and what was tried last."""

    reading_id: str
    placer: str
    done: list[str] = field(default_factory=list)  # acknowledged steps
    tried: str = ""  # sent, perhaps not answered
    refused: list[str] = field(default_factory=list)

    @property
    def last(self) -> str:
        """The last acknowledged step."""
        return self.done[-1] if self.done else ""

    def words(self, step: str) -> str:
        """The impression that a step writes, of this case alone."""
        return f"{self.placer} 印象：{step}。" * 20


class Away(Exception):
    """The server says that it cannot do it now; what was asked may or may not have happened."""


class Readers:
    """Play cases from claim to signature, several at once, until they are cut; then go on where each case stands."""

    def __init__(self, server: Doors, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self.cases: list[Case] = []
        self.count = Count()
        for login in (WRITER, SIGNER):
            server.token(login)

    def make(self, number: int) -> None:
        """`number` cases whose images are complete, with bytes for each image. Before the server is started."""
        world, now = self.server.world, utc_now()
        for _ in range(number):
            placer = f"S{len(self.cases) + 1:05}"
            placed = world.order(placer_number=placer, patient=world.patient(f"9{len(self.cases):05}"))
            step = world.begin_step(placed, at=now)
            facts = world.facts(placed)
            data = self.chance.randbytes(500)
            kept = self.server.store.put([data])
            assert isinstance(kept, StoredBytes)
            world.receive(facts, kept, at=now)
            world.end_step(step, [facts.sop_instance_uid], at=now)
            self.cases.append(Case(world.reading_of(placed).id, placer))

    def load(self, cases: list[Case], workers: int = 3) -> list[Callable[[], None]]:
        """Play `cases`, dealt out to several programs."""
        return [lambda w=w: self.play(cases[w::workers]) for w in range(workers)]  # type: ignore[misc]

    def play(self, cases: list[Case]) -> None:
        """Take each case as far as it goes; return at the first cut."""
        with self.server.client(WRITER) as writer, self.server.client(SIGNER) as signer:
            try:
                for case in cases:
                    while len(case.done) < len(STEPS):
                        self._step(case, writer, signer)
            except (httpx.TransportError, Away):
                pass  # goes on after the restart

    def play_until(self, case: Case, step: str) -> None:
        """Take one case up to a step, that one included."""
        with self.server.client(WRITER) as writer, self.server.client(SIGNER) as signer:
            while case.last != step:
                self._step(case, writer, signer)

    def _step(self, case: Case, writer: httpx.Client, signer: httpx.Client) -> None:
        step = STEPS[len(case.done)]
        is_repeated, case.tried = case.tried == step, step
        place = f"/api/readings/{case.reading_id}"
        if step in ("save", "save more"):
            words = {"findings": case.words(step)[::-1], "impression": case.words(step)}
            answer = writer.put(f"{place}/report", json=words)
        elif step in ("claim", "submit"):
            answer = writer.post(f"{place}/{step}")
        else:
            answer = signer.post(f"{place}/{'claim' if step == 'review' else step}")
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise Away
        # A step that was cut may have happened: then it is refused the second time.
        if not answer.is_success and not (is_repeated and answer.status_code == 409):
            case.refused.append(f"{step}: {answer.status_code} {answer.text[:200]}")
        case.done.append(step)
        self.count.up()

    def sign_again(self) -> list[str]:
        """Sign what is signed once more: each must be refused with 409. Returns what was not."""
        faults = []
        with self.server.client(SIGNER) as signer:
            for case in self.cases:
                answer = signer.post(f"/api/readings/{case.reading_id}/sign")
                if answer.status_code != 409:
                    faults.append(f"{case.placer} signed again: {answer.status_code}")
        return faults

    # --- looking ---

    def faults(self) -> list[str]:
        """Cases that are behind what was acknowledged, half signed, or without their words."""
        world = self.server.world
        readings = {row.id: row for row in world.rows(Reading)}
        versions: dict[str, list[ReportVersion]] = {}
        for version in world.rows(ReportVersion):
            versions.setdefault(version.reading_id, []).append(version)
        owed = Counter(row.version_id for row in world.rows(Delivery) if row.version_id)
        jobs = {row.thing_id for row in world.rows(OutboxRow, OutboxRow.kind == "send_delivery")}
        deliveries = {row.version_id: row.id for row in world.rows(Delivery)}
        faults = []
        for case in self.cases:
            faults += [f"{case.placer} refused: {text}" for text in case.refused]
            held = versions.get(case.reading_id, [])
            state = readings[case.reading_id].state
            found = self._signed(case, held, owed) if state == "signed" else self._unsigned(case, state, held, owed)
            if state == "signed" and not found and deliveries[held[0].id] not in jobs:
                found = "signed, and nothing carries it out"
            if found:
                faults.append(f"{case.placer} after {case.last or 'nothing'}, {case.tried} tried: {found}")
        chain = self.server.world.database.read(register.check)
        if chain.bad is not None or chain.left_out:
            faults.append(f"the register: {chain}")
        return faults

    def _signed(self, case: Case, held: list[ReportVersion], owed: Counter[str]) -> str:
        if case.tried != "sign":
            return "signed by nobody"
        if len(held) != 1 or held[0].state != "final" or held[0].status != "final":
            return f"{[(v.number, v.state, v.status) for v in held]}"
        version = held[0]
        try:
            data = self.server.store.read(version.document_key)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return f"no document: {error!r}"
        document = from_canonical(data)
        if sha256(data).hexdigest() != version.document_sha256:
            return "the document is not the one that was signed"
        rows = self.server.world.rows(ReportDocument, ReportDocument.version_id == version.id)
        if {row.kind for row in rows} != {"pdf", "encapsulated pdf", "sr"}:
            return f"signed with {sorted(row.kind for row in rows)} alone"
        for row in rows:
            if sha256(self.server.store.read(row.store_key)).hexdigest() != row.sha256:
                return f"its {row.kind} is another"
        if document.text.impression != case.words("save more") or version.impression != case.words("save more"):
            return f"other words: {document.text.impression[:40]}"
        return "" if owed[version.id] == 1 else f"{owed[version.id]} deliveries"

    def _unsigned(self, case: Case, state: str, held: list[ReportVersion], owed: Counter[str]) -> str:
        if case.last == "sign":
            return f"signed and acknowledged, but {state}"
        expected = {STATES.get(case.last, "in review"), STATES.get(case.tried, "in review")}
        if state not in expected:
            return f"{state}, not {expected}"
        words = {case.words(step) for step in ("save", "save more") if step in (*case.done[-1:], case.tried)}
        if "save more" in case.done:
            words = {case.words("save more")}
        if state == "unread":
            return "" if not held else "a version of an unread case"
        if len(held) != 1 or held[0].state != "draft" or held[0].status or held[0].document_key:
            return f"half: {[(v.number, v.state, v.status) for v in held]}"
        if held[0].impression not in words or held[0].findings != held[0].impression[::-1]:
            return f"other words: {held[0].impression[:40]}"
        return "" if not owed[held[0].id] else "a delivery of a draft"

    def undelivered(self, seconds: float) -> list[str]:
        """What the HIS did not get, or got under more than one control id, `seconds` from now at the latest."""
        controls: dict[str, set[str]] = {}
        got: dict[str, str] = {}
        end = time.monotonic() + seconds
        while True:  # one that came twice is no sign that all have come
            for message in self.server.his.received:
                placer = str(message.segment("OBR")[2])
                controls.setdefault(placer, set()).add(str(message.segment("MSH")[10]))
                got[placer] = str(message)
            if len(got) >= len(self.cases) or time.monotonic() > end:
                break
            time.sleep(0.2)
        faults = [f"{case.placer} never came" for case in self.cases if case.placer not in got]
        faults += [f"{placer} came as {ids}" for placer, ids in controls.items() if len(ids) != 1]
        for case in self.cases:
            if case.placer in got and case.words("save more") not in got[case.placer]:
                faults.append(f"{case.placer} came with other words")
        return faults

    def sent_twice(self) -> int:
        """How many messages the HIS got more than once, which it can tell by their control id."""
        ids = Counter(str(message.segment("MSH")[10]) for message in self.server.his.received)
        return sum(1 for times in ids.values() if times > 1)
