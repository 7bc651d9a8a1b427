"""`huren check`: is everything that this server depends on there?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from gateway.orthanc import Orthanc
from gateway.store import MARKER, FolderStore
from huren.health import exists_here, farewell
from huren.kinds import utc_now
from huren.metrics import WATCHER, certificate_ends, last_backup
from huren.migrate import current, newest
from huren.readiness import LATE, disk_state
from huren.running import PARTS, processes
from huren.settings import Settings
from worklist.actions.installation import bound_store
from worklist.database import Database
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import administration, archives, ledger
from worklist.queries.watching import longest_due, watch

SOON: Final = timedelta(days=30)
LEFT_BEHIND: Final = 3600.0  # seconds; an older sign was left by a container that is there no more
OLD_BACKUP: Final = timedelta(hours=48)
ADMIN = Actor(id="", name="huren check", roles=frozenset({("PACS admin", "")}))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    text: str


def run_checks(settings: Settings) -> Iterator[Finding]:
    """Look at everything that is configured, one finding each: the database, the store and its disk, the queue, the
    parts that run, our doors, every endpoint, certificates, backups, and what waits for a person."""
    database = Database(settings.database_url)
    try:
        try:
            revision = database.read(lambda s: current(s.connection()))
            good = revision == newest()
            yield Finding("database", good, f"revision {revision or 'none'}" + ("" if good else f", needs {newest()}"))
        except (HurenError, OSError) as error:
            yield Finding("database", False, str(error))
            return
        yield from _store(settings, database.read(bound_store))
        if good:
            yield from _work(settings, database)
        yield from _parts(settings)
        yield from _doors(settings)
        words = (
            f"printed as {settings.reached_at}" if settings.reached_at else "set HUREN_PUBLIC_URL: reports have none"
        )
        yield Finding("QR codes", bool(settings.reached_at), words)
        if settings.oidc_issuer:
            yield _reached("sign-in provider", settings.oidc_issuer)
        if settings.tsa_url:
            yield _reached("time stamping authority", settings.tsa_url)
        if good:
            for endpoint in database.read(lambda s: administration.endpoints(s, ADMIN)):
                if endpoint.enabled:
                    yield _listens(
                        f"endpoint {endpoint.name} {endpoint.host}:{endpoint.port}", endpoint.host, endpoint.port
                    )
            yield from _archives(settings, database)
        yield _backup(settings)
    finally:
        database.close()


def _work(settings: Settings, database: Database) -> Iterator[Finding]:
    """What waits for a person, or waits too long, and certificates that end soon."""
    now = utc_now()
    jobs = database.read(lambda s: ledger.stuck_jobs(s, ADMIN))
    yield Finding("jobs", not jobs, f"{len(jobs)} stuck: {jobs[0].kind} {jobs[0].error}" if jobs else "none stuck")
    due = database.read(lambda s: longest_due(s, now))
    late = (now - due).total_seconds() if due else 0.0
    text = f"one has been due for {late:.0f} s: does a worker run?" if late > LATE else "none waits long"
    yield Finding("jobs that are due", late <= LATE, text)
    stuck = database.read(lambda s: ledger.deliveries(s, ADMIN, status="stuck", limit=1)).items
    yield Finding("deliveries", not stuck, "some are stuck" if stuck else f"none stuck at {now:%H:%M} UTC")
    seen = database.read(lambda s: watch(s, WATCHER, now))
    notices = seen.notices["stuck"].count
    yield Finding("notices out of the house", not notices, f"{notices} stuck" if notices else "none stuck")
    ends = {f"certificate of our {name}": until for name, until in certificate_ends(settings).items()}
    ends |= {f"certificate of device {name}": until for name, until in seen.certificates.items()}
    for name, until in ends.items():
        yield Finding(name, until - now > SOON, f"{'ended' if until <= now else 'ends'} {until:%Y-%m-%d}")


def _parts(settings: Settings) -> Iterator[Finding]:
    """The processes that gave a sign lately, and the queue between them."""
    seen = processes(settings.data)
    if settings.broker:
        from huren.broker import answers  # Celery, for those who have a queue

        yield Finding("queue", answers(settings.broker), urlsplit(settings.broker).hostname or "")
        for part in PARTS:
            alive = [process for process in seen if process.part == part and process.is_alive]
            hosts = ", ".join(dict.fromkeys(process.host for process in alive))
            yield Finding(
                f"{part} processes", bool(alive), f"{len(alive)} on {hosts}" if alive else "none gives a sign"
            )
    for process in seen:
        if not process.is_alive and process.seconds < LEFT_BEHIND and exists_here(process):
            yield Finding(
                f"{process.part} process {process.pid} on {process.host}",
                False,
                f"gave its last sign {process.seconds:.0f} s ago: it was killed, or hangs",
            )


def _doors(settings: Settings) -> Iterator[Finding]:
    yield _listens(f"web door {settings.web_host}:{settings.web_port}", settings.web_host, settings.web_port)
    for name, host, port in (
        ("DICOM door", settings.dimse_host, settings.dimse_port),
        ("DICOM door over TLS", settings.dimse_host, settings.dimse_tls_port),
        ("HL7 door", settings.mllp_host, settings.mllp_port),
        ("HL7 door over TLS", settings.mllp_host, settings.mllp_tls_port),
    ):
        if port:
            wrong = farewell(host, port)
            yield Finding(f"{name} {host}:{port}", not wrong, wrong or "answers")


def _backup(settings: Settings) -> Finding:
    at = last_backup(settings.data)
    if at is None:
        return Finding("backup", True, "none was made by `huren backup`: is there another one?")
    age = utc_now() - at
    return Finding("backup", age <= OLD_BACKUP, f"{at:%Y-%m-%d %H:%M} UTC" + (", too old" if age > OLD_BACKUP else ""))


def _reached(what: str, address: str) -> Finding:
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return _listens(f"{what} {parts.hostname}:{port}", parts.hostname or "", port)


def _store(settings: Settings, bound: str) -> Iterator[Finding]:
    if not (settings.store_folder / MARKER).exists():  # opening would make one, and hide a disk that is not mounted
        yield Finding("object store", False, f"there is none in {settings.store_folder}")
        return
    try:
        store = FolderStore(settings.store_folder)
        free = store.free_bytes()
        if bound and store.marker() != bound:
            yield Finding("object store", False, "is not the one that this database refers to")
            return
        yield Finding("object store", True, store.marker())
        text = {"full": ": images are refused", "low": f", less than {settings.disk_warning}", "enough": ""}
        state = disk_state(free, settings)
        yield Finding("disk", state == "enough", f"{free >> 20} MiB free{text[state]}")
    except (HurenError, OSError) as error:
        yield Finding("object store", False, str(error))


def _archives(settings: Settings, database: Database) -> Iterator[Finding]:
    """Does each archive answer with our name and password, and is anything stuck on its way there?"""
    for server in settings.archives:
        archive = Orthanc(server)
        try:
            yield Finding(f"{server.name} {server.url}", True, f"Orthanc {archive.version()}")
        except HurenError as error:
            yield Finding(f"{server.name} {server.url}", False, error.code)
        finally:
            archive.close()
    for row in database.read(lambda s: archives.archives(s, ADMIN)):
        if row.enabled:
            words = f"{row.waiting} studies wait, {row.stuck} stuck, {row.kept_here} objects kept here only"
            yield Finding(f"{row.name}: studies", not row.stuck, words)


def _listens(what: str, host: str, port: int) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=3):
            return Finding(what, True, "answers")
    except OSError as error:
        return Finding(what, False, error.strerror or str(error))
