"""The kinds of jobs and what they need, without the libraries of those who do them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from worklist import register
from worklist.actions import archiving, critical, expiring, reading_making, sendings

if TYPE_CHECKING:
    from gateway.orthanc import Orthanc

Clock = Callable[[], datetime]
Job = Callable[[str], datetime | None]

QUEUES: Final = {
    "send_delivery": "deliveries",
    "report_commitment": "deliveries",
    "check_arrival": "studies",
    "prepare_series": "studies",
    reading_making.CHECK_JOB: "studies",
    expiring.JOB: "upkeep",
    critical.VERIFY_JOB: "notices",
    "escalate_critical": "notices",
    sendings.JOB: "outside",
    archiving.JOB: "archive",
    archiving.UPKEEP: "archive",
    register.STAMP_JOB: "upkeep",
}
"""In which queue each kind waits where jobs are spread over processes: a slow receiver must not hold up an alert."""
NAMES: Final = tuple(dict.fromkeys(QUEUES.values()))
"""Of the queues."""
ARCHIVE: Final = QUEUES[archiving.JOB]
"""The queue of what goes to the archives."""
TIME_STAMPS: Final = QUEUES[register.STAMP_JOB]
"""The queue of time stamps of the register."""


@dataclass(frozen=True)
class Archives:
    """The archives downstream, by our names for them. `largest`: bytes of an object that goes there; `keep_days`: how
    long images stay here too, 0 for ever."""

    by_name: Mapping[str, Orthanc] = field(default_factory=dict)
    largest: int = 512 << 20
    keep_days: int = 0


def utc_now() -> datetime:
    """The present, aware, UTC."""
    return datetime.now(UTC)
