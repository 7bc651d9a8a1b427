"""Which order was a study made for? By number, with the patient agreeing; never by name alone.

A wrong pick from the worklist is the commonest error of all, so every disagreement sends the study to the
unmatched bin with the reason, and a person decides on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

OTHER_HOSPITAL: Final = "other hospital"
"""The issuer of the numbers on another hospital's disc: nobody here, so nothing agrees with an order of ours."""


@dataclass(frozen=True)
class StudySaid:
    """What a study's objects say of the work they were made for."""

    study_instance_uid: str
    accession_numbers: tuple[str, ...]
    study_uids: tuple[str, ...]  # also those that Request Attributes name
    patient_id: str
    issuer: str  # as written, usually empty
    institution_ids: tuple[str, ...]  # those the sending device may speak for


@dataclass(frozen=True)
class OrderKnown:
    """An order that the study may have been made for."""

    id: str
    state: str
    accession_number: str
    study_instance_uid: str
    institution_id: str
    patient_value: str
    patient_issuer: str
    default_issuer: str  # whose number an image without an issuer carries: the institution's code
    numbers: tuple[tuple[str, str], ...] = ()  # (issuer, value) that the patient has there, an earlier one too


@dataclass(frozen=True)
class Verdict:
    """Either the orders that the study serves, or why it serves none."""

    order_ids: tuple[str, ...] = ()
    reason: str = ""
    params: dict[str, str] = field(default_factory=dict)


def match(study: StudySaid, orders: Sequence[OrderKnown]) -> Verdict:
    """Decide from the orders that share a number with the study (`orders` may hold others; they are ignored)."""
    if study.issuer == OTHER_HOSPITAL:
        return Verdict(reason="from_another_hospital")
    uids = {study.study_instance_uid, *study.study_uids} - {""}
    numbers = set(study.accession_numbers) - {""}
    # One examination may serve several orders: all that its numbers name must agree.
    named = [o for o in orders if o.study_instance_uid in uids or o.accession_number in numbers]
    if not named:
        if numbers:
            return Verdict(reason="no_order_with_this_number", params={"accession_number": ", ".join(sorted(numbers))})
        return Verdict(reason="no_order_named")
    known = {o.accession_number for o in named}
    strangers = sorted(numbers - known)
    if strangers:
        return Verdict(reason="number_disagrees", params={"accession_number": ", ".join(strangers)})
    for order in named:
        verdict = _disagreement(study, order)
        if verdict is not None:
            return verdict
    # The same value from two issuers is two patients.
    if len({order.patient_issuer for order in named}) > 1:
        return Verdict(reason="orders_of_different_patients")
    return Verdict(order_ids=tuple(o.id for o in named))


def _disagreement(study: StudySaid, order: OrderKnown) -> Verdict | None:
    params = {"accession_number": order.accession_number}
    if order.institution_id not in study.institution_ids:
        # Another institution's numbers are not shown: the reason must not tell whose they are.
        return Verdict(reason="no_order_named")
    if not study.patient_id:
        return Verdict(reason="no_patient_id", params=params)
    # A device that asked for its worklist before two numbers became one patient still sends the old one.
    theirs = ((order.patient_issuer, order.patient_value), *order.numbers)
    if not any(study.patient_id == value and study.issuer in ("", issuer) for issuer, value in theirs):
        return Verdict(
            reason="patient_differs",
            params=params | {"sent": study.patient_id, "ordered": order.patient_value},
        )
    if order.state in ("cancelled", "recognised", "rereading"):
        return Verdict(reason=f"order_{order.state}", params=params)
    return None
