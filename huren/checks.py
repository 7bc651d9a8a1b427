"""`huren check`: is everything that this server depends on there?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.store import MARKER, FolderStore
from huren.jobs import utc_now
from huren.migrate import current, newest
from huren.settings import Settings
from worklist.actions.installation import bound_store
from worklist.database import Database
from worklist.errors import HurenError
from worklist.people import Actor
from worklist.queries import administration
from worklist.queries.reports import store_keys

ADMIN = Actor(id="", name="huren check", roles=frozenset({("PACS admin", "")}))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    text: str


def run_checks(settings: Settings) -> Iterator[Finding]:
    """Look at the database, the store, our doors and every endpoint, one finding each."""
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
        jobs = database.read(lambda s: administration.stuck_jobs(s, ADMIN))
        yield Finding("jobs", not jobs, f"{len(jobs)} stuck: {jobs[0].kind} {jobs[0].error}" if jobs else "none stuck")
        for name, host, port in (
            ("web door", settings.web_host, settings.web_port),
            ("DICOM door", settings.dimse_host, settings.dimse_port),
            ("HL7 door", settings.mllp_host, settings.mllp_port),
        ):
            yield _listens(f"{name} {host}:{port}", host, port)
        words = (
            f"printed as {settings.reached_at}" if settings.reached_at else "set HUREN_PUBLIC_URL: reports have none"
        )
        yield Finding("QR codes", bool(settings.reached_at), words)
        for endpoint in database.read(lambda s: administration.endpoints(s, ADMIN)):
            if endpoint.enabled:
                yield _listens(
                    f"endpoint {endpoint.name} {endpoint.host}:{endpoint.port}", endpoint.host, endpoint.port
                )
        stuck = database.read(lambda s: administration.deliveries(s, ADMIN, status="stuck", limit=1)).items
        yield Finding("deliveries", not stuck, "some are stuck" if stuck else f"none stuck at {utc_now():%H:%M} UTC")
    finally:
        database.close()


def compare_store(settings: Settings, *, delete: bool = False) -> tuple[list[str], list[str]]:
    """Object store keys that no row refers to, and keys that rows refer to and the store has not, both sorted."""
    database, store = Database(settings.database_url), FolderStore(settings.store_folder)
    try:
        referred = database.read(store_keys)  # before the store: bytes are there before their rows
        held = set(store.keys())
        lost = sorted(held - database.read(store_keys))
    finally:
        database.close()
    missing = sorted(referred - held)
    if delete:
        for key in lost:
            store.delete(key)
    return lost, missing


def _store(settings: Settings, bound: str) -> Iterator[Finding]:
    if not (settings.store_folder / MARKER).exists():  # opening would make one, and hide a disk that is not mounted
        yield Finding("object store", False, f"there is none in {settings.store_folder}")
        return
    try:
        store = FolderStore(settings.store_folder)
        free = store.free_bytes() >> 20
        if bound and store.marker() != bound:
            yield Finding("object store", False, "is not the one that this database refers to")
            return
        yield Finding("object store", free > settings.reserve, f"{store.marker()}, {free} MiB free")
    except (HurenError, OSError) as error:
        yield Finding("object store", False, str(error))


def _listens(what: str, host: str, port: int) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=3):
            return Finding(what, True, "answers")
    except OSError as error:
        return Finding(what, False, error.strerror or str(error))
