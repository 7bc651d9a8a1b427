"""Receiving objects: each kept once under its study, and every disagreement set aside where a person sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from worklist.actions import late, linking, steps
from worklist.actions.devices import known
from worklist.errors import Conflict, NotFound
from worklist.facts import KnownDevice, ObjectFacts, StoredBytes, UploadOrigin
from worklist.moves import begin, move
from worklist.people import HUREN, Actor, device_actor
from worklist.rules.matching import OTHER_HOSPITAL
from worklist.rules.objects import is_evidence
from worklist.tables import Device, Instance, Institution, Order, Series, SetAside, Study


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
) -> Receipt:
    """Note an object whose bytes are durable already. `same_as_held` answers an earlier ``compare``.

    A person, or a program for one, sends as a device without an id, and `by` says who it is. What another hospital
    made carries that hospital's patient numbers: it is never matched by them, a person links it.
    """
    by = by or device_actor(device.id, device.name, device.institutions)
    if origin == "other hospital":
        facts = replace(facts, issuer=OTHER_HOSPITAL)
    institution = _institution(session, device, facts)
    if institution is None:
        return Receipt(_nobodys(session, device, facts, stored, now), reason="institution_unclear")
    study = session.scalar(
        select(Study).where(
            Study.institution_id == institution.id, Study.study_instance_uid == facts.study_instance_uid
        )
    )
    held = _held(session, institution, facts)
    if held is not None:
        instance, its_study = held
        if instance.dataset_sha256 == stored.dataset_sha256:
            return Receipt("duplicate", its_study.id, instance.store_key)
        if same_as_held is None:
            return Receipt("compare", its_study.id, instance.store_key)
        if same_as_held:
            return Receipt("duplicate", its_study.id, instance.store_key)
        params = {"uid": facts.sop_instance_uid}
        outcome = _conflict(session, its_study, device, stored, "same_uid_other_content", params, now)
        return Receipt(outcome, its_study.id, instance.store_key, "same_uid_other_content", params)
    if study is None:
        study = _new_study(session, institution, device, facts, by, now)
    elif facts.patient_id != study.sent_patient_id or facts.issuer != study.sent_issuer:
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
    session: Session, device: KnownDevice | None, store_key: str, reason: str, params: dict[str, Any], now: datetime
) -> None:
    """Show the admin bytes that could not be understood or filed."""
    row = SetAside(
        kind="object",
        device_id=(device.id or None) if device else None,
        institution_id=device.institutions[0] if device and len(device.institutions) == 1 else None,
        reason=reason,
        params={k: str(v) for k, v in params.items()},
        store_keys=[store_key] if store_key else [],
        at=now,
    )
    begin(session, "set aside", row, "set aside", HUREN, now, reason)


def _nobodys(
    session: Session, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes, now: datetime
) -> Literal["conflict", "duplicate"]:
    """Keep an object of a device that speaks for several institutions and does not say for which: one row a study."""
    params = {"study_instance_uid": facts.study_instance_uid}
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


def _institution(session: Session, device: KnownDevice, facts: ObjectFacts) -> Institution | None:
    """The institution the object belongs to: the device's only one, or that of the one order it names."""
    if len(device.institutions) == 1:
        return session.get(Institution, device.institutions[0])
    held = session.scalars(
        select(Study.institution_id).where(
            Study.study_instance_uid == facts.study_instance_uid, Study.institution_id.in_(device.institutions)
        )
    ).all()
    if len(held) == 1:
        return session.get(Institution, held[0])
    numbers = {facts.accession_number, *(r.accession_number for r in facts.requests)} - {""}
    named = session.scalars(
        select(Order.institution_id)
        .where(
            (Order.study_instance_uid == facts.study_instance_uid) | Order.accession_number.in_(numbers),
            Order.institution_id.in_(device.institutions),
        )
        .distinct()
    ).all()
    return session.get(Institution, named[0]) if len(named) == 1 else None


def _held(session: Session, institution: Institution, facts: ObjectFacts) -> tuple[Instance, Study] | None:
    """The shown copy of this SOP Instance UID at this institution, and its study."""
    row = session.execute(
        select(Instance, Study)
        .join(Study, Study.id == Instance.study_id)
        .where(Instance.sop_instance_uid == facts.sop_instance_uid, Study.institution_id == institution.id)
    ).first()
    return (row[0], row[1]) if row is not None else None


