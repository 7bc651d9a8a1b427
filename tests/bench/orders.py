"""HL7 over MLLP: orders placed and answered per second, beside a python-hl7 server that only keeps the message."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench import county, peers
from tests.bench.measuring import HUREN, Figure, Say, alternate
from tests.integration.killing import Server
from tests.peers.mllp_client import MllpClient
from worklist.tables import Order

PEER: Final = "python-hl7 server"
PROCEDURES: Final = ("CT-HEAD", "CT-CHEST", "DR-CHEST", "US-ABDOMEN")
CONNECTIONS: Final = (1, 8)


@dataclass
class Side:
    """One server and how many orders it was sent; placer numbers go on from there."""

    name: str
    port: int
    figures: dict[int, Figure]
    sent: int = 0

    def turn(self, repetition: int, connections: int, number: int) -> None:
        """Send new orders and note how many were answered per second."""
        messages = [_message(self.sent + n) for n in range(number)]
        self.sent += number
        rate = _send(self.port, [messages[c::connections] for c in range(connections)])
        if repetition:
            self.figures[connections].add(self.name, rate)


def run(folder: Path, repetitions: int, quick: bool, say: Say) -> tuple[list[Figure], list[str]]:
    """Measure; returns the figures and what there is to say about them."""
    number = 24 if quick else 240
    figures = {
        c: Figure(f"HL7 orders, {c} connection{'s' if c > 1 else ''} (peer: kept, not placed)", "/s")
        for c in CONNECTIONS
    }
    with ExitStack() as stack:
        server = Server(folder / "huren")
        stack.callback(server.close)
        server.start()
        peer = stack.enter_context(peers.python_hl7_server(folder / "peer"))
        sides = [Side(HUREN, server.mllp_port, figures), Side(PEER, peer.port, figures)]
        for connections in CONNECTIONS:
            turns = {side.name: partial(side.turn, connections=connections, number=number) for side in sides}
            alternate(turns, repetitions)
            rates = ", ".join(f"{s.name} {figures[connections].middle(s.name):.0f}/s" for s in sides)
            say(f"{connections} connections: {rates}")
        placed = len(server.world.rows(Order, Order.state == "scheduled"))
        assert placed == sides[0].sent, f"{placed} of {sides[0].sent} orders are placed"
        with closing(sqlite3.connect(folder / "peer" / "peer.sqlite3")) as database:
            kept = database.execute("SELECT count(*) FROM message").fetchone()[0]
        assert kept == sides[1].sent, f"the peer kept {kept} of {sides[1].sent} messages"
    return list(figures.values()), []


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


def _message(n: int) -> bytes:
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
