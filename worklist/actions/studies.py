"""Receiving objects: each kept once under its study, and every disagreement set aside where a person sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from worklist.actions import late, linking, new_studies, steps, usual
from worklist.actions.devices import known
from worklist.database import take_turn
from worklist.errors import Conflict, NotFound
from worklist.facts import KnownDevice, ObjectFacts, StoredBytes, UploadOrigin
from worklist.moves import begin, move
from worklist.people import HUREN, Actor, device_actor
from worklist.prepared import Prepared
from worklist.rules.matching import OTHER_HOSPITAL
from worklist.rules.objects import is_evidence
from worklist.tables import Device, Instance, Order, SetAside, Study
from worklist.tables.base import table_of

_STUDY, _INSTANCE = table_of(Study).c, table_of(Instance).c
_KNOWN: Final = Prepared(
    select(_STUDY.id).where(
        _STUDY.institution_id == bindparam("institution"), _STUDY.study_instance_uid == bindparam("uid")
    )
)
# The shown copy of an object. As a join SQLite would begin with all studies of the institution.
_HELD: Final = Prepared(
    select(_INSTANCE.study_id, _INSTANCE.dataset_sha256, _INSTANCE.store_key)
    .where(
        _INSTANCE.sop_instance_uid == bindparam("uid"),
        select(_STUDY.institution_id).where(_STUDY.id == _INSTANCE.study_id).scalar_subquery()
        == bindparam("institution"),
    )
    .limit(1)
)


@dataclass(frozen=True)
class Receipt:
    """What became of one object.

    ``stored``: held and shown. ``duplicate``: held before, the new copy is not referenced. ``conflict``: kept and
    set aside. ``compare``: nothing was written; the bytes under `held_key` must be compared first.
    """

    outcome: Literal["stored", "duplicate", "conflict", "compare"]
    study_id: str = ""
    held_key: str = ""
    reason: str = ""
    """Code of a disagreement: why this copy is not the one that is shown, also when it was set aside before."""
    params: dict[str, str] = field(default_factory=dict)


def receive_object(
    session: Session,
    device: KnownDevice,
    facts: ObjectFacts,
    stored: StoredBytes,
    now: datetime,
    *,
    same_as_held: bool | None = None,
    by: Actor | None = None,
    origin: UploadOrigin = "own equipment",
    any_patient: bool = False,
) -> Receipt:
    """Note an object whose bytes are durable already. `same_as_held` answers an earlier ``compare``; `any_patient`
    says that a person looked and its patient is the study's.

    A person, or a program for one, sends as a device without an id, and `by` says who it is. What another hospital
    made carries that hospital's patient numbers: it is never matched by them, a person links it.
    """
    by = by or device_actor(device.id, device.name, device.institutions)
    if origin == "other hospital":
        facts = replace(facts, issuer=OTHER_HOSPITAL)
    institution_id = _institution(session, device, facts)
    if institution_id is not None:
        take_turn(session, institution_id, facts.sop_instance_uid)  # one UID in two studies at once: one is held
    if institution_id is not None and same_as_held is None:
        usual_study = usual.receive(session, institution_id, device, facts, stored, now)
        if usual_study is not None:
            return Receipt("stored", usual_study)
    if institution_id is None:
        return Receipt(_nobodys(session, device, facts, stored, now), reason="institution_unclear")
    held = _HELD.first(session, {"institution": institution_id, "uid": facts.sop_instance_uid})
    if held is not None:
        if held.dataset_sha256 == stored.dataset_sha256:
            return Receipt("duplicate", held.study_id, held.store_key)
        if same_as_held is None:
            return Receipt("compare", held.study_id, held.store_key)
        if same_as_held:
            return Receipt("duplicate", held.study_id, held.store_key)
        params = {"uid": facts.sop_instance_uid}
        its_study = session.get_one(Study, held.study_id)
        outcome = _conflict(session, its_study, device, stored, "same_uid_other_content", params, now)
        return Receipt(outcome, its_study.id, held.store_key, "same_uid_other_content", params)
    known = _KNOWN.first(session, {"institution": institution_id, "uid": facts.study_instance_uid})
    if known is None:
        study = new_studies.begin_study(session, institution_id, device, facts, stored, by, now)
        linking.match_study(session, study, device.institutions, now)
        return Receipt("stored", study.id)
    study = session.get_one(Study, known.id)
    if not any_patient and (facts.patient_id != study.sent_patient_id or facts.issuer != study.sent_issuer):
        params = {"sent": facts.patient_id}
        outcome = _conflict(session, study, device, stored, "patient_differs_in_study", params, now)
        return Receipt(outcome, study.id, reason="patient_differs_in_study", params=params)
    _add(session, study, device, facts, stored, now)
    if study.arrival == "complete":
        move(session, "study arrival", study, "arrive late", by, now)
    if is_evidence(facts.sop_class_uid):
        late.note_late_images(session, study, [(facts.sop_instance_uid, stored.sha256)], now)
    if study.link == "unlinked":
        linking.match_study(session, study, device.institutions, now)
    steps.note_object(session, study, now)
    return Receipt("stored", study.id)


def set_aside_object(
    session: Session,
    device: KnownDevice | None,
    store_key: str,
    reason: str,
    params: dict[str, Any],
    now: datetime,
    *,
    digest: str = "",
) -> bool:
    """Show the admin bytes that could not be understood or filed.

    `digest` is the SHA-256 of the data set. False: the same bytes of the same device wait already, for the same
    reason, and these are not referenced.
    """
    if device is not None and digest:
        take_turn(session, device.id, digest)
        same = select(SetAside.id).where(
            SetAside.state == "waiting",
            SetAside.kind == "object",
            SetAside.device_id == device.id,
            SetAside.reason == reason,
            SetAside.digests == [digest],
        )
        if session.scalar(same.limit(1)) is not None:
            return False
    row = SetAside(
        kind="object",
        device_id=(device.id or None) if device else None,
        institution_id=device.institutions[0] if device and len(device.institutions) == 1 else None,
        reason=reason,
        params={k: str(v) for k, v in params.items()},
        store_keys=[store_key] if store_key else [],
        digests=[digest] if digest else [],
        at=now,
    )
    begin(session, "set aside", row, "set aside", HUREN, now, reason)
    return True


def _nobodys(
    session: Session, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes, now: datetime
) -> Literal["conflict", "duplicate"]:
    """Keep an object of a device that speaks for several institutions and does not say for which: one row a study."""
    params = {"study_instance_uid": facts.study_instance_uid}
    take_turn(session, device.id, facts.study_instance_uid)  # the first two at once make one row
    rows = session.scalars(
        select(SetAside)
        .where(SetAside.device_id == device.id, SetAside.reason == "institution_unclear", SetAside.state == "waiting")
        .with_for_update()  # its lists are read, added to and written: no key may be lost
    )
    row = next((r for r in rows if r.params == params), None)
    if row is None:
        row = SetAside(kind="object", device_id=device.id, reason="institution_unclear", params=params, at=now)
        row.store_keys, row.digests = [stored.key], [stored.dataset_sha256]
        begin(session, "set aside", row, "set aside", HUREN, now, row.reason)
        return "conflict"
    if stored.dataset_sha256 in row.digests:
        return "duplicate"
    row.store_keys = [*row.store_keys, stored.key]
    row.digests = [*row.digests, stored.dataset_sha256]
    return "conflict"


def waiting_objects(
    session: Session, by: Actor, set_aside_id: str, institution_id: str
) -> tuple[list[str], KnownDevice]:
    """Store keys of objects whose institution was unclear, and their device, narrowed to the one that a person chose.

    Raises
    ------
    NotFound, Conflict
        no such row; nothing in it can be filed; the device may not speak for the institution.
    """
    by.require_scope("admin")
    by.require("PACS admin")
    row = session.get(SetAside, set_aside_id)
    device = session.get(Device, row.device_id) if row is not None and row.device_id else None
    if row is None or device is None:
        raise NotFound("no_such_thing_set_aside")
    if row.reason != "institution_unclear" or row.state != "waiting" or not row.store_keys:
        raise Conflict("nothing_to_replay")
    whole = known(session, device)
    if institution_id not in whole.institutions:
        raise NotFound("no_such_institution")
    return list(row.store_keys), replace(whole, institutions=(institution_id,))


def settle_set_aside(session: Session, by: Actor, set_aside_id: str, dismiss: bool, why: str, now: datetime) -> None:
    """The admin has dealt with something set aside, or decided that nothing is to be done. The bytes stay."""
    by.require_scope("admin")
    by.require("PACS admin")
    row = session.get(SetAside, set_aside_id)
    if row is None:
        raise NotFound("no_such_thing_set_aside")
    move(session, "set aside", row, "dismiss" if dismiss else "settle", by, now, why)


def _institution(session: Session, device: KnownDevice, facts: ObjectFacts) -> str | None:
    """The institution the object belongs to: the device's only one, or that of the one order it names."""
    if len(device.institutions) == 1:
        return device.institutions[0]
    held = session.scalars(
        select(Study.institution_id).where(
            Study.study_instance_uid == facts.study_instance_uid, Study.institution_id.in_(device.institutions)
        )
    ).all()
    if len(held) == 1:
        return held[0]
    numbers = {facts.accession_number, *(r.accession_number for r in facts.requests)} - {""}
    named = session.scalars(
        select(Order.institution_id)
        .where(
            (Order.study_instance_uid == facts.study_instance_uid) | Order.accession_number.in_(numbers),
            Order.institution_id.in_(device.institutions),
        )
        .distinct()
    ).all()
    return named[0] if len(named) == 1 else None


