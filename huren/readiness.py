"""`/readyz`: can this process do its work now, and what does it lack? One line for each thing that was looked at.

What is `needed` and not there makes it not ready (503): a proxy sends nobody here then. The rest makes it degraded:
it serves, and a person should look.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.http import Web
from gateway.store import INCOMING
from huren import running
from huren.migrate import current, newest
from huren.settings import Settings
from worklist.actions.installation import bound_store
from worklist.database import ping
from worklist.errors import HurenError
from worklist.queries.archives import away
from worklist.queries.watching import longest_due
from worklist.rules.disk import state_of

LATE: Final = 300.0  # seconds that a job may be due; the longest usual one is a minute, after a worker was killed
MIB: Final = 1 << 20


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what there is to say."""

    name: str
    ok: bool
    text: str
    needed: bool = False


def look(web: Web, settings: Settings) -> list[Check]:
    """Look at everything that this process rests on."""
    return [
        *_database(web),
        *_store(web, settings),
        *_disk(web, settings),
        *_work(web, settings),
        *_archives(web),
    ]


def status_of(checks: list[Check]) -> str:
    """``ready``, ``degraded`` or ``not ready``."""
    if any(check.needed and not check.ok for check in checks):
        return "not ready"
    return "ready" if all(check.ok for check in checks) else "degraded"


def disk_state(free: int, settings: Settings) -> str:
    """What `free` bytes on the data folder's disk mean: ``full`` (images are refused), ``low`` or ``enough``."""
    return state_of(free, settings.disk_warning * MIB, settings.reserve * MIB)


def _database(web: Web) -> Iterator[Check]:
    try:
        web.database.read(ping)
        revision = web.database.read(lambda s: current(s.connection()))
    except HurenError as error:
        yield Check("database", False, f"does not answer ({error.code})", needed=True)
        return
    yield Check("database", True, "answers", needed=True)
    good = revision == newest()
    text = revision if good else f"is at {revision or 'none'}, this program needs {newest()}: run `huren migrate`"
    yield Check("revision", good, text, needed=True)


def _store(web: Web, settings: Settings) -> Iterator[Check]:
    name = "object store"
    try:
        marker = web.store.marker()
    except (HurenError, OSError):
        yield Check(name, False, "not readable: is its disk mounted?", needed=True)
        return
    try:
        if marker != web.database.read(bound_store):
            yield Check(name, False, "not the one that this database refers to", needed=True)
            return
    except HurenError:
        pass  # said above
    try:
        with tempfile.TemporaryFile(dir=settings.store_folder / INCOMING):
            pass
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):  # see "disk"
            yield Check(name, False, f"cannot be written: {error.strerror}", needed=True)
            return
    yield Check(name, True, "is the one of this database, and can be written", needed=True)


def _disk(web: Web, settings: Settings) -> Iterator[Check]:
    try:
        free = web.store.free_bytes()
    except HurenError:
        return  # said above
    state = disk_state(free, settings)
    words = {
        "full": f"less than the reserve of {settings.reserve} MiB is free: images are refused",
        "low": f"less than {settings.disk_warning} MiB is free",
        "enough": "enough is free",
    }
    yield Check("disk", state == "enough", words[state])


def _work(web: Web, settings: Settings) -> Iterator[Check]:
    now = web.clock()
    try:
        yield _lag(web.database.read(lambda s: longest_due(s, now)), now)
    except HurenError:
        pass  # said above
    if not settings.broker:
        return
    from huren.broker import answers  # Celery, for those who have a queue

    there = answers(settings.broker)
    yield Check("queue", there, "answers" if there else "does not answer: jobs wait")
    alive = {seen.part for seen in running.processes(settings.data) if seen.is_alive}
    for part in ("scheduler", "worker"):
        yield Check(part, part in alive, "gave a sign lately" if part in alive else "none gives a sign: jobs wait")


def _archives(web: Web) -> Iterator[Check]:
    """As the jobs found them lately: whoever asks whether this process is ready must not wait for an archive."""
    now = web.clock()
    try:
        found = web.database.read(away)
    except HurenError:
        return  # said above
    for name, since in found.items():
        if since is None:
            yield Check(f"archive {name}", True, "answered when it was asked last")
        else:
            minutes = (now - since).total_seconds() / 60
            yield Check(f"archive {name}", False, f"has not answered for {minutes:.0f} minutes: studies wait here")


def _lag(since: datetime | None, now: datetime) -> Check:
    late = (now - since).total_seconds() if since else 0.0
    if late <= LATE:
        return Check("jobs", True, "are done in time")
    return Check("jobs", False, f"one has been due for {late:.0f} s")
