"""A township's HIS as a sender: python-hl7's MLLP client, made to wait for whole answers."""

from __future__ import annotations

import hl7
from hl7.client import CR, EB, SB, MLLPClient

from tests.peers.ports import LOOPBACK


class NoAnswer(Exception):
    """The receiver closed the connection, or said nothing in time."""


class MllpClient(MLLPClient):  # type: ignore[misc] # python-hl7 carries no types
    """One MLLP connection (HL7 v2 chapter 2.B, "minimal lower layer protocol").

    python-hl7's own client takes one recv for the whole answer and waits forever; this one reads up to the
    end block and keeps a deadline.
    """

    def __init__(self, port: int, *, encoding: str = "utf-8", seconds: float = 30) -> None:
        """Connect to a door on the loopback address; `seconds` is the longest wait for a piece of answer."""
        super().__init__(LOOPBACK, port, encoding)
        self.socket.settimeout(seconds)
        self._unread = b""

    def ask(self, message: str | bytes) -> hl7.Message:
        """Send one message (text is encoded as set, bytes go out as they are) and return the parsed answer.

        Raises NoAnswer.
        """
        text = message.replace("\n", "\r") if isinstance(message, str) else message
        return hl7.parse(self.send_message(text).decode(self.encoding))

    def send(self, data: bytes) -> bytes:
        """Send bytes as they are and return one answer without its frame. Raises NoAnswer."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise NoAnswer("connection broken while sending") from error
        return self.receive()

    def receive(self) -> bytes:
        """Return the next answer without its frame. Raises NoAnswer."""
        while EB + CR not in self._unread:
            try:
                piece = self.socket.recv(65536)
            except TimeoutError as error:
                raise NoAnswer(f"no whole answer in time, only {self._unread!r}") from error
            except ConnectionError as error:
                raise NoAnswer(f"connection broken after {self._unread!r}") from error
            if not piece:
                raise NoAnswer(f"connection closed after {self._unread!r}")
            self._unread += piece
        frame, _, self._unread = self._unread.partition(EB + CR)
        return frame.removeprefix(SB)
