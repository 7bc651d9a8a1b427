"""Storage commitment (DICOM PS3.4 annex J): asked on record, verified against the store, reported to the device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from worklist import outbox
from worklist.actions.devices import destination_of
from worklist.errors import Conflict, NotFound
from worklist.facts import CommitmentRequest, Destination, KnownDevice, SopReference
from worklist.moves import begin, can, move
from worklist.people import HUREN, device_actor
from worklist.tables import Commitment, Device, DeviceAddress, Instance, SetAside, Study

JOB: Final = "report_commitment"
AT_ONCE: Final = 500  # values in one question to the database


@dataclass(frozen=True, slots=True)
class Asked:
    """A transaction as it stands. `failures` has the reason for each instance that is not answered for."""

    id: str
    transaction_uid: str
    references: tuple[SopReference, ...]
    failures: dict[str, int]
    state: str
    asked_at: datetime
    verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldCopy:
    """What the tables say of an object, and the copies with other content that may be of its UID."""

    sop_class_uid: str
    store_key: str
    sha256: str
    set_aside: tuple[str, ...]  # store keys, of any UID of its study


def ask(session: Session, device: KnownDevice, address: str, request: CommitmentRequest, now: datetime) -> str:
    """Put a transaction on record; the id. The same question again is the same transaction.

    Raises
    ------
    Conflict
        ``transaction_differs``: the device used this Transaction UID for other objects.
    """
    references = [[r.sop_class_uid, r.sop_instance_uid] for r in request.references]
    row = _find(session, device, request.transaction_uid)
    if row is None:
        row = Commitment(
            device_id=device.id,
            transaction_uid=request.transaction_uid,
            address=address,
            ae_title=device.ae_title,
            institutions=list(device.institutions),
            references=references,
            asked_at=now,
        )
        by = device_actor(device.id, device.name, device.institutions)
        try:
            with session.begin_nested():
                begin(session, "commitment", row, "ask", by, now)
                session.flush()
            return row.id
        except IntegrityError:  # the same question on another association was faster
            row = _find(session, device, request.transaction_uid)
    if row is None or row.references != references:
        raise Conflict("transaction_differs")
    return row.id


def look(session: Session, commitment_id: str) -> Asked:
    """A transaction as it stands."""
    row = _get(session, commitment_id)
    return Asked(
        row.id,
        row.transaction_uid,
        tuple(SopReference(*pair) for pair in row.references),
        {uid: int(reason) for uid, reason in row.failures.items()},
        row.state,
        row.asked_at,
        row.verified_at,
    )


def held_copies(session: Session, commitment_id: str) -> dict[str, list[HeldCopy]]:
    """By SOP instance UID: what the institutions that the asker spoke for hold of the objects it named."""
    row = _get(session, commitment_id)
    uids = [uid for _sop_class, uid in row.references]
    found: dict[str, list[tuple[Instance, str]]] = {}
    studies: set[str] = set()
    for at in range(0, len(uids), AT_ONCE):
        query = (
            select(Instance)
            .join(Study, Study.id == Instance.study_id)
            .where(Instance.sop_instance_uid.in_(uids[at : at + AT_ONCE]), Study.institution_id.in_(row.institutions))
        )
        for instance in session.scalars(query):
            found.setdefault(instance.sop_instance_uid, []).append((instance, instance.study_id))
            studies.add(instance.study_id)
    conflicts = _conflicts(session, sorted(studies))
    return {
        uid: [HeldCopy(i.sop_class_uid, i.store_key, i.sha256, conflicts.get(study_id, ())) for i, study_id in copies]
        for uid, copies in found.items()
    }


def verify(session: Session, commitment_id: str, failures: dict[str, int], now: datetime) -> None:
    """Keep what reading the store has shown. Done before by somebody else: theirs stays."""
    row = _get(session, commitment_id)
    if can("commitment", row, "verify"):
        row.failures = dict(failures)
        row.verified_at = now
        move(session, "commitment", row, "verify", HUREN, now)


def report(session: Session, commitment_id: str, now: datetime) -> None:
    """The device has taken the report; a job that was stuck over it may end."""
    row = _get(session, commitment_id)
    if can("commitment", row, "report"):
        row.reported_at = now
        move(session, "commitment", row, "report", HUREN, now)
        outbox.hasten(session, JOB, row.id, now)
        outbox.release_stuck(session, JOB, row.id, now)


def stick(session: Session, commitment_id: str, code: str, now: datetime) -> None:
    """The device cannot be told, and a person must look."""
    row = _get(session, commitment_id)
    if can("commitment", row, "stick"):
        move(session, "commitment", row, "stick", HUREN, now, code)


def destination(session: Session, commitment_id: str) -> Destination | None:
    """Where the device takes its report: the address that asked, if its port is on record, else its only other one."""
    commitment = _get(session, commitment_id)
    device = session.get(Device, commitment.device_id)
    if device is None or not device.enabled:
        return None
    rows = list(
        session.scalars(
            select(DeviceAddress).where(
                DeviceAddress.device_id == device.id, DeviceAddress.door == "dimse", DeviceAddress.port.is_not(None)
            )
        )
    )
    asked = [row for row in rows if (row.address, row.claimed) == (commitment.address, commitment.ae_title)]
    found = asked or rows
    if len(found) != 1 or found[0].port is None:
        return None
    return destination_of(session, device, found[0], found[0].port)


def _conflicts(session: Session, study_ids: list[str]) -> dict[str, tuple[str, ...]]:
    """Store keys of copies that wait in the open conflicts of these studies."""
    keys: dict[str, tuple[str, ...]] = {}
    for at in range(0, len(study_ids), AT_ONCE):
        for row in session.scalars(
            select(SetAside).where(
                SetAside.study_id.in_(study_ids[at : at + AT_ONCE]),
                SetAside.kind == "conflict",
                SetAside.reason == "same_uid_other_content",
                SetAside.state == "waiting",
            )
        ):
            keys[row.study_id or ""] = (*keys.get(row.study_id or "", ()), *row.store_keys)
    return keys


def _find(session: Session, device: KnownDevice, transaction_uid: str) -> Commitment | None:
    return session.scalar(
        select(Commitment).where(Commitment.device_id == device.id, Commitment.transaction_uid == transaction_uid)
    )


def _get(session: Session, commitment_id: str) -> Commitment:
    row = session.get(Commitment, commitment_id)
    if row is None:
        raise NotFound("no_such_commitment")
    return row
