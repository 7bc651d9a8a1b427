"""What readers write with, as the report form and the pages of the center show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from worklist.actions import readings
from worklist.actions.late import ISSUED
from worklist.errors import NotFound
from worklist.people import Actor
from worklist.queries import suspected
from worklist.queries.readings import priors
from worklist.rules.report_checks import prior_mark
from worklist.rules.suspicions import Suspicion
from worklist.rules.templates import Case, Fits, fits, same_modality
from worklist.tables import Center, CriticalItem, Phrase, ReportTemplate, ReportVersion


@dataclass(frozen=True)
class TemplateView:
    """A template with its fields as JSON (`worklist.rules.templates.Field`)."""

    id: str
    center_id: str
    name: str
    name_en: str
    shortcut: str
    procedure_id: str
    modality: str
    body_part: str
    sex: str
    is_normal: bool
    fields: list[dict[str, Any]]
    findings: str
    impression: str
    place: int
    enabled: bool
    revision: int
    changed_at: datetime
    changed_by: str
    fit: int = 0  # how particularly it fits a case; 0: it does not


@dataclass(frozen=True)
class PhraseView:
    """A phrase; `own`: the asker's, else the center's."""

    id: str
    center_id: str
    own: bool
    shortcut: str
    title: str
    words: str
    field: str
    modality: str
    body_part: str


@dataclass(frozen=True)
class CriticalItemView:
    """An entry of a center's list of critical results."""

    id: str
    center_id: str
    code: str
    name: str
    name_en: str
    modality: str
    words: str
    place: int
    enabled: bool
    tier: str  # critical, major
    measurement: str  # of the device, by which it is suspected; empty: none
    below: int | None
    from_on: int | None


@dataclass(frozen=True)
class ReadingAids:
    """All that helps to write one report. Templates that fit come first, the most particular before the others."""

    templates: list[TemplateView]
    phrases: list[PhraseView]
    critical: list[CriticalItemView]
    suspected: list[Suspicion]  # by the devices' numbers; for the reader to verify, never announced by themselves


@dataclass(frozen=True)
class PriorWords:
    """The words of an earlier report, each under a mark with its date."""

    findings: str
    impression: str


def for_reading(session: Session, by: Actor, reading_id: str) -> ReadingAids:
    """What the report form of a case offers.

    Raises
    ------
    NotFound
        ``no_such_reading``.
    """
    reading = readings.get(session, by, reading_id)
    orders, studies = readings.orders_of(session, reading), readings.studies_of(session, reading)
    procedures = [o.procedure for o in orders if o.procedure is not None]
    modalities = [s.modality for s in studies] + [p.modality for p in procedures]
    parts = {p.body_part.upper() for p in procedures if p.body_part} or {s.body_part.upper() for s in studies}
    case = Case(
        procedure_ids=frozenset(p.id for p in procedures),
        modalities=frozenset(m for name in modalities if name for m in same_modality(name)),
        body_parts=frozenset(p for p in parts if p),
        sex=reading.patient.sex if reading.patient is not None else "",
    )
    found = [
        _template(row, fits(Fits(row.procedure_id or "", row.modality, row.body_part, row.sex), case))
        for row in _templates(session, reading.center_id)
        if row.enabled
    ]
    found.sort(key=lambda t: (-t.fit, not t.is_normal, t.place))
    return ReadingAids(
        templates=found,
        phrases=_phrases(session, by, reading.center_id),
        critical=[_critical(row) for row in _critical_items(session, reading.center_id) if row.enabled],
        suspected=suspected.of_reading(session, reading.id, reading.center_id),
    )


def templates_of(session: Session, by: Actor, center_id: str) -> list[TemplateView]:
    """A center's templates, those out of use too."""
    _of_center(session, by, center_id)
    return [_template(row, 0) for row in _templates(session, center_id)]


def template(session: Session, by: Actor, template_id: str) -> TemplateView:
    """One template.

    Raises
    ------
    NotFound
        ``no_such_report_template``.
    """
    row = session.get(ReportTemplate, template_id)
    if row is None or not _may_see(by, row.center_id):
        raise NotFound("no_such_report_template")
    return _template(row, 0)


def phrases_of(session: Session, by: Actor, center_id: str) -> list[PhraseView]:
    """One's own phrases in a center and the center's."""
    _of_center(session, by, center_id)
    return _phrases(session, by, center_id)


