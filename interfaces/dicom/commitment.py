"""Storage Commitment Push Model: what a device asks for, and what it is told (DICOM PS3.4 J.3.2, J.3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pydicom.dataset import Dataset

from interfaces.dicom.fields import Fields
from interfaces.dicom.uids import is_valid_uid
from worklist.errors import BadInput
from worklist.facts import CommitmentRequest, SopReference

_TRANSACTION = 0x00081195
_REFERENCED_SOP = 0x00081199
_REFERENCED_CLASS, _REFERENCED_INSTANCE = 0x00081150, 0x00081155

ALL_COMMITTED: Final = 1
FAILURES_EXIST: Final = 2
"""Event types (J.3.3)."""


def read_commitment_request(action_information: Dataset) -> CommitmentRequest:
    """The Action Information of an N-ACTION (table J.3-1); an object that is named twice counts once.

    Raises
    ------
    BadInput
        `invalid_uid` (with `tag`), `no_objects_named`, `not_a_dicom_object`.
    """
    said = Fields(action_information)
    transaction = _uid(said, _TRANSACTION)
    named = {_uid(item, _REFERENCED_INSTANCE): _uid(item, _REFERENCED_CLASS) for item in said.items(_REFERENCED_SOP)}
    if not named:
        raise BadInput("no_objects_named")
    return CommitmentRequest(transaction, tuple(SopReference(sop_class, uid) for uid, sop_class in named.items()))


def commitment_report(
    transaction_uid: str, references: Iterable[SopReference], failures: Mapping[str, int]
) -> tuple[int, Dataset]:
    """Event type and Event Information of an N-EVENT-REPORT (table J.3-3).

    `failures` has the Failure Reason (0008,1197) of each SOP instance UID that is not committed.
    """
    information = Dataset()
    information.TransactionUID = transaction_uid
    committed, failed = [], []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        reason = failures.get(reference.sop_instance_uid)
        if reason is None:
            committed.append(item)
        else:
            item.FailureReason = reason
            failed.append(item)
    if committed:
        information.ReferencedSOPSequence = committed
    if failed:
        information.FailedSOPSequence = failed
    return (FAILURES_EXIST if failed else ALL_COMMITTED), information


def _uid(fields: Fields, tag: int) -> str:
    uid = fields.plain(tag)
    if not is_valid_uid(uid):
        raise BadInput("invalid_uid", tag=f"{tag:08X}")
    return uid
