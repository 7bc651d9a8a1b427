"""HL7 over MLLP per second, beside servers on python-hl7 and hl7apy that only keep the message.

Two kinds: orders, which Huren places as well, and news of a patient whom it knows (ADT^A08), which place nothing and
compare what a server does for any message: durable bytes, character set, duplicates found, an answer.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench import county, peers
from tests.bench.measuring import HUREN, Figure, Goal, Say, alternate
from tests.integration.killing import Server
from tests.peers.mllp_client import MllpClient
from worklist.tables import Message, Order

PYTHON_HL7: Final = "python-hl7"
HL7APY: Final = "hl7apy"
PROCEDURES: Final = ("CT-HEAD", "CT-CHEST", "DR-CHEST", "US-ABDOMEN")
CONNECTIONS: Final = (1, 8)
PATIENTS: Final = 16  # a multiple of the connections: news of one patient keeps its order, as a HIS sends it


@dataclass(frozen=True)
class Load:
    """One kind of message over so many connections, and the figure that it fills."""

    name: str
    connections: int
    make: Callable[[int], bytes]
    figure: Figure


@dataclass
class Side:
    """One server and how many messages it was sent; numbers go on from there."""

    name: str
    port: int
    sent: int = 0

    def turn(self, repetition: int, load: Load, number: int) -> None:
        """Send new messages and note how many were answered per second."""
        # A slow peer gets fewer of them: it is the rate that counts.
        number = number // 6 if self.name == HL7APY else number
        messages = [load.make(self.sent + n) for n in range(number)]
        self.sent += number
        rate = _send(self.port, [messages[c :: load.connections] for c in range(load.connections)])
        if repetition:
            load.figure.add(self.name, rate)


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    number = 24 if quick else 240
    loads = _loads()
    placed = 0
    with ExitStack() as stack:
        server = Server(folder / "huren")
        stack.callback(server.close)
        server.start()
        sides = [Side(HUREN, server.mllp_port)]
        for library in (PYTHON_HL7, HL7APY):
            peer = stack.enter_context(peers.hl7_server(library, folder / library))
            sides.append(Side(library, peer.port))
        for load in loads:
            before = sides[0].sent
            alternate({side.name: partial(side.turn, load=load, number=number) for side in sides}, repetitions)
            placed += sides[0].sent - before if load.make is _order else 0
            say(f"{load.name}: " + ", ".join(f"{s.name} {load.figure.middle(s.name):.0f}/s" for s in sides))
        held = len(server.world.rows(Order, Order.state == "scheduled"))
        assert held == placed, f"{held} of {placed} orders are placed"
        held = len(server.world.rows(Message, Message.direction == "in"))
        assert held == sides[0].sent, f"{held} of {sides[0].sent} messages are kept"
        for side in sides[1:]:
            with closing(sqlite3.connect(folder / side.name / "peer.sqlite3")) as database:
                kept = database.execute("SELECT count(*) FROM message").fetchone()[0]
            assert kept == side.sent, f"{side.name} kept {kept} of {side.sent} messages"
    return [load.figure for load in loads], []


def _loads() -> list[Load]:
    loads = []
    for connections in CONNECTIONS:
        over = f"{connections} connection{'s' if connections > 1 else ''}"
        name = f"HL7 orders, {over} (peers: kept, not placed)"
        loads.append(Load(name, connections, _order, Figure(name, "/s")))
    for connections in CONNECTIONS:
        over = f"{connections} connection{'s' if connections > 1 else ''}"
        name = f"HL7 messages that place nothing, {over}"
        goals = (Goal(PYTHON_HL7, must=3, aim=10), Goal(HL7APY, must=20, aim=100))
        loads.append(Load(name, connections, _news, Figure(name, "/s", goals)))
    return loads


def _send(port: int, shares: list[list[bytes]]) -> float:
    """Messages per second from the first to the last answer, each connection waiting for its answers."""
    clients = [MllpClient(port) for _ in shares]
    failures: list[BaseException] = []

    def send(client: MllpClient, mine: list[bytes]) -> None:
        try:
            for message in mine:
                answer = client.send_message(message)
                assert b"\rMSA|AA|" in answer, answer
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, shares, strict=True)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for client in clients:
        client.socket.close()
    if failures:
        raise failures[0]
    return sum(len(share) for share in shares) / seconds


def _order(n: int) -> bytes:
    """An ORM^O01 with one new order, for a patient who is new with every second order."""
    patient, procedure = f"H{n // 2:06}", PROCEDURES[n % len(PROCEDURES)]
    segments = (
        f"MSH|^~\\&|HIS|TS01|HUREN|CH01|20260302093000||ORM^O01|H{n:08}|P|2.4||||||UNICODE UTF-8",
        f"PID|1||{patient}^^^^MR||{county.name_of(n // 2)}||19600102|F",
        "PV1|1|O",
        f"ORC|NW|H{n:08}|||||^^^^^R",
        f"OBR|1|H{n:08}||{procedure}^{procedure}^L|||||||||头痛三天||0001^李医生|||||||||||^^^^^R",
    )
    return ("\r".join(segments) + "\r").encode()


def _news(n: int) -> bytes:
    """An ADT^A08 that says again what is known of one of the patients whose orders came before."""
    patient, at = n % PATIENTS, f"20260302{10 + n // 3600 % 14:02}{n // 60 % 60:02}{n % 60:02}"
    segments = (
        f"MSH|^~\\&|HIS|TS01|HUREN|CH01|{at}||ADT^A08|H{n:08}|P|2.4||||||UNICODE UTF-8",
        f"EVN|A08|{at}",
        f"PID|1||H{patient:06}^^^^MR||{county.name_of(patient)}||19600102|F",
        "PV1|1|O",
    )
    return ("\r".join(segments) + "\r").encode()