def phrase(session: Session, by: Actor, phrase_id: str) -> PhraseView:
    """One phrase: one's own, or a center's.

    Raises
    ------
    NotFound
        ``no_such_phrase``.
    """
    row = session.get(Phrase, phrase_id)
    if row is None or row.user_id not in (None, by.id) or not _may_see(by, row.center_id):
        raise NotFound("no_such_phrase")
    return _phrase(row)


def critical_item(session: Session, by: Actor, item_id: str) -> CriticalItemView:
    """One entry of a center's list.

    Raises
    ------
    NotFound
        ``no_such_critical_item``.
    """
    row = session.get(CriticalItem, item_id)
    if row is None or not _may_see(by, row.center_id):
        raise NotFound("no_such_critical_item")
    return _critical(row)


def critical_items_of(session: Session, by: Actor, center_id: str) -> list[CriticalItemView]:
    """A center's list of critical results, entries out of use too."""
    _of_center(session, by, center_id)
    return [_critical(row) for row in _critical_items(session, center_id)]


def prior_words(session: Session, by: Actor, reading_id: str, report_id: str, now: datetime) -> PriorWords:
    """The words of an earlier report that the case shows, marked as that report's.

    Raises
    ------
    NotFound
        ``no_such_report`` where the case does not show it.
    """
    reading = readings.get(session, by, reading_id)
    if not any(prior.report_id == report_id for prior in priors(session, by, reading, now)):
        raise NotFound("no_such_report")
    version = session.scalar(
        select(ReportVersion)
        .where(ReportVersion.reading_id == report_id, ReportVersion.state.in_(ISSUED))
        .order_by(ReportVersion.number.desc())
        .limit(1)
    )
    if version is None or version.signed_at is None:
        raise NotFound("no_such_report")
    day = f"{version.signed_at.astimezone(ZoneInfo(reading.center.institution.timezone)):%Y-%m-%d}"
    marked = (f"{prior_mark(day, words)}\n{words}" if words.strip() else "" for words in _words(version))
    return PriorWords(*marked)


def _words(version: ReportVersion) -> tuple[str, str]:
    return version.findings, version.impression


def _may_see(by: Actor, center_id: str) -> bool:
    return by.has("PACS admin") or center_id in by.centers()


def _of_center(session: Session, by: Actor, center_id: str) -> None:
    if not _may_see(by, center_id) or session.get(Center, center_id) is None:
        raise NotFound("no_such_center")


def _templates(session: Session, center_id: str) -> list[ReportTemplate]:
    query = select(ReportTemplate).where(ReportTemplate.center_id == center_id)
    return list(session.scalars(query.order_by(ReportTemplate.place, ReportTemplate.name)))


def _phrases(session: Session, by: Actor, center_id: str) -> list[PhraseView]:
    query = select(Phrase).where(Phrase.center_id == center_id, or_(Phrase.user_id.is_(None), Phrase.user_id == by.id))
    rows = session.scalars(query.order_by(Phrase.user_id.is_(None), Phrase.shortcut))
    return [_phrase(row) for row in rows]


def _critical_items(session: Session, center_id: str) -> list[CriticalItem]:
    query = select(CriticalItem).where(CriticalItem.center_id == center_id)
    return list(session.scalars(query.order_by(CriticalItem.place, CriticalItem.code)))


def _template(row: ReportTemplate, fit: int) -> TemplateView:
    return TemplateView(
        id=row.id,
        center_id=row.center_id,
        name=row.name,
        name_en=row.name_en,
        shortcut=row.shortcut,
        procedure_id=row.procedure_id or "",
        modality=row.modality,
        body_part=row.body_part,
        sex=row.sex,
        is_normal=row.is_normal,
        fields=list(row.fields),
        findings=row.findings,
        impression=row.impression,
        place=row.place,
        enabled=row.enabled,
        revision=row.revision,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        fit=fit,
    )


def _phrase(row: Phrase) -> PhraseView:
    return PhraseView(
        id=row.id,
        center_id=row.center_id,
        own=row.user_id is not None,
        shortcut=row.shortcut,
        title=row.title,
        words=row.words,
        field=row.field,
        modality=row.modality,
        body_part=row.body_part,
    )


def _critical(row: CriticalItem) -> CriticalItemView:
    return CriticalItemView(
        id=row.id,
        center_id=row.center_id,
        code=row.code,
        name=row.name,
        name_en=row.name_en,
        modality=row.modality,
        words=row.words,
        place=row.place,
        enabled=row.enabled,
        tier=row.tier,
        measurement=row.measurement,
        below=row.below,
        from_on=row.from_on,
    )
