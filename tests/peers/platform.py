"""A regional platform: a small FHIR server that takes transactions of conditional updates (R4 3.1.0.7.2, 3.1.0.11),
all or none, and any document at other paths. It knows nothing of our code."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.peers.certificates import Made
from tests.peers.ports import LOOPBACK

Resource = dict[str, Any]


@dataclass(frozen=True)
class Posted:
    """One request."""

    path: str
    headers: dict[str, str]  # lower-case names
    body: bytes


@dataclass
class Platform:
    """The platform, in threads of its own. `refuses` says what is wrong with a resource, or nothing; `plan` gives the
    HTTP status of the n-th request (from zero) where that is not 200."""

    refuses: Callable[[Resource], str] = lambda _resource: ""
    plan: Callable[[int], int] = lambda _n: 200
    certificate: Made | None = None
    client_trusted: str = ""  # PEM: only who shows this certificate is served
    posted: list[Posted] = field(default_factory=list)
    held: dict[str, list[Resource]] = field(default_factory=dict)  # by kind; each with an id of the platform's own
    port: int = 0

    def one(self, kind: str) -> Resource:
        """The only resource of this kind."""
        (found,) = self.held[kind]
        return found

    def __enter__(self) -> Platform:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = outer.answer(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                said = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/fhir+json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_what: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who is refused is the test
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)
            if self.client_trusted:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=self.client_trusted)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, posted: Posted) -> tuple[int, Resource]:
        """Take a request, and say what became of it."""
        self.posted.append(posted)
        status = self.plan(len(self.posted) - 1)
        if status != 200:
            return status, _outcome("the platform is not well")
        if not posted.path.startswith("/fhir"):
            return 200, {}
        bundle = json.loads(posted.body)
        if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
            return 400, _outcome("no transaction")
        wrong = [self.refuses(entry["resource"]) for entry in bundle["entry"]]
        if any(wrong):
            said = [_response("422 Unprocessable", w) if w else _response("424 Failed dependency") for w in wrong]
            return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": said}
        return 200, {
            "resourceType": "Bundle",
            "type": "transaction-response",
            "entry": [self._take(entry) for entry in bundle["entry"]],
        }

    def _take(self, entry: Resource) -> Resource:
        """A conditional update: by the identifier that the request names, one is made or replaced."""
        resource = entry["resource"]
        asked = urlsplit(entry["request"]["url"])
        assert (entry["request"]["method"], asked.path) == ("PUT", resource["resourceType"])
        system, _bar, value = parse_qs(asked.query, strict_parsing=True)["identifier"][0].partition("|")
        same = self.held.setdefault(asked.path, [])
        for n, held in enumerate(same):
            if any((i.get("system"), i["value"]) == (system, value) for i in held["identifier"]):
                same[n] = resource
                return _response("200 OK")
        assert any((i.get("system"), i["value"]) == (system, value) for i in resource["identifier"])
        same.append(resource)
        return _response("201 Created")


def _response(status: str, words: str = "") -> Resource:
    return {"response": {"status": status} | ({"outcome": _outcome(words)} if words else {})}


def _outcome(words: str) -> Resource:
    issue = {"severity": "error", "code": "processing", "details": {"text": words}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
