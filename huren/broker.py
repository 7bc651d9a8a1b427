"""Whether the queue's broker is there: for those who look at the server, and need nothing else of Celery."""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from kombu import Connection

log = structlog.get_logger(__name__)


def answers(broker: str) -> bool:
    """Whether the queue is there; asked once, without a second try."""
    options = {"socket_connect_timeout": 2, "socket_timeout": 2, "max_retries": 0}
    if not urlsplit(broker).scheme.startswith("redis"):
        options = {"max_retries": 0}
    try:
        with Connection(broker, connect_timeout=2, transport_options=options) as connection:
            connection.connect()
            connection.channel()
    except Exception as error:  # noqa: BLE001 - each transport has errors of its own
        log.warning("queue_away", error=type(error).__name__)
        return False
    return True
