"""Metrics for Prometheus: what waits in the county, asked of the database at each scrape, and what a process counts.

The first is the same whichever process is asked; the second is not. Several web processes answer behind one port, so
their `/metrics` tells the first only, and each process has a port of its own for the second (`HUREN_METRICS_PORT`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from cryptography import x509
from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.meters import PROCESS
from huren import running
from huren.keeping.backup import LAST
from huren.kinds import QUEUES
from huren.settings import Settings
from worklist.database import Database
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import watching
from worklist.queries.watching import Waits, Watch

log = structlog.get_logger(__name__)

WATCHER: Final = Actor(id="", name="metrics", roles=frozenset({("PACS admin", "")}))
"""Who asks where nobody signed in: the port of this machine alone."""


class Waiting(Collector):
    """What waits in the county. Costs what waits, a few milliseconds for some hundred things."""

    def __init__(self, settings: Settings, database: Database, clock: Callable[[], datetime], by: Actor) -> None:
        self._settings, self._database, self._clock, self._by = settings, database, clock, by

    def describe(self) -> Iterable[Metric]:
        """Nothing: whoever registers this must not ask the database yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every gauge. Where the database is away, ``huren_database_up`` is 0 and what it would say is missing."""
        now = self._clock()
        up = GaugeMetricFamily("huren_database_up", "1 where the database answers.")
        try:
            seen = self._database.read(lambda s: watching.watch(s, self._by, now))
        except HurenError:
            up.add_metric((), 0)
            yield up
        else:
            up.add_metric((), 1)
            yield up
            yield from work(seen, now)
            yield from _certificates(self._settings, seen, now)
        yield from _disk(self._settings, self._database)
        yield from _parts(self._settings)
        yield from _backup(self._settings, now)


def registry(*collectors: Collector) -> CollectorRegistry:
    """A registry of these, to be rendered once."""
    made = CollectorRegistry()
    for collector in collectors:
        made.register(collector)
    return made


@contextlib.contextmanager
def port(settings: Settings, *collectors: Collector) -> Iterator[None]:
    """Serve what this process counts, and `collectors`, on the port for metrics; nothing where none is set.

    Raises
    ------
    OSError
        The port is taken.
    """
    if not settings.metrics_port:
        yield
        return
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry(PROCESS, *collectors))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def work(seen: Watch, now: datetime) -> Iterator[Metric]:
    """What waits, as pairs of a number and of the age in seconds of what waits longest; 0 where nothing does."""
    yield from _pair(
        now,
        "huren_jobs_due",
        "huren_job_oldest_seconds",
        "Jobs of the outbox that are due and not done",
        ("kind", "queue"),
        {(kind, queue): seen.jobs.get(kind, Waits()) for kind, queue in QUEUES.items()},
    )
    yield from _pair(
        now,
        "huren_jobs_stuck",
        "huren_job_stuck_seconds",
        "Jobs that wait for a person",
        ("kind", "queue"),
        {(kind, queue): seen.stuck_jobs.get(kind, Waits()) for kind, queue in QUEUES.items()},
    )
    yield from _pair(
        now,
        "huren_deliveries",
        "huren_delivery_oldest_seconds",
        "Reports and news of orders that were not acknowledged",
        ("state", "endpoint"),
        seen.deliveries,
    )
    yield from _pair(
        now,
        "huren_studies_incomplete",
        "huren_study_incomplete_oldest_seconds",
        "Studies whose images did not all come, since their last image",
        (),
        {(): seen.incomplete},
    )
    yield from _pair(
        now,
        "huren_studies_unlinked",
        "huren_study_unlinked_oldest_seconds",
        "Studies that belong to no order yet",
        (),
        {(): seen.unlinked},
    )
    yield from _pair(
        now,
        "huren_orders_unmapped",
        "huren_order_unmapped_oldest_seconds",
        "Orders whose procedure code is not known",
        (),
        {(): seen.unmapped},
    )
    yield from _pair(
        now,
        "huren_set_aside",
        "huren_set_aside_oldest_seconds",
        "Objects, conflicts and messages that were set aside",
        ("kind",),
        {(kind,): waits for kind, waits in seen.set_aside.items()},
    )
    yield from _pair(
        now,
        "huren_critical_results_unanswered",
        "huren_critical_result_unanswered_oldest_seconds",
        "Critical results that nobody answered",
        ("state",),
        {(state,): waits for state, waits in seen.criticals.items()},
    )
    yield from _pair(
        now,
        "huren_notices_outside",
        "huren_notice_outside_oldest_seconds",
        "Notices on their way out of the house",
        ("state",),
        {(state,): waits for state, waits in seen.notices.items()},
    )
    yield from _pair(
        now, "huren_cases", "huren_case_oldest_seconds", "Open cases", ("center", "priority", "state"), seen.cases
    )
    yield from _pair(
        now,
        "huren_cases_overdue",
        "huren_case_overdue_oldest_seconds",
        "Cases beyond their limit, since that limit",
        ("center", "priority"),
        seen.overdue,
    )
    yield from _pair(
        now,
        "huren_studies_unarchived",
        "huren_study_unarchived_oldest_seconds",
        "Studies that an archive does not hold yet, since they were owed to it",
        ("state", "archive"),
        seen.archivals,
    )
    yield from _pair(
        now,
        "huren_audit_unsealed",
        "huren_audit_unsealed_oldest_seconds",
        "Audit rows that are not chained yet",
        (),
        {(): seen.unsealed},
    )


def _pair(
    now: datetime, number: str, age: str, text: str, labels: tuple[str, ...], found: dict[Any, Waits]
) -> Iterator[Metric]:
    counts = GaugeMetricFamily(number, f"{text}.", labels=labels)
    ages = GaugeMetricFamily(age, f"{text}: the age of the oldest.", labels=labels)
    for key, waits in found.items():
        counts.add_metric(key, waits.count)
        ages.add_metric(key, max(0.0, (now - waits.oldest).total_seconds()) if waits.oldest else 0.0)
    yield counts
    yield ages


def _disk(settings: Settings, database: Database) -> Iterator[Metric]:
    free = GaugeMetricFamily("huren_disk_free_bytes", "Free space of the data folder's disk.")
    total = GaugeMetricFamily("huren_disk_bytes", "Size of the data folder's disk.")
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(settings.store_folder)
        free.add_metric((), usage.free)
        total.add_metric((), usage.total)
    yield free
    yield total
    marks = GaugeMetricFamily(
        "huren_disk_mark_bytes",
        "Free space below which admins are warned (warning), and below which images are refused (reserve).",
        labels=("mark",),
    )
    marks.add_metric(("warning",), settings.disk_warning << 20)
    marks.add_metric(("reserve",), settings.reserve << 20)
    yield marks
    size = GaugeMetricFamily("huren_database_bytes", "What the database takes on its disk.")
    with contextlib.suppress(OSError, HurenError):
        size.add_metric((), database.size)
    yield size


def _parts(settings: Settings) -> Iterator[Metric]:
    alive = GaugeMetricFamily("huren_processes", "Processes of each part that gave a sign lately.", labels=("part",))
    silent = GaugeMetricFamily(
        "huren_part_silent_seconds", "Seconds since the last sign of any process of the part.", labels=("part",)
    )
    seen = running.processes(settings.data)
    for part in (*running.PARTS, running.WHOLE):
        own = [process for process in seen if process.part == part]
        alive.add_metric((part,), sum(process.is_alive for process in own))
        if own:
            silent.add_metric((part,), min(process.seconds for process in own))
    yield alive
    yield silent


def _backup(settings: Settings, now: datetime) -> Iterator[Metric]:
    age = GaugeMetricFamily("huren_backup_age_seconds", "Since the last backup that succeeded; missing without one.")
    at = last_backup(settings.data)
    if at is not None:
        age.add_metric((), max(0.0, (now - at).total_seconds()))
    yield age


def last_backup(data: Path) -> datetime | None:
    """When the last backup that succeeded was made (aware UTC); None: never, or the note cannot be read."""
    try:
        at = datetime.fromisoformat(json.loads((data / LAST).read_text("utf-8"))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def certificate_ends(settings: Settings) -> dict[str, datetime]:
    """When our own certificates end (aware UTC), by what they are for: the device doors, and each seal's file."""
    files = {}
    if settings.dimse_tls_port or settings.mllp_tls_port:
        files["device doors"] = settings.tls_certificate or settings.tls_folder / "trial.pem"
    with contextlib.suppress(OSError):
        for file in sorted(settings.seals.glob("*.pem")):
            institution, _, kind = file.stem.partition(".")
            if kind in ("", "trial") and f"seal {institution}" not in files:  # one of the institution's own comes first
                files[f"seal {institution}"] = file
    found = {}
    for name, file in files.items():
        with contextlib.suppress(OSError, ValueError):
            found[name] = x509.load_pem_x509_certificates(file.read_bytes())[0].not_valid_after_utc
    return found


def _certificates(settings: Settings, seen: Watch, now: datetime) -> Iterator[Metric]:
    left = GaugeMetricFamily(
        "huren_certificate_left_seconds",
        "Until a certificate ends: ours, and the longest-lived one of each device.",
        labels=("whose", "name"),
    )
    for name, until in certificate_ends(settings).items():
        left.add_metric(("ours", name), (until - now).total_seconds())
    for name, until in seen.certificates.items():
        left.add_metric(("device", name), (until - now).total_seconds())
    yield left