def _add(
    session: Session, study: Study, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes, now: datetime
) -> None:
    # Counted by the database: two associations of one study may be here at the same time.
    study.instances = Study.instances + 1
    study.last_at = now
    study.modality = study.modality or facts.modality
    study.body_part = study.body_part or facts.body_part
    session.flush()
    # The count has locked the row: what another association has done to the study meanwhile is seen from here on.
    session.refresh(study, ["instances", "arrival", "link"])
    if not usual.add_to_series(session, study.id, device, facts, stored, now):
        usual.add_to_new_series(session, study.id, device, facts, stored, now)


def _conflict(
    session: Session,
    study: Study,
    device: KnownDevice,
    stored: StoredBytes,
    reason: str,
    params: dict[str, str],
    now: datetime,
) -> Literal["conflict", "duplicate"]:
    """Keep a copy that disagrees: one open conflict per study and reason collects them, each content once."""
    take_turn(session, study.id, reason)  # the first two at once make one row
    row = session.scalar(
        select(SetAside)
        .where(
            SetAside.study_id == study.id,
            SetAside.kind == "conflict",
            SetAside.reason == reason,
            SetAside.state == "waiting",
        )
        .with_for_update()  # its list of keys is read, added to and written: none may be lost
    )
    if row is not None:
        if stored.dataset_sha256 in row.digests:
            return "duplicate"
        row.store_keys = [*row.store_keys, stored.key]
        row.digests = [*row.digests, stored.dataset_sha256]
        return "conflict"
    row = SetAside(
        kind="conflict",
        institution_id=study.institution_id,
        device_id=device.id or None,
        study_id=study.id,
        reason=reason,
        params=params,
        store_keys=[stored.key],
        digests=[stored.dataset_sha256],
        at=now,
    )
    begin(session, "set aside", row, "set aside", HUREN, now, reason)
    return "conflict"
