"""Running the outbox: what becomes of a row after its job, and the threads of a server that has no queue."""

from __future__ import annotations

import functools
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Final

import structlog
from sqlalchemy.orm import Session

from gateway.meters import JOBS
from huren.kinds import Clock, Job
from huren.running import Sign
from worklist import audit, outbox
from worklist.actions import archiving, deliveries, sendings
from worklist.database import Database
from worklist.errors import Broken, HurenError

log = structlog.get_logger(__name__)

SURPRISES: Final = 20  # a job that failed unexpectedly this often is stuck
SEAL_EVERY: Final = 5.0  # seconds
SEAL_ALL_EVERY: Final = 24 * 3600.0  # seconds
RENEW_EVERY: Final = outbox.LEASE.total_seconds() / 3


class Runner:
    """Runs a row that was claimed, and leaves it done, due again, or stuck."""

    def __init__(self, database: Database, clock: Clock, jobs: Mapping[str, Job]) -> None:
        self._database = database
        self._clock = clock
        self._jobs = jobs
        self._held: set[tuple[int, str]] = set()  # rows and who runs them: two may, where a lease was lost

    def run(self, name: str, row: outbox.Claimed) -> None:
        """Do the job of a row that `name` holds."""
        self._held.add((row.seq, name))
        try:
            self._run(name, row)
        finally:
            self._held.discard((row.seq, name))

    def renew(self) -> None:
        """Renew the leases of all rows that are being run."""
        held, now = list(self._held), self._clock()
        if held:
            self._database.write(lambda s: [outbox.renew(s, seq, name, now) for seq, name in held])

    def _run(self, name: str, row: outbox.Claimed) -> None:
        began = time.perf_counter()

        def tell(outcome: str) -> None:
            JOBS.labels(row.kind, outcome).observe(time.perf_counter() - began)

        try:
            again = self._jobs[row.kind](row.thing_id)
        except Broken as error:
            tell("stuck")
            log.warning("job_stuck", kind=row.kind, thing=row.thing_id, code=error.code)
            code = error.code
            self._database.write(lambda s: outbox.stick(s, row.seq, name, code))
        except Exception as error:  # noqa: BLE001 - whatever it was, the row must not be lost
            code = error.code if isinstance(error, HurenError) else type(error).__name__
            tell("failed")
            log.warning("job_failed", kind=row.kind, thing=row.thing_id, attempt=row.attempts, error=code)
            if row.attempts >= SURPRISES and not isinstance(error, HurenError):
                self._give_up(name, row, code)
            else:
                at = self._clock() + outbox.pause(row.attempts)
                self._database.write(lambda s: outbox.again(s, row.seq, name, at, code))
        else:
            tell("done" if again is None else "later")
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
            if row.kind == sendings.JOB:
                sendings.stick(session, row.thing_id, code, now)
            if row.kind == archiving.JOB:
                archiving.stick(session, row.thing_id, code, now)

        self._database.write(work)


class Worker:
    """Threads that claim rows of the outbox and run them; one more thread seals audit rows."""

    def __init__(
        self, database: Database, clock: Clock, jobs: Mapping[str, Job], *, threads: int = 4, idle: float = 0.5
    ) -> None:
        """`idle` is the pause in seconds between two looks at an empty outbox."""
        self.name = f"worker-{secrets.token_hex(4)}"
        self._database = database
        self._clock = clock
        self._runner = Runner(database, clock, jobs)
        self._idle = idle
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"{self.name}-{i}",), name=f"{self.name}-{i}", daemon=True)
            for i in range(threads)
        ]
        for work, on in ((seal, database), (keep, self._runner)):
            name = f"{self.name}-{work.__name__}"
            self._threads.append(threading.Thread(target=work, args=(on, self._stop), name=name, daemon=True))

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
            self._runner.run(name, row)
        return len(rows)


def seal(database: Database, stop: threading.Event) -> None:
    """Chain the audit rows that were appended, every few seconds until `stop` is set; on PostgreSQL, where rows may
    come late, now and then with a look at all of them."""
    whole_at = 0.0
    while not stop.wait(SEAL_EVERY):
        try:
            late: int | None = audit.LATE
            if not database.is_sqlite and time.monotonic() >= whole_at:
                late, whole_at = None, time.monotonic() + SEAL_ALL_EVERY
            while database.write(functools.partial(audit.seal, late=late)) and not stop.is_set():
                pass
        except Exception as error:  # noqa: BLE001 - sealing catches up at the next turn
            log.warning("sealing_failed", error=type(error).__name__)


def keep(runner: Runner, stop: threading.Event, sign: Sign | None = None) -> None:
    """Renew the leases of jobs that take long, until `stop` is set; `sign` says that somebody does."""
    while not stop.wait(RENEW_EVERY):
        if sign is not None:
            sign.give()
        try:
            runner.renew()
        except Exception as error:  # noqa: BLE001 - a lost lease costs a second run, a lost thread all leases
            log.warning("renewing_failed", error=type(error).__name__)
