"""The web server's own patience: a request's head comes within a time and a size, or the connection ends.

uvicorn waits for the end of a head forever, and keeps all of it; a few thousand callers who send a byte now and then
would hold every descriptor of the process. Bodies have their limits in `gateway.http.BodyLimits`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 20.0  # from the first byte, or the opening of the connection, to the empty line
HEAD_BYTES: Final = 64 << 10
UNREAD_BYTES: Final = 32 << 20  # of a body that was refused: the sender needs time to read why


class PatientProtocol(HttpToolsProtocol):
    """One connection of the web door."""

    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller is there."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of heads and bodies."""
        if self._in_head:
            self._head += len(data)
        elif getattr(self.cycle, "response_complete", False):
            self._unread += len(data)
        super().data_received(data)
        if (self._in_head and self._head > HEAD_BYTES) or self._unread > UNREAD_BYTES:
            self._end()

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._end)
        self._in_head = True
        self._unread = 0

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._disarm()
        self._in_head, self._head = False, 0
        super().on_headers_complete()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.close()
