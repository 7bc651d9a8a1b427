"""Free ports on the loopback address."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

# Below Linux's range for outgoing connections (32768 and up), so that none of those takes a port between the
# moment it is chosen here and the moment the peer listens; random, since several test runs share a machine.
LISTENING = range(20000, 32000)


def free_port() -> int:
    """Return a TCP port on which nothing listens. Raises OSError when a hundred tries find none."""
    for port in random.sample(LISTENING, 100):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    raise OSError("no free port found on the loopback address")


def answers(port: int) -> bool:
    """Tell whether something accepts connections on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False
