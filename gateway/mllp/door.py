"""The MLLP door: connections, deadlines and limits. What a message says is `intake`'s business.

One event loop in a thread of its own holds every connection; messages are answered in worker threads, because
the database is synchronous. The messages of one connection are answered one after the other, in their order.

Against strangers and slow lines:

- a frame that is begun must be finished in `frame_seconds`; a connection without a message ends after
  `idle_seconds`, whatever it sends meanwhile;
- when the door is full, the connection that has been without a message longest makes room. So a crowd of
  silent callers keeps nobody out; whoever is sent away has no answer yet, and sends again;
- unfinished messages of all connections together have a limit, and past it the oldest of them goes.

Over TLS (`gateway.tls`) a caller shows its certificate before anything is read; who shows none, a strange or an old
one is sent away and noted. The limits hold for handshakes too: a connection is counted before its handshake begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import structlog

from gateway import tls
from gateway.mllp.framer import LONGEST_MESSAGE, MOST_JUNK, Framer, wrap
from worklist.errors import BadInput, HurenError, TryLater

log = structlog.get_logger(__name__)

PIECE: Final = 65_536  # bytes read at once
LINGER_SECONDS: Final = 2.0  # after a refusal, so that the answer is read before the connection breaks


class Answers(Protocol):
    """What stands behind the door; called in worker threads. Answers come without frames.

    `certificate` is the fingerprint of the one that the caller showed, ``""`` without TLS.
    """

    def answer(self, message: bytes, address: str, certificate: str = "") -> list[bytes]:
        """Take one message; it is durable when this returns an acceptance."""
        ...

    def refuse(self, received: bytes, address: str, error: HurenError, certificate: str = "") -> list[bytes]:
        """Refuse bytes that make no message."""
        ...

    def stranger(self, address: str, reason: str) -> None:
        """Note a caller with whom no secure connection came about."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the door takes. Times are in seconds, sizes in bytes."""

    message: int = LONGEST_MESSAGE
    junk: int = MOST_JUNK  # between two frames
    unfinished: int = 64 << 20  # of all connections together
    connections: int = 256
    connections_per_address: int = 64  # a township's senders may share one address behind its router
    frame_seconds: float = 30.0  # from the first byte of a message to its last
    idle_seconds: float = 600.0  # without a message
    held_seconds: float = 0.5  # how long the 0x0D after 0x1C may take
    handshake_seconds: float = 10.0  # until a caller over TLS has shown its certificate
    stop_seconds: float = 30.0  # for the messages in work when the door is closed
    workers: int = 16  # messages answered at the same time


