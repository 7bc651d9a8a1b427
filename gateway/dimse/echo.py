"""Is it there? Verification of a device (C-ECHO, PS3.7 9.1.5), and whether anything listens at an HL7 endpoint.

A person waits for the answer, so every step is short; and what went wrong is named so that they know whom to call:
the network, the device, or the two AE titles.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Final

from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from gateway.dimse.answers import keep_answers
from gateway.tls import Identity, client_context, fingerprint, fingerprints, refusal_reason
from interfaces.dicom.uids import (
    EXPLICIT_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_LITTLE_ENDIAN,
)
from worklist.errors import Broken
from worklist.facts import Reached

VERIFICATION: Final = "1.2.840.10008.1.1"
SECONDS: Final = 4.0  # for each step: connecting, TLS, the association, the answer
MOST_PDU: Final = 16 << 10  # bytes that we take at once: a C-ECHO-RSP has about 80

# A-ASSOCIATE-RJ by the service user (source 1, PS3.8 9.3.4), and of the provider (source 3).
_CALLING_UNKNOWN: Final = (1, 3)
_CALLED_UNKNOWN: Final = (1, 7)
_BUSY: Final = frozenset({(3, 1), (3, 2)})

_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


def echo(
    ours: str,
    claimed: str,
    address: str,
    port: int,
    *,
    tls: bool = False,
    certificates: str = "",
    identity: Identity | None = None,
) -> Reached:
    """C-ECHO to a device's port; blocks for at most a few times `SECONDS`.

    Parameters
    ----------
    ours, claimed
        The calling and the called AE title.
    tls, certificates, identity
        Over TLS: the certificates (PEM) that the device may show, and our own.
    """
    began = time.monotonic()

    def result(code: str) -> Reached:
        return Reached(code, address, port, claimed, round((time.monotonic() - began) * 1000), tls)

    context = None
    if tls:
        if not certificates.strip():
            return result("certificate_not_on_record")
        try:
            context = client_context(identity, certificates)
        except Broken as error:
            return result(error.code)
    try:
        connection = _connect(address, port, context, certificates)
    except _NotThere as gone:
        return result(gone.code)
    ae = _Caller(ours, connection)
    try:
        association = ae.associate(
            address,
            port,
            contexts=[build_context(VERIFICATION, [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN])],
            ae_title=claimed,
            max_pdu=MOST_PDU,
        )
        if not association.is_established:
            return result(_refusal(association) or (_why_cut(address, port, context, certificates) or "hung_up"))
        keep_answers(association)
        status = association.send_c_echo()
        if association.is_established:
            association.release()
        if "Status" not in status:
            return result("hung_up")
        return result("reached" if status.Status == 0x0000 else "echo_failed")
    except (OSError, RuntimeError, ValueError):
        return result("hung_up")
    finally:
        connection.close()  # whatever pynetdicom still does with it ends here


def listens(
    host: str, port: int, *, tls: bool = False, certificates: str = "", identity: Identity | None = None
) -> Reached:
    """Whether anything takes a connection (and TLS) there. HL7 has no message that asks for nothing."""
    began = time.monotonic()
    code = "listening"
    try:
        context = client_context(identity, certificates) if tls else None
        _connect(host, port, context, certificates).close()
        if context is not None:
            code = _why_cut(host, port, context, certificates) or code
    except Broken as error:
        code = error.code
    except _NotThere as gone:
        code = gone.code
    return Reached(code, host, port, "", round((time.monotonic() - began) * 1000), tls)


class _NotThere(Exception):
    """No connection. `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Caller(AE):
    """An application entity for one association on a connection that is there already."""

    def __init__(self, title: str, connection: socket.socket) -> None:
        super().__init__(title)
        self.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self.connection_timeout = self.acse_timeout = self.dimse_timeout = self.network_timeout = SECONDS
        self._connection = connection

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        return _Connected(assoc, address, self._connection)


class _Connected(AssociationSocket):
    """pynetdicom's socket around a connection that we made, since it does not say why its own did not come about."""

    def __init__(self, assoc: Association, address: AddressInformation, connection: socket.socket) -> None:
        self._connection = connection
        super().__init__(assoc, address=address)

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        return self._connection

    def connect(self, primitive: T_CONNECT) -> None:
        """Say that the connection stands (PS3.8 table 9-10, event 2)."""
        self._is_connected = True
        primitive.result = "Evt2"
        self.provider_queue.put(primitive)
        self._ready.set()


def _refusal(association: Association) -> str:
    """Why the device refused the association, as a code; ``""`` where it did not."""
    if not association.is_rejected:
        answered: Iterable[object] = association.rejected_contexts
        return "echo_not_offered" if list(answered) else ""
    answer = association.acceptor.primitive
    said = (getattr(answer, "result_source", None), getattr(answer, "diagnostic", None))
    if said == _CALLING_UNKNOWN:
        return "calling_refused"
    if said == _CALLED_UNKNOWN:
        return "called_refused"
    return "device_busy" if said in _BUSY else "association_refused"


def _connect(host: str, port: int, context: ssl.SSLContext | None, certificates: str) -> socket.socket:
    """A connection whose every read and write ends within `SECONDS`; over TLS, to one of the `certificates`.

    Raises
    ------
    _NotThere
    """
    try:
        connection = socket.create_connection((host, port), timeout=SECONDS)
    except ConnectionRefusedError as error:
        raise _NotThere("nothing_listens") from error
    except TimeoutError as error:
        raise _NotThere("no_answer_in_time") from error
    except (socket.gaierror, UnicodeError) as error:
        raise _NotThere("host_unknown") from error
    except OSError as error:
        raise _NotThere("no_route" if error.errno in _NO_ROUTE else "peer_away") from error
    if context is None:
        return connection
    try:
        secured = context.wrap_socket(connection, server_hostname=host)
    except (OSError, ValueError) as error:
        connection.close()
        raise _NotThere(_tls_code(error)) from error
    if certificates.strip() and fingerprint(secured.getpeercert(binary_form=True) or b"") not in fingerprints(
        certificates
    ):
        secured.close()
        raise _NotThere("tls_peer_unknown")
    return secured


def _why_cut(host: str, port: int, context: ssl.SSLContext | None, certificates: str) -> str:
    """Whether the peer dislikes our certificate: in TLS 1.3 it says so after the handshake, to whoever reads."""
    if context is None:
        return ""
    try:
        with _connect(host, port, context, certificates) as secured:
            secured.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                secured.recv(1)
    except _NotThere as gone:
        return gone.code
    except OSError as error:
        return _tls_code(error)
    return ""


def _tls_code(error: Exception) -> str:
    """A code for a handshake that failed."""
    reason = refusal_reason(error) if isinstance(error, OSError) else ""
    if reason == "certificate_unknown":
        return "tls_peer_unknown"
    if reason == "certificate_expired":
        return "tls_peer_expired"
    said = str(error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in said and ("CERTIFICATE" in said or "UNKNOWN_CA" in said):
        return "tls_ours_refused"
    return "tls_not_spoken"
