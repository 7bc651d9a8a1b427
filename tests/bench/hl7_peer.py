"""A server that takes HL7 as the library's users write one: python-hl7's MLLP server, one durable row per message.

It reads the message, keeps it by its control id, commits, and answers AA. It knows no patients, orders or
procedures, finds no duplicates and places nothing. Run as ``python -m tests.bench.hl7_peer PORT DATABASE``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import Any

from hl7.mllp import start_hl7_server

from tests.peers.ports import LOOPBACK


async def serve(port: int, path: str) -> None:
    """Serve until killed."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE message (control_id TEXT, sender TEXT, raw TEXT)")

    async def talk(reader: Any, writer: Any) -> None:
        try:
            while True:
                message = await reader.readmessage()
                row = (str(message["MSH.10"]), str(message["MSH.4"]), str(message))
                database.execute("INSERT INTO message VALUES (?, ?, ?)", row)
                database.commit()
                writer.writemessage(message.create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await start_hl7_server(talk, host=LOOPBACK, port=port, encoding="utf-8")
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
