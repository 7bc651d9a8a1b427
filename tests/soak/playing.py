"""The people and machines of the county at work: each HIS, each device, each reader in a thread of its own.

They note what was acknowledged and how long it took; `counting` compares that with what is there afterwards.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import hl7
import httpx

from tests.bench.scu import Scu, store_command
from tests.integration.topology import Topology
from tests.peers.mllp_client import MllpClient, NoAnswer
from tests.soak.day import AGAIN, CT_TOWNS, KINDS, TOWNS, Exam
from tests.soak.pictures import CLASSES, Picture, Pictures
from tests.soak.places import device_of

IDLE: Final = 1.0  # seconds of a reader who found nothing to do
WORDS: Final = {"findings": "双肺纹理清晰，未见实变影。心影大小正常。" * 6, "impression": "未见明显异常。"}


@dataclass
class Said:
    """What the server acknowledged, and what it cost."""

    accessions: dict[str, str] = field(default_factory=dict)  # by placer number
    objects: dict[str, tuple[Exam, Picture]] = field(default_factory=dict)  # by SOP Instance UID; without their bytes
    studies: dict[str, float] = field(default_factory=dict)  # by placer number: when its last object was taken
    signed: dict[str, float] = field(default_factory=dict)  # by accession number: when
    bytes_sent: int = 0
    sent_again: int = 0
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds, by what
    troubles: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def timed(self, what: str, began: float) -> None:
        """It took from `began` until now."""
        with self.lock:
            self.took[what].append(time.monotonic() - began)

    def trouble(self, text: str) -> None:
        """Something that should not have happened."""
        with self.lock:
            self.troubles.append(text)


class Queue:
    """Things to do at their times; `take` waits for the next one."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, object]] = []
        self._changed = threading.Condition()
        self._is_over = False

    def put(self, at: float, number: int, thing: object) -> None:
        """Do `thing` at time.monotonic() = `at`."""
        with self._changed:
            heapq.heappush(self._waiting, (at, number, thing))
            self._changed.notify_all()

    def close(self) -> None:
        """Forget what waits; whoever takes gets None."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def take(self) -> tuple[float, object] | None:
        """The next thing when its time has come, and that time; None after `close`."""
        with self._changed:
            while True:
                if self._is_over:
                    return None
                now = time.monotonic()
                if self._waiting and self._waiting[0][0] <= now:
                    at, _number, thing = heapq.heappop(self._waiting)
                    return at, thing
                self._changed.wait(self._waiting[0][0] - now if self._waiting else None)


class Day:
    """The whole day, played at `pace` times its speed from `began` (time.monotonic()) on."""

    def __init__(self, county: Topology, exams: list[Exam], pace: float, chance: random.Random) -> None:
        self.county, self.exams, self.pace, self.chance = county, exams, pace, chance
        self.said, self.pictures = Said(), Pictures(chance)
        self.late = 0.0  # seconds that this program was behind its plan, at worst
        self.over = threading.Event()
        self._orders = {town: Queue() for town in TOWNS}
        self._devices = {
            device_of(town, kind.name): Queue()
            for town in TOWNS
            for kind in KINDS
            if kind.name != "CT" or town in CT_TOWNS
        }
        self._threads: list[threading.Thread] = []

    def start(self, readers: list[str], seniors: list[str]) -> None:
        """Begin the day."""
        self.began = time.monotonic()
        for exam in self.exams:
            self._orders[exam.town].put(self.began + exam.at / self.pace, exam.number, exam)
        for town in TOWNS:
            self._thread(f"HIS {town}", lambda town=town: self._his(town))  # type: ignore[misc]
        for name in self._devices:
            self._thread(name, lambda name=name: self._device(name))  # type: ignore[misc]
        apis = {login: self.county.api(login) for login in (*readers, *seniors)}
        for login in readers:
            self._thread(login, lambda api=apis[login]: self._reader(api, "unread"))  # type: ignore[misc]
        for login in seniors:
            self._thread(login, lambda api=apis[login]: self._reader(api, "in review"))  # type: ignore[misc]

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - counted as a fault
                self.said.trouble(f"{name} ended: {type(error).__name__}: {error}")

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))
        self._threads[-1].start()

    @property
    def hour(self) -> int:
        """The hour of the day, from 0; it may be later than the last one."""
        return int((time.monotonic() - self.began) * self.pace // 3600)

    @property
    def is_scanned(self) -> bool:
        """Whether every examination was ordered and made."""
        return len(self.said.studies) == len(self.exams)

    @property
    def is_signed(self) -> bool:
        """Whether every examination has its report."""
        return len(self.said.signed) >= len(self.exams)

    def stop(self) -> None:
        """Send everybody home, with what they have not done."""
        self.over.set()
        for queue in (*self._orders.values(), *self._devices.values()):
            queue.close()
        for thread in self._threads:
            thread.join(60)

    # --- township ---

    def _his(self, town: str) -> None:
        client = MllpClient(self.county.mllp_port)
        while not self.over.is_set() and (next_one := self._orders[town].take()) is not None:
            at, exam = next_one
            assert isinstance(exam, Exam)
            self.late = max(self.late, time.monotonic() - at)
            for copy in range(2 if exam.is_sent_twice else 1):
                while True:
                    began = time.monotonic()
                    try:
                        answer = client.send_message(exam.order)
                        break
                    except (NoAnswer, OSError) as error:
                        self.said.trouble(f"{exam.placer}: {type(error).__name__}: {error}")
                        client.socket.close()
                        time.sleep(1)
                        client = MllpClient(self.county.mllp_port)
                self.said.timed("order", began)
                self._ordered(exam, hl7.parse(answer.decode()), again=bool(copy))
        client.socket.close()

    def _ordered(self, exam: Exam, answer: hl7.Message, *, again: bool) -> None:
        if str(answer.segment("MSA")[1]) != "AA" or str(answer.segment("ORC")[1]) != "OK":
            self.said.trouble(f"{exam.placer}: {answer.segment('MSA')}")
            return
        accession = str(answer.segment("ORC")[3]).partition("^")[0]
        if again:
            self.said.sent_again += 1
            if self.said.accessions[exam.placer] != accession:
                self.said.trouble(f"{exam.placer}: answered {accession} the second time")
            return
        self.said.accessions[exam.placer] = accession
        at = time.monotonic() + exam.until_scanned / self.pace
        self._devices[device_of(exam.town, exam.kind.name)].put(at, exam.number, exam)

    def _device(self, name: str) -> None:
        while not self.over.is_set() and (next_one := self._devices[name].take()) is not None:
            exam = next_one[1]
            assert isinstance(exam, Exam)
            self._scan(name, exam)

    def _scan(self, name: str, exam: Exam) -> None:
        pictures, sop_class = self.pictures.of(exam, self.said.accessions[exam.placer]), CLASSES[exam.kind.name]
        began = time.monotonic()
        pictures += [picture for picture in pictures if self.chance.random() < AGAIN]
        with Scu(self.county.dimse_port, sop_class, calling=name, called="HUREN") as scu:
            for picture in pictures:
                message = scu.message(store_command(sop_class, picture.uid), picture.data)
                sent = time.monotonic()
                scu.ask(message)
                self.said.timed(f"{exam.kind.name} object", sent)
                with self.said.lock:
                    self.said.bytes_sent += len(picture.data)
                    self.said.sent_again += picture.uid in self.said.objects
                    self.said.objects[picture.uid] = exam, Picture(picture.uid, b"", picture.digest)
        self.said.timed(f"{exam.kind.name} study", began)
        with self.said.lock:
            self.said.studies[exam.placer] = time.monotonic()

    # --- center ---

    def _reader(self, api: httpx.Client, status: str) -> None:
        while not self.over.is_set():
            if not self._read_one(api, status):
                self.over.wait(IDLE)

    def _read_one(self, api: httpx.Client, status: str) -> bool:
        """Take one of the first cases that wait, as people do; whether there was one."""
        found = self._ask("list", lambda: api.get("/api/worklist", params={"status": status, "limit": 20}))
        items = found.json()["items"] if found is not None else []
        free = [item for item in items if not item["holder"] and not item["arriving"] and item["linked"]]
        if not free:
            return False
        case = self.chance.choice(free[:10])
        place = f"/api/readings/{case['id']}"
        if self._ask("claim", lambda: api.post(f"{place}/claim"), may_conflict=True) is None:
            return True  # somebody else was quicker
        if status == "unread":
            self._ask("draft", lambda: api.put(f"{place}/report", json=WORDS))
            self._ask("submit", lambda: api.post(f"{place}/submit"))
        elif self._ask("signature", lambda: api.post(f"{place}/sign")) is not None:
            with self.said.lock:
                self.said.signed[case["accession_number"]] = time.monotonic()
        return True

    def _ask(
        self, what: str, call: Callable[[], httpx.Response], *, may_conflict: bool = False
    ) -> httpx.Response | None:
        began = time.monotonic()
        answer = call()
        self.said.timed(what, began)
        if answer.is_success:
            return answer
        # Who is slow finds a case held (409), or in review already, which is not a reader's to claim (403).
        if not (may_conflict and answer.status_code in (403, 409)):
            self.said.trouble(f"{what}: {answer.status_code} {answer.text[:200]}")
        return None
