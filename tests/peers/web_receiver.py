"""A receiver of webhooks, over HTTP or HTTPS: it keeps every request, and answers as its plan says."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final

from tests.peers.certificates import Made
from tests.peers.ports import LOOPBACK

DRIP: Final = -1
"""In place of a status: a header that never ends, a few bytes at a time."""
SILENT: Final = -2
"""In place of a status: no answer at all, until the receiver goes away."""


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]  # lower-case names
    body: bytes


class WebReceiver:
    """The receiver, in threads of its own. `plan` gives the status for the n-th request (from zero)."""

    def __init__(self, plan: Callable[[int], int] = lambda _: 200, *, certificate: Made | None = None) -> None:
        """Listen on a free port."""
        self.received: list[Got] = []
        self._gone = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.received.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                outer.answer(self, plan(len(outer.received) - 1))

            do_GET = do_POST  # what would be asked if a redirect were followed

            def log_message(self, *_what: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # callers that hang up are the test
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler, status: int) -> None:
        """Answer one request as the plan said."""
        with contextlib.suppress(OSError):
            if status == SILENT:
                self._gone.wait(60)
            elif status == DRIP:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not self._gone.wait(0.02):
                    handler.wfile.write(b"x")
            else:
                handler.send_response(status)
                handler.send_header("Content-Length", "0")
                if 300 <= status < 400:
                    handler.send_header("Location", f"http://{LOOPBACK}:{self.port}/elsewhere")
                handler.end_headers()

    def close(self) -> None:
        """Go away."""
        self._gone.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> WebReceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
