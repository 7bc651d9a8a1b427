"""A worker over a test's database and store, whose clock the test steps."""

from __future__ import annotations

from gateway.regional import Platforms
from gateway.store import ObjectStore
from gateway.tls import Identity
from huren.jobs import jobs
from huren.kinds import Clock
from huren.workers import Worker
from reading_room.telling import Telling
from worklist.database import Database


def worker_of(
    database: Database,
    store: ObjectStore,
    clock: Clock,
    *,
    identity: Identity | None = None,
    telling: Telling | None = None,
    platforms: Platforms | None = None,
    public_url: str = "",
) -> Worker:
    """It does every kind of job; nothing runs before `run_due`."""
    work = jobs(database, store, clock, public_url=public_url, identity=identity, telling=telling, platforms=platforms)
    return Worker(database, clock, work)
