"""What a device finds on its worklist."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from worklist.actions.patients import facts_of
from worklist.facts import KnownDevice, WorklistItem, WorklistQuery
from worklist.queries.scope import wildcard
from worklist.tables import Institution, Order, Patient, Procedure

LIMIT = 1000
"""Answers to one query; a device that asks for everything gets the oldest."""


def worklist_items(session: Session, device: KnownDevice, query: WorklistQuery, now: datetime) -> list[WorklistItem]:
    """Scheduled steps of the device's institutions that match (DICOM PS3.4 K.4.1.1).

    A walk-in order has no date: it answers to its institution's "today" until it is performed. An order without a
    station is open to every station and answers with the asker's AE title.
    """
    zones = {
        i.id: ZoneInfo(i.timezone)
        for i in session.scalars(select(Institution).where(Institution.id.in_(device.institutions)))
    }
    conditions = [
        Order.institution_id.in_(device.institutions),
        Order.state == "scheduled",
        or_(Order.station_ae == "", Order.station_ae == device.ae_title),
        *_conditions(query),
        *_modality(device, query.modality),
    ]
    if query.station_ae:
        conditions.append(or_(Order.station_ae == "", wildcard(Order.station_ae, query.station_ae)))
    dates = []
    for institution_id, zone in zones.items():
        today = f"{now.astimezone(zone):%Y%m%d}"
        walk_in = Order.scheduled_date == ""
        dated = and_(Order.scheduled_date != "", *_dates(query))
        fits_today = (not query.date_from or query.date_from <= today) and (not query.date_to or today <= query.date_to)
        dates.append(and_(Order.institution_id == institution_id, or_(dated, walk_in) if fits_today else dated))
    rows = session.scalars(
        select(Order)
        .join(Procedure, Procedure.id == Order.procedure_id)
        .join(Patient, Patient.id == Order.patient_id)
        .where(*conditions, or_(*dates))
        .order_by(Order.scheduled_date, Order.scheduled_time, Order.id)
        .limit(LIMIT)
    ).unique()
    return [
        _item(order, order.procedure, device, now.astimezone(zones[order.institution_id]))
        for order in rows
        if order.procedure is not None
    ]


def _conditions(query: WorklistQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.accession_number:
        found.append(wildcard(Order.accession_number, query.accession_number))
    for key in (query.requested_procedure_id, query.scheduled_step_id):
        if key:
            found.append(wildcard(Order.accession_number, key))
    if query.study_instance_uid:
        found.append(Order.study_instance_uid == query.study_instance_uid)
    if query.patient_id:
        found.append(wildcard(Order.patient_value, query.patient_id))
    if query.issuer:
        found.append(Order.patient_issuer == query.issuer)
    if query.performing_physician and query.performing_physician.strip("*"):
        found.append(Order.id == "")  # nobody is scheduled by name: only an empty key matches
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
            wildcard(column, text, fold=True)
            for column in (Patient.name_alphabetic, Patient.name)
            for text in (whole, plain)
        )
    )


def _dates(query: WorklistQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.date_from:
        found.append(Order.scheduled_date >= query.date_from)
    if query.date_to:
        found.append(Order.scheduled_date <= query.date_to)
    if query.time_from:
        found.append(or_(Order.scheduled_time == "", Order.scheduled_time >= query.time_from))
    if query.time_to:
        found.append(or_(Order.scheduled_time == "", Order.scheduled_time <= query.time_to.ljust(6, "9")))
    return found


def _modality(device: KnownDevice, modality: str) -> list[ColumnElement[bool]]:
    """The asked modality and those that the device treats as the same (DX, CR, DR)."""
    if not modality or modality == "*":
        return []
    same = {modality}
    for group in device.modality_equivalents:
        if modality in group:
            same |= set(group)
    return [Procedure.modality.in_(same)]


def _item(order: Order, procedure: Procedure, device: KnownDevice, local_now: datetime) -> WorklistItem:
    return WorklistItem(
        order_id=order.id,
        accession_number=order.accession_number,
        requested_procedure_id=order.accession_number,
        scheduled_step_id=order.accession_number,
        study_instance_uid=order.study_instance_uid,
        patient=facts_of(order.patient),
        patient_id=order.patient_value,
        issuer=order.patient_issuer,
        modality=procedure.modality,
        station_ae=order.station_ae or device.ae_title,
        scheduled_date=order.scheduled_date or f"{local_now:%Y%m%d}",
        scheduled_time=order.scheduled_time or f"{local_now:%H%M%S}",
        procedure_code=procedure.code,
        procedure_name=procedure.name,
        priority=order.priority,  # type: ignore[arg-type]
        body_part=procedure.body_part,
        laterality=order.laterality,
        ordering_doctor=order.ordering_doctor,
        clinical_information=order.clinical_information,
        reason=order.reason,
        institution_name=order.institution.name,
        visit_number=order.visit_number,
        placer_number=order.placer_number,
    )
