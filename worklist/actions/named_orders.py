"""What a study says of the work that it was made for, and the orders that share a number with it.

Asked with the first object of every study, in the one thread that writes: each question is a prepared statement.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, and_, bindparam, or_, select
from sqlalchemy.orm import Session

from worklist.actions import patients
from worklist.prepared import Prepared
from worklist.rules.matching import OrderKnown, StudySaid
from worklist.tables import Institution, Order, PatientIdentifier, ProcedureStep, ProcedureStepStudy, Study
from worklist.tables.base import table_of

_ORDER, _TOWN, _NUMBER = table_of(Order).c, table_of(Institution).c, table_of(PatientIdentifier).c
_STEP, _STEP_STUDY = table_of(ProcedureStep).c, table_of(ProcedureStepStudy).c


def _orders_by(number: Any) -> Select[Any]:
    return select(
        *(_ORDER.id, _ORDER.state, _ORDER.accession_number, _ORDER.study_instance_uid, _ORDER.institution_id),
        *(_ORDER.patient_id, _ORDER.patient_value, _ORDER.patient_issuer),
        _TOWN.code.label("town"),
    ).where(
        number == bindparam("number"),
        _ORDER.institution_id == bindparam("institution"),
        _TOWN.id == _ORDER.institution_id,
    )


_BY_UID: Final = Prepared(_orders_by(_ORDER.study_instance_uid))
_BY_ACCESSION: Final = Prepared(_orders_by(_ORDER.accession_number))
_NUMBERS: Final = Prepared(
    select(_NUMBER.issuer, _NUMBER.value).where(_NUMBER.patient_id == bindparam("patient")).order_by(_NUMBER.id)
)
_STEPS: Final = Prepared(
    select(_STEP.references, _STEP.patient_id)
    .where(
        _STEP_STUDY.study_instance_uid == bindparam("uid"),
        _STEP_STUDY.step_id == _STEP.id,
        # A step without an order, of a device that speaks for several, belongs to nobody yet.
        or_(
            _STEP.institution_id == bindparam("institution"),
            and_(_STEP.institution_id.is_(None), _STEP.device_id == bindparam("device")),
        ),
    )
    .order_by(_STEP.id)
)


def said_by(session: Session, study: Study, institution_ids: tuple[str, ...]) -> StudySaid:
    """What the objects of a study, and the procedure steps that name it, say of its orders.

    `institution_ids` are those that its device may speak for.
    """
    of_study = {
        "uid": study.study_instance_uid,
        "institution": study.institution_id,
        "device": study.device_id,
    }
    by_steps = [r[0] for step in _STEPS.rows(session, of_study) if step.patient_id for r in step.references]
    numbers = dict.fromkeys([study.sent_accession_number, *(r[0] for r in study.sent_requests), *by_steps])
    return StudySaid(
        study_instance_uid=study.study_instance_uid,
        accession_numbers=tuple(n for n in numbers if n),
        study_uids=tuple(r[1] for r in study.sent_requests if r[1]),
        patient_id=study.sent_patient_id,
        issuer=study.sent_issuer,
        institution_ids=institution_ids,
    )


def orders_named(session: Session, said: StudySaid, institution_id: str) -> list[OrderKnown]:
    """The orders of an institution that share a UID or an accession number with a study."""
    asked = [(_BY_UID, uid) for uid in dict.fromkeys((said.study_instance_uid, *said.study_uids))]
    asked += [(_BY_ACCESSION, number) for number in said.accession_numbers]
    rows = {
        row.id: row
        for by, number in asked
        for row in by.rows(session, {"number": number, "institution": institution_id})
    }
    known = {
        id: [(number.issuer, number.value) for number in _NUMBERS.rows(session, {"patient": id})]
        for id in {row.patient_id for row in rows.values()}
    }
    return [
        OrderKnown(
            id=row.id,
            state=row.state,
            accession_number=row.accession_number,
            study_instance_uid=row.study_instance_uid,
            institution_id=row.institution_id,
            patient_value=row.patient_value,
            patient_issuer=row.patient_issuer,
            default_issuer=row.town,
            numbers=patients.numbers_among(row.patient_issuer, row.patient_value, known[row.patient_id]),
        )
        for _id, row in sorted(rows.items())
    ]
