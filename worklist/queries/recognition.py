"""Existing results that may serve instead of a new examination, as the rules in force judge them.

Nothing here is scoped: whoever asks has to be somebody who may order for this patient (`actions.recognising`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.errors import BadInput
from worklist.facts import OutsideSource
from worklist.queries import recognition_outside
from worklist.queries.recognition_outside import Found
from worklist.rules import recognition
from worklist.rules.recognition import Existing, Member, RuleSet, Verdict, Wanted, judge
from worklist.rules.recognition_starter import RULES
from worklist.tables import (
    Institution,
    Order,
    Patient,
    Procedure,
    Qualification,
    Reading,
    ReadingOrder,
    RecognitionRules,
    ReportVersion,
    Study,
    StudyOrder,
)

FINAL: Final = ("final", "corrected", "addendum")
MOST: Final = 20
"""Results that are offered at once: the newest."""
OLDEST: Final = timedelta(days=400)
"""What was reported longer ago than this is not even listed."""


@dataclass(frozen=True)
class Rules:
    """A version of the rules; number 0 are the starter rules."""

    number: int
    rules: RuleSet
    effective_from: datetime | None = None
    note: str = ""
    made_by: str = ""
    made_at: datetime | None = None


@dataclass(frozen=True)
class Judged:
    """An existing result and what the rules say of it. `taken_at` is aware UTC, None where nobody knows."""

    reading_id: str
    order_id: str
    procedure_id: str
    procedure_code: str
    procedure: str
    procedure_en: str
    institution_id: str  # where it was examined
    institution: str
    timezone: str
    taken_at: datetime | None
    reported_at: datetime | None
    report_status: str
    study_ids: tuple[str, ...]
    existing: Existing
    verdict: Verdict
    outside_id: str = ""  # of a result of another region, which has neither reading, order nor institution here
    source: OutsideSource | None = None


def rules_at(session: Session, at: datetime) -> Rules:
    """The rules that are in force at this moment."""
    row = session.scalar(
        select(RecognitionRules)
        .where(RecognitionRules.effective_from <= at)
        .order_by(RecognitionRules.number.desc())
        .limit(1)
    )
    return _version(row) if row is not None else Rules(0, RULES)


def versions(session: Session) -> list[Rules]:
    """All versions of the rules, the newest first; the starter rules are the last."""
    found = session.scalars(select(RecognitionRules).order_by(RecognitionRules.number.desc()))
    return [*map(_version, found), Rules(0, RULES)]


def _version(row: RecognitionRules) -> Rules:
    return Rules(row.number, recognition.read(row.rules), row.effective_from, row.note, row.made_by, row.made_at)


def procedure_of(session: Session, code: str) -> Procedure:
    """A catalogue entry in use.

    Raises
    ------
    BadInput
        ``procedure_unknown``.
    """
    found = session.scalar(select(Procedure).where(Procedure.code == code, Procedure.enabled))
    if found is None:
        raise BadInput("procedure_unknown")
    return found


def judged(
    session: Session,
    patient: Patient,
    procedure_code: str,
    laterality: str,
    institution_id: str,
    rules: RuleSet,
    now: datetime,
    *,
    until: datetime | None = None,
    more: Collection[str] = (),
) -> list[Judged]:
    """Results of the same person and of the same or an equivalent procedure, the newest first, each judged.

    `until` leaves out what was reported later: for orders of the past. `more`: further procedures to look for, which
    other rules may take for equivalent.
    """
    same = select(Patient.id).where(Patient.person_id == patient.person_id)
    query = (
        select(
            Reading.id.label("reading_id"),
            Order.id.label("order_id"),
            Order.laterality,
            Order.institution_id,
            Procedure,
            ReportVersion.status,
            ReportVersion.signed_at,
        )
        .join(ReadingOrder, ReadingOrder.reading_id == Reading.id)
        .join(Order, Order.id == ReadingOrder.order_id)
        .join(Procedure, Procedure.id == Order.procedure_id)
        .join(ReportVersion, ReportVersion.reading_id == Reading.id)
        .where(
            Reading.patient_id.in_(same),
            Reading.kind == "primary",
            ReportVersion.state == ReportVersion.status,  # issued, and nothing came after it
            ReportVersion.status.in_((*FINAL, "preliminary")),
            ReportVersion.signed_at > now - OLDEST,
            ReportVersion.signed_at <= (until or now),
            Procedure.code.in_({*rules.equal(procedure_code), *more}),
        )
        .order_by(Reading.id.desc(), Order.id)
        .limit(MOST)
    )
    found = session.execute(query).all()
    asker = member(session, institution_id)
    wanted = Wanted(procedure_code, asker, laterality)
    elsewhere = [
        _elsewhere(one)
        for one in recognition_outside.judged(
            session, same, wanted, rules, now, since=now - OLDEST, until=until or now, most=MOST, more=more
        )
    ]
    if not found:
        return elsewhere
    studies = _studies(session, [row.order_id for row in found], same)
    places: dict[str, tuple[Institution, Member, tuple[recognition.Qualification, ...]]] = {}
    results = []
    for row in found:
        held = studies.get(row.order_id, [])
        times = [s.acquired_at for s in held if s.acquired_at is not None]
        taken_at = min(times) if times else None
        where = held[0].institution_id if held else row.institution_id
        if where not in places:
            passed = tuple(_qualifications(session, where))
            places[where] = session.get_one(Institution, where), member(session, where), passed
        place, giver, passed = places[where]
        existing = Existing(
            procedure=row.Procedure.code,
            modality=row.Procedure.modality,
            by=giver,
            taken_at=taken_at,
            taken_on=taken_at.astimezone(ZoneInfo(place.timezone)).date() if taken_at is not None else None,
            laterality=row.laterality,
            qualifications=passed,
            has_report=row.status in FINAL,
        )
        results.append(
            Judged(
                reading_id=row.reading_id,
                order_id=row.order_id,
                procedure_id=row.Procedure.id,
                procedure_code=row.Procedure.code,
                procedure=row.Procedure.name,
                procedure_en=row.Procedure.name_en or row.Procedure.name,
                institution_id=place.id,
                institution=place.name,
                timezone=place.timezone,
                taken_at=taken_at,
                reported_at=row.signed_at,
                report_status=row.status,
                study_ids=tuple(s.id for s in held),
                existing=existing,
                verdict=judge(existing, wanted, rules, now),
            )
        )
    if elsewhere:
        results = sorted([*results, *elsewhere], key=lambda r: r.taken_at or r.reported_at or now, reverse=True)
    return results


def _elsewhere(found: Found) -> Judged:
    row, procedure = found.row, found.procedure
    return Judged(
        reading_id="",
        order_id="",
        procedure_id=procedure.id,
        procedure_code=procedure.code,
        procedure=procedure.name,
        procedure_en=procedure.name_en or procedure.name,
        institution_id="",
        institution=found.source.name,
        timezone=found.timezone,
        taken_at=row.taken_at,
        reported_at=row.at,
        report_status=found.state,
        study_ids=(),
        existing=found.existing,
        verdict=found.verdict,
        outside_id=row.id,
        source=found.source,
    )


def marks_of(session: Session, order: Order, study: Study, at: datetime) -> tuple[str, ...]:
    """The marks of an order's examination, by the rules in force at `at`: those that its line of the report bears."""
    passed = tuple(_qualifications(session, study.institution_id))
    if not passed or order.procedure is None or study.acquired_at is None:
        return ()
    day = study.acquired_at.astimezone(ZoneInfo(study.institution.timezone)).date()
    item = rules_at(session, at).rules.item_of(order.procedure.code, order.procedure.modality)
    return recognition.marks_of(item, day, passed)


