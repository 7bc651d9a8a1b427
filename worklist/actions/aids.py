"""What readers write with: a center's templates, phrases and list of critical results.

A center's own are kept by its manager and senior readers, and by the PACS admin. A reader's own phrases are theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions.fields import needed, one_of, reference, text
from worklist.errors import BadInput, Conflict, Forbidden, NotFound
from worklist.facts import TIERS, Tier
from worklist.people import Actor
from worklist.rules import measurements, starter, starter_ecg, templates
from worklist.rules.report_checks import CriticalTerm, critical_term
from worklist.rules.templates import LONGEST_TEXT, LONGEST_WORDS, Words
from worklist.tables import Center, CriticalItem, Phrase, Procedure, ReportTemplate
from worklist.tables.base import Thing

MOST_PHRASES: Final = 300  # of a person, and of a center
MOST_TEMPLATES: Final = 500  # of a center
KEEPERS: Final = ("manager", "senior reader")
_SHORTCUT: Final = re.compile(r"[A-Za-z0-9]{1,16}")
_PARTS: Final = ("", "findings", "impression")
_STARTER_SETS: Final = {"imaging": starter, "ecg": starter_ecg}

Row = TypeVar("Row", bound=Thing)


def kept(session: Session, by: Actor, center_id: str) -> Center:
    """A center whose templates, phrases and critical list the actor keeps.

    Raises
    ------
    NotFound, Forbidden
    """
    if not by.is_system:
        by.require_scope("admin")
    center = session.get(Center, center_id)
    if center is None:
        raise NotFound("no_such_center")
    if not (by.is_system or by.has("PACS admin") or center_id in by.centers(*KEEPERS)):
        if center_id in by.centers():
            raise Forbidden("role_needed", roles="manager, senior reader, PACS admin")
        raise NotFound("no_such_center")
    return center


def save_template(
    session: Session, by: Actor, center_id: str, given: Mapping[str, Any], now: datetime, id: str | None = None
) -> ReportTemplate:
    """Make or change a template. `given["revision"]`, where it is said, must be the present one.

    Raises
    ------
    BadInput
        ``field_missing``, ``field_wrong``, ``template_field_wrong``, ``template_names_unknown``.
    Conflict
        ``template_is_newer``, ``templates_too_many``.
    """
    center = kept(session, by, center_id)
    row: ReportTemplate = (
        _own(session, ReportTemplate, center.id, id) if id else ReportTemplate(center_id=center.id, revision=0)
    )
    if not id:
        _count(session, ReportTemplate, center.id, MOST_TEMPLATES, "templates_too_many")
    if id and given.get("revision") not in (None, row.revision):
        raise Conflict("template_is_newer")
    for name, longest in (("name", LONGEST_WORDS), ("name_en", LONGEST_WORDS), ("modality", 16), ("body_part", 32)):
        value = text(given, name, getattr(row, name) or "")
        if len(value) > longest:
            raise BadInput("field_wrong", field=name)
        setattr(row, name, value)
    needed(given, "name", row.name)
    row.modality, row.body_part = row.modality.upper(), row.body_part.upper()
    row.shortcut = _shortcut(text(given, "shortcut", row.shortcut or ""), must=False)
    row.procedure_id = reference(session, Procedure, given, "procedure_id", row.procedure_id)
    row.sex = one_of(given, "sex", ("", "F", "M"), row.sex or "")
    for name in ("findings", "impression"):
        value = text(given, name, getattr(row, name) or "")
        if len(value) > LONGEST_TEXT:
            raise BadInput("field_wrong", field=name)
        setattr(row, name, value)
    fields = templates.read_fields(given.get("fields", row.fields or []))
    templates.require_known(Words(fields, row.findings, row.impression))
    row.fields = templates.as_json(fields)
    row.is_normal, row.enabled = _yes(given, "is_normal", row.is_normal), _yes(given, "enabled", row.enabled, True)
    row.place = _place(given, row.place)
    row.revision += 1
    row.changed_at, row.changed_by = now, by.shown or by.name
    return _keep(session, by, row, center, now)


def save_phrase(
    session: Session,
    by: Actor,
    center_id: str,
    given: Mapping[str, Any],
    now: datetime,
    id: str | None = None,
    *,
    shared: bool = False,
) -> Phrase:
    """Make or change a phrase: one's own, or (`shared`) everybody's in the center.

    Raises
    ------
    BadInput
        ``field_missing``, ``field_wrong``, ``shortcut_wrong``.
    Conflict
        ``shortcut_taken``, ``phrases_too_many``.
    """
    center = kept(session, by, center_id) if shared else _where_one_reads(session, by, center_id)
    owner = None if shared else by.id
    row = _phrase(session, by, center.id, id, shared) if id else Phrase(center_id=center.id, user_id=owner)
    if not id:
        _count(session, Phrase, center.id, MOST_PHRASES, "phrases_too_many", Phrase.user_id == owner)
    shortcut = _shortcut(text(given, "shortcut", row.shortcut or ""), must=True)
    with session.no_autoflush:
        taken = session.scalar(
            select(Phrase.id).where(
                Phrase.center_id == center.id,
                Phrase.user_id == owner,
                func.lower(Phrase.shortcut) == shortcut.lower(),
                Phrase.id != (row.id or ""),
            )
        )
    if taken is not None:
        raise Conflict("shortcut_taken", shortcut=shortcut)
    row.shortcut = shortcut
    row.words = needed(given, "words", row.words)
    row.title = text(given, "title", row.title or "")
    row.field = one_of(given, "field", _PARTS, row.field or "")
    row.modality = text(given, "modality", row.modality or "").upper()
    row.body_part = text(given, "body_part", row.body_part or "").upper()
    limits = (("words", LONGEST_TEXT), ("title", LONGEST_WORDS), ("modality", 16), ("body_part", 32))
    for name, longest in limits:
        if len(getattr(row, name)) > longest:
            raise BadInput("field_wrong", field=name)
    row.changed_at = now
    if shared:
        return _keep(session, by, row, center, now)
    session.add(row)  # one's own phrases are nobody else's business
    session.flush()
    return row


def remove_phrase(session: Session, by: Actor, phrase_id: str, now: datetime) -> None:
    """Take a phrase away: one's own, or one of a center that the actor keeps.

    Raises
    ------
    NotFound
        ``no_such_phrase``.
    """
    row = session.get(Phrase, phrase_id)
    if row is None or row.user_id not in (None, by.id):
        raise NotFound("no_such_phrase")
    if row.user_id is None:
        center = kept(session, by, row.center_id)
        _note(session, by, "phrase removed", row, center, now)
    else:
        by.require_scope("report")
    session.delete(row)


def save_critical_item(
    session: Session, by: Actor, center_id: str, given: Mapping[str, Any], now: datetime, id: str | None = None
) -> CriticalItem:
    """Make or change an entry of the center's list of critical results. One that is out of use is switched off.

    Raises
    ------
    BadInput
        ``field_missing``, ``field_wrong``.
    Conflict
        ``code_taken``.
    """
    center = kept(session, by, center_id)
    row: CriticalItem = _own(session, CriticalItem, center.id, id) if id else CriticalItem(center_id=center.id)
    code = needed(given, "code", row.code)
    with session.no_autoflush:
        taken = session.scalar(
            select(CriticalItem.id).where(
                CriticalItem.center_id == center.id, CriticalItem.code == code, CriticalItem.id != (row.id or "")
            )
        )
    if taken is not None:
        raise Conflict("code_taken")
    row.code, row.name = code, needed(given, "name", row.name)
    row.name_en = text(given, "name_en", row.name_en or "")
    row.modality = text(given, "modality", row.modality or "").upper()
    row.words = text(given, "words", row.words or "")
    for name, longest in (("code", 32), ("name", 200), ("name_en", 200), ("modality", 16), ("words", 1000)):
        if len(getattr(row, name)) > longest:
            raise BadInput("field_wrong", field=name)
    row.tier = one_of(given, "tier", TIERS, row.tier or "critical")
    row.measurement = one_of(given, "measurement", ("", *measurements.KINDS), row.measurement or "")
    row.below, row.from_on = _limit(given, "below", row.below), _limit(given, "from_on", row.from_on)
    if bool(row.measurement) != (row.below is not None or row.from_on is not None):
        raise BadInput("limit_without_measurement")
    row.enabled, row.place = _yes(given, "enabled", row.enabled, True), _place(given, row.place)
    return _keep(session, by, row, center, now)


def _limit(given: Mapping[str, Any], name: str, held: int | None) -> int | None:
    if name not in given:
        return held
    value = given[name]
    if value is None or value == "":
        return None
    if not re.fullmatch(r"-?[0-9]{1,4}", str(value)):
        raise BadInput("field_wrong", field=name)
    return int(value)


def add_starter(session: Session, by: Actor, center_id: str, now: datetime) -> int:
    """Add what the starter set has and the center has not yet, by name, shortcut and code. Returns how many."""
    center = kept(session, by, center_id)
    starter_set = _STARTER_SETS.get(center.discipline)
    if starter_set is None:
        raise Conflict("no_starter_set")
    names = set(session.scalars(select(ReportTemplate.name).where(ReportTemplate.center_id == center.id)))
    shortcuts = {
        s.lower()
        for s in session.scalars(select(Phrase.shortcut).where(Phrase.center_id == center.id, Phrase.user_id.is_(None)))
    }
    codes = set(session.scalars(select(CriticalItem.code).where(CriticalItem.center_id == center.id)))
    added = 0
    for place, template in enumerate(starter_set.TEMPLATES):
        if template.name not in names:
            fields = templates.as_json(template.words.fields)
            given = {
                name: getattr(template, name) for name in ("name", "name_en", "modality", "body_part", "is_normal")
            }
            texts = {"findings": template.words.findings, "impression": template.words.impression}
            save_template(session, by, center.id, {**given, **texts, "fields": fields, "place": place}, now)
            added += 1
    for phrase in starter_set.PHRASES:
        if phrase.shortcut not in shortcuts:
            save_phrase(session, by, center.id, vars(phrase), now, shared=True)
            added += 1
    for place, item in enumerate(starter_set.CRITICAL):
        if item.code not in codes:
            save_critical_item(session, by, center.id, {**vars(item), "place": place}, now)
            added += 1
    return added


def critical_terms(session: Session, center_id: str) -> list[CriticalTerm]:
    """The center's list as the checks and the marking read it."""
    rows = session.scalars(
        select(CriticalItem)
        .where(CriticalItem.center_id == center_id, CriticalItem.enabled)
        .order_by(CriticalItem.place, CriticalItem.code)
    )
    return [CriticalTerm(row.id, tuple(n for n in (row.words, row.name, row.name_en) if n)) for row in rows]


