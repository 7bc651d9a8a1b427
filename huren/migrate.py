"""Bringing a database to the newest revision, and saying where it stands."""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

import migrations
from worklist.tables import Base

PLACE = Path(migrations.__file__).parent
WAIT_SECONDS = 600  # for another process that migrates the same SQLite file
LOCK = 0x4855_5245  # "HURE": one process migrates a PostgreSQL database at a time


def upgrade(url: str, revision: str = "head") -> str:
    """Migrate `url` to the newest revision, or to `revision`, and return its name.

    Safe to call from several processes at once.

    A new SQLite file and its folder are made. Everything runs in one transaction: a failed migration leaves the
    database as it was.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"timeout": WAIT_SECONDS})
    else:
        engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                _write_ahead(connection)
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            command.upgrade(_config(connection), revision)
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("COMMIT")
            else:
                connection.commit()
    finally:
        engine.dispose()
    return newest() if revision == "head" else revision


def _write_ahead(connection: Connection) -> None:
    """Switch an SQLite file to its write-ahead log, which SQLite refuses at once while another process does so.

    Its busy time-out holds for locks of transactions, not for this one: https://sqlite.org/c3ref/busy_handler.html.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def newest() -> str:
    """The newest revision that this program knows."""
    head = ScriptDirectory(str(PLACE)).get_current_head()
    if head is None:
        raise RuntimeError("there are no migrations")
    return head


def current(connection: Connection) -> str:
    """The revision of a database; ``""`` for an empty one."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def differences(connection: Connection) -> list[object]:
    """What the tables in the code have and the migrated database has not, or the other way round."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Base.metadata))


def draft(url: str, message: str) -> None:
    """Write a new migration from the differences between `url` and the tables; a developer then reads it."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            command.revision(_config(connection), message=message, autogenerate=True, rev_id=_next_id())
    finally:
        engine.dispose()


def _next_id() -> str:
    known = [script.revision for script in ScriptDirectory(str(PLACE)).walk_revisions()]
    return f"{max((int(r) for r in known), default=0) + 1:04d}"


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(PLACE))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
