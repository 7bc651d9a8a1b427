"""A bad line: a TCP proxy that is slow, stalls, cuts, resets, flips bytes or loses answers, as its plan says."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from tests.peers.ports import LOOPBACK


@dataclass(frozen=True)
class Way:
    """What happens to the bytes in one direction. Places are counted in bytes from the start of the connection."""

    latency: float = 0  # seconds before each piece goes on
    delay: float = 0  # seconds that the way takes; others may be on it meanwhile
    piece: int = 65_536  # bytes handed on at once; 1: one byte at a time
    rate: float = 0  # bytes per second; 0: as fast as they come
    cut_at: int | None = None  # the connection ends here; 0: nothing arrives (a lost answer)
    reset: bool = False  # it ends with RST in place of FIN
    stall_at: int | None = None  # nothing arrives from here on, and nobody is told
    flip_at: int | None = None  # one bit of the byte here is another


@dataclass(frozen=True)
class Fault:
    """What happens to one connection."""

    name: str = "none"
    up: Way = Way()
    down: Way = Way()


FINE = Fault()


class BadLine:
    """The proxy, in a thread of its own with its own event loop."""

    def __init__(self, port: int, plan: Callable[[int], Fault] = lambda _: FINE) -> None:
        """Listen on a free port and go on to `port`; `plan` says what befalls the n-th connection (from zero)."""
        self.connections = 0
        self._to, self._plan = port, plan
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, LOOPBACK, 0, backlog=512), self._loop
        ).result()
        self.port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """End every connection."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> BadLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._plan(self.connections)
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there = await asyncio.open_connection(LOOPBACK, self._to)
        except OSError:
            writer.close()
            return
        for one in (writer, there[1]):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = [
            asyncio.ensure_future(_pump(reader, there[1], fault.up)),
            asyncio.ensure_future(_pump(there[0], writer, fault.down)),
        ]
        reset = False
        try:
            # One side that is done only closes its half; a cut ends both.
            for way in asyncio.as_completed(ways):
                if await way:
                    reset = fault.up.reset or fault.down.reset
                    break
        finally:
            for pump in ways:
                pump.cancel()
            for one in (writer, there[1]):
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    one.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    one.transport.abort()
                one.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> bool:
    """Hand on what comes; whether the whole connection is to end."""
    at, later = 0, asyncio.get_running_loop().call_later
    try:
        while data := bytearray(await reader.read(65_536)):
            if way.cut_at is not None and at + len(data) > way.cut_at:
                writer.write(data[: max(0, way.cut_at - at)])
                await writer.drain()
                return True
            if way.flip_at is not None and 0 <= way.flip_at - at < len(data):
                data[way.flip_at - at] ^= 1
            for start in range(0, len(data), way.piece):
                piece = data[start : start + way.piece]
                if way.latency or way.rate:
                    await asyncio.sleep(way.latency + (len(piece) / way.rate if way.rate else 0))
                if way.stall_at is None or at + start < way.stall_at:
                    if way.delay:
                        later(way.delay, writer.write, bytes(piece))
                    else:
                        writer.write(piece)
                    await writer.drain()
                    if way.piece < 64:
                        await asyncio.sleep(0)  # or the kernel would put the small pieces together
            at += len(data)
        await asyncio.sleep(way.delay)  # until the last of it has arrived
        if way.stall_at is None:
            writer.write_eof()
    except OSError:
        return True
    return False
