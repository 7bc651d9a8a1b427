"""What managers and the PACS admin set for recognition: versions of its rules, and who passed which assessment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist.actions.fields import day, keep, reference, region, row_of, text
from worklist.errors import BadInput, Conflict
from worklist.people import Actor
from worklist.rules import recognition
from worklist.tables import Institution, Qualification, RecognitionRules


def allow(by: Actor) -> None:
    """Managers, the PACS admin, and Huren itself.

    Raises
    ------
    Forbidden
    """
    if not by.is_system:
        by.require_scope("admin")
        by.require("manager", "PACS admin")


def save_rules(
    session: Session,
    by: Actor,
    data: Any,
    now: datetime,
    *,
    effective_from: datetime | None = None,
    note: str = "",
    base: int | None = None,
) -> RecognitionRules:
    """Make a new version of the rules; earlier ones stay as they are. It counts from `effective_from` (aware), or now.

    `base`: the newest version that its author saw.

    Raises
    ------
    BadInput
        ``recognition_rules_wrong``; ``field_wrong`` where it would count from the past, for which offers were made.
    Conflict
        ``recognition_rules_newer`` where somebody else made one meanwhile.
    Forbidden
    """
    allow(by)
    rules = recognition.read(data)
    begins = effective_from or now
    if begins < now:
        raise BadInput("field_wrong", field="effective_from")
    newest = session.scalar(select(func.max(RecognitionRules.number))) or 0
    if base is not None and base != newest:
        raise Conflict("recognition_rules_newer")
    row = RecognitionRules(
        number=newest + 1,
        effective_from=begins,
        rules=recognition.as_json(rules),
        note=text({"note": note}, "note", ""),
        made_by=by.shown or by.name,
        made_at=now,
    )
    return keep(session, by, row, now)


def save_qualification(
    session: Session, by: Actor, fields: Mapping[str, Any], now: datetime, id: str | None = None
) -> Qualification:
    """Note or change that an institution passed a quality assessment.

    `fields`: institution_id, item (empty: the institution as a whole), mark, region, valid_from and valid_to (DA),
    note.

    Raises
    ------
    BadInput, NotFound, Forbidden
        the wrong field by its name; ``no_such_qualification``, ``no_such_institution``.
    """
    allow(by)
    row = row_of(session, Qualification, id, Qualification)
    institution = reference(session, Institution, fields, "institution_id", row.institution_id)
    if institution is None:
        raise BadInput("field_missing", field="institution_id")
    row.institution_id = institution
    for name, longest in (("item", 64), ("mark", 32), ("note", 200)):
        value = text(fields, name, getattr(row, name) or "")
        if len(value) > longest or not value.isprintable():
            raise BadInput("field_wrong", field=name)
        setattr(row, name, value)
    row.region = region(fields, row.region or "")
    row.valid_from = day(fields, "valid_from", row.valid_from or "")
    if not row.valid_from:
        raise BadInput("field_missing", field="valid_from")
    row.valid_to = day(fields, "valid_to", row.valid_to or "")
    if row.valid_to and row.valid_to < row.valid_from:
        raise BadInput("field_wrong", field="valid_to")
    row.changed_by, row.changed_at = by.shown or by.name, now
    said = {name: getattr(row, name) for name in ("item", "mark", "region", "valid_from", "valid_to")}
    return keep(session, by, row, now, said | {"institution": row.institution_id})