def critical_item_of(session: Session, center_id: str, words: str) -> CriticalItem | None:
    """The listed entry that these words are about, or None."""
    found = critical_term(words, critical_terms(session, center_id))
    return session.get(CriticalItem, found) if found else None


def tier_of(session: Session, center_id: str, words: str) -> Tier:
    """Of which tier a finding in these words is; what no entry names is critical."""
    item = critical_item_of(session, center_id, words) if words.strip() else None
    return "major" if item is not None and item.tier == "major" else "critical"


def _where_one_reads(session: Session, by: Actor, center_id: str) -> Center:
    by.require_scope("report")
    center = session.get(Center, center_id)
    if center is None or center_id not in by.centers("reader", "senior reader"):
        raise NotFound("no_such_center")
    return center


def _phrase(session: Session, by: Actor, center_id: str, id: str, shared: bool) -> Phrase:
    row = session.get(Phrase, id)
    if row is None or row.center_id != center_id or row.user_id != (None if shared else by.id):
        raise NotFound("no_such_phrase")
    return row


def _own(session: Session, table: type[Any], center_id: str, id: str) -> Any:
    row = session.get(table, id)
    if row is None or row.center_id != center_id:
        raise NotFound(f"no_such_{table.__tablename__}")
    return row


def _count(session: Session, table: type[Any], center_id: str, most: int, code: str, *more: Any) -> None:
    held = session.scalar(select(func.count()).select_from(table).where(table.center_id == center_id, *more)) or 0
    if held >= most:
        raise Conflict(code, most=most)


def _shortcut(typed: str, *, must: bool) -> str:
    """Latin letters and digits: they can be typed while a Chinese input method is on, and end where Chinese begins."""
    if (must or typed) and not _SHORTCUT.fullmatch(typed):
        raise BadInput("shortcut_wrong")
    return typed


def _yes(given: Mapping[str, Any], name: str, held: bool | None, usual: bool = False) -> bool:
    value = given.get(name, usual if held is None else held)
    if not isinstance(value, bool):
        raise BadInput("field_wrong", field=name)
    return value


def _place(given: Mapping[str, Any], held: int | None) -> int:
    value = given.get("place", held or 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100_000:
        raise BadInput("field_wrong", field="place")
    return value


def _keep(session: Session, by: Actor, row: Row, center: Center, now: datetime) -> Row:
    session.add(row)
    session.flush()
    _note(session, by, f"{row.__tablename__} saved", row, center, now)
    return row


def _note(session: Session, by: Actor, action: str, row: Thing, center: Center, now: datetime) -> None:
    audit.note(
        session,
        by,
        action,
        now,
        thing=row.__tablename__,
        thing_id=row.id,
        institution_id=center.institution_id,
    )
