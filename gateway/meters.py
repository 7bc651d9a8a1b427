"""What this process counts about itself, for Prometheus: doors, answers, seconds. What waits in the county is no
matter of a process; it is asked of the database (`huren.metrics`).

Labels are names of ours alone (a route's pattern, a status, an answer's code), never what a caller sent: nothing of a
patient can get in, and nobody can make series without end.
"""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROCESS: Final = CollectorRegistry()
"""Everything that is counted in this process."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
STATIC: Final = "/static"
_WAITS: Final = (0.001, 0.01, 0.1, 0.5, 1, 5, 30)
_ANSWERS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_RECEIVES: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120)

ProcessCollector(registry=PROCESS)

HTTP_SECONDS: Final = Histogram(
    "huren_http_seconds",
    "Seconds from a request's head to the beginning of its answer.",
    ("method", "route"),
    buckets=_ANSWERS,
    registry=PROCESS,
)
HTTP_ANSWERS: Final = Counter(
    "huren_http_answers", "Answers of the web door by class of status.", ("status",), registry=PROCESS
)
ASSOCIATIONS: Final = Gauge("huren_dicom_associations", "DICOM associations that are open now.", registry=PROCESS)
ASSOCIATED: Final = Counter("huren_dicom_associations_made", "DICOM associations that were accepted.", registry=PROCESS)
REFUSED: Final = Counter(
    "huren_dicom_callers_refused", "Callers that the DICOM door sent away.", ("reason",), registry=PROCESS
)
STORED: Final = Histogram(
    "huren_dicom_store_seconds",
    "Seconds of one C-STORE, from the first byte of its object to our answer: the sender's line is in it.",
    ("status",),
    buckets=_RECEIVES,
    registry=PROCESS,
)
KEPT: Final = Histogram(
    "huren_dicom_keep_seconds",
    "Seconds from an object's last byte to our answer: disk and database.",
    ("status",),
    buckets=_RECEIVES,
    registry=PROCESS,
)
MESSAGES: Final = Histogram(
    "huren_hl7_answer_seconds",
    "Seconds from a whole HL7 message to its answer, by the answer's code.",
    ("code",),
    buckets=_ANSWERS,
    registry=PROCESS,
)
JOBS: Final = Histogram(
    "huren_job_seconds",
    "Seconds of one run of a job; it was done, comes again (later), failed or is stuck.",
    ("kind", "outcome"),
    buckets=_RECEIVES,
    registry=PROCESS,
)
WRITE_WAIT: Final = Histogram(
    "huren_database_wait_seconds",
    "Seconds that a transaction waited for its turn to write (SQLite) or for a connection (PostgreSQL).",
    buckets=_WAITS,
    registry=PROCESS,
)
CONNECTIONS: Final = Gauge(
    "huren_database_connections", "Connections of this process that are at work now.", registry=PROCESS
)


class Measured:
    """Times every answer of the web door (ASGI)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else OTHER
                HTTP_SECONDS.labels(method, route_of(scope)).observe(time.perf_counter() - began)
                HTTP_ANSWERS.labels(f"{message['status'] // 100}xx").inc()
            await send(message)

        await self.app(scope, receive, timed)


def route_of(scope: Scope) -> str:
    """The pattern of the route that serves a request, once it was found: what was asked for may name a patient."""
    pattern = getattr(scope.get("route"), "path", "")
    if pattern:
        return str(pattern)
    return STATIC if scope["path"].startswith(f"{STATIC}/") else OTHER
