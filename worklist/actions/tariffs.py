"""What examinations cost, as managers keep it for estimates: one by one, or from a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions.fields import day, keep, reference, region, row_of
from worklist.actions.recognition_rules import allow
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import DEAREST, Price
from worklist.people import Actor
from worklist.tables import Procedure, Tariff


def save_tariff(session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None) -> Tariff:
    """Note what a catalogue entry costs in a region from a day on, or correct that.

    `fields`: procedure_id, region (empty: everywhere), valid_from (DA), examination and reading (whole fen).

    Raises
    ------
    BadInput, NotFound, Conflict, Forbidden
        the wrong field by its name; ``no_such_tariff``, ``no_such_procedure``; ``tariff_there``.
    """
    allow(by)
    row = row_of(session, Tariff, id, Tariff)
    procedure = reference(session, Procedure, fields, "procedure_id", row.procedure_id)
    if procedure is None:
        raise BadInput("field_missing", field="procedure_id")
    begins = day(fields, "valid_from", row.valid_from or "")
    if not begins:
        raise BadInput("field_missing", field="valid_from")
    where = region(fields, row.region or "")
    examination, reading = (_fen(fields, name, getattr(row, name) or 0) for name in ("examination", "reading"))
    with session.no_autoflush:
        other = _held(session, procedure, where, begins)
    if other is not None and other is not row:
        raise Conflict("tariff_there")
    row.procedure_id, row.region, row.valid_from = procedure, where, begins
    row.examination, row.reading = examination, reading
    row.changed_by, row.changed_at = by.shown or by.name, now
    said = {"region": where, "valid_from": begins, "examination": examination, "reading": reading}
    return keep(session, by, row, now, said)


def remove_tariff(session: Session, by: Actor, id: str, now: datetime) -> None:
    """Take back a tariff that was a mistake; one that ends is followed by another.

    Raises
    ------
    NotFound, Forbidden
        ``no_such_tariff``.
    """
    allow(by)
    row = session.get(Tariff, id)
    if row is None:
        raise NotFound("no_such_tariff")
    audit.note(
        session,
        by,
        "tariff removed",
        now,
        thing="tariff",
        thing_id=row.id,
        detail={
            "procedure": row.procedure_id,
            "region": row.region,
            "valid_from": row.valid_from,
            "examination": row.examination,
            "reading": row.reading,
        },
    )
    session.delete(row)
    session.flush()


def take_price(session: Session, by: Actor, price: Price, now: datetime) -> Literal["added", "changed", "unchanged"]:
    """A row of a table: a tariff is known by its procedure, region and first day.

    Raises
    ------
    BadInput, Forbidden
        ``procedure_unknown``; the wrong field by its name.
    """
    allow(by)
    procedure = session.scalar(select(Procedure.id).where(Procedure.code == price.procedure))
    if procedure is None:
        raise BadInput("procedure_unknown")
    held = _held(session, procedure, price.region, price.valid_from)
    if held is not None and (held.examination, held.reading) == (price.examination, price.reading):
        return "unchanged"
    fields = {
        "procedure_id": procedure,
        "region": price.region,
        "valid_from": price.valid_from,
        "examination": price.examination,
        "reading": price.reading,
    }
    save_tariff(session, by, fields, now, held.id if held is not None else None)
    return "added" if held is None else "changed"


def _held(session: Session, procedure: str, where: str, begins: str) -> Tariff | None:
    same = (Tariff.procedure_id == procedure, Tariff.region == where, Tariff.valid_from == begins)
    return session.scalar(select(Tariff).where(*same))


def _fen(fields: Mapping[str, Any], name: str, default: int) -> int:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= DEAREST:
        raise BadInput("field_wrong", field=name)
    return value
