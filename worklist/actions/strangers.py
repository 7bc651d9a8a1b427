"""Objects of two patients came as one study: a person says whose the ones set aside are (PS3.3 C.7.2.1 knows one).

Either they are the study's own patient after all and the device had the number wrong, or they are somebody else's and
become a study of their own, which is linked like any other. Their bytes stay as they are; what they say wrongly is
put right on the way out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from sqlalchemy.orm import Session

from worklist import audit
from worklist.actions import archiving
from worklist.actions.devices import known
from worklist.actions.studies import Receipt, receive_object
from worklist.errors import BadInput, Conflict, NotFound
from worklist.facts import KnownDevice, ObjectFacts, StoredBytes, UploadOrigin
from worklist.moves import move
from worklist.numbers import split_study_uid
from worklist.people import Actor
from worklist.rules.matching import OTHER_HOSPITAL
from worklist.tables import Device, SetAside, Study

Into = Literal["this study", "a study of its own"]
REASON: Final = "patient_differs_in_study"


@dataclass(frozen=True)
class Waiting:
    """Objects of another patient than their study's, who sent them, and whose numbers they carry."""

    keys: list[str]
    sender: KnownDevice
    origin: UploadOrigin


def waiting_strangers(session: Session, by: Actor, set_aside_id: str, why: str) -> Waiting:
    """What is to be filed. For a PACS admin, who says why.

    Raises
    ------
    NotFound, Conflict
        no such row; ``nothing_to_replay``: nothing in it can be filed so.
    BadInput
        ``reason_missing``.
    """
    row, study = _look(session, by, set_aside_id)
    if not why.strip():
        raise BadInput("reason_missing")
    device = session.get(Device, row.device_id) if row.device_id else None
    sender = known(session, device) if device is not None else KnownDevice("", by.name, ())
    foreign = device is None and study.sent_issuer == OTHER_HOSPITAL
    return Waiting(
        list(row.store_keys),
        replace(sender, institutions=(study.institution_id,)),
        "other hospital" if foreign else "own equipment",
    )


def file_stranger(
    session: Session,
    by: Actor,
    set_aside_id: str,
    waiting: Waiting,
    facts: ObjectFacts,
    stored: StoredBytes,
    into: Into,
    now: datetime,
    *,
    same_as_held: bool | None = None,
) -> Receipt:
    """File one of them, as `studies.receive_object` does; what was filed before is a duplicate then."""
    _row, study = _look(session, by, set_aside_id)
    if into == "a study of its own":
        issuer = OTHER_HOSPITAL if waiting.origin == "other hospital" else facts.issuer
        uid = split_study_uid(study.institution_id, facts.study_instance_uid, facts.patient_id, issuer)
        facts = replace(facts, study_instance_uid=uid)
    receipt = receive_object(
        session,
        waiting.sender,
        facts,
        stored,
        now,
        same_as_held=same_as_held,
        by=by,
        origin=waiting.origin,
        any_patient=into == "this study",
    )
    if into == "this study" and study.patient_id is not None:
        study.coerced = True  # all of it leaves as the patient whose it is
        archiving.owe(session, [study.id], now)
    return receipt


def settle_strangers(
    session: Session, by: Actor, set_aside_id: str, into: Into, studies: list[str], why: str, now: datetime
) -> None:
    """All of them are filed, in `studies`: on record, with the reason."""
    row, study = _look(session, by, set_aside_id)
    move(session, "set aside", row, "settle", by, now, why)
    audit.note(
        session,
        by,
        "objects filed by a person",
        now,
        thing="study",
        thing_id=study.id,
        institution_id=study.institution_id,
        patient_id=study.patient_id,
        why=why,
        detail={"into": into, "objects": len(row.store_keys), "studies": studies},
    )


def _look(session: Session, by: Actor, set_aside_id: str) -> tuple[SetAside, Study]:
    by.require_scope("admin")
    by.require("PACS admin")
    row = session.get(SetAside, set_aside_id)
    study = session.get(Study, row.study_id) if row is not None and row.study_id else None
    if row is None or study is None:
        raise NotFound("no_such_thing_set_aside")
    if row.reason != REASON or row.state != "waiting" or not row.store_keys:
        raise Conflict("nothing_to_replay")
    return row, study
