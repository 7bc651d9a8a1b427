"""The numbers that an order gets when it is placed: its accession number and its Study Instance UID."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from worklist.errors import Conflict
from worklist.facts import KnownDevice, OrderRequest
from worklist.numbers import new_accession_number, new_study_uid, next_value
from worklist.prepared import Prepared
from worklist.tables import Institution, Order, Patient, PatientIdentifier, Study
from worklist.tables.base import table_of

_ORDER = table_of(Order).c
_IS_TAKEN: Final = Prepared(select(_ORDER.id).where(_ORDER.accession_number == bindparam("number")))


def accession_number(
    session: Session, device: KnownDevice | None, institution: Institution, request: OrderRequest, now: datetime
) -> str:
    """The sender's own number where its record says so and it fits, else a new one of ours.

    Raises
    ------
    Conflict
        ``accession_number_taken``.
    """
    offered = request.accession_number
    usable = offered.isascii() and offered.isalnum() and offered == offered.upper() and len(offered) <= 16
    if device is not None and device.trusts_sender_accession and offered and usable:
        if _IS_TAKEN.first(session, {"number": offered}) is None:
            return offered
        raise Conflict("accession_number_taken")
    today = now.astimezone(ZoneInfo(institution.timezone)).date()
    while True:  # a trusted sender may have used one that looks like ours
        number = new_accession_number(session, today)
        if _IS_TAKEN.first(session, {"number": number}) is None:
            return number


def patient_number(session: Session, institution: Institution, now: datetime) -> str:
    """A new number for a patient who has none at the institution: ``P``, the local day, and a count."""
    today = now.astimezone(ZoneInfo(institution.timezone)).date()
    while True:  # the institution may number its patients alike
        number = f"P{today:%y%m%d}{next_value(session, f'patient {institution.code}'):04d}"
        taken = select(PatientIdentifier.id).where(
            PatientIdentifier.issuer == institution.code, PatientIdentifier.value == number
        )
        if session.scalar(taken) is None:
            return number


def study_uid(
    session: Session, request: OrderRequest, institution: Institution, person: Patient, patient_value: str
) -> str:
    """The UID that a HIS supplies, if it is valid and nobody else's; otherwise a new one.

    Images that came under it before their order (an emergency) are no obstacle if they name the same patient.
    """
    offered = request.study_instance_uid
    if offered and _is_uid(offered):
        others = session.scalar(
            select(Order.id).where(Order.study_instance_uid == offered, Order.patient_id != person.id).limit(1)
        )
        held = session.scalar(
            select(Study.id)
            .where(
                Study.study_instance_uid == offered,
                or_(Study.institution_id != institution.id, Study.sent_patient_id != patient_value),
            )
            .limit(1)
        )
        if others is None and held is None:
            return offered
    return new_study_uid()


def _is_uid(text: str) -> bool:
    """DICOM PS3.5 9.1."""
    parts = text.split(".")
    return len(text) <= 64 and len(parts) > 1 and all(p.isdecimal() and p.isascii() and str(int(p)) == p for p in parts)