def member(session: Session, institution_id: str) -> Member:
    """An institution as the rules see it. Its consortium is that of the county hospital above it."""
    place = session.get_one(Institution, institution_id)
    seen: set[str] = set()
    top: Institution | None = place
    while top is not None and top.level != "county" and top.id not in seen:
        seen.add(top.id)
        top = session.get(Institution, top.parent_id) if top.parent_id else None
    consortium = top.code if top is not None and top.level == "county" else ""
    # GB 32100: the third to eighth characters are the region of whoever registered it.
    region = place.uscc[2:8] if place.uscc else ""
    return Member(place.code, place.level, place.grade, consortium, region)


def _studies(session: Session, order_ids: Collection[str], patients: object) -> dict[str, list[Study]]:
    """Studies of each order that are this person's still."""
    rows = session.execute(
        select(StudyOrder.order_id, Study)
        .join(Study, Study.id == StudyOrder.study_id)
        .where(StudyOrder.order_id.in_(order_ids), Study.patient_id.in_(patients))  # type: ignore[arg-type]
        .order_by(Study.id)
    ).unique()
    studies: dict[str, list[Study]] = {}
    for order_id, study in rows:
        studies.setdefault(order_id, []).append(study)
    return studies


def _qualifications(session: Session, institution_id: str) -> Iterator[recognition.Qualification]:
    query = select(Qualification).where(Qualification.institution_id == institution_id).order_by(Qualification.id)
    for row in session.scalars(query):
        end = _day(row.valid_to) if row.valid_to else None
        yield recognition.Qualification(row.item, row.mark, row.region, _day(row.valid_from), end)


def _day(da: str) -> date:
    return datetime.strptime(da, "%Y%m%d").replace(tzinfo=UTC).date()
