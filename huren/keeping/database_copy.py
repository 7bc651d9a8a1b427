"""A consistent copy of a running database, and a database made of one.

SQLite: its online backup, in one step, so that the server's writer is not held up and never begins it anew.
PostgreSQL: `pg_dump` in its custom format, from a snapshot that is also read here: what it holds and what the list of
objects says are of the same moment (decision 0034).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from huren.keeping.repository import POSTGRES, SQLITE, CannotKeep
from huren.migrate import upgrade
from worklist.database import sqlite_url


def file_name(url: str) -> str:
    """What the copy of this database is called in a snapshot."""
    return SQLITE if make_url(url).get_backend_name() == "sqlite" else POSTGRES


@contextlib.contextmanager
def copied(url: str, folder: Path) -> Iterator[Session]:
    """Copy the database into `folder`; yields a session that reads what was copied.

    Raises
    ------
    CannotKeep
    """
    try:
        with _sqlite(url, folder) if file_name(url) == SQLITE else _postgres(url, folder) as session:
            yield session
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise CannotKeep(f"The database cannot be copied: {error}") from error


@contextlib.contextmanager
def _sqlite(url: str, folder: Path) -> Iterator[Session]:
    source, target = make_url(url).database or "", folder / SQLITE
    if not Path(source).is_file():
        raise CannotKeep(f"There is no database {source}.")
    target.touch(mode=0o600)
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    require_sound(target)
    with _reading(target) as session:
        yield session


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[Session]:
    engine = create_engine(sqlite_url(file), connect_args={"timeout": 30})
    try:
        with Session(engine) as session:
            yield session
            session.rollback()
    finally:
        engine.dispose()


def require_sound(file: Path) -> None:
    """Raise CannotKeep where SQLite finds the file damaged."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise CannotKeep(f"The copy of the database is damaged: {found}")


@contextlib.contextmanager
def _postgres(url: str, folder: Path) -> Iterator[Session]:
    target = folder / POSTGRES
    target.touch(mode=0o600)
    engine = create_engine(url, isolation_level="REPEATABLE READ")  # without the server's time-outs: this may take long
    try:
        with engine.connect() as connection:
            name = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            options = ("--format=custom", "--no-owner", "--no-privileges", f"--snapshot={name}", f"--file={target}")
            _run("pg_dump", url, *options)
            with Session(connection) as session:
                yield session
                session.rollback()
    finally:
        engine.dispose()


def require_empty(url: str) -> None:
    """Raises CannotKeep where the database has tables already, or where somebody is connected to it."""
    if file_name(url) == SQLITE:
        if Path(make_url(url).database or "").exists():
            raise CannotKeep(f"There is a database already: {make_url(url).database}. Restore into an empty folder.")
        return
    require_nobody(url)
    with _asking(url) as ask:
        tables = ask("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    if tables:
        raise CannotKeep("The PostgreSQL database is not empty. Make a new one, and name it in HUREN_DATABASE.")


def require_nobody(url: str) -> None:
    """Raises CannotKeep while somebody else is connected to a PostgreSQL database: a running server."""
    if file_name(url) == SQLITE:
        return
    with _asking(url) as ask:
        others = ask(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
    if others:
        raise CannotKeep(f"The database is in use ({others} connections): stop every process of the server first.")


@contextlib.contextmanager
def _asking(url: str) -> Iterator[Callable[[str], int]]:
    engine = create_engine(url, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            yield lambda question: int(connection.execute(text(question)).scalar_one())
    except SQLAlchemyError as error:
        raise CannotKeep("The database does not answer. Look at HUREN_DATABASE, and whether it runs.") from error
    finally:
        engine.dispose()


def put_back(url: str, copy: Path) -> None:
    """Make the empty database `url` of a copy, and bring it to the newest revision.

    Raises
    ------
    CannotKeep
    """
    if file_name(url) == SQLITE:
        target = Path(make_url(url).database or "")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = target.with_name(target.name + ".restoring")
        shutil.copyfile(copy, temporary)
        temporary.chmod(0o600)
        require_sound(temporary)
        descriptor = os.open(temporary, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        temporary.replace(target)
    else:
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        _run("pg_restore", url, *options, str(copy))
    bring_forward(url)


def is_made(url: str) -> bool:
    """Whether the database has our tables: `put_back` makes all of them or none."""
    if file_name(url) == SQLITE:
        return Path(make_url(url).database or "").exists()
    with _asking(url) as ask:
        return bool(ask("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname = 'alembic_version'"))


def bring_forward(url: str) -> None:
    """Migrate a database that was put back, and let PostgreSQL look at what came in."""
    upgrade(url)
    if file_name(url) == POSTGRES:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("ANALYZE"))  # nothing else tells the planner what came in
        engine.dispose()


def _run(program: str, url: str, *options: str) -> None:
    """Run one of PostgreSQL's programs on `url`; the password goes by the environment, which others cannot read."""
    found = shutil.which(program)
    if found is None:
        raise CannotKeep(f"{program} is not installed: it comes with PostgreSQL's client (postgresql-client).")
    parsed = make_url(url)
    environment = {**os.environ, **({"PGPASSWORD": str(parsed.password)} if parsed.password else {})}
    ran = subprocess.run(  # noqa: S603 - its program and options are ours
        [found, f"--dbname={_address(parsed)}", *options], env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise CannotKeep(f"{program} ended with status {ran.returncode}: {ran.stderr.strip()[-2000:]}")


def _address(url: URL) -> str:
    plain = URL.create("postgresql", url.username, host=url.host, port=url.port, database=url.database, query=url.query)
    return plain.render_as_string(hide_password=False)
