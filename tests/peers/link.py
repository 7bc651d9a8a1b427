"""A link that breaks: everything between a browser and a server goes through it, until it is told to be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.peers.ports import LOOPBACK, free_port


class Link:
    """A way to a port of this computer. While it is cut, nobody gets through."""

    def __init__(self, to: int) -> None:
        self.port, self._to = free_port(), to
        self._left: int | None = None  # bytes towards the server until it breaks by itself
        self._is_cut = self._closed = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._door = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._serve, name="link", daemon=True).start()

    @property
    def address(self) -> str:
        """Where it begins."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def is_cut(self) -> bool:
        """Whether it is broken now."""
        return self._is_cut

    def cut_after(self, size: int) -> None:
        """Break when `size` further bytes have gone to the server: in the middle of whatever that is."""
        with self._lock:
            self._left = size

    def mend(self) -> None:
        """Let everybody through again."""
        with self._lock:
            self._is_cut, self._left = False, None

    def close(self) -> None:
        """End it."""
        self._closed = True
        self._door.close()
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            self._is_cut = True
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        while not self._closed:
            try:
                near, _address = self._door.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection((LOOPBACK, self._to))
            except OSError:  # nobody is there
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                if counts and self._spend(len(piece)):
                    self._cut()
                    return
                other.sendall(piece)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _spend(self, size: int) -> bool:
        """Whether the link breaks here."""
        with self._lock:
            if self._left is None:
                return False
            self._left -= size
            return self._left < 0


@contextlib.contextmanager
def open_link(to: int) -> Iterator[Link]:
    """A link to a port for the length of the block."""
    link = Link(to)
    try:
        yield link
    finally:
        link.close()
