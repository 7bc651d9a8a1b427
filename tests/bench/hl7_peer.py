"""Servers that take HL7 as the libraries' users write one: python-hl7 or hl7apy, one durable row per message.

They read the message, keep it by its control id, commit, and answer AA. They know no patients, orders or procedures,
find no duplicates and place nothing. hl7apy's own MLLP server closes the connection after each message; here it goes
on reading, in its favour. Run as ``python -m tests.bench.hl7_peer LIBRARY PORT DATABASE``.
"""

from __future__ import annotations

import asyncio
import socketserver
import sqlite3
import sys
import threading
from typing import Any

from hl7.mllp import start_hl7_server
from hl7apy.core import Message
from hl7apy.parser import parse_message

from tests.peers.ports import LOOPBACK


class Book:
    """The table of messages."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE message (control_id TEXT, sender TEXT, raw TEXT)")
        self._lock = threading.Lock()

    def keep(self, control_id: str, sender: str, raw: str) -> None:
        """Write one durable row."""
        with self._lock:
            self._database.execute("INSERT INTO message VALUES (?, ?, ?)", (control_id, sender, raw))
            self._database.commit()


async def serve_python_hl7(port: int, book: Book) -> None:
    """Serve with python-hl7's asyncio server until killed."""

    async def talk(reader: Any, writer: Any) -> None:
        try:
            while True:
                message = await reader.readmessage()
                book.keep(str(message["MSH.10"]), str(message["MSH.4"]), str(message))
                writer.writemessage(message.create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await start_hl7_server(talk, host=LOOPBACK, port=port, encoding="utf-8")
    async with server:
        await server.serve_forever()


def serve_hl7apy(port: int, book: Book) -> None:
    """Serve with hl7apy's parser, a thread for each connection, until killed."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            unread = b""
            while piece := self.request.recv(65536):
                unread += piece
                while b"\x1c\r" in unread:
                    frame, _, unread = unread.partition(b"\x1c\r")
                    self.request.sendall(b"\x0b" + _answer(frame.lstrip(b"\x0b").decode(), book) + b"\x1c\r")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    Server((LOOPBACK, port), Handler).serve_forever()


def _answer(raw: str, book: Book) -> bytes:
    message: Any = parse_message(raw)
    control_id = str(message.msh.msh_10.value)
    book.keep(control_id, str(message.msh.msh_4.value), raw)
    answer: Any = Message("ACK", version="2.4")
    answer.msa.msa_1, answer.msa.msa_2 = "AA", control_id
    return bytes(answer.to_er7().encode())


if __name__ == "__main__":
    if sys.argv[1] == "hl7apy":
        serve_hl7apy(int(sys.argv[2]), Book(sys.argv[3]))
    else:
        asyncio.run(serve_python_hl7(int(sys.argv[2]), Book(sys.argv[3])))
