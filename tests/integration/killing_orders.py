"""A township's HIS that orders over several connections while the server is killed, and what became of each order."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

import hl7

from tests.integration.killing import Count, Doors
from tests.peers.mllp_client import MllpClient, NoAnswer
from worklist.tables import Message, Order

PROCEDURES = ("CT-HEAD", "CT-CHEST", "DR-CHEST", "US-ABDOMEN")


@dataclass(frozen=True)
class Placed:
    """One order as the HIS keeps it: the same bytes go out until they are acknowledged."""

    placer: str
    control_id: str
    message: bytes


def order_of(n: int, patient: str) -> Placed:
    """The `n`th order of TS01's HIS, for the patient with this number there."""
    placer, control, procedure = f"K{n:06}", f"C{n:06}", PROCEDURES[n % len(PROCEDURES)]
    segments = (
        f"MSH|^~\\&|HIS|TS01|HUREN|CH01|20260302093000||ORM^O01|{control}|P|2.4||||||UNICODE UTF-8",
        f"PID|1||{patient}^^^^MR||测试{patient}||19600102|O",
        "PV1|1|O",
        f"ORC|NW|{placer}|||||^^^^^R",
        f"OBR|1|{placer}||{procedure}^{procedure}^L|||||||||头痛三天||0001^李医生|||||||||||^^^^^R",
    )
    return Placed(placer, control, ("\r".join(segments) + "\r").encode())


class Orderer:
    """Sends each order until it has an answer, over a new connection after each cut."""

    def __init__(self, server: Doors, chance: random.Random, first: int = 1) -> None:
        """`first` is the number of the first order."""
        self.server = server
        self.first = first
        self.chance = chance
        self.placed: list[Placed] = []
        self.answers: dict[str, bytes] = {}  # by placer number, the first answer that arrived
        self.sent = 0  # messages, with those sent again
        self.count = Count()
        self._lock = threading.Lock()

    def make(self, number: int) -> list[Placed]:
        """`number` new orders, for patients some of whom come more than once."""
        made: list[Placed] = []
        for _ in range(number):
            n = self.first + len(self.placed) + len(made)
            made.append(order_of(n, f"{self.chance.randrange(5000):05}"))
        self.placed += made
        return made

    def load(self, number: int, connections: int = 3) -> list[Callable[[], None]]:
        """`number` new orders over several connections at once, until the first cut of each."""
        made = self.make(number)
        return [lambda c=c: self.until_cut(made[c::connections]) for c in range(connections)]  # type: ignore[misc]

    def until_cut(self, orders: list[Placed]) -> None:
        """Send one after the other over one connection; return when all are answered or the connection broke."""
        try:
            client = MllpClient(self.server.mllp_port)
        except OSError:
            return
        try:
            for order in orders:
                with self._lock:
                    self.sent += 1
                answer = client.send_message(order.message)
                if b"\rMSA|AE|" in answer:
                    return  # not now
                with self._lock:
                    self.answers.setdefault(order.placer, answer)
                self.count.up()
        except (NoAnswer, OSError):
            pass  # sent again after the restart
        finally:
            client.socket.close()

    def send_what_is_open(self) -> None:
        """After a restart: every order that has no answer yet, the same bytes."""
        self.until_cut([order for order in self.placed if order.placer not in self.answers])

    def faults(self) -> list[str]:
        """Orders lost, doubled, or answered otherwise than recorded."""
        faults = []
        orders: dict[str, list[Order]] = {}
        for row in self.server.world.rows(Order):
            orders.setdefault(row.placer_number, []).append(row)
        messages: dict[str, list[Message]] = {}
        for message in self.server.world.rows(Message, Message.direction == "in"):
            messages.setdefault(message.control_id, []).append(message)
        for placed in self.placed:
            held, said = orders.get(placed.placer, []), messages.get(placed.control_id, [])
            if len(held) > 1 or len(said) > 1:
                faults.append(f"{placed.placer}: {len(held)} orders from {len(said)} messages")
            answer = self.answers.get(placed.placer)
            if answer is None:
                continue
            if len(held) != 1 or len(said) != 1:
                faults.append(f"{placed.placer} was acknowledged: {len(held)} orders from {len(said)} messages")
                continue
            if said[0].answer != answer or said[0].raw != placed.message:
                faults.append(f"{placed.placer}: not kept as it was sent and answered")
            read = hl7.parse(answer.decode())
            if str(read.segment("MSA")[1]) != "AA" or str(read.segment("MSA")[2]) != placed.control_id:
                faults.append(f"{placed.placer}: answered {read.segment('MSA')}")
            if str(read.segment("ORC")[1]) != "OK" or held[0].accession_number not in str(read):
                faults.append(f"{placed.placer}: answered {read.segment('ORC')}")
        return faults

    def answers_differ(self, orders: list[Placed]) -> list[str]:
        """Send orders once more; each must get the very answer it had before."""
        client = MllpClient(self.server.mllp_port)
        try:
            again = {order.placer: client.send_message(order.message) for order in orders}
        finally:
            client.socket.close()
        return [placer for placer, answer in again.items() if answer != self.answers[placer]]