@dataclass(eq=False, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str
    framer: Framer
    task: asyncio.Task[None]
    since: float  # loop time at which it was opened, or last answered
    frame_since: float = 0.0  # loop time at which the open frame began, if one is open
    is_answering: bool = False
    in_memory: int = 0  # bytes, as counted in the door's sum
    certificate: str = ""  # fingerprint of what the caller showed


class MllpDoor:
    """An MLLP server. `start` it once; `stop` may be called from any thread, more than once too."""

    def __init__(
        self,
        behind: Answers,
        host: str,
        port: int,
        limits: Limits | None = None,
        secure: ssl.SSLContext | None = None,
        *,
        reuse_port: bool = False,
    ) -> None:
        """Nothing listens yet. Port 0 takes any free one; with `reuse_port` several processes share a port. With
        `secure` every connection begins with a handshake."""
        self._behind = behind
        self._host = host
        self._asked_port = port
        self._limits = limits or Limits()
        self._secure = secure
        self._reuse_port = reuse_port
        self._port: int | None = None
        self._connections: set[_Connection] = set()
        self._in_memory = 0  # bytes of unfinished messages, all connections together
        self._stopping = False
        self._turn = threading.Lock()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mllp-door", daemon=True)
        self._workers = ThreadPoolExecutor(self._limits.workers, thread_name_prefix="mllp-intake")

    @property
    def port(self) -> int:
        """Where it listens. Raises RuntimeError before `start`."""
        if self._port is None:
            raise RuntimeError("the door is not open")
        return self._port

    def start(self) -> None:
        """Listen. Raises OSError where the address is taken."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self._end_thread()
            raise

    def stop(self) -> None:
        """Close the door: messages in work are answered first, everything else ends at once."""
        with self._turn:
            if self._thread.is_alive():
                asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
                self._end_thread()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._workers.shutdown(cancel_futures=True)

    # From here on everything runs in the event loop's thread.

    async def _open(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, self._host, self._asked_port, limit=PIECE, backlog=256, reuse_port=self._reuse_port or None
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0)  # callers accepted just now start, and see that the door is closing
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks - {c.task for c in self._connections if c.is_answering}:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._limits.stop_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold one connection, from the moment it is accepted to its end."""
        peer = writer.get_extra_info("peername")
        address = peer[0].removeprefix("::ffff:") if peer else ""  # IPv4 through an IPv6 socket
        task = asyncio.current_task()
        if not address or task is None or self._stopping or not self._has_room(address):
            log.warning("mllp_connection_refused", address=address)
            writer.transport.abort()
            return
        framer = Framer(self._limits.message, self._limits.junk)
        connection = _Connection(reader, writer, address, framer, task, self._loop.time())
        self._connections.add(connection)
        try:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._secure is None or await self._shakes_hands(connection, self._secure):
                await self._converse(connection)
        except (OSError, TimeoutError):
            pass  # the sender is gone or takes no answer; what it was not told is not acknowledged
        except asyncio.CancelledError:
            pass  # sent away to make room, or the door is closing; nothing waits for this task's result
        except Exception as error:  # noqa: BLE001 # one connection must not take the door down
            # Without the traceback, whose values may be a patient's.
            log.warning("mllp_connection_failed", address=connection.address, error=type(error).__name__)
        finally:
            self._forget(connection)
            if framer.skipped:
                log.warning("mllp_bytes_skipped", address=connection.address, count=framer.skipped)
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    await writer.wait_closed()

    async def _shakes_hands(self, connection: _Connection, secure: ssl.SSLContext) -> bool:
        """Whether the caller showed a certificate that we trust; who did not is noted.

        Nothing may be awaited before this, or the caller's first bytes would be read as if they were plain.
        """
        seconds = self._limits.handshake_seconds
        try:
            await connection.writer.start_tls(secure, ssl_handshake_timeout=seconds)
        except OSError as error:  # ssl.SSLError and the time-out of a handshake are OSErrors
            reason = tls.refusal_reason(error)
            await self._loop.run_in_executor(self._workers, self._behind.stranger, connection.address, reason)
            return False
        shown = connection.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        connection.certificate = tls.fingerprint(shown)
        connection.since = self._loop.time()
        return True

    async def _converse(self, connection: _Connection) -> None:
        framer = connection.framer
        while not self._stopping:
            piece = await self._piece(connection)
            was_open = framer.is_open
            messages = framer.feed(piece or b"")
            if not piece and framer.is_held:
                messages = [framer.release()]
            if messages or not was_open:
                connection.frame_since = self._loop.time()
            has_memory = self._has_memory(connection)
            for message in messages:
                if self._stopping:
                    return
                work = partial(self._behind.answer, message, connection.address, connection.certificate)
                await self._answer(connection, work)
                connection.frame_since = self._loop.time()  # reading rested meanwhile
            error: HurenError | None = framer.fault or (None if has_memory else TryLater("door_full"))
            if error is None and not piece and not messages:
                error = _ending(framer, cut=piece is not None)
                if error is None:
                    return
            if error is not None:
                await self._refuse(connection, error)
                return

    async def _piece(self, connection: _Connection) -> bytes | None:
        """The next bytes; empty when the sender has finished or is gone, None when its time is up."""
        framer, limits, now = connection.framer, self._limits, self._loop.time()
        if framer.is_held:
            deadline = now + limits.held_seconds
        elif framer.is_open:
            deadline = connection.frame_since + limits.frame_seconds
        else:
            deadline = connection.since + limits.idle_seconds
        try:
            async with asyncio.timeout_at(deadline):
                return await connection.reader.read(PIECE)
        except TimeoutError:
            return None
        except OSError:
            return b""

    async def _answer(self, connection: _Connection, work: Callable[[], list[bytes]]) -> None:
        connection.is_answering = True
        try:
            for answer in await self._loop.run_in_executor(self._workers, work):
                connection.writer.write(wrap(answer))
            async with asyncio.timeout(self._limits.frame_seconds):
                await connection.writer.drain()
        finally:
            connection.is_answering = False
            connection.since = self._loop.time()

    async def _refuse(self, connection: _Connection, error: HurenError) -> None:
        """Say why, and wait a little: closing with bytes unread would take the answer from the sender."""
        framer = connection.framer
        refuse = self._behind.refuse
        await self._answer(
            connection, partial(refuse, framer.unused, connection.address, error, connection.certificate)
        )  # fmt: skip
        if connection.writer.can_write_eof():  # TLS has no half-closed connections
            connection.writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await connection.reader.read(PIECE):
                    pass

    # --- room and memory ---

    def _has_room(self, address: str) -> bool:
        """Whether one more may come in, after one that has been quiet was sent away if need be."""
        crowd = [c for c in self._connections if c.address == address]
        if len(crowd) < self._limits.connections_per_address:
            if len(self._connections) < self._limits.connections:
                return True
            crowd = list(self._connections)
        quiet = [c for c in crowd if not c.is_answering]
        if not quiet:
            return False
        self._send_away(min(quiet, key=lambda c: c.since))
        return True

    def _has_memory(self, connection: _Connection) -> bool:
        """Count what this connection holds; False where it holds the oldest message and there is too much."""
        self._in_memory += len(connection.framer) - connection.in_memory
        connection.in_memory = len(connection.framer)
        while self._in_memory > self._limits.unfinished:
            unfinished = [c for c in self._connections if c.in_memory and not c.is_answering]
            oldest = min(unfinished, key=lambda c: c.frame_since)
            if oldest is connection:
                return False
            self._send_away(oldest)
        return True

    def _send_away(self, connection: _Connection) -> None:
        log.warning("mllp_connection_sent_away", address=connection.address)
        self._forget(connection)
        connection.task.cancel()

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._in_memory -= connection.in_memory
        connection.in_memory = 0


def _ending(framer: Framer, *, cut: bool) -> HurenError | None:
    """What is wrong with a connection that ends here, cut off by the sender or by the clock."""
    if framer.is_open:
        return TryLater("message_cut_off" if cut else "message_too_slow")
    if framer.unused:
        return BadInput("bytes_between_frames", limit=framer.most_junk)
    return None
