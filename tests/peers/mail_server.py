"""A mail server (SMTP, RFC 5321) with STARTTLS, TLS from the start, a login, and answers that a test chooses."""

from __future__ import annotations

import base64
import contextlib
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import TracebackType
from typing import Any, Literal

from tests.peers.certificates import Made
from tests.peers.ports import LOOPBACK


@dataclass(frozen=True)
class Mail:
    """One message that was taken."""

    sender: str
    to: str
    raw: bytes
    was_encrypted: bool
    login: str

    @property
    def message(self) -> EmailMessage:
        """What it says."""
        read = message_from_bytes(self.raw, policy=default)
        assert isinstance(read, EmailMessage)
        return read


@dataclass
class Plan:
    """How the server behaves; a test may change it while it runs."""

    security: Literal["none", "starttls", "tls"] = "none"
    logins: dict[str, str] = field(default_factory=dict)  # empty: nobody needs one
    answers: dict[str, bytes] = field(default_factory=dict)  # to a verb, in place of the usual answer
    is_silent: bool = False  # takes the connection, says nothing


class MailServer:
    """The server, in threads of its own."""

    def __init__(self, plan: Plan | None = None, *, certificate: Made | None = None) -> None:
        """Listen on a free port."""
        self.plan = plan or Plan()
        self.taken: list[Mail] = []
        self.gone = threading.Event()
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate.certificate, certificate.key)
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, EOFError):
                    _Conversation(outer, self.request).run()

        self._server = socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Go away."""
        self.gone.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> MailServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Conversation:
    def __init__(self, server: MailServer, connection: Any) -> None:
        self._server, self._connection = server, connection
        self._rest = b""
        self._encrypted = False
        self._login = ""

    def run(self) -> None:
        try:
            self._run()
        finally:
            self._connection.close()

    def _run(self) -> None:
        plan = self._server.plan
        if plan.is_silent:
            self._server.gone.wait(60)
            return
        if plan.security == "tls":
            self._encrypt()
        self._say(plan.answers.get("GREETING", b"220 sink"))
        sender = to = ""
        while True:
            line = self._line()
            verb = line.split(b" ")[0].upper().decode("ascii", "replace")
            if verb in plan.answers:
                self._say(plan.answers[verb])
            elif verb == "EHLO":
                offers = [b"sink"]
                if plan.security == "starttls" and not self._encrypted:
                    offers.append(b"STARTTLS")
                if plan.logins and (self._encrypted or plan.security == "none"):
                    offers.append(b"AUTH PLAIN")
                self._say(b"\r\n".join(b"250" + (b" " if o is offers[-1] else b"-") + o for o in offers))
            elif verb == "STARTTLS":
                self._say(b"220 go on")
                self._encrypt()
            elif verb == "AUTH":
                _nothing, login, password = base64.b64decode(line.split(b" ")[2]).decode().split("\0")
                if plan.logins.get(login) == password:
                    self._login = login
                    self._say(b"235 welcome")
                else:
                    self._say(b"535 5.7.8 no such login or password")
            elif verb == "MAIL":
                sender = line.decode().partition("<")[2].partition(">")[0]
                self._say(b"250 ok" if self._login or not plan.logins else b"530 5.7.0 sign in first")
            elif verb == "RCPT":
                to = line.decode().partition("<")[2].partition(">")[0]
                self._say(b"250 ok")
            elif verb == "DATA":
                self._say(b"354 go on")
                lines = []
                while (line := self._line()) != b".":
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                self._server.taken.append(Mail(sender, to, b"\r\n".join(lines), self._encrypted, self._login))
                self._say(plan.answers.get("END", b"250 taken"))
            elif verb == "QUIT":
                self._say(b"221 bye")
                return
            else:
                self._say(b"250 ok")

    def _encrypt(self) -> None:
        assert self._server.context is not None
        self._connection = self._server.context.wrap_socket(self._connection, server_side=True)
        self._encrypted = True

    def _say(self, text: bytes) -> None:
        self._connection.sendall(text + b"\r\n")

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            piece = self._connection.recv(4096)
            if not piece:
                raise EOFError
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line
