"""A signing service by the API of the Cloud Signature Consortium: it holds a key, and signs digests for whoever has the
token and the PIN. Each authorization is good for one signature over the very digest that it was asked for."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from tests.peers.ports import LOOPBACK

TOKEN: Final = "let me in"
PIN: Final = "2718"
CREDENTIAL: Final = "hospital-1"
_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_SHA256_RSA: Final = "1.2.840.113549.1.1.11"


class SigningServer:
    """The service, in threads of its own. `status` answers every request with that status instead, where it is set."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        """Listen on a free port."""
        self.key = key
        self.status = 0
        self.signed = 0
        self._allowed: dict[str, list[str]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                is_known = self.headers.get("authorization") == f"Bearer {TOKEN}"
                status, answer = outer.answer(self.path, said) if is_known else (401, {"error": "invalid_token"})
                body = json.dumps(answer).encode()
                self.send_response(outer.status or status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_what: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Its address, up to and with its version."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/csc/v1"

    def answer(self, path: str, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What it answers to one request."""
        if said.get("credentialID") != CREDENTIAL:
            return 400, {"error": "invalid_request"}
        if path == "/csc/v1/credentials/authorize":
            if said.get("PIN") != PIN or said.get("numSignatures") != len(said["hash"]):
                return 400, {"error": "invalid_pin"}
            sad = secrets.token_urlsafe(16)
            self._allowed[sad] = said["hash"]
            return 200, {"SAD": sad, "expiresIn": 60}
        if path == "/csc/v1/signatures/signHash":
            asked = (said.get("hashAlgo"), said.get("signAlgo"))
            if asked != (_SHA256, _SHA256_RSA) or self._allowed.pop(said["SAD"], None) != said["hash"]:
                return 400, {"error": "invalid_request"}
            self.signed += 1
            return 200, {"signatures": [self._sign(base64.b64decode(text)) for text in said["hash"]]}
        return 404, {}

    def _sign(self, digest: bytes) -> str:
        return base64.b64encode(self.key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))).decode()

    def __enter__(self) -> SigningServer:
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
