"""A time stamping authority: OpenSSL's (`openssl ts -reply`) behind HTTP."""

from __future__ import annotations

import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.peers.ports import LOOPBACK
from tests.peers.process import installed

_SETTINGS: Final = """
[tsa]
default_tsa = one
[one]
dir = {folder}
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
certs = {folder}/tsa.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class StampingAuthority:
    """The authority, in threads of its own. `status` answers with that status instead, where it is set."""

    def __init__(self, folder: Path) -> None:
        """Make key and certificate in `folder`, and listen on a free port."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "root.pem"
        self.status = 0
        self.stamped = 0
        self._lock = threading.Lock()
        self._make()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = outer.answer(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(outer.status or 200)
                self.send_header("Content-Type", "application/timestamp-reply")
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
        """Its address."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/tsa"

    def answer(self, query: bytes) -> bytes:
        """OpenSSL's reply to a TimeStampReq, both in DER."""
        with self._lock:
            if self.status:
                return b""
            (self.folder / "query.tsq").write_bytes(query)
            self._openssl("-reply", "-queryfile", "query.tsq", "-out", "reply.tsr")
            self.stamped += 1
            return (self.folder / "reply.tsr").read_bytes()

    def holds(self, token: bytes, sha256: str) -> bool:
        """Whether OpenSSL takes a token for this digest, in hexadecimal."""
        (self.folder / "token.der").write_bytes(token)
        said = subprocess.run(
            [
                installed("openssl", "openssl"),
                *("ts", "-verify", "-digest", sha256, "-in", "token.der", "-token_in", "-CAfile", "root.pem"),
            ],
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        return said.returncode == 0

    def _openssl(self, *arguments: str) -> None:
        command = [installed("openssl", "openssl"), "ts", *arguments, "-config", "tsa.cnf"]
        subprocess.run(command, cwd=self.folder, capture_output=True, check=True)

    def _make(self) -> None:
        now = datetime.now(UTC)
        root, own = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        above = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test time root")])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])

        def made(name: str, key: rsa.RSAPrivateKey, *, ca: bool) -> x509.Certificate:
            subject = above if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            builder = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(above)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(days=1))
                .not_valid_after(now + timedelta(days=30))
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            )
            if not ca:
                builder = builder.add_extension(usage, critical=True)
            return builder.sign(root, hashes.SHA256())

        pem = serialization.Encoding.PEM
        self.certificate.write_bytes(made("", root, ca=True).public_bytes(pem))
        (self.folder / "tsa.pem").write_bytes(made("Test time", own, ca=False).public_bytes(pem))
        plain = serialization.NoEncryption()
        (self.folder / "tsa.key").write_bytes(own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        (self.folder / "serial").write_text("01")
        (self.folder / "tsa.cnf").write_text(_SETTINGS.format(folder=self.folder))

    def __enter__(self) -> StampingAuthority:
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
