"""Calling out to addresses that a person typed into a page: webhooks and mail servers.

Only the operator's settings say where that may lead. A name is resolved once, every address that it gives is checked,
and the connection goes to the checked address: a name that means something else a moment later (DNS rebinding) gets
nowhere. Loopback, link-local and the like, where metadata services and other programs of this machine listen, must be
listed themselves; a listed name is not enough. No proxy of the environment is asked.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from gateway.tls import Identity, client_context, refusal_reason
from worklist.errors import Broken, TryLater

CONNECT_SECONDS: Final = 10.0

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Allowed:
    """Where may be called: names (port 0: any port), and networks."""

    names: frozenset[tuple[str, int]] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def read(cls, entries: Iterable[str]) -> Allowed:
        """From entries such as ``mail.example``, ``hook.example:8443``, ``10.1.0.0/16``, ``127.0.0.1``.

        Raises ValueError for an entry that is none of these.
        """
        names, networks = set(), []
        for entry in entries:
            try:
                networks.append(ip_network(entry))
                continue
            except ValueError:
                pass
            name, _colon, port = entry.partition(":")
            if not name or not all(part and part.replace("-", "").isalnum() for part in name.split(".")):
                raise ValueError(f"{entry} is no host, host:port or network")
            if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
                raise ValueError(f"{entry} has no good port")
            names.add((name.lower(), int(port or 0)))
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str, port: int) -> bool:
        """Whether this host is listed by name."""
        name = host.lower().rstrip(".")
        return (name, 0) in self.names or (name, port) in self.names

    def has_address(self, address: Address) -> bool:
        """Whether this address is in a listed network."""
        return any(address.version == network.version and address in network for network in self.networks)


NOWHERE: Final = Allowed()


def connect(
    allowed: Allowed,
    host: str,
    port: int,
    *,
    tls: bool = False,
    trusted: str = "",
    seconds: float = CONNECT_SECONDS,
    identity: Identity | None = None,
) -> socket.socket:
    """A connection to an address that may be called; with `tls`, after the handshake, in which our certificate
    (`identity`) is shown to whoever asks for one.

    Raises
    ------
    Broken
        ``host_not_allowed``: the settings do not list it; ``address_not_allowed``: the name leads to an address that
        they do not list. ``tls_unusable``.
    TryLater
        ``peer_away``; ``receiver_certificate_unknown``, ``receiver_tls_failed``.
    """
    deadline = time.monotonic() + seconds
    connection = _connect(_addresses(allowed, host, port), port, deadline)
    return secured(connection, host, trusted, seconds, identity) if tls else connection


def secured(
    connection: socket.socket,
    host: str,
    trusted: str,
    seconds: float = CONNECT_SECONDS,
    identity: Identity | None = None,
) -> ssl.SSLSocket:
    """The connection after a TLS handshake. Errors as `connect`."""
    context = client_context(identity, trusted)
    try:
        with Deadline(connection, seconds):
            return context.wrap_socket(connection, server_hostname=host)
    except OSError as error:
        connection.close()
        raise TryLater(tls_code(error), host=host) from error


def tls_code(error: OSError) -> str:
    """The code for a handshake that failed."""
    known = refusal_reason(error) != "tls_failed"
    return "receiver_certificate_unknown" if known else "receiver_tls_failed"


class Deadline:
    """Ends a connection when its time is over, however slowly the other side goes on."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._copy = socket.socket(fileno=os.dup(connection.fileno()))  # TLS takes the first one over
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_what: object) -> None:
        self._timer.cancel()
        self._copy.close()

    def _end(self) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):
            self._copy.shutdown(socket.SHUT_RDWR)


def _addresses(allowed: Allowed, host: str, port: int) -> list[tuple[int, Address]]:
    """(family, address) of everything that the host is and that may be called."""
    is_named = allowed.has_name(host, port)
    literal = _literal(host)
    if not is_named and literal is None and not allowed.networks:
        raise Broken("host_not_allowed", host=host)
    if literal is not None and not _may(allowed, literal, is_named):
        raise Broken("host_not_allowed", host=host)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TryLater("peer_away", port=port) from error
    known: list[tuple[int, Address]] = [
        (family, ip_address(str(where[0]).partition("%")[0])) for family, _t, _p, _n, where in found
    ]
    good = [(family, address) for family, address in known if _may(allowed, address, is_named)]
    if not good:
        raise Broken("address_not_allowed" if is_named else "host_not_allowed", host=host)
    return good


def _may(allowed: Allowed, address: Address, is_named: bool) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    real = mapped or address
    if allowed.has_address(real):
        return True
    is_special = real.is_loopback or real.is_link_local or real.is_multicast or real.is_unspecified or real.is_reserved
    return is_named and not is_special


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _connect(addresses: Iterable[tuple[int, Address]], port: int, deadline: float) -> socket.socket:
    cause: OSError | None = None
    for family, address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(left)
            connection.connect((str(address), port))
        except OSError as error:
            connection.close()
            cause = error
            continue
        return connection
    raise TryLater("peer_away", port=port) from cause


@contextlib.contextmanager
def within(connection: socket.socket, seconds: float) -> Iterator[Deadline]:
    """Use a connection for so many seconds at most, then close it."""
    connection.settimeout(seconds)
    with contextlib.closing(connection), Deadline(connection, seconds) as deadline:
        yield deadline