def _new_study(
    session: Session, institution: Institution, device: KnownDevice, facts: ObjectFacts, by: Actor, now: datetime
) -> Study:
    study = Study(
        institution_id=institution.id,
        device_id=device.id or None,
        study_instance_uid=facts.study_instance_uid,
        sent_patient_id=facts.patient_id,
        sent_issuer=facts.issuer,
        sent_name=facts.patient_name.ideographic,
        sent_name_alphabetic=facts.patient_name.alphabetic,
        sent_sex=facts.sex,
        sent_birth_date=facts.birth_date,
        sent_accession_number=facts.accession_number,
        sent_requests=[
            [r.accession_number, r.study_instance_uid, r.requested_procedure_id, r.scheduled_step_id]
            for r in facts.requests
        ],
        modality=facts.modality,
        body_part=facts.body_part,
        description=facts.study_description,
        study_date=facts.study_date,
        study_time=facts.study_time,
        acquired_at=_acquired_at(facts, institution),
        instances=0,
        first_at=now,
        last_at=now,
    )
    begin(session, "study arrival", study, "receive", by, now)
    begin(session, "study link", study, "receive", by, now)
    session.flush()
    twin = session.scalar(
        select(Study.id).where(Study.study_instance_uid == facts.study_instance_uid, Study.id != study.id).limit(1)
    )
    if twin is not None:
        row = SetAside(
            kind="collision",
            institution_id=institution.id,
            device_id=device.id or None,
            study_id=study.id,
            reason="study_uid_used_by_another_institution",
            params={"uid": facts.study_instance_uid},
            at=now,
        )
        begin(session, "set aside", row, "set aside", HUREN, now)
    return study


def _add(
    session: Session, study: Study, device: KnownDevice, facts: ObjectFacts, stored: StoredBytes, now: datetime
) -> None:
    series = session.scalar(
        select(Series).where(Series.study_id == study.id, Series.series_instance_uid == facts.series_instance_uid)
    )
    if series is None:
        series = Series(
            study_id=study.id,
            series_instance_uid=facts.series_instance_uid,
            modality=facts.modality,
            number=facts.series_number,
            description=facts.series_description,
            body_part=facts.body_part,
            instances=0,
        )
        session.add(series)
        session.flush()
    session.add(
        Instance(
            study_id=study.id,
            series_id=series.id,
            sop_instance_uid=facts.sop_instance_uid,
            sop_class_uid=facts.sop_class_uid,
            transfer_syntax_uid=facts.transfer_syntax_uid,
            number=facts.instance_number,
            rows=facts.rows,
            columns=facts.columns,
            frames=facts.frames,
            store_key=stored.key,
            size=stored.size,
            sha256=stored.sha256,
            dataset_sha256=stored.dataset_sha256,
            device_id=device.id or None,
            received_at=now,
        )
    )
    # Counted by the database: two associations of one study may be here at the same time.
    series.instances = Series.instances + 1
    study.instances = Study.instances + 1
    study.last_at = now
    study.modality = study.modality or facts.modality
    study.body_part = study.body_part or facts.body_part
    session.flush()
    # The count has locked the row: what another association has done to the study meanwhile is seen from here on.
    session.refresh(study, ["instances", "arrival", "link"])


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


def _acquired_at(facts: ObjectFacts, institution: Institution) -> datetime | None:
    """UTC beside Study Date and Time: by the offset tag, else the institution's zone; None if there is no time."""
    if not facts.study_time:
        return None  # midnight would be made up
    digits = facts.study_time.split(".")[0].ljust(6, "0")
    try:
        if facts.timezone_offset:
            stamp = facts.study_date + digits + facts.timezone_offset
            return datetime.strptime(stamp, "%Y%m%d%H%M%S%z").astimezone(UTC)
        local = datetime.strptime(facts.study_date + digits, "%Y%m%d%H%M%S")  # noqa: DTZ007 - zone follows
        return local.replace(tzinfo=ZoneInfo(institution.timezone)).astimezone(UTC)
    except ValueError:
        return None
