"""Running the outbox: each kind of job is one call, safe to run twice.

A job returns when it wants to run again (aware UTC), or None when it is done. What it raises decides too:
`TryLater` and surprises come back after a growing pause, `Broken` gets stuck until a person looks.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy.orm import Session

from gateway.deliver import deliver
from gateway.dimse.commitment import Commitments
from gateway.dimse.guard import Limits
from gateway.dimse.outgoing import Outgoing
from gateway.prepare import prepare_series
from gateway.store import ObjectStore
from worklist import audit, outbox
from worklist.actions import critical, deliveries, steps
from worklist.database import Database
from worklist.errors import Broken, HurenError

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
Job = Callable[[str], datetime | None]

SURPRISES = 20
"""A job that failed unexpectedly this often is stuck."""


def utc_now() -> datetime:
    """The present, aware, UTC."""
    return datetime.now(UTC)


def jobs(
    database: Database, store: ObjectStore, clock: Clock, public_url: str = "", ae_title: str = "HUREN"
) -> dict[str, Job]:
    """Every kind of job that the lifecycle's table starts."""
    commitments = Commitments(database, store, clock)
    outgoing = Outgoing(ae_title, Limits())
    return {
        "check_arrival": lambda id: database.write(lambda s: steps.check_arrival(s, id, clock())),
        "prepare_series": lambda id: prepare_series(database, store, id),
        "escalate_critical": lambda id: database.write(lambda s: critical.escalate(s, id, clock())),
        "report_commitment": lambda id: commitments.report(id, outgoing),
        "send_delivery": lambda id: _send(database, store, id, clock, public_url),
    }


def _send(database: Database, store: ObjectStore, delivery_id: str, clock: Clock, public_url: str) -> datetime | None:
    again = deliver(database, store, delivery_id, clock, public_url)
    if again is None and database.read(lambda s: deliveries.is_stuck(s, delivery_id)):
        raise Broken("delivery_stuck")
    return again


class Worker:
    """Threads that claim rows of the outbox and run them; one more thread seals audit rows."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        clock: Clock,
        *,
        threads: int = 4,
        idle: float = 0.5,
        public_url: str = "",
        ae_title: str = "HUREN",
    ) -> None:
        """`idle` is the pause in seconds between two looks at an empty outbox."""
        self.name = f"worker-{secrets.token_hex(4)}"
        self._database = database
        self._clock = clock
        self._jobs = jobs(database, store, clock, public_url, ae_title)
        self._idle = idle
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"{self.name}-{i}",), name=f"{self.name}-{i}", daemon=True)
            for i in range(threads)
        ]
        self._threads.append(threading.Thread(target=self._seal, name=f"{self.name}-sealer", daemon=True))

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is being done, then stop."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def run_due(self, limit: int = 10) -> int:
        """Run what is due now, in this thread; return how many rows were run. Tests step the clock and call this."""
        return self._turn(self.name, limit)

    def _run(self, name: str) -> None:
        while not self._stop.is_set():
            try:
                ran = self._turn(name, 1)
            except HurenError as error:
                log.warning("outbox_away", code=error.code)
                ran = 0
            except Exception as error:  # noqa: BLE001 - a worker thread must outlive every surprise
                log.warning("outbox_failed", error=type(error).__name__)
                ran = 0
            if not ran:
                self._stop.wait(self._idle)

    def _turn(self, name: str, limit: int) -> int:
        now = self._clock()
        # A look without the writer's turn first: most looks find nothing.
        if not self._database.read(lambda s: outbox.is_due(s, now)):
            return 0
        rows = self._database.write(lambda s: outbox.claim(s, name, now, limit=limit))
        for row in rows:
            self._one(name, row)
        return len(rows)

    def _one(self, name: str, row: outbox.Claimed) -> None:
        try:
            again = self._jobs[row.kind](row.thing_id)
        except Broken as error:
            log.warning("job_stuck", kind=row.kind, thing=row.thing_id, code=error.code)
            code = error.code
            self._database.write(lambda s: outbox.stick(s, row.seq, name, code))
        except Exception as error:  # noqa: BLE001 - whatever it was, the row must not be lost
            code = error.code if isinstance(error, HurenError) else type(error).__name__
            log.warning("job_failed", kind=row.kind, thing=row.thing_id, attempt=row.attempts, error=code)
            if row.attempts >= SURPRISES and not isinstance(error, HurenError):
                self._give_up(name, row, code)
            else:
                at = self._clock() + outbox.pause(row.attempts)
                self._database.write(lambda s: outbox.again(s, row.seq, name, at, code))
        else:
            if again is None:
                self._database.write(lambda s: outbox.finish(s, row.seq, name))
            else:
                self._database.write(lambda s: outbox.again(s, row.seq, name, again))

    def _give_up(self, name: str, row: outbox.Claimed, code: str) -> None:
        now = self._clock()

        def work(session: Session) -> None:
            outbox.stick(session, row.seq, name, code)
            if row.kind == "send_delivery":
                deliveries.give_up(session, row.thing_id, code, now)

        self._database.write(work)

    def _seal(self) -> None:
        while not self._stop.wait(5):
            try:
                while self._database.write(audit.seal) and not self._stop.is_set():
                    pass
            except Exception as error:  # noqa: BLE001 - sealing catches up at the next turn
                log.warning("sealing_failed", error=type(error).__name__)
