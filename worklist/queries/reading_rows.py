"""Lines of lists of cases, in three statements however many there are, and two more where ECGs are among them.

A list has hundreds of lines and is asked for again and again, so columns are read rather than objects, and the
statements are built once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import BindParameter, bindparam, select
from sqlalchemy.orm import Session, aliased

from worklist.facts import PersonName, Tier
from worklist.queries import parts, suspected
from worklist.queries.views import ReadingRow
from worklist.rules.due import FIRST
from worklist.rules.suspicions import gravest
from worklist.tables import (
    Center,
    CriticalResult,
    Institution,
    LateImages,
    Order,
    Patient,
    Procedure,
    Reading,
    ReadingOrder,
    ReadingStudy,
    ReportVersion,
    Study,
    User,
)

_OPEN: Final = ("unread", "drafted", "in review")
_HOLDER, _WRITER, _ASSIGNED = aliased(User), aliased(User), aliased(User)
_IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)

_NEWEST: Final = (
    select(ReportVersion.status)
    .where(ReportVersion.reading_id == Reading.id, ReportVersion.status != "")
    .order_by(ReportVersion.number.desc())
    .limit(1)
    .correlate(Reading)
    .scalar_subquery()
)
_IS_CRITICAL: Final = (
    select(CriticalResult.id)
    .where(CriticalResult.reading_id == Reading.id, CriticalResult.state.in_(parts.OPEN_CRITICALS))
    .correlate(Reading)
    .exists()
)
_IS_LATE: Final = (
    select(LateImages.id)
    .where(LateImages.reading_id == Reading.id, LateImages.state == "open")
    .correlate(Reading)
    .exists()
)
_LINES: Final = (
    select(
        Reading.id,
        Reading.state,
        Reading.kind,
        Reading.priority,
        Reading.rank,
        Reading.center_id,
        Center.name.label("center"),
        Center.discipline,
        Reading.due_at,
        Reading.review_due_at,
        Reading.patient_id,
        Patient.name.label("patient_name"),
        Patient.name_alphabetic,
        Patient.sex,
        Patient.birth_date,
        Patient.is_alias,
        Institution.code.label("institution_code"),
        Institution.name.label("institution"),
        Reading.holder_id,
        Reading.held_until,
        _HOLDER.name.label("holder"),
        _WRITER.name.label("writer"),
        Reading.assigned_id,
        _ASSIGNED.name.label("assigned"),
        Reading.claimed_at,
        Reading.note,
        Reading.created_at,
        _NEWEST.label("report_status"),
        _IS_CRITICAL.label("is_critical"),
        _IS_LATE.label("is_late"),
    )
    .join(Center, Center.id == Reading.center_id)
    .join(Institution, Institution.id == Reading.institution_id)
    .outerjoin(Patient, Patient.id == Reading.patient_id)
    .outerjoin(_HOLDER, _HOLDER.id == Reading.holder_id)
    .outerjoin(_WRITER, _WRITER.id == Reading.writer_id)
    .outerjoin(_ASSIGNED, _ASSIGNED.id == Reading.assigned_id)
    .where(Reading.id.in_(_IDS))
)
_ORDERS: Final = (
    select(
        ReadingOrder.reading_id,
        Order.patient_value,
        Order.patient_issuer,
        Order.accession_number,
        Order.procedure_id,
        Procedure.name,
        Procedure.name_en,
        Procedure.body_part,
    )
    .join(Order, Order.id == ReadingOrder.order_id)
    .outerjoin(Procedure, Procedure.id == Order.procedure_id)
    .where(ReadingOrder.reading_id.in_(_IDS))
    .order_by(Order.id)
)
_STUDIES: Final = (
    select(
        ReadingStudy.reading_id,
        Study.study_instance_uid,
        Study.sent_patient_id,
        Study.sent_name,
        Study.sent_name_alphabetic,
        Study.sent_sex,
        Study.sent_birth_date,
        Study.description,
        Study.modality,
        Study.body_part,
        Study.instances,
        Study.expected,
        Study.arrival,
        Study.link,
    )
    .join(Study, Study.id == ReadingStudy.study_id)
    .where(ReadingStudy.reading_id.in_(_IDS))
    .order_by(Study.id)
)


def rows(session: Session, ids: Sequence[str], now: datetime) -> list[ReadingRow]:
    """Lines for the readings with these ids, in this order."""
    if not ids:
        return []
    asked = {"ids": list(ids)}
    orders: dict[str, Any] = {}
    for order in session.execute(_ORDERS, asked):
        orders.setdefault(order.reading_id, order)
    studies: dict[str, list[Any]] = defaultdict(list)
    for study in session.execute(_STUDIES, asked):
        studies[study.reading_id].append(study)
    lines = {line.id: line for line in session.execute(_LINES, asked)}
    waiting = {line.id: line.center_id for line in lines.values() if line.discipline == "ecg" and line.state in _OPEN}
    found = suspected.of_readings(session, waiting) if waiting else {}
    tiers = {id: gravest(suspicions) for id, suspicions in found.items()}
    return [_row(lines[id], orders.get(id), studies[id], now, tiers.get(id, "")) for id in ids]


def _row(line: Any, order: Any, studies: Sequence[Any], now: datetime, tier: Literal["", Tier]) -> ReadingRow:
    study = studies[0] if studies else None
    is_held = line.holder_id is not None and line.held_until is not None and line.held_until > now
    if line.patient_id is not None:
        name, sex, birth = PersonName(line.patient_name, line.name_alphabetic), line.sex, line.birth_date
    elif study is not None:
        name = PersonName(study.sent_name, study.sent_name_alphabetic)
        sex, birth = study.sent_sex, study.sent_birth_date
    else:
        name, sex, birth = PersonName(), "", ""
    procedure = order if order is not None and order.procedure_id else None
    expected = [s.expected for s in studies if s.expected is not None]
    return ReadingRow(
        id=line.id,
        state=line.state,
        kind=line.kind,
        priority=line.priority,
        is_first=line.rank == FIRST,
        suspected=tier,
        discipline=line.discipline,
        center_id=line.center_id,
        center=line.center,
        due_at=line.due_at,
        review_due_at=line.review_due_at,
        patient_id=line.patient_id or "",
        patient_name=name,
        patient_sex=sex,
        patient_birth_date=birth,
        patient_identifier=order.patient_value if order is not None else (study.sent_patient_id if study else ""),
        patient_issuer=order.patient_issuer if order is not None else "",
        is_alias=bool(line.is_alias),
        accession_number=order.accession_number if order is not None else "",
        study_instance_uid=study.study_instance_uid if study else "",
        institution_code=line.institution_code,
        institution=line.institution,
        procedure=procedure.name if procedure else (study.description if study else ""),
        procedure_en=(procedure.name_en or procedure.name) if procedure else (study.description if study else ""),
        modality=study.modality if study else "",
        received=sum(s.instances for s in studies),
        expected=sum(expected) if expected else None,
        arriving=any(s.arrival == "arriving" for s in studies),
        linked=bool(studies) and all(s.link not in ("unlinked", "unmatched", "rejected") for s in studies),
        holder=(line.holder or "") if is_held else "",
        holder_id=line.holder_id if is_held else "",
        held_until=line.held_until if is_held else None,
        writer=line.writer or "",
        assigned=line.assigned or "",
        assigned_id=line.assigned_id or "",
        claimed_at=line.claimed_at if is_held else None,
        body_part=procedure.body_part if procedure else (study.body_part if study else ""),
        note=line.note,
        report_id=line.id if line.report_status else "",
        report_status=line.report_status or "",
        critical=bool(line.is_critical),
        late_images=bool(line.is_late),
        created_at=line.created_at,
    )
