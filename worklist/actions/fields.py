"""How the PACS admin's actions read what was typed: the fields of a thing, each refused by its name if it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any, Final, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.errors import BadInput, Conflict, NotFound
from worklist.people import Actor
from worklist.tables.base import Thing

Row = TypeVar("Row", bound=Thing)

LONGEST_LIST: Final = 200  # entries of one field


def allow(by: Actor) -> None:
    """Only the PACS admin, and Huren itself.

    Raises
    ------
    Forbidden
    """
    if not by.is_system:
        by.require_scope("admin")
        by.require("PACS admin")


def row_of(session: Session, table: type[Row], id: str | None, make: Callable[[], Row]) -> Row:
    """The row to be changed, or a new one where there is no `id` yet."""
    if id is None:
        return make()
    row = session.get(table, id)
    if row is None:
        raise NotFound(f"no_such_{table.__tablename__}")
    return row


def keep(session: Session, by: Actor, row: Row, now: datetime, detail: dict[str, Any] | None = None) -> Row:
    """Write the row, and who changed it; `detail` says what it holds now, where that is worth a record."""
    session.add(row)
    session.flush()
    thing = row.__tablename__
    audit.note(session, by, f"{thing} saved", now, thing=thing, thing_id=row.id, detail=detail)
    return row


def unique(session: Session, table: type[Row], condition: Any, row: Row) -> None:
    """Refuse a code that another row has (`code_taken`)."""
    with session.no_autoflush:
        other = session.scalar(select(table).where(condition))
    if other is not None and other is not row:
        raise Conflict("code_taken")


def text(fields: Mapping[str, Any], name: str, default: str) -> str:
    """A text without blanks around it."""
    value = fields.get(name, default)
    if not isinstance(value, str) or "\x00" in value:
        raise BadInput("field_wrong", field=name)
    return value.strip()


def needed(fields: Mapping[str, Any], name: str, default: str) -> str:
    """A text that must not be empty."""
    return text(fields, name, default) or missing(name)


def missing(name: str) -> str:
    """Refuse: the field is needed."""
    raise BadInput("field_missing", field=name)


def one_of(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    """One of several values."""
    value = text(fields, name, default)
    if value not in allowed:
        raise BadInput("field_wrong", field=name)
    return value


def day(fields: Mapping[str, Any], name: str, default: str) -> str:
    """A day as DA (PS3.5 section 6.2), or nothing."""
    value = text(fields, name, default)
    try:
        if value and (len(value) != 8 or not value.isascii() or f"{_read_day(value):%Y%m%d}" != value):
            raise BadInput("field_wrong", field=name)
    except ValueError as error:
        raise BadInput("field_wrong", field=name) from error
    return value


def _read_day(da: str) -> datetime:
    return datetime.strptime(da, "%Y%m%d")  # noqa: DTZ007 - a day has no zone


def region(fields: Mapping[str, Any], default: str) -> str:
    """What the codes of a region (GB/T 2260, six digits) begin with; empty: everywhere."""
    value = text(fields, "region", default)
    if value and not (value.isascii() and value.isdigit() and len(value) <= 6):
        raise BadInput("field_wrong", field="region")
    return value


def positive(fields: Mapping[str, Any], name: str) -> int:
    """A whole number from 1."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput("field_wrong", field=name)
    return value


def texts(fields: Mapping[str, Any], name: str, is_right: Callable[[str], bool]) -> list[str]:
    """Several texts, each once, in their order."""
    values = fields[name]
    if (
        not isinstance(values, list | tuple)
        or len(values) > LONGEST_LIST
        or any(not isinstance(value, str) or not is_right(value) for value in values)
    ):
        raise BadInput("field_wrong", field=name)
    return list(dict.fromkeys(values))


def hours(fields: Mapping[str, Any], name: str) -> list[list[str]]:
    """Spans of local time, ``[["07:00", "19:00"]]``; one may pass midnight.

    Raises
    ------
    BadInput
        ``route_hours_wrong``; ``hours_empty`` for a span that begins when it ends.
    """
    spans = fields[name]
    if not isinstance(spans, list | tuple) or len(spans) > LONGEST_LIST:
        raise BadInput("field_wrong", field=name)
    try:
        read = [(start, end, time.fromisoformat(start), time.fromisoformat(end)) for start, end in spans]
    except (TypeError, ValueError) as error:
        raise BadInput("route_hours_wrong") from error
    for start, _end, begins, ends in read:
        if begins == ends:
            raise BadInput("hours_empty", hours=start)
    return [[start, end] for start, end, _begins, _ends in read]


def reference(
    session: Session, table: type[Thing], fields: Mapping[str, Any], name: str, default: str | None
) -> str | None:
    """The id of another row, or None for nothing."""
    value = fields.get(name, default)
    if not value:
        return None
    if not isinstance(value, str) or session.get(table, value) is None:
        raise NotFound(f"no_such_{table.__tablename__}")
    return value
