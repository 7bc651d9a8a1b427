"""Associations that we ask for, with the same guard around the peer's bytes as at the door."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from pynetdicom import AE, build_context, build_role
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from gateway.dimse.answers import keep_answers
from gateway.dimse.faults import describe
from gateway.dimse.guard import GOING_AWAY, Guard, GuardedSocket, GuardedTlsSocket, Limits
from gateway.dimse.sub_operations import is_gone
from gateway.tls import Identity, client_context, fingerprint, fingerprints
from interfaces.dicom.uids import (
    EXPLICIT_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_LITTLE_ENDIAN,
)
from worklist.errors import Broken
from worklist.facts import Destination

log = structlog.get_logger(__name__)

MOST_CONTEXTS: Final = 128  # PS3.8 9.3.2.2: odd numbers up to 255
CONNECT_SECONDS: Final = 10.0

A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ABORT = 0x02, 0x03, 0x07


class Unreachable(Exception):
    """The destination did not take the association. `reason` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Called(GuardedSocket):
    """A connection to a peer that we called."""

    first = frozenset({A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ABORT})

    def settimeout(self, value: float | None, /) -> None:
        """As a socket does, but never without an end: pynetdicom takes the limit away once it is connected."""
        super().settimeout(self.idle_seconds if value is None else value)


class OutgoingSocket(_Called):
    """The same, in the clear."""


class OutgoingTlsSocket(_Called, GuardedTlsSocket):
    """The same over TLS; the peer must show one of the certificates on its record."""

    known: frozenset[str] = frozenset()  # their fingerprints

    def connect(self, address: Any, /) -> None:
        """Connect and shake hands. Raises OSError, also where the peer is another."""
        super().connect(address)
        if fingerprint(self.getpeercert(binary_form=True) or b"") not in self.known:
            raise ConnectionRefusedError("another certificate than on record")


class Outgoing:
    """Opens associations to destinations. Safe to use from many threads."""

    def __init__(self, ae_title: str, limits: Limits, identity: Identity | None = None) -> None:
        """`identity` is our certificate, for destinations over TLS."""
        self._ae_title = ae_title
        self._identity = identity
        self._limits = limits
        self._guard = Guard(limits)

    @contextmanager
    def association(
        self, destination: Destination, wanted: Iterable[tuple[str, str]], *, as_scp: bool = False
    ) -> Iterator[Association]:
        """An association for these (SOP class, transfer syntax), ended with the block.

        We are their SCU, or propose to be their SCP (role selection, PS3.7 D.3.3.4).

        Raises
        ------
        Unreachable
            Nobody answers there, or the association is refused, or takes nothing of what is wanted; over TLS, also
            where no certificate of the device is on record.
        """
        ae = _Caller(self._ae_title, self._guard, destination, self._context(destination))
        limits = self._limits
        ae.connection_timeout = CONNECT_SECONDS
        ae.acse_timeout = limits.request_seconds
        ae.network_timeout = limits.idle_seconds
        ae.dimse_timeout = limits.idle_seconds
        proposed = contexts_for(wanted)
        roles = [build_role(uid, scp_role=True) for uid in dict.fromkeys(uid for uid, _syntax in proposed)]
        try:
            association = ae.associate(
                destination.address,
                destination.port,
                contexts=[build_context(uid, syntax) for uid, syntax in proposed],
                ae_title=destination.device.ae_title,
                ext_neg=list(roles) if as_scp else None,
            )
        except Exception as error:
            ae.close()
            log.warning("destination_failed", device=destination.device.id, error=describe(error))
            raise Unreachable("failed") from error
        try:
            if not association.is_established:
                raise Unreachable("rejected" if association.is_rejected else "no_answer")
            keep_answers(association)
            yield association
            if not is_gone(association):
                association.release()
        finally:
            ae.close()

    def _context(self, destination: Destination) -> ssl.SSLContext | None:
        if not destination.tls:
            return None
        if not destination.certificates.strip():
            raise Unreachable("certificate_missing")
        try:
            context = client_context(self._identity, destination.certificates)
        except Broken as error:
            raise Unreachable(error.code) from error
        context.sslsocket_class = OutgoingTlsSocket
        return context

    def cut_all(self) -> None:
        """End every association at once."""
        self._guard.cut_all()


def contexts_for(wanted: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Presentation contexts to propose: each class as it is stored, and in plain little endian in case that is not
    taken. One transfer syntax each, since the acceptor picks one of several."""
    stored = list(dict.fromkeys(wanted))
    classes = list(dict.fromkeys(uid for uid, _syntax in stored))
    plain = [(uid, syntax) for syntax in (IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN) for uid in classes]
    return list(dict.fromkeys([*stored, *plain]))[:MOST_CONTEXTS]


class _Caller(AE):
    """An application entity for one association, whose socket is guarded."""

    def __init__(self, ae_title: str, guard: Guard, destination: Destination, context: ssl.SSLContext | None) -> None:
        super().__init__(ae_title)
        self.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._guard = guard
        self._destination = destination
        self._context = context
        self._made: GuardedSocket | None = None

    def _create_socket(self, *arguments: Any) -> AssociationSocket:
        made = super()._create_socket(*arguments)
        if made.socket is not None:
            self._made = made.socket = self._guarded(made.socket)
            if not self._guard.enter(self._made):
                raise ConnectionRefusedError("too many connections")
        return made

    def _guarded(self, connection: socket.socket) -> GuardedSocket:
        address = self._destination.address
        if self._context is None:
            return OutgoingSocket.around(connection, address, self._guard)
        wrapped = cast("OutgoingTlsSocket", self._context.wrap_socket(connection))  # the context's class
        wrapped.known = frozenset(fingerprints(self._destination.certificates))
        wrapped.watch(address, self._guard)
        return wrapped

    def close(self) -> None:
        """End the connection, however far it came."""
        if self._made is not None:
            self._made.cut(GOING_AWAY)
            self._made.close()
