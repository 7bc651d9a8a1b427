"""What the outbox asks for: each kind of job is one call, safe to run twice.

A job returns when it wants to run again (aware UTC), or None when it is done. What it raises decides too:
`TryLater` and surprises come back after a growing pause, `Broken` gets stuck until a person looks (`workers`).
"""

from __future__ import annotations

from datetime import datetime

from gateway.archiving import archive_study
from gateway.deliver import deliver
from gateway.dimse.commitment import Commitments
from gateway.dimse.guard import Limits
from gateway.dimse.outgoing import Outgoing
from gateway.prepare import prepare_series
from gateway.recordings import check_recordings
from gateway.regional import Platforms
from gateway.releasing import keep_up
from gateway.stamping import Authority, ask
from gateway.store import ObjectStore
from gateway.tls import Identity
from huren.kinds import Archives, Clock, Job
from reading_room.telling import Telling, send_notice
from worklist import register
from worklist.actions import (
    archiving,
    critical,
    deliveries,
    expiring,
    partial_files,
    reading_making,
    sendings,
    stamping,
    steps,
)
from worklist.database import Database
from worklist.errors import Broken


def jobs(
    database: Database,
    store: ObjectStore,
    clock: Clock,
    public_url: str = "",
    ae_title: str = "HUREN",
    identity: Identity | None = None,
    telling: Telling | None = None,
    archives: Archives | None = None,
    authority: Authority | None = None,
    platforms: Platforms | None = None,
) -> dict[str, Job]:
    """Every kind of job that the lifecycle's table starts.

    `identity` is our own certificate, for calls over TLS; `telling` how notices go out of the house; `archives` and
    `authority`, for time stamps, those that the settings name; `platforms` how regional platforms are reached.
    """
    downstream = archives or Archives()
    way_out = telling or Telling()
    commitments = Commitments(database, store, clock)
    outgoing = Outgoing(ae_title, Limits(), identity)
    return {
        "check_arrival": lambda id: database.write(lambda s: steps.check_arrival(s, id, clock())),
        "prepare_series": lambda id: prepare_series(database, store, id),
        reading_making.CHECK_JOB: lambda id: check_recordings(database, store, id, clock),
        expiring.JOB: lambda _id: _expire(database, store, clock),
        critical.VERIFY_JOB: lambda id: database.write(lambda s: critical.announce_unverified(s, id, clock())),
        "escalate_critical": lambda id: database.write(lambda s: critical.escalate(s, id, clock())),
        "report_commitment": lambda id: commitments.report(id, outgoing),
        sendings.JOB: lambda id: _tell(database, way_out, id, clock),
        archiving.JOB: lambda id: archive_study(database, store, downstream.by_name, id, clock, downstream.largest),
        archiving.UPKEEP: lambda _id: keep_up(database, store, downstream.by_name, clock, downstream.keep_days),
        register.STAMP_JOB: lambda _id: _stamp(database, authority),
        "send_delivery": lambda id: _send(database, store, id, clock, public_url, identity, platforms),
    }


def _expire(database: Database, store: ObjectStore, clock: Clock) -> None:
    """The daily work: orders that nobody came for, and files that nobody went on sending."""
    while database.write(lambda s: expiring.expire_orders(s, clock())):
        pass
    while database.write(lambda s: partial_files.forget_expired(s, clock())):
        pass
    left = store.partial_files.ids()
    for id in database.read(lambda s: partial_files.unknown(s, left)):
        store.partial_files.remove(id)
    database.write(lambda s: expiring.plan_next(s, clock()))


def _stamp(database: Database, authority: Authority | None) -> None:
    """Have the newest row of the register stamped; one that came meanwhile has a job of its own."""
    what = database.read(stamping.unstamped) if authority is not None else None
    if authority is None or what is None:
        return
    stamp = ask(authority, bytes.fromhex(what.digest))
    database.write(lambda s: stamping.keep(s, what, stamp.at, stamp.token))


def _send(
    database: Database,
    store: ObjectStore,
    delivery_id: str,
    clock: Clock,
    public_url: str,
    identity: Identity | None,
    platforms: Platforms | None,
) -> datetime | None:
    again = deliver(database, store, delivery_id, clock, public_url, identity, platforms)
    if again is None and database.read(lambda s: deliveries.is_stuck(s, delivery_id)):
        raise Broken("delivery_stuck")
    return again


def _tell(database: Database, telling: Telling, sending_id: str, clock: Clock) -> datetime | None:
    again = send_notice(database, telling, sending_id, clock)
    if again is None and database.read(lambda s: sendings.is_stuck(s, sending_id)):
        raise Broken("sending_stuck")
    return again
