"""Handing one e-mail to a mail server (SMTP, RFC 5321), over TLS unless the admin says otherwise."""

from __future__ import annotations

import smtplib
import socket
import ssl
from email.message import EmailMessage
from typing import Any, Final

from gateway.outgoing import Allowed, connect, tls_code, within
from gateway.tls import client_context
from worklist.errors import Broken, HurenError, TryLater
from worklist.facts import Channel

SECONDS: Final = 30.0  # for the whole conversation; far below the lease of a job


def send_mail(
    allowed: Allowed, server: Channel, password: str, message: EmailMessage, *, seconds: float = SECONDS
) -> None:
    """Hand over a message; returns when the server has taken it.

    Raises
    ------
    TryLater
        ``mail_refused_now`` (4yz), ``no_answer``, and as `gateway.outgoing.connect`.
    Broken
        ``mail_refused`` (5yz), ``mail_sign_in_refused``, ``mail_without_tls`` where STARTTLS is wanted and not offered,
        and as `gateway.outgoing.connect`. `text` is what the server said.
    """
    connection = connect(allowed, server.address, server.port, tls=server.security == "tls", trusted=server.trusted)
    with within(connection, seconds):
        try:
            _converse(connection, server, password, message)
        except HurenError:
            raise
        except smtplib.SMTPAuthenticationError as error:
            raise Broken("mail_sign_in_refused", text=_said(error.smtp_error)) from error
        except smtplib.SMTPNotSupportedError as error:
            wants_tls = server.security == "starttls"
            raise Broken("mail_without_tls" if wants_tls else "mail_refused", text="") from error
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _refused(code, text) from error
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from error
        except ssl.SSLError as error:
            raise TryLater(tls_code(error), host=server.address) from error
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise TryLater("no_answer") from error


def _converse(connection: socket.socket, server: Channel, password: str, message: EmailMessage) -> None:
    client = _Client(connection, server.address, server.port)
    try:
        client.ehlo()
        if server.security == "starttls":
            client.starttls(context=client_context(None, server.trusted))
            client.ehlo()
        if server.login:
            client.login(server.login, password)
        client.send_message(message)
        try:
            client.quit()
        except (OSError, smtplib.SMTPException):
            pass  # the message is the server's already
    finally:
        client.close()


class _Client(smtplib.SMTP):
    """The library's client on a connection that is there already, to a checked address."""

    def __init__(self, connection: socket.socket, host: str, port: int) -> None:
        self._connection = connection
        super().__init__(host, port, local_hostname="huren")

    def _get_socket(self, _host: str, _port: int, _timeout: Any) -> socket.socket:
        return self._connection


def _refused(code: int, text: bytes | str) -> HurenError:
    if code == -1:  # the library's: hung up
        return TryLater("no_answer")
    kind, name = (TryLater, "mail_refused_now") if 400 <= code < 500 else (Broken, "mail_refused")
    return kind(name, status=code, text=_said(text))


def _said(text: bytes | str) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(c if c.isprintable() else " " for c in plain)[:200]
