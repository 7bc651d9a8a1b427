"""A township's HIS as a receiver: it keeps each message it gets and answers as the test's script says."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

import hl7
from hl7.client import CR, EB, SB

from tests.peers.ports import LOOPBACK, free_port


@dataclass(frozen=True)
class Answer:
    """What the HIS does with a message: the code of MSA-1, or silence.

    `after` is how long it takes, in seconds; `control_id` stands in MSA-2 in place of the message's own;
    `hang_up` closes the connection afterwards.
    """

    code: Literal["AA", "AE", "AR"] | None = "AA"
    after: float = 0
    text: str = ""
    control_id: str | None = None
    hang_up: bool = False


ACCEPT = Answer()
ERROR = Answer("AE", text="try again")
REJECT = Answer("AR", text="never")
SILENCE = Answer(None)


def late(seconds: float) -> Answer:
    """Accept, but only after so many seconds."""
    return Answer(after=seconds)


class His:
    """An MLLP listener on a free loopback port, one thread for each connection."""

    def __init__(self, *, encoding: str = "utf-8", tls: ssl.SSLContext | None = None) -> None:
        """Start listening; `encoding` is how it reads messages and writes its answers, `tls` how it is secured."""
        self.encoding = encoding
        self.tls = tls
        self.port = free_port()
        self.otherwise = ACCEPT
        self.raw: list[bytes] = []
        self._script: deque[Answer] = deque()
        self._arrived = threading.Condition()
        self._server: _Server | None = None
        self.come_back()

    @property
    def received(self) -> list[hl7.Message]:
        """Every message so far, in order of arrival, as python-hl7 reads it."""
        with self._arrived:
            return [hl7.parse(raw.decode(self.encoding)) for raw in self.raw]

    def will(self, *answers: Answer) -> None:
        """Answer the next messages so, in this order; afterwards `otherwise` applies again."""
        with self._arrived:
            self._script.extend(answers)

    def wait_for(self, count: int, seconds: float = 30) -> list[hl7.Message]:
        """Return all messages once at least `count` have come. Raises AssertionError when time is up."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.raw) >= count, seconds)
            have = len(self.raw)
        assert have >= count, f"the HIS got {have} messages in {seconds} s, not {count}"
        return self.received

    def go_away(self) -> None:
        """Stop listening and cut every connection; the port is refused until `come_back`."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def come_back(self) -> None:
        """Listen again on the same port."""
        if self._server is None:
            self._server = _Server(self)

    def take(self, raw: bytes) -> Answer:
        """Keep one message and say what to do with it."""
        with self._arrived:
            self.raw.append(raw)
            self._arrived.notify_all()
            return self._script.popleft() if self._script else self.otherwise

    def reply(self, raw: bytes, answer: Answer) -> bytes:
        """Write the acknowledgement (HL7 v2 chapter 2, ACK) of a message."""
        msh = hl7.parse(raw.decode(self.encoding)).segment("MSH")
        sender, receiver = "|".join(map(str, msh[3:5])), "|".join(map(str, msh[5:7]))
        control_id = str(msh[10])
        stamp = time.strftime("%Y%m%d%H%M%S+0000", time.gmtime())
        segments = [
            f"MSH|^~\\&|{receiver}|{sender}|{stamp}||ACK|A{control_id}|P|{msh[12]}",
            f"MSA|{answer.code}|{answer.control_id or control_id}|{answer.text}",
        ]
        return ("\r".join(segments) + "\r").encode(self.encoding)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, his: His) -> None:
        self.his = his
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((LOOPBACK, his.port), _Connection)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def opened(self, connection: socket.socket) -> None:
        with self._guard:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._guard:
            self._open.discard(connection)

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._guard:
            for connection in self._open:
                _cut(connection)


class _Connection(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def setup(self) -> None:
        if (tls := self.server.his.tls) is not None:
            try:
                self.request = tls.wrap_socket(self.request, server_side=True)
            except OSError:  # the sender goes away after a look at the certificate, or shows none
                self.request.close()
        self.server.opened(self.request)

    def finish(self) -> None:
        self.server.closed(self.request)
        self.request.close()  # where it is secured, the server knows only the socket below

    def handle(self) -> None:
        """Read frame after frame until the sender goes or the HIS goes away."""
        unread = b""
        while True:
            try:
                piece = self.request.recv(65536)
            except OSError:
                return
            if not piece:
                return
            unread += piece
            while EB + CR in unread:
                frame, _, unread = unread.partition(EB + CR)
                if not self._answered(frame.removeprefix(SB)):
                    return

    def _answered(self, raw: bytes) -> bool:
        """Do what the script says; False when the connection is to end."""
        his = self.server.his
        answer = his.take(raw)
        if answer.after and self.server.closing.wait(answer.after):
            return False
        if answer.code is not None:
            try:
                self.request.sendall(SB + his.reply(raw, answer) + EB + CR)
            except OSError:
                return False  # the sender did not wait
        return not answer.hang_up


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # gone already
