"""What a device finds on its worklist."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, CompoundSelect, Row, Select, and_, bindparam, false, func, or_, select, union_all
from sqlalchemy.orm import Session

from worklist.facts import KnownDevice, PatientFacts, PersonName, WorklistItem, WorklistQuery
from worklist.queries.scope import wildcard
from worklist.rules.serving import WITHOUT_MODALITY
from worklist.tables import Institution, Order, Patient, Procedure

LIMIT: Final = 1000
"""Answers to one query; a device that asks for more gets the oldest, and is told that there are more."""

STATEMENTS_KEPT: Final = 512
ANY: Final = "?"  # a day that is a parameter

_order, _patient, _procedure = Order.__table__.c, Patient.__table__.c, Procedure.__table__.c
_Survivor: Final = Patient.__table__.alias("survivor")
"""Of a patient who was merged into another: whose name counts now."""

_COLUMNS: Final = (
    _order.id.label("order_id"),
    _order.institution_id,
    _order.accession_number,
    _order.study_instance_uid,
    _order.patient_value,
    _order.patient_issuer,
    _order.station_ae,
    _order.scheduled_date.label("day"),
    _order.scheduled_time.label("time"),
    _order.priority,
    _order.laterality,
    _order.ordering_doctor,
    _order.clinical_information,
    _order.reason,
    _order.visit_number,
    _order.placer_number,
    *(
        func.coalesce(_Survivor.c[name], _patient[name]).label(name)
        for name in ("name", "name_alphabetic", "sex", "birth_date")
    ),
    _procedure.code.label("procedure_code"),
    _procedure.name.label("procedure_name"),
    _procedure.modality,
    _procedure.body_part,
)


def worklist_items(
    session: Session, device: KnownDevice, query: WorklistQuery, now: datetime
) -> tuple[list[WorklistItem], bool]:
    """Scheduled steps of the device's institutions that match (DICOM PS3.4 K.4.1.1), at most `LIMIT`, and whether
    there are more.

    A walk-in order has no date: it answers to its institution's "today" until it is performed or closed. An order
    without a station is open to every station and answers with the asker's AE title.
    """
    places = {
        row.id: (row.name, now.astimezone(ZoneInfo(row.timezone)))
        for row in session.connection().execute(_institutions(device.institutions))
    }
    walk_ins = tuple((id, _covers(query, f"{local:%Y%m%d}")) for id, (_, local) in places.items())
    days = {"date_from": query.date_from, "date_to": query.date_to}
    any_day = replace(query, **{name: day and ANY for name, day in days.items()})
    statement = _statement(walk_ins, device.ae_title, device.modality_equivalents, any_day, LIMIT)
    # Without the ORM, which would cost more than the database does.
    rows = session.connection().execute(statement, days).all()
    return [_item(row, device, *places[row.institution_id]) for row in rows[:LIMIT]], len(rows) > LIMIT


@lru_cache(maxsize=STATEMENTS_KEPT)
def _institutions(ids: tuple[str, ...]) -> Select[Any]:
    of = Institution.__table__.c
    return select(of.id, of.name, of.timezone).where(of.id.in_(ids))


@lru_cache(maxsize=STATEMENTS_KEPT)
def _statement(
    walk_ins: tuple[tuple[str, bool], ...],
    ae_title: str,
    equivalents: tuple[tuple[str, ...], ...],
    query: WorklistQuery,
    limit: int,
) -> CompoundSelect[Any]:
    """What a device asks over and over: the days of `query` are parameters. `walk_ins`: each of its institutions, and
    whether the days cover today there."""
    conditions = [
        or_(_order.station_ae == "", _order.station_ae == ae_title),
        _procedure.discipline.not_in(WITHOUT_MODALITY),
        *_conditions(query),
        *_modality(equivalents, query.modality),
    ]
    if query.station_ae:
        conditions.append(or_(_order.station_ae == "", wildcard(_order.station_ae, query.station_ae)))
    parts = []
    for institution_id, covers_today in walk_ins:
        # Walk-in and dated orders are asked for apart: each is then one range of the index.
        here = and_(_order.institution_id == institution_id, _order.state == "scheduled")
        parts.append(_part(here, *(_dates(query) or [_order.scheduled_date > ""]), *_times(query), *conditions))
        if covers_today:
            parts.append(_part(here, _order.scheduled_date == "", *conditions))
    if not parts:
        parts.append(_part(false()))
    return union_all(*parts).order_by("day", "time", "order_id").limit(limit + 1)


def _covers(query: WorklistQuery, day: str) -> bool:
    return (not query.date_from or query.date_from <= day) and (not query.date_to or day <= query.date_to)


def _part(*conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*_COLUMNS)
        .select_from(Order.__table__)
        .join(Procedure.__table__, _procedure.id == _order.procedure_id)
        .join(Patient.__table__, _patient.id == _order.patient_id)
        .outerjoin(_Survivor, _Survivor.c.id == _patient.merged_into_id)
        .where(*conditions)
    )


def _conditions(query: WorklistQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.accession_number:
        found.append(wildcard(_order.accession_number, query.accession_number))
    for key in (query.requested_procedure_id, query.scheduled_step_id):
        if key:
            found.append(wildcard(_order.accession_number, key))
    if query.study_instance_uid:
        found.append(_order.study_instance_uid == query.study_instance_uid)
    if query.patient_id:
        found.append(wildcard(_order.patient_value, query.patient_id))
    if query.issuer:
        found.append(_order.patient_issuer == query.issuer)
    if query.performing_physician and query.performing_physician.strip("*"):
        found.append(_order.id == "")  # nobody is scheduled by name: only an empty key matches
    if query.patient_name and query.patient_name.strip("*"):
        found.append(or_(*(_name(pattern) for pattern in _name_patterns(query.patient_name))))
    return found


def _name_patterns(name: str) -> list[str]:
    """Component groups that a query names ("Wang*=王*"), each usable alone."""
    return [group for group in name.split("=") if group.strip("*^ ")]


def _name(pattern: str) -> ColumnElement[bool]:
    """Either writing of the name may match; Chinese names match with and without the separator."""
    whole = pattern.rstrip("^")  # trailing empty components do not count (PS3.4 C.2.2.2.1.1)
    plain = whole.replace("^", "")
    return or_(
        *(
            wildcard(func.coalesce(survivor, own), text, fold=True)
            for survivor, own in (
                (_Survivor.c.name_alphabetic, _patient.name_alphabetic),
                (_Survivor.c.name, _patient.name),
            )
            for text in (whole, plain)
        )
    )


def _dates(query: WorklistQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.date_from:
        found.append(_order.scheduled_date >= bindparam("date_from"))
    if query.date_to:
        found.append(_order.scheduled_date <= bindparam("date_to"))
        if not query.date_from:
            found.append(_order.scheduled_date > "")
    return found


def _times(query: WorklistQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.time_from:
        found.append(or_(_order.scheduled_time == "", _order.scheduled_time >= query.time_from))
    if query.time_to:
        found.append(or_(_order.scheduled_time == "", _order.scheduled_time <= query.time_to.ljust(6, "9")))
    return found


def _modality(equivalents: tuple[tuple[str, ...], ...], modality: str) -> list[ColumnElement[bool]]:
    """The asked modality and those that the device treats as the same (DX, CR, DR)."""
    if not modality or modality == "*":
        return []
    same = {modality}
    for group in equivalents:
        if modality in group:
            same |= set(group)
    return [_procedure.modality.in_(same)]


def _item(row: Row[Any], device: KnownDevice, institution_name: str, local_now: datetime) -> WorklistItem:
    return WorklistItem(
        order_id=row.order_id,
        accession_number=row.accession_number,
        requested_procedure_id=row.accession_number,
        scheduled_step_id=row.accession_number,
        study_instance_uid=row.study_instance_uid,
        patient=PatientFacts(name=PersonName(row.name, row.name_alphabetic), sex=row.sex, birth_date=row.birth_date),
        patient_id=row.patient_value,
        issuer=row.patient_issuer,
        modality=row.modality,
        station_ae=row.station_ae or device.ae_title,
        scheduled_date=row.day or f"{local_now:%Y%m%d}",
        # To the minute, so that a device which asks again sees no other item.
        scheduled_time=row.time or f"{local_now:%H%M}00",
        procedure_code=row.procedure_code,
        procedure_name=row.procedure_name,
        priority=row.priority,
        body_part=row.body_part,
        laterality=row.laterality,
        ordering_doctor=row.ordering_doctor,
        clinical_information=row.clinical_information,
        reason=row.reason,
        institution_name=institution_name,
        visit_number=row.visit_number,
        placer_number=row.placer_number,
    )
