"""Statements of every message, run on SQLite's driver itself.

SQLAlchemy takes 20 µs for each run of a statement that SQLite answers in 2, and all of that is spent in the one
thread that writes. A `Prepared` is made once, at import, from a statement like any other; the column types translate
values in both directions as SQLAlchemy has them do. On PostgreSQL, where the way to the server costs more,
SQLAlchemy runs the statement.

As with every statement that passes by the ORM: it sees what is flushed, and writes past what the session remembers.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import JSON, Delete, Insert, Select, Table, Update, exc, insert, inspect
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.types import TypeEngine

Statement: TypeAlias = Select[*tuple[Any, ...]] | Insert | Update | Delete
Translate: TypeAlias = Callable[[Any], Any]

DRIVER: Final = "driver"
"""In `Session.info`: SQLite's connection, where its transaction is open for as long as the session lives."""


@dataclass(frozen=True, slots=True)
class _OnDriver:
    """A statement as SQLite's driver takes it."""

    text: str
    fixed: dict[str, Any]  # values that stand in the statement itself
    places: tuple[tuple[str, Translate | None], ...]  # what goes into each question mark
    row: Callable[[Iterable[Any]], Any] | None  # None: the statement returns nothing
    columns: tuple[tuple[int, Translate], ...]  # those that need translating


class Prepared:
    """One statement that is run very often. Its values are named with `bindparam`."""

    def __init__(self, statement: Statement, names: Sequence[str] | None = None) -> None:
        """`names` are the columns that an INSERT fills; all that have a default in Python must be among them."""
        self._statement = statement
        self._names = names
        self._on_driver: _OnDriver | None = None

    def rows(self, session: Session, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run it; what it returns, whose columns are attributes. Raises KeyError for a value that is not given."""
        driver: Any = session.info.get(DRIVER)
        if driver is None:
            connection = session.connection()
            if connection.dialect.name != "sqlite":
                return connection.execute(self._statement, values).all()
            driver = connection.connection.driver_connection
        if self._on_driver is None:
            self._on_driver = _compiled(self._statement, self._names, session.get_bind().dialect)
        this = self._on_driver
        given = {**this.fixed, **values}
        try:
            found = driver.execute(
                this.text, [given[name] if put is None else put(given[name]) for name, put in this.places]
            ).fetchall()
        except sqlite3.Error as error:
            raise named(error, this.text) from error
        if this.row is None or not found:
            return []
        if not this.columns:
            return [this.row(values) for values in found]
        return [this.row(_translated(values, this.columns)) for values in found]

    def first(self, session: Session, values: Mapping[str, Any]) -> Any | None:
        """Run it; the first row, None without one."""
        found = self.rows(session, values)
        return found[0] if found else None

    def run(self, session: Session, values: Mapping[str, Any]) -> None:
        """Run a statement that returns nothing."""
        if DRIVER in session.info or session.get_bind().dialect.name == "sqlite":
            self.rows(session, values)
        else:
            session.connection().execute(self._statement, values)


def named(error: sqlite3.Error, text: str) -> exc.DBAPIError:
    """An error of the driver as SQLAlchemy names it, so that whoever minds one need not know which way `text` went."""
    kind: type[exc.DBAPIError] = getattr(exc, type(error).__name__, exc.DatabaseError)
    return kind(text, None, error, hide_parameters=True)


def write_new(session: Session, thing: DeclarativeBase) -> None:
    """Write the row of a new thing at once. From then on the session holds it as if it had been read.

    What a flush would do, at a tenth of the time: nothing is sorted, and what it refers to must be written already.
    """
    if thing in session.new:
        session.expunge(thing)
    statement, columns = _of_new(type(thing))
    held = thing.__dict__
    for name, default in columns:
        if name not in held:
            set_committed_value(thing, name, default() if default is not None else None)
    statement.run(session, {name: held[name] for name, _default in columns})
    make_transient_to_detached(thing)
    session.add(thing)


@cache
def _of_new(mapped: type[DeclarativeBase]) -> tuple[Prepared, tuple[tuple[str, Callable[[], Any] | None], ...]]:
    """The INSERT of a class, and its columns with what they hold where nothing is said.

    Raises ValueError for a class with a column of JSON that may be empty: NULL and JSON's own null are two things.
    """
    table = cast(Table, inspect(mapped).local_table)
    columns = [column for column in table.c if column.computed is None]
    if any(column.nullable and isinstance(column.type, JSON) for column in columns):
        raise ValueError("not a class that can be prepared")
    return Prepared(insert(table), [column.name for column in columns]), tuple(
        (column.name, _default_of(column.default)) for column in columns
    )


def _default_of(default: Any) -> Callable[[], Any] | None:
    if default is None:
        return None
    return (lambda: default.arg) if default.is_scalar else (lambda: default.arg(None))


def _translated(values: Sequence[Any], columns: tuple[tuple[int, Translate], ...]) -> list[Any]:
    row = list(values)
    for at, get in columns:
        row[at] = get(row[at])
    return row


def _compiled(statement: Statement, names: Sequence[str] | None, dialect: Dialect) -> _OnDriver:
    """Raises ValueError for a statement whose text depends on its values, or whose defaults are made in Python."""
    compiled = statement.compile(dialect=dialect, column_keys=list(names) if names else None)
    if compiled.post_compile_params or compiled.insert_prefetch or compiled.update_prefetch:
        raise ValueError("not a statement that can be prepared")
    binds = compiled.binds
    selected = statement.selected_columns if isinstance(statement, Select) else statement.exported_columns
    readers = [_impl(column.type, dialect).result_processor(dialect, None) for column in selected]
    return _OnDriver(
        text=compiled.string,
        fixed={name: bind.value for name, bind in binds.items() if not bind.required},
        places=tuple(
            (name, _impl(binds[name].type, dialect).bind_processor(dialect)) for name in compiled.positiontup or ()
        ),
        row=_row_of([str(column.key) for column in selected]) if selected else None,
        columns=tuple((at, read) for at, read in enumerate(readers) if read is not None),
    )


def _row_of(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    made: Any = namedtuple("Row", names)  # type: ignore[misc] # its names are known when it is run
    return cast(Callable[[Iterable[Any]], Any], made._make)


def _impl(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return type_.dialect_impl(dialect)
