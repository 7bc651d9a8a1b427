"""Sessions and transactions on SQLite and PostgreSQL.

``database.write(work)`` runs `work(session)` in one transaction and returns its result after the COMMIT;
``database.read(work)`` runs it in a read-only one. Nothing slow (passwords, rendering, network, parsing) belongs
into `work`; it may be run again after a deadlock or beside work that failed, so it must do nothing but talk to its
session.

SQLite has one writer at a time, and threads that compete for it starve each other. So on SQLite there is one
connection that writes and a queue for it: whoever has the turn runs all that waits, one COMMIT makes the whole batch
durable, and only then are the callers released. Where one of a batch fails, all of it is undone and each runs again
in a transaction of its own (`docs/decisions/0002-one-writer.md`). On PostgreSQL each call has a transaction of its
own in the caller's thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from worklist.errors import TryLater
from worklist.prepared import DRIVER, named

T = TypeVar("T")
BATCH: Final = 64  # closures per COMMIT; more would only lengthen the wait of the first one
RETRIES: Final = 5  # of a PostgreSQL transaction that met another one
LOST_TURN: Final = ("40001", "40P01")  # serialisation failure, deadlock
_TURN: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
SOMEBODY_WAS_FASTER: Final = "23505"  # unique violation: the next run finds the row that the other one made


class Database:
    """One database, opened once per process. Safe to use from many threads."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Open `url` (``sqlite:///…`` or ``postgresql+psycopg://…``). Nothing is created or migrated here."""
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url, "BEGIN", pool_size) if self.is_sqlite else _postgres_engine(url, pool_size)
        self._writer = _Writer(_sqlite_engine(url, "BEGIN IMMEDIATE", 1)) if self.is_sqlite else None
        self._waited: Callable[[float], object] | None = None

    def tell_waits(self, waited: Callable[[float], object]) -> None:
        """From now on `waited` is told for each writing transaction how many seconds it waited for its turn (SQLite)
        or for a connection (PostgreSQL). It must be quick and raise nothing."""
        self._waited = waited
        if self._writer is not None:
            self._writer.waited = waited

    @property
    def connections(self) -> int:
        """How many of its connections are at work now."""
        return cast(QueuePool, self.engine.pool).checkedout()

    @property
    def size(self) -> int:
        """Bytes that it takes on its disk."""
        if self.is_sqlite:
            file = Path(self.engine.url.database or "")
            return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))
        return self.read(lambda s: int(s.scalar(text("SELECT pg_database_size(current_database())")) or 0))

    def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` and roll back: what it changed by mistake is not kept.

        Raises
        ------
        TryLater
            if the database is away, or goes before the end.
        """
        try:
            with Session(self.engine, expire_on_commit=False) as session:
                try:
                    return work(session)
                finally:
                    session.expunge_all()  # what is handed out keeps its values; a rollback would empty it
                    session.rollback()
        except DBAPIError as error:
            if _is_away(error):
                raise TryLater("database_away") from error
            raise

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
                    if self._waited is not None:
                        began = time.perf_counter()
                        session.connection()
                        self._waited(time.perf_counter() - began)
                    return work(session)
            except DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state in (*LOST_TURN, SOMEBODY_WAS_FASTER) and attempt < RETRIES - 1:
                    continue
                if state in LOST_TURN or _is_away(error):
                    raise TryLater("database_away") from error
                raise
        raise TryLater("database_away")

    def close(self) -> None:
        """Finish what is queued, then close all connections."""
        if self._writer is not None:
            self._writer.close()
        self.engine.dispose()


class _Job(Generic[T]):
    """A closure and what became of it, for one waiting thread. Half the price of a Future, and nobody cancels it."""

    __slots__ = ("_error", "_gate", "_is_done", "_result", "since", "work")

    def __init__(self, work: Callable[[Session], T]) -> None:
        self.work = work
        self.since = time.perf_counter()
        self._gate = threading.Lock()
        self._gate.acquire()
        self._is_done = False
        self._result: T | None = None
        self._error: BaseException | None = None

    def wait(self) -> bool:
        """True once it is done; False when it is this thread's turn to write."""
        self._gate.acquire()
        return self._is_done

    def call(self) -> None:
        """It is its thread's turn to write."""
        self._gate.release()

    def result(self) -> T:
        """The result, once it is durable; or what went wrong."""
        if self._error is not None:
            raise self._error
        return cast(T, self._result)

    def succeed(self, result: T) -> None:
        self._result = result
        self._done()

    def fail(self, error: BaseException) -> None:
        """The error for whoever queued the work: a full or failing disk is a reason to try later."""
        if isinstance(error, OperationalError):
            late = TryLater("database_away")
            late.__cause__ = error
            error = late
        self._error = error
        self._done()

    def _done(self) -> None:
        self._is_done = True
        self._gate.release()


class _Writer:
    """The one connection that writes to SQLite, and the queue for it. One thread at a time has the turn: it runs what
    waits, its own first, and calls the next."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._at_work = False  # a closure is running: what is raised is its own, not the database's at BEGIN or COMMIT
        self._jobs: deque[_Job[Any]] = deque()
        self._taken = False  # the turn; while nobody has it, nothing waits
        self._closed = False
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self.waited: Callable[[float], object] | None = None

    def submit(self, work: Callable[[Session], T]) -> T:
        job = _Job(work)
        with self._lock:
            if self._closed:
                raise TryLater("shutting_down")
            self._jobs.append(job)
            is_free, self._taken = not self._taken, True
        if is_free or not job.wait():
            self._take_turn()
        return job.result()

    def close(self) -> None:
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._taken)
        self._disconnect()
        self._engine.dispose()

    def _take_turn(self) -> None:
        with self._lock:
            batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), BATCH))]
        if self.waited is not None:
            now = time.perf_counter()
            for job in batch:
                self.waited(now - job.since)
        try:
            self._commit(batch)
        finally:
            with self._lock:
                if self._jobs:
                    self._jobs[0].call()
                else:
                    self._taken = False
                    self._idle.notify_all()

    def _commit(self, batch: list[_Job[Any]]) -> None:
        """All of `batch` in one transaction; where one fails, each in a transaction of its own, in the same order."""
        try:
            results = self._together(batch)
        except BaseException as error:
            self._disconnect()  # SQLite may have rolled back by itself, as it does on a full or failing disk
            if self._at_work and len(batch) > 1 and isinstance(error, Exception):
                for job in batch:
                    self._commit([job])
                return
            for job in batch:
                job.fail(error if isinstance(error, Exception) else TryLater("shutting_down"))
            if not isinstance(error, Exception):
                raise
            return
        for job, result in zip(batch, results, strict=True):
            job.succeed(result)

    def _together(self, batch: list[_Job[Any]]) -> list[Any]:
        self._at_work = False
        if self._connection is None:
            self._connection = self._engine.connect()
        results = []
        driver = self._connection.connection.driver_connection
        with (
            self._connection.begin(),
            Session(self._connection, expire_on_commit=False, info={DRIVER: driver}) as session,
        ):
            self._at_work = True
            for job in batch:
                results.append(job.work(session))
                session.flush()
                # The next closure must read the database, not what this one remembered.
                session.expunge_all()
            self._at_work = False
            _require_transaction(self._connection)
        return results

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(DBAPIError):
                self._connection.close()
            self._connection = None


def _is_away(error: DBAPIError) -> bool:
    """The connection broke or the server had to give up, whatever the driver calls it."""
    return isinstance(error, OperationalError) or error.connection_invalidated


def _require_transaction(connection: Connection) -> None:
    """Raise TryLater when SQLite has rolled back the whole transaction by itself, as it does after an I/O error or on
    a full disk, and a closure has not minded: a COMMIT would succeed without the work."""
    driver = connection.connection.driver_connection
    if driver is None or not driver.in_transaction:
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
    def _begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        try:
            driver.execute(begin)  # SQLAlchemy takes 50 µs more, for every transaction
        except sqlite3.Error as error:
            raise named(error, begin) from error

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


def take_turn(session: Session, *name: str) -> None:
    """Until the end of this transaction nobody else takes the same turn; whoever waited for it sees what was done.

    For what no unique index can say. SQLite has one writer anyway. Two names may share a turn, which only costs time.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_TURN, {"name": "\x1f".join(name)})


def ping(session: Session) -> None:
    """Ask the database the smallest question."""
    session.execute(text("SELECT 1"))
