"""What a request says of an order, beside what the order's columns hold: found, compared, and brought to our words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist.actions import patients
from worklist.errors import BadInput
from worklist.facts import PRIORITIES, KnownDevice, OrderRequest, PatientFacts
from worklist.people import Actor
from worklist.prepared import Prepared
from worklist.tables import CodeMapping, Institution, Order, Procedure
from worklist.tables.base import table_of

MUTABLE: Final = (
    "procedure_code",
    "procedure_text",
    "priority",
    "clinical_information",
    "reason",
    "ordering_doctor",
    "ordering_doctor_id",
    "laterality",
    "patient_class",
    "visit_number",
    "location",
    "station_ae",
    "requested_at",
)
"""Columns that a change message may change, named as in `OrderRequest`."""

# Asked with every order.
_ORDER = table_of(Order).c
_MAPPING = table_of(CodeMapping).c
_PROCEDURE = table_of(Procedure).c
_BY_PLACER: Final = Prepared(
    select(_ORDER.id).where(_ORDER.placer_issuer == bindparam("issuer"), _ORDER.placer_number == bindparam("number"))
)
_MAPPED: Final = Prepared(
    select(_MAPPING.procedure_id).where(_MAPPING.device_id == bindparam("device"), _MAPPING.code == bindparam("said"))
)
_BY_CODE: Final = Prepared(select(_PROCEDURE.id).where(_PROCEDURE.code == bindparam("said"), _PROCEDURE.enabled))


@dataclass(frozen=True)
class Asked:
    """One request with all that goes with it. The patient is scoped already (`patients.with_scope`).

    `device` is None where a person asks. `sure`: a person has said that contradicting news of the patient is a
    correction. `came_at` is when the request came in, where it is done again now.
    """

    device: KnownDevice | None
    institution: Institution
    patient: PatientFacts
    request: OrderRequest
    by: Actor
    now: datetime
    sure: bool = False
    came_at: datetime | None = None

    @property
    def issuer(self) -> str:
        """Who gave the placer number: the institution, or one of the several systems that it names in ORC-2.2."""
        namespace = self.request.placer_namespace
        return f"{self.institution.code}/{namespace}" if namespace else self.institution.code


def find(session: Session, asked: Asked) -> Order | None:
    """The order that the request names by its placer's number."""
    # Most are new: their key is looked for before a whole order is loaded with all that hangs on it.
    session.flush()  # a message may name one order twice
    found = _BY_PLACER.first(session, {"issuer": asked.issuer, "number": asked.request.placer_number})
    return session.get(Order, found.id) if found is not None else None


def names_patient(order: Order, patient: PatientFacts) -> bool:
    """Whether one of the patient's numbers is one by which the order's patient goes."""
    known = patients.numbers_for(order)
    return any((i.issuer, i.value) in known for i in patient.identifiers)


def names_another(order: Order, patient: PatientFacts) -> bool:
    """Whether a patient is named, and it is not the order's."""
    return bool(patient.identifiers) and not names_patient(order, patient)


def is_same(order: Order, asked: Asked) -> bool:
    """Whether the request says the same as the order that is held; what it leaves out, it does not change."""
    request = asked.request
    if not names_patient(order, asked.patient):
        return False
    held = {name: getattr(order, name) for name in MUTABLE if not getattr(request, name)}
    as_held = replace(request, **held)
    if not all(said in ([], getattr(order, name)) for name, said in lists(request).items()):
        return False
    return all(getattr(as_held, name) == getattr(order, name) for name in MUTABLE) and scheduled(
        request.scheduled_at, order.institution
    ) in (("", ""), (order.scheduled_date, order.scheduled_time))


def require_priority(request: OrderRequest) -> None:
    """Refuse a priority that nobody knows (``priority_unknown``)."""
    if request.priority not in PRIORITIES:
        raise BadInput("priority_unknown", priority=request.priority)


def require_procedure(session: Session, code: str) -> None:
    """Refuse a code that is not in the catalogue (``procedure_unknown``): who types it is there to mend it."""
    if _BY_CODE.first(session, {"said": code}) is None:
        raise BadInput("procedure_unknown", procedure=code)


def procedure(session: Session, device_id: str | None, code: str) -> str | None:
    """The id of the procedure that a sender's code means, None where nobody has said."""
    if device_id is not None:
        mapped = _MAPPED.first(session, {"device": device_id, "said": code})
        if mapped is not None:
            return str(mapped.procedure_id)
    found = _BY_CODE.first(session, {"said": code})
    return str(found.id) if found is not None else None


def lists(request: OrderRequest) -> dict[str, list[dict[str, Any]]]:
    """What stands in the order's lists, as its columns hold it."""
    return {
        "specimens": [asdict(specimen) for specimen in request.specimens],
        "steps": [asdict(step) for step in request.steps],
    }


def scheduled(stamp: str, institution: Institution) -> tuple[str, str]:
    """Local date (DA) and time (TM) of an HL7 TS; a stamp with a zone is brought to the institution's."""
    digits = stamp.split("+")[0].split("-")[0].split(".")[0]
    if len(digits) < 8 or not digits.isdecimal():
        return "", ""
    if ("+" in stamp or "-" in stamp) and len(digits) >= 12:
        try:
            zone = stamp[len(stamp.rstrip("0123456789")) - 1 :]
            aware = datetime.strptime(digits.ljust(14, "0") + zone, "%Y%m%d%H%M%S%z")
        except ValueError:
            return digits[:8], digits[8:].ljust(6, "0") if len(digits) > 8 else ""
        local = aware.astimezone(ZoneInfo(institution.timezone))
        return f"{local:%Y%m%d}", f"{local:%H%M%S}"
    return digits[:8], digits[8:].ljust(6, "0") if len(digits) > 8 else ""
