"""Sessions and transactions on SQLite and PostgreSQL.

``database.write(work)`` runs `work(session)` in one transaction and returns its result after the COMMIT;
``database.read(work)`` runs it in a read-only one. Nothing slow (passwords, rendering, network, parsing) belongs
into `work`; it may be run again after a deadlock, so it must do nothing but talk to its session.

SQLite has one writer at a time, and threads that compete for it starve each other. So on SQLite one thread owns
the writing connection: closures queue up, each runs in a SAVEPOINT, one COMMIT makes the whole batch durable, and
only then are the callers released (`docs/decisions/0002-one-writer-thread.md`). On PostgreSQL each call has a
transaction of its own in the caller's thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from worklist.errors import TryLater

T = TypeVar("T")
BATCH: Final = 64  # closures per COMMIT; more would only lengthen the wait of the first one
RETRIES: Final = 5  # of a PostgreSQL transaction that met another one
LOST_TURN: Final = ("40001", "40P01")  # serialisation failure, deadlock
SOMEBODY_WAS_FASTER: Final = "23505"  # unique violation: the next run finds the row that the other one made


class Database:
    """One database, opened once per process. Safe to use from many threads."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Open `url` (``sqlite:///…`` or ``postgresql+psycopg://…``). Nothing is created or migrated here."""
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url, "BEGIN", pool_size) if self.is_sqlite else _postgres_engine(url, pool_size)
        self._writer = _Writer(_sqlite_engine(url, "BEGIN IMMEDIATE", 1)) if self.is_sqlite else None

    def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` and roll back: what it changed by mistake is not kept."""
        with Session(self.engine, expire_on_commit=False) as session:
            try:
                return work(session)
            except OperationalError as error:
                raise TryLater("database_away") from error
            finally:
                session.expunge_all()  # what is handed out keeps its values; a rollback would empty it
                session.rollback()

    def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction; return its result once it is durable.

        Raises
        ------
        TryLater
            if the database is away or stayed locked.
        """
        if self._writer is not None:
            return self._writer.submit(work)
        for attempt in range(RETRIES):
            try:
                with Session(self.engine, expire_on_commit=False) as session, session.begin():
                    return work(session)
            except DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state in (*LOST_TURN, SOMEBODY_WAS_FASTER) and attempt < RETRIES - 1:
                    continue
                if state in LOST_TURN or isinstance(error, OperationalError):
                    raise TryLater("database_away") from error
                raise
        raise TryLater("database_away")

    def close(self) -> None:
        """Finish what is queued, then close all connections."""
        if self._writer is not None:
            self._writer.close()
        self.engine.dispose()


@dataclass(slots=True)
class _Job:
    work: Callable[[Session], Any]
    future: Future[Any]


class _Writer:
    """The one thread that writes to SQLite."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Session], T]) -> T:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise TryLater("shutting_down")
            self._jobs.put(_Job(work, future))
        return future.result()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch, last = self._collect(first)
            self._commit(batch)
            if last:
                return

    def _collect(self, first: _Job) -> tuple[list[_Job], bool]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _commit(self, batch: list[_Job]) -> None:
        done: list[tuple[_Job, Any]] = []
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                for job in batch:
                    try:
                        with session.begin_nested():
                            result = job.work(session)
                        done.append((job, result))
                    except Exception as error:  # noqa: BLE001 - handed to whoever queued the work
                        # Only this job's savepoint is undone; the others of the batch go on.
                        job.future.set_exception(_as_told(error))
                        _require_transaction(session)
                    # The next closure must read the database, not what this one remembered.
                    session.expunge_all()
        except BaseException as error:
            late = _as_told(error)
            for job in batch:
                if not job.future.done():
                    job.future.set_exception(late)
            if not isinstance(error, Exception):
                raise
            return
        for job, result in done:
            job.future.set_result(result)


def _as_told(error: BaseException) -> BaseException:
    """The error for whoever queued the work: a full or failing disk is a reason to try later."""
    if not isinstance(error, OperationalError):
        return error
    late = TryLater("database_away")
    late.__cause__ = error
    return late


def _require_transaction(session: Session) -> None:
    """Raise TryLater when SQLite has rolled back the whole transaction by itself, as it does after an I/O error or on
    a full disk: the earlier work of the batch is gone, and a COMMIT would succeed without it."""
    connection = session.connection().connection.driver_connection
    if connection is None or not connection.in_transaction:
        raise TryLater("database_away")


def _sqlite_engine(url: str, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=50 if pool_size > 1 else 0,
        connect_args={"timeout": 30, "check_same_thread": False},
        isolation_level=None,
        hide_parameters=True,  # an error reaches the log: no patient's name with it
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA case_sensitive_like=ON")  # as PostgreSQL does; ILIKE folds on both
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: str, pool_size: int) -> Engine:
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "options": "-c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s",
            "connect_timeout": 5,
        },
    )


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


def ping(session: Session) -> None:
    """Ask the database the smallest question."""
    session.execute(text("SELECT 1"))
